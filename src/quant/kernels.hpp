// Everything that touches elements on the host, as tables of functions: codec kernels (packed codes <-> values) and reduce kernels
// (arithmetic of the exact path). One table for each instruction set, chosen at run time; all give the oracle's bits (reference.hpp).
//
// Lengths are elements. Value pointers need the alignment of their type only. Packed pointers are aligned to kSectionAlign. Source and
// destination do not overlap unless it is said.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/host_device.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant {

struct EncodeOptions {
  PackedFormat format;
  bool stochastic = false;
  std::uint64_t noiseKey = 0;        // noise.hpp; unused unless stochastic
  std::uint64_t firstElemIndex = 0;  // index of the first element for the noise and for sampling
  bool countLosses = false;          // fill in the sampled counts of EncodeCounts
};

struct EncodeCounts {
  std::uint64_t blocks = 0;
  std::uint64_t nonFiniteBlocks = 0;
  // Of one block in kSampledBlocks, with countLosses.
  std::uint64_t sampledElems = 0;
  std::uint64_t saturated = 0;  // values beyond the largest code by more than rounding
  std::uint64_t flushed = 0;    // values other than zero whose code is zero
};

// Blocks whose number in the message is a multiple of this are looked at for losses: it takes int8 encode 2 to 12 % longer where values
// come from the caches (docs/numerics.md), less where they come from memory.
inline constexpr std::uint64_t kSampledBlocks = 64;
QCCL_HD bool isSampledBlock(std::uint64_t number) { return number % kSampledBlocks == 0; }

// The error that feedback carries from call to call is kept like this, whatever the codec.
constexpr PackedFormat residualFormat(std::size_t blockElems) { return {qcclCodecInt8, qcclScaleFloat32, blockElems}; }

// For one codec and one data type among FP32, BF16, FP16. `packed` has packedBytes(elems, format); every byte of it is written.
// Counts are added to *counts.
struct CodecKernels {
  // packed = codes of x.
  void (*encode)(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts);
  // out = decoded values, rounded once to the data type.
  void (*decode)(const void* packed, std::size_t elems, const PackedFormat& format, void* out);
  // sum[i] = fmaf(code, scale, sum[i]), FP32, whatever the data type.
  void (*decodeAdd)(const void* packed, std::size_t elems, const PackedFormat& format, float* sum);
  // packed = codes of fmaf(code, scale, x[i]) with the codes of packedIn; one pass. packed may be packedIn.
  void (*addEncode)(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                    EncodeCounts* counts);
  // With v[i] = x[i] + decoded residual: packed = codes of v, residual (residualFormat) = codes of v - decoded packed, to nearest. A block
  // that is not finite leaves a residual of zeros. One pass.
  void (*encodeFeedback)(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed,
                         EncodeCounts* counts);
};

// For one data type and operation. The accumulator is FP32 for floating types up to 32 bits, otherwise the type itself.
struct ReduceKernels {
  std::size_t typeBytes;
  std::size_t accumulatorBytes;
  bool accumulatorIsType;  // load and store are copies
  void (*load)(const void* x, std::size_t elems, void* accumulator);
  void (*accumulate)(const void* x, std::size_t elems, void* accumulator);  // accumulator = accumulator op x
  // out = accumulator op x, where accumulatorIsType, otherwise nullptr; out may be either operand. All need the type's alignment only.
  void (*combine)(const void* accumulator, const void* x, std::size_t elems, void* out);
  void (*store)(const void* accumulator, std::size_t elems, void* out);  // rounds once, to nearest even
  void (*divide)(void* accumulator, std::size_t elems, int by);          // for qcclAvg
};

// nullptr for codec none and for a type that is not quantizable.
const CodecKernels* codecKernels(qcclCodec_t codec, qcclDataType_t dtype);

// Valid for every type and operation; Avg accumulates like Sum.
const ReduceKernels& reduceKernels(qcclDataType_t dtype, qcclRedOp_t op);

// The instruction set in use: "avx512", "avx2" or "baseline"; the processor's best unless QCCL_KERNELS asks for another. Throws
// Error(qcclInvalidArgument) if the processor cannot run what was asked for. Decided at first use in a process.
const char* kernelIsa();

// The tables of one instruction set, for tests and benchmarks: nullptr if the processor cannot run it.
const CodecKernels* codecKernels(const std::string& isa, qcclCodec_t codec, qcclDataType_t dtype);
const ReduceKernels* reduceKernels(const std::string& isa, qcclDataType_t dtype, qcclRedOp_t op);

}  // namespace qccl::quant
