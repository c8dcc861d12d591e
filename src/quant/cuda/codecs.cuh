// The codecs as the kernels see them: what a block's Encoder and Decoder do with one value. The formulas are those of codes.hpp and
// block_scale.hpp; what stands here is only what CUDA devices do differently from the host's processors, which is the bits of a NaN.
#pragma once

#include <cstdint>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/noise.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::cuda {

__device__ __forceinline__ bool isNan(float x) { return magnitudeBits(x) > kInfBits; }

// The NaN that an operation on these has on the host: that of the first operand that is one, quiet; the processor's own if none is. Devices
// give one NaN for all.
__device__ __forceinline__ float nanOf(float a, float b, float c) {
  constexpr std::uint32_t kQuiet = 0x00400000u;
  const float operand = isNan(a) ? a : isNan(b) ? b : c;
  return floatFromBits(isNan(operand) ? bitsOf(operand) | kQuiet : 0xffc00000u);
}

// BlockDecoder, also of a block whose scale is NaN.
__device__ __forceinline__ BlockDecoder blockDecoder(qcclScale_t scale, float maxCode, std::uint32_t stored) {
  if (scale == qcclScaleE8m0) return BlockDecoder(scale, maxCode, stored);
  const float value = scaleValue(scale, stored);
  BlockDecoder decoder = fastBlockDecoder(value, maxCode);
  if (isNan(decoder.multiplier)) decoder.multiplier = nanOf(value, 0.0f, 0.0f);
  return decoder;
}

// fma(code, multiplier, sum) with the host's NaN.
__device__ __forceinline__ float addTo(float sum, const BlockDecoder& decoder, float code) {
  const float result = decoder.addTo(sum, code);
  return isNan(result) ? nanOf(sum, code, decoder.multiplier) : result;
}

template <qcclCodec_t kCodec, typename Code>
struct ScaledCodec {
  static constexpr qcclCodec_t kId = kCodec;
  static constexpr bool kHasScale = true;

  static __device__ __forceinline__ std::uint32_t storedScale(qcclScale_t scale, std::uint32_t maxBits) {
    return quant::storedScale(scale, Code::kMax, maxBits);
  }

  // From the bits of the planes; of integers, those above the code's do not count. Conversions are slow: an integer in two's complement is
  // moved to 0 .. 2^kBits - 1 by its sign bit, and taken for the low bits of 2^23.
  static __device__ __forceinline__ float codeValue(std::uint32_t bits) {
    if constexpr (Code::kIsInteger) {
      constexpr std::uint32_t kSign = 1u << (Code::kBits - 1);
      return floatFromBits((bits & (2 * kSign - 1)) ^ (0x4b000000u | kSign)) - (0x1p23f + static_cast<float>(kSign));
    }
    return Code::value(static_cast<std::uint8_t>(bits));
  }

  // Of byte i of a word of codes, of a codec of a byte: no shift, no mask.
  static __device__ __forceinline__ float valueOfByte(std::uint32_t word, std::uint32_t i) {
    static_assert(Code::kBits == 8);
    if constexpr (Code::kIsInteger) return floatFromBits(__byte_perm(word ^ 0x80808080u, 0x4b000000u, 0x7440u | i)) - (0x1p23f + 128.0f);
    return Code::value(static_cast<std::uint8_t>(word >> (i * 8)));
  }

  // For finite blocks.
  struct Encoder {
    BlockEncoder block;

    __device__ __forceinline__ Encoder(qcclScale_t scale, std::uint32_t stored) : block(scale, Code::kMax, stored) {}

    template <bool kStochastic>
    __device__ __forceinline__ std::uint32_t code(float x, std::uint64_t noiseKey, std::uint64_t index) const {
      const float scaled = block.scaled(x);
      return kStochastic ? Code::stochastic(scaled, uniformNoise(noiseKey, index)) : Code::nearest(scaled);
    }
    // The same where isPlain(), and with any bits above the code's.
    __device__ __forceinline__ std::uint32_t plainBits(float x) const {
      const float scaled = x * block.inverse;
      if constexpr (Code::kIsInteger) return bitsOf(scaled + 0x1.8p23f);
      return Code::nearest(scaled);
    }
    __device__ __forceinline__ bool isPlain() const { return block.pre == 1.0f; }
    __device__ __forceinline__ bool saturates(float x, std::uint32_t) const { return isSaturated(block.scaled(x), Code::kMax); }
  };

