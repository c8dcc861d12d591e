// What one thread reads and writes at a time: a group of values that fill 16 bytes, and their codes.
//
// Groups of a warp's threads are neighbours, so that its accesses are contiguous: 512 bytes of values; of codes, 32 to 512 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/cuda/packed_layout.hpp"
#include "quant/value_types.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::cuda {

inline constexpr std::uint32_t kGroupBytes = 16;

template <typename T>
inline constexpr std::uint32_t kGroupElems = kGroupBytes / static_cast<std::uint32_t>(T::kBytes);

// Values as they lie in memory.
struct alignas(kGroupBytes) RawGroup {
  std::uint32_t words[4];
};

// The bits of value i.
template <typename T>
__device__ __forceinline__ typename T::Bits bitsIn(const RawGroup& group, std::uint32_t i) {
  if constexpr (T::kBytes == 4) return group.words[i];
  return static_cast<typename T::Bits>(group.words[i / 2] >> (i % 2 * 16));
}

template <typename T>
__device__ __forceinline__ void setBitsIn(RawGroup& group, std::uint32_t i, typename T::Bits bits) {
  if constexpr (T::kBytes == 4) {
    group.words[i] = bits;
  } else {
    group.words[i / 2] = i % 2 == 0 ? bits : group.words[i / 2] | static_cast<std::uint32_t>(bits) << 16;
  }
}

__device__ __forceinline__ bool isGroupAligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % kGroupBytes == 0; }

// A whole group at an address that is aligned to it.
__device__ __forceinline__ RawGroup loadGroup(const unsigned char* p) {
  const uint4 raw = *reinterpret_cast<const uint4*>(p);
  return {{raw.x, raw.y, raw.z, raw.w}};
}

__device__ __forceinline__ void storeGroup(unsigned char* p, const RawGroup& group) {
  *reinterpret_cast<uint4*>(p) = make_uint4(group.words[0], group.words[1], group.words[2], group.words[3]);
}

// The same, of what is not needed again soon: it does not drive out of the L2 cache what is.
__device__ __forceinline__ RawGroup loadGroupOnce(const unsigned char* p) {
  const uint4 raw = __ldcs(reinterpret_cast<const uint4*>(p));
  return {{raw.x, raw.y, raw.z, raw.w}};
}

__device__ __forceinline__ void storeGroupOnce(unsigned char* p, const RawGroup& group) {
  __stcs(reinterpret_cast<uint4*>(p), make_uint4(group.words[0], group.words[1], group.words[2], group.words[3]));
}

// The first `n` values of a group at any address, zeros after them.
template <typename T>
__device__ __forceinline__ RawGroup loadSome(const unsigned char* p, std::uint32_t n) {
  const auto* elems = reinterpret_cast<const typename T::Bits*>(p);
  RawGroup group = {};
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) setBitsIn<T>(group, i, i < n ? elems[i] : typename T::Bits{0});
  return group;
}

template <typename T>
__device__ __forceinline__ void storeSome(unsigned char* p, const RawGroup& group, std::uint32_t n) {
  auto* elems = reinterpret_cast<typename T::Bits*>(p);
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
    if (i < n) elems[i] = bitsIn<T>(group, i);
  }
}

// kBytes little-endian bytes, kBytes a power of two, p aligned to it.
template <std::uint32_t kBytes>
struct Bytes {
  static constexpr std::uint32_t kWords = kBytes < 4 ? 1 : kBytes / 4;
  std::uint32_t words[kWords];

  __device__ __forceinline__ void load(const unsigned char* p) {
    if constexpr (kBytes == 1) words[0] = *p;
    if constexpr (kBytes == 2) words[0] = *reinterpret_cast<const std::uint16_t*>(p);
    if constexpr (kBytes == 4) words[0] = *reinterpret_cast<const std::uint32_t*>(p);
    if constexpr (kBytes == 8) {
      const uint2 raw = *reinterpret_cast<const uint2*>(p);
      words[0] = raw.x, words[1] = raw.y;
    }
    if constexpr (kBytes == 16) {
      const uint4 raw = *reinterpret_cast<const uint4*>(p);
      words[0] = raw.x, words[1] = raw.y, words[2] = raw.z, words[3] = raw.w;
    }
  }

  __device__ __forceinline__ void store(unsigned char* p) const {
    if constexpr (kBytes == 1) *p = static_cast<unsigned char>(words[0]);
    if constexpr (kBytes == 2) *reinterpret_cast<std::uint16_t*>(p) = static_cast<std::uint16_t>(words[0]);
    if constexpr (kBytes == 4) *reinterpret_cast<std::uint32_t*>(p) = words[0];
    if constexpr (kBytes == 8) *reinterpret_cast<uint2*>(p) = make_uint2(words[0], words[1]);
    if constexpr (kBytes == 16) *reinterpret_cast<uint4*>(p) = make_uint4(words[0], words[1], words[2], words[3]);
  }
};

