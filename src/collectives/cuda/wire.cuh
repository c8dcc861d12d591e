// How a tile's part becomes a message and a sum: once for messages of codes, once for messages that are the values themselves. The bits are
// those of TileCodec (collectives/tile_codec.hpp) on the host.
//
// A thread holds its part of the sum in FP32 registers; messages lie in shared or global memory, aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "quant/cuda/codecs.cuh"
#include "quant/cuda/conversions.cuh"
#include "quant/cuda/decode.cuh"
#include "quant/cuda/encode.cuh"

namespace qccl::collectives::cuda {

using quant::EncodeCounts;
using quant::cuda::kGroupElems;
using quant::cuda::kRows;
using quant::cuda::PackedLayout;
using quant::cuda::Part;
using quant::cuda::RawGroup;

template <typename T>
struct Sum {
  quant::cuda::SummedValues<kGroupElems<T>> rows[kRows];
  bool neverNan = false;  // known of all of this thread's values
};

// The host's bits of a sum of two.
__device__ __forceinline__ float addLikeHost(float a, float b) {
  const float sum = a + b;
  return quant::cuda::isNan(sum) ? quant::cuda::nanOf(a, b, 0.0f) : sum;
}

// sum / ranks with the host's bits. Dividing by a power of two is multiplying by its inverse.
__device__ __forceinline__ float divideLikeHost(float sum, std::uint32_t ranks) {
  const auto by = static_cast<float>(ranks);
  const float quotient = (ranks & (ranks - 1)) == 0 ? sum * (1.0f / by) : sum / by;
  return quant::cuda::isNan(quotient) ? quant::cuda::nanOf(sum, 0.0f, 0.0f) : quotient;
}

template <typename T>
__device__ __forceinline__ void divideSum(Sum<T>& sum, std::uint32_t ranks) {
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) sum.rows[row].values[i] = divideLikeHost(sum.rows[row].values[i], ranks);
  }
}

// What the parts of a message share.
struct MessagePlace {
  std::uint64_t firstElem;  // number of its first value among those of the call
  std::uint32_t elems;
  const PackedLayout& layout;  // of codes
};

template <typename T>
__device__ __forceinline__ void widen(const RawGroup (&raw)[kRows], Sum<T>& sum) {
  sum.neverNan = false;
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) sum.rows[row].values[i] = T::widen(quant::cuda::bitsIn<T>(raw[row], i));
  }
}

template <typename T>
__device__ __forceinline__ void addWidened(const RawGroup (&raw)[kRows], Sum<T>& sum) {
  sum.neverNan = false;
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i)
      sum.rows[row].values[i] = addLikeHost(sum.rows[row].values[i], T::widen(quant::cuda::bitsIn<T>(raw[row], i)));
  }
}

template <typename T>
__device__ __forceinline__ void narrow(const Sum<T>& sum, RawGroup (&raw)[kRows]) {
  if (sum.neverNan) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) raw[row] = quant::cuda::narrowAnyNan<T>(sum.rows[row].values);
    return;
  }
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) quant::cuda::setBitsIn<T>(raw[row], i, T::narrow(sum.rows[row].values[i]));
  }
}

template <typename CodecType, typename T>
struct CodedWire {
  using Codec = CodecType;
  using Codes = quant::cuda::CodeGroup<Codec::kId, kGroupElems<T>>;
  static constexpr bool kExact = false;

  static __device__ __forceinline__ std::uint32_t messageBytes(const MessagePlace& at) {
    return static_cast<std::uint32_t>(quant::cuda::bytesOf(at.layout));
  }

  template <bool kStochastic>
  static __device__ __forceinline__ void encodeInput(const Part<T>& part, const unsigned char* input, const MessagePlace& at,
                                                     std::uint64_t noiseKey, EncodeCounts* counts, unsigned char* message) {
    RawGroup raw[kRows];
    part.load(input, raw);
    quant::cuda::LoadedValues<T, Codec::kHasScale> x[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) x[row].raw = raw[row];
    encode<kStochastic>(part, x, at, noiseKey, counts, message);
  }

  template <bool kStochastic>
  static __device__ __forceinline__ void encodeSum(const Part<T>& part, const Sum<T>& sum, const MessagePlace& at, std::uint64_t noiseKey,
                                                   EncodeCounts* counts, unsigned char* message) {
    encode<kStochastic>(part, sum.rows, at, noiseKey, counts, message);
  }

