// The codec bf16 on the host: no blocks and no scales, each value rounded by itself. Blocks are the unit of counting only. Included by
// codec_kernels.inc.hpp.
#include <cstddef>
#include <cstdint>

#include "quant/codes.hpp"
#include "quant/kernels.hpp"
#include "quant/noise.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

template <typename T>
struct Bf16Values {
  static void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(x);
    auto* out = static_cast<unsigned char*>(packed);
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      encodeBlock<T>(in + first * T::kBytes, first, n, options, out + place.low, counts);
    });
    clearPadding(out, elems, options.format);
  }

  static void decode(const void* packed, std::size_t elems, const PackedFormat& format, void* out) {
    const auto* in = static_cast<const unsigned char*>(packed);
    auto* values = static_cast<unsigned char*>(out);
    forEachBlock(elems, format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      decodeBlock(in + place.low, n, values + first * T::kBytes);
    });
  }

  static void decodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum) {
    const auto* in = static_cast<const unsigned char*>(packed);
    forEachBlock(elems, format,
                 [&](std::size_t first, std::size_t n, const BlockPlace& place) { addBlock(in + place.low, n, 1.0f, sum + first); });
  }

  static void addEncode(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                        EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(packedIn);
    const auto* addend = static_cast<const unsigned char*>(x);
    auto* out = static_cast<unsigned char*>(packed);
    alignas(64) float sum[kMaxBlockElems];
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      loadValues<T>(addend + first * T::kBytes, n, sum);
      addBlock(in + place.low, n, 1.0f, sum);
      encodeBlock<F32>(bytesOf(sum), first, n, options, out + place.low, counts);
    });
    clearPadding(out, elems, options.format);
  }

  static void encodeFeedback(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed,
                             EncodeCounts* counts) {
    using Rest = Blocks<IntCode<8>, F32>;
    const auto* in = static_cast<const unsigned char*>(x);
    auto* rest = static_cast<unsigned char*>(residual);
    auto* out = static_cast<unsigned char*>(packed);
    const EncodeOptions restOptions{residualFormat(options.format.blockElems), false, 0, 0, false};
    const std::size_t perFrame = frameElems(options.format.blockElems);
    EncodeCounts ignored;
    alignas(64) float values[kMaxBlockElems];
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      const BlockPlace restPlace = Rest::residualPlace(first, elems, perFrame, restOptions.format);
      loadValues<T>(in + first * T::kBytes, n, values);
      decodeAddBlock<IntCode<8>>(rest, restPlace, n, decoderAt<IntCode<8>>(rest + restPlace.scale, restOptions.format), values);
      encodeBlock<F32>(bytesOf(values), first, n, options, out + place.low, counts);
      addBlock(out + place.low, n, -1.0f, values);
      Rest::keepResidual(values, first, n, restOptions, rest, restPlace, &ignored);
    });
    clearPadding(out, elems, options.format);
    clearPadding(rest, elems, restOptions.format);
  }

 private:
  template <typename From>
  static QCCL_HD void encodeBlock(const unsigned char* x, std::size_t first, std::size_t n, const EncodeOptions& options,
                                  unsigned char* codes, EncodeCounts* counts) {
    const bool finite = Loops::template maxMagnitude<From>(x, n) < kInfBits;
    ++counts->blocks;
    counts->nonFiniteBlocks += finite ? 0 : 1;
    if (options.stochastic) {
      roundStochastic<From>(x, n, options.noiseKey, options.firstElemIndex + first, codes);
    } else {
      roundNearest<From>(x, n, codes);
    }
    if (finite && isSampled(options, first)) countLosses<From>(x, n, codes, counts);
  }

  template <typename From>
  static QCCL_HD void roundNearest(const unsigned char* __restrict x, std::size_t n, unsigned char* __restrict codes) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint16_t code = bfloat16Nearest(valueAt<From>(x, i));
      __builtin_memcpy(codes + 2 * i, &code, 2);
    }
  }

  template <typename From>
  static QCCL_HD void roundStochastic(const unsigned char* __restrict x, std::size_t n, std::uint64_t key, std::uint64_t firstIndex,
                                      unsigned char* __restrict codes) {
    constexpr std::size_t kStep = ScalarLoops::kNoiseStep;
    float noise[kStep];
    for (std::size_t at = 0; at < n; at += kStep) {
      const std::size_t part = n - at < kStep ? n - at : kStep;
      if (part == kStep) {
        Loops::fillNoise(key, firstIndex + at, noise);
      } else {
        ScalarLoops::fillNoise(key, firstIndex + at, part, noise);
      }
      for (std::size_t i = 0; i < part; ++i) {
        const std::uint16_t code = bfloat16Stochastic(valueAt<From>(x, at + i), noise[i]);
        __builtin_memcpy(codes + 2 * (at + i), &code, 2);
      }
    }
  }

  static QCCL_HD void decodeBlock(const unsigned char* __restrict codes, std::size_t n, unsigned char* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) storeAt<T>(out, i, valueAt<Bf16>(codes, i));
  }

  // sum += sign * value; the product is exact, so this is also the fused operation.
  static QCCL_HD void addBlock(const unsigned char* __restrict codes, std::size_t n, float sign, float* __restrict sum) {
    for (std::size_t i = 0; i < n; ++i) sum[i] += sign * valueAt<Bf16>(codes, i);
  }

  template <typename From>
  static void countLosses(const unsigned char* x, std::size_t n, const unsigned char* codes, EncodeCounts* counts) {
    std::uint32_t saturated = 0, flushed = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t coded = magnitudeBits(valueAt<Bf16>(codes, i));
      saturated += coded >= kInfBits ? 1 : 0;
      flushed += (coded == 0) & (magnitudeBits(valueAt<From>(x, i)) != 0) ? 1 : 0;
    }
    counts->sampledElems += n;
    counts->saturated += saturated;
    counts->flushed += flushed;
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
