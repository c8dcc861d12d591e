// Packed buffers for tests on GPU memory: formats, buffers of hostile values, and what counts as the same.
#pragma once

#include <qccl/packed.h>

#include <string>
#include <vector>

#include "api/cuda/device_cases.hpp"
#include "quant/formats.hpp"

namespace qccl::test {

inline qcclPackedFormat_t asPublic(const quant::PackedFormat& format) {
  return {format.codec, format.scale, static_cast<int>(format.blockElems)};
}

// Every codec, scale and block, with the blocks taking turns: a case for each codec and scale.
inline std::vector<quant::PackedFormat> formatsWithBlocksInTurn() {
  std::vector<quant::PackedFormat> all = quant::formats(32);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].blockElems = quant::kMinBlockElems << (i * 3 % 8);
  return all;
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

// Every byte; but codes of codec bf16 are values, of which a NaN may be another.
inline void expectSamePacked(const quant::PackedFormat& format, const std::vector<char>& host, const std::vector<char>& device, int rank) {
  expectSameValues(format.codec == qcclCodecBf16 ? qcclBfloat16 : qcclUint8, host, device, rank);
}

}  // namespace qccl::test
