// The coder of codecs with blocks: a scale for each block, and codes relative to it. Codes of fewer than 8 bits go through kStepElems bytes
// in the first-level cache. Included by codec_kernels.inc.hpp, which says what a coder is.
#include <cstddef>
#include <cstdint>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/cpu/plane_loops.inc.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

constexpr std::size_t kStepElems = 256;

template <typename Code>
struct ScaledCoder {
  template <typename T>
  static QCCL_HD void encode(const unsigned char* x, std::size_t first, std::size_t elems, const EncodeOptions& options,
                             unsigned char* packed, const BlockPlace& place, EncodeCounts* counts) {
    const PackedFormat& format = options.format;
    const std::uint32_t maxBits = Loops::template maxMagnitude<T>(x, elems);
    const std::uint32_t stored = storedScale(format.scale, Code::kMax, maxBits);
    __builtin_memcpy(packed + place.scale, &stored, scaleBytes(format));
    ++counts->blocks;
    if (maxBits >= kInfBits) {
      ++counts->nonFiniteBlocks;
      __builtin_memset(packed + place.low, 0, divideUp(elems * lowPlaneBits(format.codec), 8));
      __builtin_memset(packed + place.high, 0, divideUp(elems * highPlaneBits(format.codec), 8));
      return;
    }
    const BlockEncoder encoder(format.scale, Code::kMax, stored);
    const std::uint64_t firstIndex = options.firstElemIndex + first;
    const bool sampled = isSampled(options, first);
    if constexpr (Code::kBits == 8) {
      codesOf<T>(x, elems, encoder, options, firstIndex, packed + place.low);
      if (sampled) countLosses<T>(x, elems, encoder, packed + place.low, counts);
    } else {
      unsigned char codes[kStepElems];
      for (std::size_t at = 0; at < elems; at += kStepElems) {
        const std::size_t n = elems - at < kStepElems ? elems - at : kStepElems;
        codesOf<T>(x + at * T::kBytes, n, encoder, options, firstIndex + at, codes);
        packCodes<Code>(codes, n, packed + place.low + at / 2, packed + place.high + at * (Code::kBits - 4) / 8);
        if (sampled) countLosses<T>(x + at * T::kBytes, n, encoder, codes, counts);
      }
    }
  }

  template <typename T>
  static QCCL_HD void decode(const unsigned char* packed, const BlockPlace& place, std::size_t elems, const PackedFormat& format,
                             unsigned char* out) {
    const BlockDecoder decoder = decoderAt(packed + place.scale, format);
    forEachPart(packed, place, elems, [&](std::size_t at, std::size_t n, const unsigned char* codes) {
      Loops::template decode<Code, T>(codes, 0, n, decoder, out + at * T::kBytes);
    });
  }

  static QCCL_HD void decodeAdd(const unsigned char* packed, const BlockPlace& place, std::size_t elems, const PackedFormat& format,
                                float sign, float* sum) {
    BlockDecoder decoder = decoderAt(packed + place.scale, format);
    decoder.multiplier *= sign;
    forEachPart(packed, place, elems, [&](std::size_t at, std::size_t n, const unsigned char* codes) {
      Loops::template decodeAdd<Code>(codes, 0, n, decoder, sum + at);
    });
  }

 private:
  template <typename T>
  static QCCL_HD void codesOf(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder, const EncodeOptions& options,
                              std::uint64_t firstIndex, unsigned char* codes) {
    if (options.stochastic) {
      Loops::template encodeStochastic<Code, T>(x, 0, elems, encoder, options.noiseKey, firstIndex, codes);
    } else {
      Loops::template encodeNearest<Code, T>(x, 0, elems, encoder, codes);
    }
  }

  // Not inlined: it runs for one block in kSampledBlocks, beside loops that run for all.
  template <typename T>
  __attribute__((noinline)) static void countLosses(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder,
                                                    const unsigned char* codes, EncodeCounts* counts) {
    const Losses losses = Loops::template countLosses<Code, T>(x, elems, encoder, codes);
    counts->sampledElems += elems;
    counts->saturated += losses.saturated;
    counts->flushed += losses.flushed;
  }

  static QCCL_HD BlockDecoder decoderAt(const unsigned char* scale, const PackedFormat& format) {
    std::uint32_t stored = 0;
    __builtin_memcpy(&stored, scale, scaleBytes(format));
    return BlockDecoder(format.scale, Code::kMax, stored);
  }

  // use(first element, elems, codes in bytes) for the parts of a block.
  template <typename Use>
  static QCCL_HD void forEachPart(const unsigned char* packed, const BlockPlace& place, std::size_t elems, Use use) {
    if constexpr (Code::kBits == 8) {
      use(std::size_t{0}, elems, packed + place.low);
    } else {
      unsigned char codes[kStepElems];
      for (std::size_t at = 0; at < elems; at += kStepElems) {
        const std::size_t n = elems - at < kStepElems ? elems - at : kStepElems;
        unpackCodes<Code>(packed + place.low + at / 2, packed + place.high + at * (Code::kBits - 4) / 8, n, codes);
        use(at, n, static_cast<const unsigned char*>(codes));
      }
    }
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA
