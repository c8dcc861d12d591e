// The inner loops of the host codec kernels, one element at a time, in the namespace QCCL_KERNEL_ISA. The baseline uses
// them as they are; the vector instruction sets use them for what is left after whole vectors (codec_vector_loops.inc.hpp), whose formulas
// are those of codes.hpp and block_scale.hpp.
#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/noise.hpp"
#include "quant/value_types.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

// fmaf(a, b, c) where the processor may have no fused instruction: libm's function then works in software, 126 ns a sum where this
// takes 3.4. `a` is a code times a power of two.
//
// The product of 7 and 24 significant bits is exact in double. Its sum with c is rounded to odd: truncated, and the last bit set if
// anything was cut off (`tail`, which is exact by Knuth's two-sum, nothing here being near double's limits). A number rounded to odd with
// 53 >= 24 + 2 bits and then to nearest in FP32, normal or denormal, is rounded as if once (Boldo and Melquiond, "Emulation of FMA and
// correctly rounded sums: proved algorithms using rounding to odd", 2008). Infinite and NaN sums have a NaN tail and stay as they are.
QCCL_HD float multiplyAdd(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
  return fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  const double sum = product + addend;
  const double addendSeen = sum - product;
  const double tail = (product - (sum - addendSeen)) + (addend - addendSeen);
  const std::uint64_t inexact = __builtin_fabs(tail) > 0.0 ? 1 : 0;
  const std::uint64_t sumBits = std::bit_cast<std::uint64_t>(sum);
  const std::uint64_t roundedAway = ((sumBits ^ std::bit_cast<std::uint64_t>(tail)) >> 63) & inexact;
  return static_cast<float>(std::bit_cast<double>((sumBits - roundedAway) | inexact));
#endif
}

struct Losses {
  std::uint32_t saturated = 0;
  std::uint32_t flushed = 0;
};

// What each of these does is for elements [first, elems) of a block. Codes are one in a byte (codes.hpp).
struct ScalarLoops {
  // The largest magnitudeBits of a block. In the 16-bit types the bit patterns of magnitudes order as the values do, so the maximum is
  // taken before it is widened, at twice the lanes.
  template <typename T>
  static QCCL_HD std::uint32_t maxMagnitude(const unsigned char* x, std::size_t elems) {
    using Bits = typename T::Bits;
    constexpr Bits kMagnitude = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);
    Bits maxBits = 0;
    for (std::size_t i = 0; i < elems; ++i) {
      const Bits bits = static_cast<Bits>(bitsAt<T>(x, i) & kMagnitude);
      maxBits = bits > maxBits ? bits : maxBits;
    }
    return bitsOf(T::widen(maxBits));
  }

  template <typename Code, typename T>
  static QCCL_HD void encodeNearest(const unsigned char* __restrict x, std::size_t first, std::size_t elems, const BlockEncoder& encoder,
                                    unsigned char* __restrict codes) {
    for (std::size_t i = first; i < elems; ++i) codes[i] = Code::nearest(encoder.scaled(valueAt<T>(x, i)));
  }

  // The noise of element i is uniformNoise(key, firstIndex + i).
  template <typename Code, typename T>
  static QCCL_HD void encodeStochastic(const unsigned char* __restrict x, std::size_t first, std::size_t elems, const BlockEncoder& encoder,
                                       std::uint64_t key, std::uint64_t firstIndex, unsigned char* __restrict codes) {
    // In two steps, because only the second gains from vectors where there is no vector product of 64 bits.
    float noise[kNoiseStep];
    for (std::size_t at = first; at < elems; at += kNoiseStep) {
      const std::size_t n = elems - at < kNoiseStep ? elems - at : kNoiseStep;
      fillNoise(key, firstIndex + at, n, noise);
      for (std::size_t i = 0; i < n; ++i) codes[at + i] = Code::stochastic(encoder.scaled(valueAt<T>(x, at + i)), noise[i]);
    }
  }

  template <typename Code, typename T>
  static QCCL_HD void decode(const unsigned char* __restrict codes, std::size_t first, std::size_t elems, const BlockDecoder& decoder,
                             unsigned char* __restrict out) {
    for (std::size_t i = first; i < elems; ++i) storeAt<T>(out, i, decoder.decode(Code::value(codes[i])));
  }

  template <typename Code>
  static QCCL_HD void decodeAdd(const unsigned char* __restrict codes, std::size_t first, std::size_t elems, const BlockDecoder& decoder,
                                float* __restrict sum) {
    for (std::size_t i = first; i < elems; ++i) {
      sum[i] = multiplyAdd(Code::value(codes[i]) * decoder.post, decoder.multiplier, sum[i]);
    }
  }

  // EncodeCounts' losses. Bits are compared, which for finite magnitudes order like the values. A code is zero exactly if its value is: the
  // sign of a zero is not kept.
  template <typename Code>
  static constexpr std::uint32_t kSaturatedBeyond = bitsOf(Code::kMax*(1.0f + 0x1p-20f));
  template <typename Code, typename T>
  static QCCL_HD Losses countLosses(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder, const unsigned char* codes) {
    Losses losses;
    for (std::size_t i = 0; i < elems; ++i) {
      const float value = valueAt<T>(x, i);
      losses.saturated += magnitudeBits(encoder.scaled(value)) > kSaturatedBeyond<Code> ? 1 : 0;
      losses.flushed += magnitudeBits(value) != 0 && codes[i] == 0 ? 1 : 0;
    }
    return losses;
  }

  // Planes of one bit (plane_loops.inc.hpp): bit kShift of codes[0, n) to the plane, or from the plane into codes. Returns how many codes
  // were done, whole bytes of plane; the rest is left to shifts of words.
  template <int kShift>
  static QCCL_HD std::size_t packBits(const unsigned char*, std::size_t, unsigned char*) {
    return 0;
  }
  template <int kShift>
  static QCCL_HD std::size_t unpackBits(const unsigned char*, std::size_t, unsigned char*) {
    return 0;
  }

  static constexpr std::size_t kNoiseStep = 32;

  // noise[i] = uniformNoise(key, firstIndex + i), n <= kNoiseStep.
  static QCCL_HD void fillNoise(std::uint64_t key, std::uint64_t firstIndex, std::size_t n, float* noise) {
    for (std::size_t i = 0; i < n; ++i) {
      std::uint64_t index = firstIndex + i;
      __asm__("" : "+r"(index));  // keeps the compiler from vectorizing with emulated 64-bit products, three times slower
      noise[i] = uniformNoise(key, index);
    }
  }

  // The same for kNoiseStep elements.
  static QCCL_HD void fillNoise(std::uint64_t key, std::uint64_t firstIndex, float* noise) {
    fillNoise(key, firstIndex, kNoiseStep, noise);
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
