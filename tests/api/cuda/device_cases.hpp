// The same operations on host and on GPU memory, for comparing bits: inputs that break codecs, and what counts as the same.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "api/cuda/device_ranks.hpp"
#include "quant/float_formats.hpp"
#include "quant/formats.hpp"
#include "quant/test_values.hpp"

namespace qccl::test {

inline RankThreads makeRanks(int size, int ranksPerHost = 0, int timeoutMs = kDeviceTimeoutMs) {
  return RankThreads("inproc", size, [&](qcclConfig_t& config) {
    config.timeoutMs = timeoutMs;
    config.quant.ranksPerHost = ranksPerHost;
  });
}

inline std::vector<char> hostileValues(qcclDataType_t dtype, std::size_t count, unsigned seed) {
  Random random(seed);
  const auto values = asType(dtype, makeHostileValues(count, 512, random));
  return {values->data(), values->data() + values->bytes()};
}

// A buffer of them, made on the host.
inline std::vector<char> hostilePacked(const quant::PackedFormat& format, std::size_t count, unsigned seed) {
  const std::vector<char> values = hostileValues(qcclFloat32, count, seed);
  const qcclPackedFormat_t wanted = asPublic(format);
  std::vector<char> packed(quant::packedBytes(count, format), 0x5a);
  QCCL_EXPECT_OK(qcclQuantize(values.data(), packed.data(), count, qcclFloat32, &wanted, nullptr, nullptr));
  return packed;
}

inline Buffers makeInputs(const Operation& operation, int ranks, unsigned seed) {
  Buffers inputs;
  for (int rank = 0; rank < ranks; ++rank) {
    const unsigned own = 1000 * seed + static_cast<unsigned>(rank);
    if (!operation.packed) {
      inputs.push_back(hostileValues(operation.dtype, operation.inputElems(ranks), own));
      continue;
    }
    std::vector<char> all;
    while (all.size() < operation.inputBytes(ranks)) {
      const std::vector<char> one = hostilePacked(*operation.packed, operation.count, own + 100 * static_cast<unsigned>(all.size()));
      all.insert(all.end(), one.begin(), one.end());
    }
    inputs.push_back(std::move(all));
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

// Every byte; but codes of codec bf16 are values, of which a NaN may be another.
inline void expectSamePacked(const quant::PackedFormat& format, const std::vector<char>& host, const std::vector<char>& device, int rank) {
  expectSameValues(format.codec == qcclCodecBf16 ? qcclBfloat16 : qcclUint8, host, device, rank);
}

inline void expectSameBits(const Operation& operation, const std::vector<char>& host, const std::vector<char>& device, int rank) {
  if (operation.dtype == qcclPacked) {
    expectSamePacked(*operation.packed, host, device, rank);
  } else {
    expectSameValues(operation.dtype, host, device, rank);
  }
}

inline std::string nameOf(const Operation& operation) {
  return std::string(qcclEnumName(qcclEnumColl, operation.coll)) + " " + std::to_string(operation.count) + " " +
         (operation.dtype == qcclPacked ? "packed" : qcclEnumName(qcclEnumDataType, operation.dtype)) + " " +
         qcclEnumName(qcclEnumRedOp, operation.op) + " codec " + std::to_string(operation.quant.codec) + " algorithm " +
         std::to_string(operation.quant.algorithm) + " block " + std::to_string(operation.quant.blockElems) +
         (operation.inPlace ? " in place" : "") + (operation.packed ? ", packed in " + quant::nameOf(*operation.packed) : "");
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
