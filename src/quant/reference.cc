#include "quant/reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/noise.hpp"

namespace qccl::quant {
namespace {

// Where the parts of a packed buffer that concern value `i` begin.
struct Place {
  std::size_t scaleOffset;
  std::size_t lowOffset;  // of the frame's planes
  std::size_t highOffset;
  std::size_t inFrame;  // number of the value in its frame
};

Place placeOf(std::size_t i, std::size_t elems, const PackedFormat& format) {
  const std::size_t perFrame = frameElems(format.blockElems);
  const std::size_t frame = i / perFrame;
  const std::size_t inFrame = i % perFrame;
  const std::size_t count = std::min(perFrame, elems - frame * perFrame);
  const std::size_t base = frame * frameBytes(perFrame, format);
  const std::size_t low = base + frameScaleBytes(count, format);
  return {base + inFrame / format.blockElems * scaleBytes(format), low, low + planeBytes(count, lowPlaneBits(format.codec)), inFrame};
}

// `count` bits from bit `first` on: 16, or a power of two up to 8 within one byte. setBits writes where zeros are.
void setBits(unsigned char* plane, std::size_t first, std::size_t count, std::uint32_t bits) {
  if (count == 0) return;
  plane[first / 8] |= static_cast<unsigned char>((bits & ((1u << count) - 1)) << first % 8);
  if (count == 16) plane[first / 8 + 1] |= static_cast<unsigned char>(bits >> 8);
}

std::uint32_t getBits(const unsigned char* plane, std::size_t first, std::size_t count) {
  if (count == 0) return 0;
  if (count == 16) return static_cast<std::uint32_t>(plane[first / 8] | plane[first / 8 + 1] << 8);
  return static_cast<std::uint32_t>(plane[first / 8] >> first % 8) & ((1u << count) - 1);
}

void putCode(unsigned char* packed, const Place& place, qcclCodec_t codec, std::uint32_t code) {
  const std::size_t low = lowPlaneBits(codec), high = highPlaneBits(codec);
  setBits(packed + place.lowOffset, place.inFrame * low, low, code);
  setBits(packed + place.highOffset, place.inFrame * high, high, code >> low);
}

void countLoss(float x, float scaled, float maxCode, float codeValue, EncodeCounts* counts) {
  ++counts->sampledElems;
  if (isSaturated(scaled, maxCode)) ++counts->saturated;
  if (isFlushed(x, codeValue)) ++counts->flushed;
}

// Codes of block values[0, n), which begins at value `first` of the buffer; `packed` is zero there.
void encodeBlock(const float* values, std::size_t first, std::size_t n, std::size_t elems, const EncodeOptions& options,
                 unsigned char* packed, EncodeCounts* counts) {
  const PackedFormat& format = options.format;
  std::uint32_t maxBits = 0;
  for (std::size_t i = 0; i < n; ++i) maxBits = std::max(maxBits, magnitudeBits(values[i]));
  ++counts->blocks;
  if (maxBits >= kInfBits) ++counts->nonFiniteBlocks;
  const bool sampled = options.countLosses && isSampledBlock((options.firstElemIndex + first) / format.blockElems);
  const auto noiseOf = [&](std::size_t i) { return uniformNoise(options.noiseKey, options.firstElemIndex + first + i); };
  if (format.codec == qcclCodecBf16) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint16_t code = options.stochastic ? bfloat16Stochastic(values[i], noiseOf(i)) : bfloat16Nearest(values[i]);
      putCode(packed, placeOf(first + i, elems, format), format.codec, code);
      if (!sampled || maxBits >= kInfBits) continue;
      ++counts->sampledElems;
      if (std::isinf(fromBfloat16(code))) ++counts->saturated;
      if (isFlushed(values[i], fromBfloat16(code))) ++counts->flushed;
    }
    return;
  }
  withCode(format.codec, [&]<typename Code>(Code) {
    const std::uint32_t stored = storedScale(format.scale, Code::kMax, maxBits);
    std::memcpy(packed + placeOf(first, elems, format).scaleOffset, &stored, scaleBytes(format));
    if (maxBits >= kInfBits) return;
    const BlockEncoder encoder(format.scale, Code::kMax, stored);
    for (std::size_t i = 0; i < n; ++i) {
      const float y = encoder.scaled(values[i]);
      const std::uint8_t code = options.stochastic ? Code::stochastic(y, noiseOf(i)) : Code::nearest(y);
      putCode(packed, placeOf(first + i, elems, format), format.codec, code);
      if (sampled) countLoss(values[i], y, Code::kMax, Code::value(code), counts);
    }
  });
}