  struct Decoder {
    BlockDecoder block;

    __device__ __forceinline__ Decoder(qcclScale_t scale, std::uint32_t stored) : block(blockDecoder(scale, Code::kMax, stored)) {}

    // The same for all of a block: whether no value of it can be NaN; and whether values are codes times the multiplier, no more.
    __device__ __forceinline__ bool neverNan() const { return magnitudeBits(block.multiplier) < kInfBits; }
    __device__ __forceinline__ bool isPlain() const { return neverNan() && block.post == 1.0f; }
    __device__ __forceinline__ float decodePlain(float code) const { return code * block.multiplier; }
    __device__ __forceinline__ float addPlain(float sum, float code) const { return fmaf(code, block.multiplier, sum); }
    __device__ __forceinline__ float decodeNumber(std::uint32_t code) const { return block.decode(codeValue(code)); }
    __device__ __forceinline__ float decode(std::uint32_t code) const {
      const float value = decodeNumber(code);
      return isNan(value) ? nanOf(block.multiplier, 0.0f, 0.0f) : value;
    }
    __device__ __forceinline__ float add(float sum, std::uint32_t code) const { return addTo(sum, block, codeValue(code)); }
    // The same with any NaN for NaN; and what is left of x when its code is taken away, any NaN in a block that is not finite.
    __device__ __forceinline__ float addAnyNan(float sum, std::uint32_t code) const { return block.addTo(sum, codeValue(code)); }
    __device__ __forceinline__ float rest(float x, std::uint32_t code) const { return block.addTo(x, -codeValue(code)); }
  };
};

// Codes that are values in BF16: blocks are the unit of counting only.
struct Bf16Codec {
  static constexpr qcclCodec_t kId = qcclCodecBf16;
  static constexpr bool kHasScale = false;

  static __device__ __forceinline__ std::uint32_t storedScale(qcclScale_t, std::uint32_t) { return 0; }
  static __device__ __forceinline__ float codeValue(std::uint32_t code) { return fromBfloat16(static_cast<std::uint16_t>(code)); }

  struct Encoder {
    __device__ __forceinline__ Encoder(qcclScale_t, std::uint32_t) {}

    template <bool kStochastic>
    __device__ __forceinline__ std::uint32_t code(float x, std::uint64_t noiseKey, std::uint64_t index) const {
      return kStochastic ? bfloat16Stochastic(x, uniformNoise(noiseKey, index)) : bfloat16Nearest(x);
    }
    __device__ __forceinline__ std::uint32_t plainBits(float x) const { return bfloat16Nearest(x); }
    __device__ __forceinline__ bool isPlain() const { return true; }
    __device__ __forceinline__ bool saturates(float, std::uint32_t code) const { return magnitudeBits(codeValue(code)) >= kInfBits; }
  };

  struct Decoder {
    BlockDecoder block;  // times one

    __device__ __forceinline__ Decoder(qcclScale_t, std::uint32_t) : block(qcclScaleE8m0, 1.0f, 127) {}

    __device__ __forceinline__ bool neverNan() const { return false; }
    __device__ __forceinline__ bool isPlain() const { return false; }
    __device__ __forceinline__ float decodePlain(float code) const { return code; }
    __device__ __forceinline__ float addPlain(float sum, float code) const { return sum + code; }
    __device__ __forceinline__ float decodeNumber(std::uint32_t code) const { return codeValue(code); }
    __device__ __forceinline__ float decode(std::uint32_t code) const { return codeValue(code); }
    __device__ __forceinline__ float add(float sum, std::uint32_t code) const { return addTo(sum, block, codeValue(code)); }
    __device__ __forceinline__ float addAnyNan(float sum, std::uint32_t code) const { return block.addTo(sum, codeValue(code)); }
    __device__ __forceinline__ float rest(float x, std::uint32_t code) const { return block.addTo(x, -codeValue(code)); }
  };
};

}  // namespace qccl::quant::cuda