// Where a group lies in a packed buffer.
struct GroupPlace {
  unsigned char* frame;    // begin of its frame
  std::uint32_t inFrame;   // number of its first value in the frame
  FrameSections sections;  // of that frame; all 0 if the buffer ends before

  __device__ __forceinline__ GroupPlace after(std::uint32_t elems) const { return {frame, inFrame + elems, sections}; }
};

// The kElems codes of a group in a plane of kBits a code.
template <std::uint32_t kBits, std::uint32_t kElems>
struct PlaneGroup {
  static constexpr std::uint32_t kGroupBits = kBits * kElems;
  static constexpr bool kHalfByte = kGroupBits == 4;  // two threads share a byte
  static constexpr std::uint32_t kMask = (1u << kBits) - 1;
  Bytes<kHalfByte ? 1 : kGroupBits / 8> bytes;

  // Of the bits [kShift, kShift + kBits) of each code.
  template <std::uint32_t kShift>
  __device__ __forceinline__ void pack(const std::uint32_t (&codes)[kElems]) {
    if constexpr (kBits == 8 && kShift == 0) {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; i += 4)
        bytes.words[i / 4] =
            __byte_perm(__byte_perm(codes[i], codes[i + 1], 0x0040), __byte_perm(codes[i + 2], codes[i + 3], 0x0040), 0x5410);
    } else {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) {
        const std::uint32_t place = i * kBits % 32;
        const std::uint32_t bits = (codes[i] >> kShift & kMask) << place;
        bytes.words[i * kBits / 32] = place == 0 ? bits : bytes.words[i * kBits / 32] | bits;
      }
    }
  }

  __device__ __forceinline__ std::uint32_t code(std::uint32_t i) const { return bytes.words[i * kBits / 32] >> (i * kBits % 32) & kMask; }

  // Plane [begin, end) of the frame. Whatever begins inside is written whole: planes end at a multiple of 16 bytes, and the codes after the
  // last are zeros. All threads of the warp call this together.
  __device__ __forceinline__ void store(const GroupPlace& place, std::uint32_t begin, std::uint32_t end) const {
    const std::uint32_t offset = begin + place.inFrame * kBits / 8;
    if constexpr (kHalfByte) {
      const std::uint32_t next = __shfl_down_sync(0xffffffffu, bytes.words[0], 1);
      const Bytes<1> both = {{bytes.words[0] | next << 4}};
      if (threadIdx.x % 2 == 0 && offset < end) both.store(place.frame + offset);
    } else if (offset < end) {
      bytes.store(place.frame + offset);
    }
  }

  __device__ __forceinline__ void load(const GroupPlace& place, std::uint32_t begin) {
    bytes.load(place.frame + begin + place.inFrame * kBits / 8);
    if constexpr (kHalfByte) bytes.words[0] = bytes.words[0] >> (threadIdx.x % 2 * 4) & 15;
  }
};

// The codes of a group, in the planes of kCodec.
template <qcclCodec_t kCodec, std::uint32_t kElems>
struct CodeGroup {
  static constexpr std::uint32_t kLowBits = static_cast<std::uint32_t>(lowPlaneBits(kCodec));
  static constexpr std::uint32_t kHighBits = static_cast<std::uint32_t>(highPlaneBits(kCodec));
  PlaneGroup<kLowBits, kElems> low;
  PlaneGroup<kHighBits == 0 ? 1 : kHighBits, kElems> high;  // unused without a high plane

  __device__ __forceinline__ void pack(const std::uint32_t (&codes)[kElems]) {
    low.template pack<0>(codes);
    if constexpr (kHighBits > 0) high.template pack<kLowBits>(codes);
  }

  __device__ __forceinline__ std::uint32_t code(std::uint32_t i) const {
    if constexpr (kHighBits > 0) return low.code(i) | high.code(i) << kLowBits;
    return low.code(i);
  }

  // `inside`: the group is known to begin inside the buffer.
  __device__ __forceinline__ void store(const GroupPlace& place, bool inside) const {
    low.store(place, place.sections.low, inside ? ~0u : place.sections.high);
    if constexpr (kHighBits > 0) high.store(place, place.sections.high, inside ? ~0u : place.sections.end);
  }

  __device__ __forceinline__ void load(const GroupPlace& place) {
    low.load(place, place.sections.low);
    if constexpr (kHighBits > 0) high.load(place, place.sections.high);
  }
};

}  // namespace qccl::quant::cuda
