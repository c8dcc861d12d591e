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

// The decoder of a block, also of one whose scale is NaN.
__device__ __forceinline__ BlockDecoder blockDecoder(qcclScale_t scale, float maxCode, std::uint32_t stored) {
  BlockDecoder decoder(scale, maxCode, stored);
  if (scale != qcclScaleE8m0 && isNan(decoder.multiplier)) decoder.multiplier = nanOf(scaleValue(scale, stored), 0.0f, 0.0f);
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

  // A code from the bits of the planes, as codes.hpp holds it in a byte.
  static __device__ __forceinline__ float codeValue(std::uint32_t bits) {
    if constexpr (Code::kIsInteger)
      bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits << (32 - Code::kBits)) >> (32 - Code::kBits));
    return Code::value(static_cast<std::uint8_t>(bits));
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
    __device__ __forceinline__ bool saturates(float x, std::uint32_t) const { return isSaturated(block.scaled(x), Code::kMax); }
  };

  struct Decoder {
    BlockDecoder block;

    __device__ __forceinline__ Decoder(qcclScale_t scale, std::uint32_t stored) : block(blockDecoder(scale, Code::kMax, stored)) {}

    // The same for all of a block: whether no value of it can be NaN.
    __device__ __forceinline__ bool neverNan() const { return magnitudeBits(block.multiplier) < kInfBits; }
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
    __device__ __forceinline__ bool saturates(float, std::uint32_t code) const { return magnitudeBits(codeValue(code)) >= kInfBits; }
  };

  struct Decoder {
    BlockDecoder block;  // times one

    __device__ __forceinline__ Decoder(qcclScale_t, std::uint32_t) : block(qcclScaleE8m0, 1.0f, 127) {}

    __device__ __forceinline__ bool neverNan() const { return false; }
    __device__ __forceinline__ float decodeNumber(std::uint32_t code) const { return codeValue(code); }
    __device__ __forceinline__ float decode(std::uint32_t code) const { return codeValue(code); }
    __device__ __forceinline__ float add(float sum, std::uint32_t code) const { return addTo(sum, block, codeValue(code)); }
    __device__ __forceinline__ float addAnyNan(float sum, std::uint32_t code) const { return block.addTo(sum, codeValue(code)); }
    __device__ __forceinline__ float rest(float x, std::uint32_t code) const { return block.addTo(x, -codeValue(code)); }
  };
};

}  // namespace qccl::quant::cuda
