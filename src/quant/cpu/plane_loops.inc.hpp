// Codes, one in a byte, <-> a plane of 1, 2 or 4 bits each (wire_format.hpp), in the namespace QCCL_KERNEL_ISA. Eight bits of plane at a
// time: the codes that go into a byte are loaded as one word, moved together by shifts, and the other way round, which compilers make
// vectors of; planes of one bit through `Loops` where it has masks of bytes. Little-endian machines only, as is the wire format's
// arithmetic throughout.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/host_device.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

static_assert(std::endian::native == std::endian::little);

template <std::size_t kBits>
struct Plane {
  static constexpr std::size_t kPerByte = 8 / kBits;
  // A word holds the codes of one byte of plane, each in a byte of its own.
  using Word = std::conditional_t<kBits == 4, std::uint16_t, std::conditional_t<kBits == 2, std::uint32_t, std::uint64_t>>;
  static constexpr Word kMask = static_cast<Word>(std::numeric_limits<Word>::max() / 0xff * ((1u << kBits) - 1));

  static QCCL_HD unsigned char gather(Word word) {
    std::uint64_t bits = word & kMask;
    if constexpr (kBits == 4) bits |= bits >> 4;
    if constexpr (kBits == 2) bits |= bits >> 6 | bits >> 12 | bits >> 18;
    if constexpr (kBits == 1) {
      bits |= bits >> 7;
      bits |= bits >> 14;
      bits |= bits >> 28;
    }
    return static_cast<unsigned char>(bits);
  }

  static QCCL_HD Word spread(unsigned char byte) {
    Word bits = byte;
    if constexpr (kBits == 4) bits = static_cast<Word>(bits | bits << 4);
    if constexpr (kBits == 2) bits = bits | bits << 6 | bits << 12 | bits << 18;
    if constexpr (kBits == 1) {
      bits |= bits << 28;
      bits |= bits << 14;
      bits |= bits << 7;
    }
    return static_cast<Word>(bits & kMask);
  }
};

// plane = bits [kShift, kShift + kBits) of codes[0, n); ceil(n * kBits / 8) bytes, those past the last code zero.
template <std::size_t kBits, int kShift>
QCCL_HD void packPlane(const unsigned char* __restrict codes, std::size_t n, unsigned char* __restrict plane) {
  using P = Plane<kBits>;
  const std::size_t whole = n / P::kPerByte;
  for (std::size_t i = 0; i < whole; ++i) {
    typename P::Word word;
    __builtin_memcpy(&word, codes + i * P::kPerByte, sizeof(word));
    plane[i] = P::gather(static_cast<typename P::Word>(word >> kShift));
  }
  if (whole * P::kPerByte == n) return;
  typename P::Word word = 0;
  __builtin_memcpy(&word, codes + whole * P::kPerByte, n - whole * P::kPerByte);
  plane[whole] = P::gather(static_cast<typename P::Word>(word >> kShift));
}

// codes[i] |= (bits of the plane) << kShift, or = with kFirst. Whole bytes of plane: codes has room for n rounded up to eight.
template <std::size_t kBits, int kShift, bool kFirst>
QCCL_HD void unpackPlane(const unsigned char* __restrict plane, std::size_t n, unsigned char* __restrict codes) {
  using P = Plane<kBits>;
  const std::size_t bytes = (n + P::kPerByte - 1) / P::kPerByte;
  for (std::size_t i = 0; i < bytes; ++i) {
    auto word = static_cast<typename P::Word>(P::spread(plane[i]) << kShift);
    if constexpr (!kFirst) {
      typename P::Word low;
      __builtin_memcpy(&low, codes + i * P::kPerByte, sizeof(low));
      word |= low;
    }
    __builtin_memcpy(codes + i * P::kPerByte, &word, sizeof(word));
  }
}

// The planes of codes[0, n).
template <typename Code>
QCCL_HD void packCodes(const unsigned char* codes, std::size_t n, unsigned char* low, unsigned char* high) {
  packPlane<4, 0>(codes, n, low);
  if constexpr (Code::kBits == 5) {
    const std::size_t done = Loops::template packBits<4>(codes, n, high);
    packPlane<1, 4>(codes + done, n - done, high + done / 8);
  }
  if constexpr (Code::kBits == 6) packPlane<2, 4>(codes, n, high);
}

template <typename Code>
QCCL_HD void unpackCodes(const unsigned char* low, const unsigned char* high, std::size_t n, unsigned char* codes) {
  unpackPlane<4, 0, true>(low, n, codes);
  if constexpr (Code::kBits == 5) {
    const std::size_t done = Loops::template unpackBits<4>(high, n, codes);
    unpackPlane<1, 4, false>(high + done / 8, n - done, codes + done);
  }
  if constexpr (Code::kBits == 6) unpackPlane<2, 4, false>(high, n, codes);
  if constexpr (Code::kIsInteger) {
    constexpr int kSign = 1 << (Code::kBits - 1);
    for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<unsigned char>((codes[i] ^ kSign) - kSign);
  }
}

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