  // sum = the message's values, or sum + them.
  template <bool kAdd>
  static __device__ __forceinline__ void take(const Part<T>& part, const unsigned char* message, const MessagePlace& at, Sum<T>& sum) {
    Codes codes[kRows] = {};
    const typename Codec::Decoder decoder = load(part, message, at, codes);
    // The same for all values of a block, and no finite sum of finite values is NaN.
    sum.neverNan = decoder.neverNan() && (!kAdd || sum.neverNan);
    if (sum.neverNan) {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
        for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
          float& value = sum.rows[row].values[i];
          value = kAdd ? decoder.addAnyNan(value, codes[row].code(i)) : decoder.decodeNumber(codes[row].code(i));
        }
      }
    } else {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
        for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
          float& value = sum.rows[row].values[i];
          value = kAdd ? decoder.add(value, codes[row].code(i)) : decoder.decode(codes[row].code(i));
        }
      }
    }
    if (part.tileElems == quant::cuda::kTileElems<T>) return;
      // Behind the end there are no codes, and what is there must not count as a block's largest value.
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
      for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
        if (i >= part.count(row)) sum.rows[row].values[i] = 0.0f;
      }
    }
  }

  static __device__ __forceinline__ void decode(const Part<T>& part, const unsigned char* message, const MessagePlace& at,
                                                unsigned char* output) {
    Codes codes[kRows] = {};
    const typename Codec::Decoder decoder = load(part, message, at, codes);
    RawGroup raw[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) raw[row] = quant::cuda::decodeGroup<Codec, T>(decoder, codes[row]);
    part.store(raw, output);
  }

 private:
  static __device__ __forceinline__ typename Codec::Decoder load(const Part<T>& part, const unsigned char* message, const MessagePlace& at,
                                                                 Codes (&codes)[kRows]) {
    const quant::cuda::GroupPlace place = part.place(const_cast<unsigned char*>(message), at.layout);
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      if (part.count(row) > 0) codes[row].load(place.after(part.inTeam(row)));
    }
    return typename Codec::Decoder(at.layout.scale, Codec::kHasScale && part.any() ? quant::cuda::loadScale(place, at.layout) : 0);
  }

  template <bool kStochastic, typename Values>
  static __device__ __forceinline__ void encode(const Part<T>& part, const Values (&x)[kRows], const MessagePlace& at,
                                                std::uint64_t noiseKey, EncodeCounts* counts, unsigned char* message) {
    __shared__ quant::cuda::WarpWords words;
    const PackedLayout& layout = at.layout;
    const std::uint32_t most = quant::cuda::maximumOfBlock<T>(quant::cuda::maxMagnitudeOf(x), 1u << layout.blockShift, words);
    const std::uint32_t stored = Codec::storedScale(layout.scale, most);
    const typename Codec::Encoder encoder(layout.scale, stored);
    Codes codes[kRows];
    quant::cuda::encodePart<Codec, kStochastic>(part, x, most, encoder, stored, message, layout, noiseKey, at.firstElem, codes);
    quant::cuda::countPart<Codec>(*counts, true, at.firstElem, layout, part, x, most, encoder, codes);
  }
};

// Values as they are.
template <typename T>
struct PlainWire {
  static constexpr bool kExact = true;

  static __device__ __forceinline__ std::uint32_t messageBytes(const MessagePlace& at) {
    return (at.elems * static_cast<std::uint32_t>(T::kBytes) + 15) & ~15u;
  }

  template <bool kStochastic>
  static __device__ __forceinline__ void encodeInput(const Part<T>& part, const unsigned char* input, const MessagePlace&, std::uint64_t,
                                                     EncodeCounts*, unsigned char* message) {
    RawGroup raw[kRows];
    part.load(input, raw);
    part.store(raw, message);
  }

  template <bool kStochastic>
  static __device__ __forceinline__ void encodeSum(const Part<T>& part, const Sum<T>& sum, const MessagePlace&, std::uint64_t,
                                                   EncodeCounts*, unsigned char* message) {
    RawGroup raw[kRows];
    narrow<T>(sum, raw);
    part.store(raw, message);
  }

  template <bool kAdd>
  static __device__ __forceinline__ void take(const Part<T>& part, const unsigned char* message, const MessagePlace&, Sum<T>& sum) {
    RawGroup raw[kRows];
    part.load(message, raw);
    if constexpr (kAdd) {
      addWidened<T>(raw, sum);
    } else {
      widen<T>(raw, sum);
    }
  }

  static __device__ __forceinline__ void decode(const Part<T>& part, const unsigned char* message, const MessagePlace&,
                                                unsigned char* output) {
    RawGroup raw[kRows];
    part.load(message, raw);
    part.store(raw, output);
  }
};

}  // namespace qccl::collectives::cuda
