// The coder of the codec bf16: no blocks and no scales, each value rounded by itself. Blocks are the unit of counting only. Included by
// codec_kernels.inc.hpp, which says what a coder is.
#include <cstddef>
#include <cstdint>

#include "quant/codes.hpp"
#include "quant/kernels.hpp"
#include "quant/noise.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

struct Bf16Coder {
  template <typename T>
  static QCCL_HD void encode(const unsigned char* x, std::size_t first, std::size_t elems, const EncodeOptions& options,
                             unsigned char* packed, const BlockPlace& place, EncodeCounts* counts) {
    unsigned char* const codes = packed + place.low;
    const bool finite = Loops::template maxMagnitude<T>(x, elems) < kInfBits;
    ++counts->blocks;
    counts->nonFiniteBlocks += finite ? 0 : 1;
    if (options.stochastic) {
      roundStochastic<T>(x, elems, options.noiseKey, options.firstElemIndex + first, codes);
    } else {
      roundNearest<T>(x, elems, codes);
    }
    if (finite && isSampled(options, first)) countLosses<T>(x, elems, codes, counts);
  }

  template <typename T>
  static QCCL_HD void decode(const unsigned char* packed, const BlockPlace& place, std::size_t elems, const PackedFormat&,
                             unsigned char* out) {
    decodeCodes<T>(packed + place.low, elems, out);
  }

  // The product is exact, so this is also the fused operation.
  static QCCL_HD void decodeAdd(const unsigned char* packed, const BlockPlace& place, std::size_t elems, const PackedFormat&, float sign,
                                float* sum) {
    addCodes(packed + place.low, elems, sign, sum);
  }

 private:
  template <typename T>
  static QCCL_HD void roundNearest(const unsigned char* __restrict x, std::size_t n, unsigned char* __restrict codes) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint16_t code = bfloat16Nearest(valueAt<T>(x, i));
      __builtin_memcpy(codes + 2 * i, &code, 2);
    }
  }

  template <typename T>
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
        const std::uint16_t code = bfloat16Stochastic(valueAt<T>(x, at + i), noise[i]);
        __builtin_memcpy(codes + 2 * (at + i), &code, 2);
      }
    }
  }

  template <typename T>
  static QCCL_HD void decodeCodes(const unsigned char* __restrict codes, std::size_t n, unsigned char* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) storeAt<T>(out, i, valueAt<Bf16>(codes, i));
  }

  static QCCL_HD void addCodes(const unsigned char* __restrict codes, std::size_t n, float sign, float* __restrict sum) {
    for (std::size_t i = 0; i < n; ++i) sum[i] += sign * valueAt<Bf16>(codes, i);
  }

  template <typename T>
  static void countLosses(const unsigned char* x, std::size_t n, const unsigned char* codes, EncodeCounts* counts) {
    std::uint32_t saturated = 0, flushed = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t coded = magnitudeBits(valueAt<Bf16>(codes, i));
      saturated += coded >= kInfBits ? 1 : 0;
      flushed += ((coded == 0) & (magnitudeBits(valueAt<T>(x, i)) != 0)) ? 1 : 0;
    }
    counts->sampledElems += n;
    counts->saturated += saturated;
    counts->flushed += flushed;
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
