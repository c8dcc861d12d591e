// The codes of a group of values as the kernels of saved tensors hold them: made of values, and made numbers again.
#pragma once

#include <cstdint>

#include "memory/pool.hpp"
#include "quant/cuda/decode.cuh"
#include "quant/cuda/encode.cuh"

namespace qccl::memory::cuda {

// NOLINTNEXTLINE(google-build-using-namespace): these kernels are made of those
using namespace quant;
using namespace quant::cuda;  // NOLINT(google-build-using-namespace)

// What codec none is to the kernels: values as they are, of the type of the call.
template <typename T>
struct ExactCodec {
  static constexpr qcclCodec_t kId = qcclCodecNone;
  static constexpr bool kHasScale = false;

  static __device__ __forceinline__ std::uint32_t storedScale(qcclScale_t, std::uint32_t) { return 0; }
  struct Encoder {
    __device__ __forceinline__ Encoder(qcclScale_t, std::uint32_t) {}
    __device__ __forceinline__ bool isPlain() const { return true; }
    __device__ __forceinline__ std::uint32_t plainBits(float x) const { return T::narrow(x); }
    template <bool kStochastic>
    __device__ __forceinline__ std::uint32_t code(float x, std::uint64_t, std::uint64_t) const {
      return T::narrow(x);
    }
  };
  struct Decoder {
    __device__ __forceinline__ Decoder(qcclScale_t, std::uint32_t) {}
    __device__ __forceinline__ float decodeNumber(std::uint32_t code) const { return T::widen(static_cast<typename T::Bits>(code)); }
  };
};

// Whether a code is half a byte, in one plane.
template <typename Codec>
inline constexpr bool kIsHalfByte = codeBits(Codec::kId) == 4;

// The codes of a group of values.
template <typename Codec, typename T>
struct StoredGroup {
  CodeGroup<Codec::kId, kGroupElems<T>> codes;

  // With any bits above the codes'. Of half a byte: those of even and of odd number into the bytes of a word, then one word into the other.
  __device__ __forceinline__ void pack(const std::uint32_t (&bits)[kGroupElems<T>]) {
    if constexpr (kIsHalfByte<Codec>) {
      std::uint32_t even = __byte_perm(bits[0], bits[2], 0x0040), odd = __byte_perm(bits[1], bits[3], 0x0040);
      if constexpr (kGroupElems<T> == 8) {
        even = __byte_perm(even, __byte_perm(bits[4], bits[6], 0x0040), 0x5410);
        odd = __byte_perm(odd, __byte_perm(bits[5], bits[7], 0x0040), 0x5410);
      }
      codes.low.bytes.words[0] = (even & 0x0f0f0f0fu) | (odd << 4 & 0xf0f0f0f0u);
    } else {
      codes.pack(bits);
    }
  }
  __device__ __forceinline__ std::uint32_t code(std::uint32_t i) const { return codes.code(i); }
  __device__ __forceinline__ void load(const GroupPlace& place, std::uint32_t count) {
    if (count > 0) codes.load(place);
  }
  // All threads of the warp call this together.
  __device__ __forceinline__ void store(const GroupPlace& place, std::uint32_t) const { codes.store(place, false); }
};

template <typename T>
struct StoredGroup<ExactCodec<T>, T> {
  RawGroup raw;

  __device__ __forceinline__ void pack(const std::uint32_t (&bits)[kGroupElems<T>]) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) setBitsIn<T>(raw, i, static_cast<typename T::Bits>(bits[i]));
  }
  __device__ __forceinline__ std::uint32_t code(std::uint32_t i) const { return bitsIn<T>(raw, i); }
  __device__ __forceinline__ void load(const GroupPlace& place, std::uint32_t count) {
    const unsigned char* from = place.frame + place.inFrame * T::kBytes;
    raw = count == kGroupElems<T> ? loadGroup(from) : loadSome<T>(from, count);
  }
  __device__ __forceinline__ void store(const GroupPlace& place, std::uint32_t count) const {
    unsigned char* to = place.frame + place.inFrame * T::kBytes;
    if (count == kGroupElems<T>) {
      storeGroup(to, raw);
    } else {
      storeSome<T>(to, raw, count);
    }
  }
};

// What decodes a group of values to numbers (decoder.decodeNumber): any NaN for a NaN.
template <typename Codec, typename T>
struct GroupNumbers {
  typename Codec::Decoder decoder;

  __device__ __forceinline__ explicit GroupNumbers(const typename Codec::Decoder& from) : decoder(from) {}
  __device__ __forceinline__ void decode(const StoredGroup<Codec, T>& group, float (&values)[kGroupElems<T>]) const {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) values[i] = decoder.decodeNumber(group.code(i));
  }
};

// Integers of a byte or half of one: the bytes of a word, without a shift for each. They are taken for the low bits of 2^23; what that and
// moving them above zero has added goes in one operation with the multiplication by `post`, which is exact.
template <qcclCodec_t kCodec, int kBits, typename T>
requires(kBits == 8 || kBits == 4) struct GroupNumbers<ScaledCodec<kCodec, IntCode<kBits>>, T> {
  using Codec = ScaledCodec<kCodec, IntCode<kBits>>;
  float post, multiplier, offset;
  std::uint32_t rounder;  // 2^23, in a register: the one constant that PRMT takes is then the selector (the sign of `post` is never set)

  __device__ __forceinline__ explicit GroupNumbers(const typename Codec::Decoder& from)
      : post(from.block.post),
        multiplier(from.block.multiplier),
        offset(-post * (0x1p23f + static_cast<float>(1 << (kBits - 1)))),
        rounder(0x4b000000u | (bitsOf(from.block.post) & 0x80000000u)) {}

  __device__ __forceinline__ void decode(const StoredGroup<Codec, T>& group, float (&values)[kGroupElems<T>]) const {
    constexpr std::uint32_t kElems = kGroupElems<T>;
    const auto& words = group.codes.low.bytes.words;
    if constexpr (kBits == 8) {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) values[i] = number(words[i / 4] ^ 0x80808080u, i % 4);
    } else {
      const std::uint32_t even = (words[0] ^ 0x08080808u) & 0x0f0f0f0fu, odd = (words[0] >> 4 ^ 0x08080808u) & 0x0f0f0f0fu;
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) values[i] = number(i % 2 == 0 ? even : odd, i / 2);
    }
  }

 private:
  __device__ __forceinline__ float number(std::uint32_t word, std::uint32_t byte) const {
    return fmaf(floatFromBits(__byte_perm(word, rounder, 0x7440u | byte)), post, offset) * multiplier;
  }
};

}  // namespace qccl::memory::cuda
