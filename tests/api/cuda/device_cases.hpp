// The same operations on host and on GPU memory, for comparing bits: inputs that break codecs, and what counts as the same.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "api/cuda/device_ranks.hpp"
#include "quant/float_formats.hpp"
#include "quant/test_values.hpp"

namespace qccl::test {

inline RankThreads makeRanks(int size, int ranksPerHost = 0, int timeoutMs = kDeviceTimeoutMs) {
  return RankThreads("inproc", size, [&](qcclConfig_t& config) {
    config.timeoutMs = timeoutMs;
    config.quant.ranksPerHost = ranksPerHost;
  });
}

inline Buffers makeInputs(const Operation& operation, int ranks, unsigned seed) {
  Buffers inputs;
  for (int rank = 0; rank < ranks; ++rank) {
    Random random(1000 * seed + static_cast<unsigned>(rank));
    const std::size_t elems = operation.inputElems(ranks);
    const auto values = asType(operation.dtype, makeHostileValues(elems, 512, random));
    inputs.emplace_back(values->data(), values->data() + values->bytes());
  }
  return inputs;
}

// Of a floating type; false for integers.
inline bool isNan(qcclDataType_t dtype, const char* p) {
  if (dtype == qcclUint8) return false;
  if (dtype == qcclFloat32) {
    float x;
    std::memcpy(&x, p, sizeof(x));
    return x != x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  const float x = dtype == qcclBfloat16 ? quant::fromBfloat16(bits) : quant::fromFloat16(bits);
  return x != x;
}

// Which NaN comes of two is the processor's choice.
inline void expectSameValues(qcclDataType_t dtype, const std::vector<char>& host, const std::vector<char>& device, int rank) {
  ASSERT_EQ(host.size(), device.size());
  const std::size_t size = qcclTypeSize(dtype);
  for (std::size_t i = 0; i * size < host.size(); ++i) {
    const char* h = host.data() + i * size;
    const char* d = device.data() + i * size;
    if (std::memcmp(h, d, size) == 0 || (isNan(dtype, h) && isNan(dtype, d))) continue;
    FAIL() << "rank " << rank << ", element " << i << " of " << host.size() / size << ": host "
           << hex(reinterpret_cast<const unsigned char*>(h), size) << ", device " << hex(reinterpret_cast<const unsigned char*>(d), size);
  }
}

inline void expectSameBits(const Operation& operation, const std::vector<char>& host, const std::vector<char>& device, int rank) {
  expectSameValues(operation.dtype, host, device, rank);
}

inline std::string nameOf(const Operation& operation) {
  return std::string(qcclEnumName(qcclEnumColl, operation.coll)) + " " + std::to_string(operation.count) + " " +
         qcclEnumName(qcclEnumDataType, operation.dtype) + " " + qcclEnumName(qcclEnumRedOp, operation.op) + " codec " +
         std::to_string(operation.quant.codec) + " algorithm " + std::to_string(operation.quant.algorithm) + " block " +
         std::to_string(operation.quant.blockElems) + (operation.inPlace ? " in place" : "");
}

// Runs all operations on new communicators of each kind and compares.
inline void expectHostBits(int size, const std::vector<Operation>& operations, int ranksPerHost = 0, int timeoutMs = kDeviceTimeoutMs) {
  std::vector<Buffers> inputs;
  for (std::size_t i = 0; i < operations.size(); ++i) inputs.push_back(makeInputs(operations[i], size, static_cast<unsigned>(i)));
  const auto host = runAll(makeRanks(size, ranksPerHost, timeoutMs), operations, inputs, false);
  const auto device = runAll(makeRanks(size, ranksPerHost, timeoutMs), operations, inputs, true);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    SCOPED_TRACE(nameOf(operations[i]));
    for (int rank = 0; rank < size; ++rank) {
      const bool has = operations[i].coll != qcclCollReduce || rank == operations[i].root;
      const auto r = static_cast<std::size_t>(rank);
      if (!has) continue;
      ASSERT_NO_FATAL_FAILURE(expectSameBits(operations[i], host[i][r], device[i][r], rank));
    }
  }
}

inline Operation quantized(int algorithm, int codec, qcclDataType_t dtype, std::size_t count) {
  Operation operation;
  operation.count = count;
  operation.dtype = dtype;
  operation.quant.codec = codec;
  operation.quant.algorithm = algorithm;
  operation.quant.minBytes = 0;
  operation.quant.seed = 7;
  return operation;
}

}  // namespace qccl::test
