#include "quant/reference.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "quant/codec.hpp"

namespace qccl::quant {
namespace {

// Where block `block` of a packed buffer has its scale and its codes.
struct BlockPlace {
  std::size_t scaleOffset;
  std::size_t codesOffset;
  std::size_t firstElem;
  std::size_t elems;
};

BlockPlace placeOf(std::size_t block, std::size_t elems, std::size_t blockElems) {
  const std::size_t frame = block / kFrameBlocks;
  const std::size_t inFrame = block % kFrameBlocks;
  const std::size_t frameFirst = frame * frameElems(blockElems);
  const std::size_t frameCount = std::min(frameElems(blockElems), elems - frameFirst);
  const std::size_t base = frame * frameBytes(frameElems(blockElems), blockElems);
  const std::size_t first = block * blockElems;
  return {base + inFrame * kScaleBytes, base + frameScaleBytes(frameCount, blockElems) + inFrame * blockElems, first,
          std::min(blockElems, elems - first)};
}

}  // namespace

float loadElem(qcclDataType_t dtype, const void* x, std::size_t i) {
  const auto* bytes = static_cast<const unsigned char*>(x);
  if (dtype == qcclFloat32) {
    float value;
    std::memcpy(&value, bytes + 4 * i, 4);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, bytes + 2 * i, 2);
  QCCL_CHECK(dtype == qcclBfloat16 || dtype == qcclFloat16);
  return dtype == qcclBfloat16 ? fromBfloat16(bits) : fromFloat16(bits);
}

void storeElem(qcclDataType_t dtype, void* x, std::size_t i, float value) {
  auto* bytes = static_cast<unsigned char*>(x);
  if (dtype == qcclFloat32) {
    std::memcpy(bytes + 4 * i, &value, 4);
    return;
  }
  QCCL_CHECK(dtype == qcclBfloat16 || dtype == qcclFloat16);
  const std::uint16_t bits = dtype == qcclBfloat16 ? toBfloat16(value) : toFloat16(value);
  std::memcpy(bytes + 2 * i, &bits, 2);
}

void referenceEncode(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                     EncodeCounts* counts) {
  auto* bytes = static_cast<unsigned char*>(packed);
  std::memset(bytes, 0, packedBytes(elems, options.blockElems));
  for (std::size_t block = 0; block < divideUp(elems, options.blockElems); ++block) {
    const BlockPlace place = placeOf(block, elems, options.blockElems);
    std::uint32_t maxBits = 0;
    for (std::size_t i = 0; i < place.elems; ++i) maxBits = std::max(maxBits, magnitudeBits(loadElem(dtype, x, place.firstElem + i)));
    const float scale = scaleFromMagnitude(maxBits);
    std::memcpy(bytes + place.scaleOffset, &scale, kScaleBytes);
    ++counts->blocks;
    if (maxBits >= kInfBits) {
      ++counts->nonFiniteBlocks;
      continue;
    }
    const Int8Encoder encoder(scale);
    for (std::size_t i = 0; i < place.elems; ++i) {
      const float value = loadElem(dtype, x, place.firstElem + i);
      const std::uint64_t index = options.firstElemIndex + place.firstElem + i;
      const std::int8_t code =
          options.stochastic ? encoder.stochastic(value, uniformNoise(options.noiseKey, index)) : encoder.nearest(value);
      std::memcpy(bytes + place.codesOffset + i, &code, 1);
    }
  }
}

template <typename Use>
static void forEachDecoded(const void* packed, std::size_t elems, std::size_t blockElems, Use use) {
  const auto* bytes = static_cast<const unsigned char*>(packed);
  for (std::size_t block = 0; block < divideUp(elems, blockElems); ++block) {
    const BlockPlace place = placeOf(block, elems, blockElems);
    float scale;
    std::memcpy(&scale, bytes + place.scaleOffset, kScaleBytes);
    const Int8Decoder decoder(scale);
    for (std::size_t i = 0; i < place.elems; ++i) {
      std::int8_t code;
      std::memcpy(&code, bytes + place.codesOffset + i, 1);
      use(place.firstElem + i, decoder, code);
    }
  }
}

void referenceDecode(qcclDataType_t dtype, const void* packed, std::size_t elems, std::size_t blockElems, void* out) {
  forEachDecoded(packed, elems, blockElems,
                 [&](std::size_t i, const Int8Decoder& decoder, std::int8_t code) { storeElem(dtype, out, i, decoder.decode(code)); });
}

void referenceDecodeAdd(const void* packed, std::size_t elems, std::size_t blockElems, float* sum) {
  forEachDecoded(packed, elems, blockElems,
                 [&](std::size_t i, const Int8Decoder& decoder, std::int8_t code) { sum[i] = decoder.addTo(sum[i], code); });
}

}  // namespace qccl::quant