void encodeValues(const std::vector<float>& values, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
  const std::size_t block = options.format.blockElems;
  std::memset(packed, 0, packedBytes(values.size(), options.format));
  for (std::size_t first = 0; first < values.size(); first += block) {
    encodeBlock(values.data() + first, first, std::min(block, values.size() - first), values.size(), options,
                static_cast<unsigned char*>(packed), counts);
  }
}

std::vector<float> load(qcclDataType_t dtype, const void* x, std::size_t elems) {
  std::vector<float> values(elems);
  for (std::size_t i = 0; i < elems; ++i) values[i] = loadElem(dtype, x, i);
  return values;
}

// use(i, decoder, value of the code) for every value.
template <typename Use>
void forEachDecoded(const void* packed, std::size_t elems, const PackedFormat& format, Use use) {
  for (std::size_t i = 0; i < elems; ++i) {
    const std::uint16_t code = codeAt(packed, elems, format, i);
    if (format.codec == qcclCodecBf16) {
      use(i, BlockDecoder(qcclScaleE8m0, 1.0f, 127), fromBfloat16(code));
      continue;
    }
    withCode(format.codec, [&]<typename Code>(Code) {
      use(i, BlockDecoder(format.scale, Code::kMax, scaleAt(packed, elems, format, i)), Code::value(static_cast<std::uint8_t>(code)));
    });
  }
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

std::uint16_t codeAt(const void* packed, std::size_t elems, const PackedFormat& format, std::size_t i) {
  const auto* bytes = static_cast<const unsigned char*>(packed);
  const Place place = placeOf(i, elems, format);
  const std::size_t low = lowPlaneBits(format.codec), high = highPlaneBits(format.codec);
  const std::uint32_t code =
      getBits(bytes + place.lowOffset, place.inFrame * low, low) | getBits(bytes + place.highOffset, place.inFrame * high, high) << low;
  if (format.codec == qcclCodecBf16) return static_cast<std::uint16_t>(code);
  return withCode(format.codec, [&]<typename Code>(Code) {
    const bool negative = Code::kIsInteger && (code >> (Code::kBits - 1) & 1) != 0;
    return static_cast<std::uint16_t>(static_cast<std::uint8_t>(negative ? code - (1u << Code::kBits) : code));
  });
}

std::uint32_t scaleAt(const void* packed, std::size_t elems, const PackedFormat& format, std::size_t i) {
  std::uint32_t stored = 0;
  std::memcpy(&stored, static_cast<const unsigned char*>(packed) + placeOf(i, elems, format).scaleOffset, scaleBytes(format));
  return stored;
}

void referenceEncode(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                     EncodeCounts* counts) {
  encodeValues(load(dtype, x, elems), options, packed, counts);
}

void referenceDecode(qcclDataType_t dtype, const void* packed, std::size_t elems, const PackedFormat& format, void* out) {
  forEachDecoded(packed, elems, format, [&](std::size_t i, const BlockDecoder& decoder, float code) {
    storeElem(dtype, out, i, format.codec == qcclCodecBf16 ? code : decoder.decode(code));
  });
}

void referenceDecodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum) {
  forEachDecoded(packed, elems, format,
                 [&](std::size_t i, const BlockDecoder& decoder, float code) { sum[i] = decoder.addTo(sum[i], code); });
}

void referenceAddEncode(qcclDataType_t dtype, const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options,
                        void* packed, EncodeCounts* counts) {
  std::vector<float> values = load(dtype, x, elems);
  referenceDecodeAdd(packedIn, elems, options.format, values.data());
  encodeValues(values, options, packed, counts);
}

void referenceEncodeFeedback(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* residual,
                             void* packed, EncodeCounts* counts) {
  const std::size_t block = options.format.blockElems;
  std::vector<float> values = load(dtype, x, elems);
  referenceDecodeAdd(residual, elems, residualFormat(block), values.data());
  encodeValues(values, options, packed, counts);
  forEachDecoded(packed, elems, options.format,
                 [&](std::size_t i, const BlockDecoder& decoder, float code) { values[i] = decoder.addTo(values[i], -code); });
  for (std::size_t first = 0; first < elems; first += block) {
    const std::size_t last = std::min(elems, first + block);
    const bool finite = std::all_of(values.begin() + static_cast<std::ptrdiff_t>(first), values.begin() + static_cast<std::ptrdiff_t>(last),
                                    [](float v) { return std::isfinite(v); });
    if (!finite) std::fill(values.begin() + static_cast<std::ptrdiff_t>(first), values.begin() + static_cast<std::ptrdiff_t>(last), 0.0f);
  }
  EncodeCounts ignored;
  encodeValues(values, {residualFormat(block), false, 0, 0, false}, residual, &ignored);
}

}  // namespace qccl::quant
