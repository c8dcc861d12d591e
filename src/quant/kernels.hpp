// Everything that touches elements on the host, as tables of functions: codec kernels (packed codes <-> values) and reduce kernels
// (arithmetic of the exact path). One table for each instruction set, chosen at run time; all give the oracle's bits (reference.hpp).
//
// Lengths are elements. Value pointers need the alignment of their type only. Packed pointers are aligned to kSectionAlign. Source and
// destination never overlap.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "quant/wire_format.hpp"

namespace qccl::quant {

struct EncodeOptions {
  std::size_t blockElems = 256;
  bool stochastic = false;
  std::uint64_t noiseKey = 0;        // noise.hpp; unused unless stochastic
  std::uint64_t firstElemIndex = 0;  // index of the first element for the noise
};

struct EncodeCounts {
  std::uint64_t blocks = 0;
  std::uint64_t nonFiniteBlocks = 0;
};

// For one data type among FP32, BF16, FP16.
struct CodecKernels {
  // packed (packedBytes(elems, blockElems)) = codes of x. Every byte of packed is written. Adds to *counts.
  void (*encode)(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts);
  // out = decoded values, rounded once to the data type.
  void (*decode)(const void* packed, std::size_t elems, std::size_t blockElems, void* out);
  // sum[i] = fmaf(code, scale, sum[i]), FP32.
  void (*decodeAdd)(const void* packed, std::size_t elems, std::size_t blockElems, float* sum);
};

// For one data type and operation. The accumulator is FP32 for floating types up to 32 bits, otherwise the type itself.
struct ReduceKernels {
  std::size_t typeBytes;
  std::size_t accumulatorBytes;
  bool accumulatorIsType;  // load and store are copies
  void (*load)(const void* x, std::size_t elems, void* accumulator);
  void (*accumulate)(const void* x, std::size_t elems, void* accumulator);  // accumulator = accumulator op x
  void (*store)(const void* accumulator, std::size_t elems, void* out);     // rounds once, to nearest even
  void (*divide)(void* accumulator, std::size_t elems, int by);             // for qcclAvg
};

// nullptr for a type that is not quantizable.
const CodecKernels* codecKernels(qcclDataType_t dtype);

// Valid for every type and operation; Avg accumulates like Sum.
const ReduceKernels& reduceKernels(qcclDataType_t dtype, qcclRedOp_t op);

// The instruction set in use: "avx512", "avx2" or "baseline"; the processor's best unless QCCL_KERNELS asks for another. Throws
// Error(qcclInvalidArgument) if the processor cannot run what was asked for. Decided at first use in a process.
const char* kernelIsa();

// The tables of one instruction set, for tests and benchmarks: nullptr if the processor cannot run it.
const CodecKernels* codecKernels(const std::string& isa, qcclDataType_t dtype);

}  // namespace qccl::quant
