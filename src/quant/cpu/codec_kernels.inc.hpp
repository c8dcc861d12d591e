// The host codec kernels: the walk over frames and blocks. Included by one source file for each instruction set, which is compiled with
// that set's options, defines QCCL_KERNEL_ISA to the name of its namespace and `Loops` there, the inner loops. Everything here is in that
// namespace or always inlined: no code compiled for a newer processor may be shared with the baseline.
//
// Cost per element of FP32 and int8: encode reads 4 bytes twice (the second time from the first-level cache: a block is at most 16 KiB) and
// writes 1; decode reads 1 and writes 4; decodeAdd reads 5 and writes 4; addEncode reads 5 and writes 1. Codes of fewer than 8 bits go
// through kStepElems bytes in the first-level cache.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/cpu/plane_loops.inc.hpp"
#include "quant/kernels.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

constexpr std::size_t kStepElems = 256;

// Where one block lies in a packed buffer, as offsets.
struct BlockPlace {
  std::size_t scale;
  std::size_t low;
  std::size_t high;
};

// Calls visit(first element, elems, BlockPlace) for every block.
template <typename Visit>
QCCL_HD void forEachBlock(std::size_t elems, const PackedFormat& format, Visit visit) {
  const std::size_t block = format.blockElems;
  const std::size_t wholeFrame = frameElems(block);
  const std::size_t scaleStep = scaleBytes(format);
  const std::size_t lowBits = lowPlaneBits(format.codec);
  const std::size_t highBits = highPlaneBits(format.codec);
  std::size_t frameOffset = 0;
  for (std::size_t frameFirst = 0; frameFirst < elems; frameFirst += wholeFrame) {
    const std::size_t inFrame = elems - frameFirst < wholeFrame ? elems - frameFirst : wholeFrame;
    const std::size_t low = frameOffset + frameScaleBytes(inFrame, format);
    const std::size_t high = low + planeBytes(inFrame, lowBits);
    for (std::size_t first = 0, number = 0; first < inFrame; first += block, ++number) {
      visit(frameFirst + first, inFrame - first < block ? inFrame - first : block,
            BlockPlace{frameOffset + number * scaleStep, low + first * lowBits / 8, high + first * highBits / 8});
    }
    frameOffset += frameBytes(inFrame, format);
  }
}

// Zeroes the padding of every section of the last frame, the only one with a ragged plane.
QCCL_HD void clearPadding(unsigned char* packed, std::size_t elems, const PackedFormat& format) {
  const auto clear = [](unsigned char* section, std::size_t used) {
    __builtin_memset(section + used, 0, alignUp(used, kSectionAlign) - used);
    return section + alignUp(used, kSectionAlign);
  };
  const std::size_t perFrame = frameElems(format.blockElems);
  // Scales of 1 or 2 bytes: 16 of them fill a section, so a whole frame has no padding at all.
  const std::size_t rest = elems % perFrame;
  if (rest == 0) return;
  unsigned char* section = packed + packedBytes(elems - rest, format);
  section = clear(section, divideUp(rest, format.blockElems) * scaleBytes(format));
  section = clear(section, divideUp(rest * lowPlaneBits(format.codec), 8));
  clear(section, divideUp(rest * highPlaneBits(format.codec), 8));
}
static_assert(kFrameBlocks % kSectionAlign == 0);

QCCL_HD bool isSampled(const EncodeOptions& options, std::size_t first) {
  return options.countLosses && isSampledBlock((options.firstElemIndex + first) / options.format.blockElems);
}

template <typename Code, typename T>
QCCL_HD void codesOf(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder, const EncodeOptions& options,
                     std::uint64_t firstIndex, unsigned char* codes) {
  if (options.stochastic) {
    Loops::template encodeStochastic<Code, T>(x, 0, elems, encoder, options.noiseKey, firstIndex, codes);
  } else {
    Loops::template encodeNearest<Code, T>(x, 0, elems, encoder, codes);
  }
}

// Not inlined: it runs for one block in kSampledBlocks, beside loops that run for all.
template <typename Code, typename T>
__attribute__((noinline)) void countLosses(const unsigned char* x, std::size_t elems, const BlockEncoder& encoder,
                                           const unsigned char* codes, EncodeCounts* counts) {
  const Losses losses = Loops::template countLosses<Code, T>(x, elems, encoder, codes);
  counts->sampledElems += elems;
  counts->saturated += losses.saturated;
  counts->flushed += losses.flushed;
}

// Codes of the block x[0, elems), which is block `first` of the buffer by its first element.
template <typename Code, typename T>
QCCL_HD void encodeBlock(const unsigned char* x, std::size_t first, std::size_t elems, const EncodeOptions& options, unsigned char* packed,
                         const BlockPlace& place, EncodeCounts* counts) {
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
    codesOf<Code, T>(x, elems, encoder, options, firstIndex, packed + place.low);
    if (sampled) countLosses<Code, T>(x, elems, encoder, packed + place.low, counts);
  } else {
    unsigned char codes[kStepElems];
    for (std::size_t at = 0; at < elems; at += kStepElems) {
      const std::size_t n = elems - at < kStepElems ? elems - at : kStepElems;
      codesOf<Code, T>(x + at * T::kBytes, n, encoder, options, firstIndex + at, codes);
      packCodes<Code>(codes, n, packed + place.low + at / 2, packed + place.high + at * (Code::kBits - 4) / 8);
      if (sampled) countLosses<Code, T>(x + at * T::kBytes, n, encoder, codes, counts);
    }
  }
}

template <typename Code>
QCCL_HD BlockDecoder decoderAt(const unsigned char* scale, const PackedFormat& format) {
  std::uint32_t stored = 0;
  __builtin_memcpy(&stored, scale, scaleBytes(format));
  return BlockDecoder(format.scale, Code::kMax, stored);
}

// use(first element, elems, codes in bytes) for the parts of a block.
template <typename Code, typename Use>
QCCL_HD void forEachPart(const unsigned char* packed, const BlockPlace& place, std::size_t elems, Use use) {
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

template <typename Code>
QCCL_HD void decodeAddBlock(const unsigned char* packed, const BlockPlace& place, std::size_t elems, const BlockDecoder& decoder,
                            float* sum) {
  forEachPart<Code>(packed, place, elems, [&](std::size_t at, std::size_t n, const unsigned char* codes) {
    Loops::template decodeAdd<Code>(codes, 0, n, decoder, sum + at);
  });
}

template <typename T>
QCCL_HD void loadValues(const unsigned char* __restrict x, std::size_t elems, float* __restrict values) {
  for (std::size_t i = 0; i < elems; ++i) values[i] = valueAt<T>(x, i);
}

QCCL_HD const unsigned char* bytesOf(const float* values) { return reinterpret_cast<const unsigned char*>(values); }

// The functions of CodecKernels for a codec with blocks.
template <typename Code, typename T>
struct Blocks {
  static void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(x);
    auto* out = static_cast<unsigned char*>(packed);
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      encodeBlock<Code, T>(in + first * T::kBytes, first, n, options, out, place, counts);
    });
    clearPadding(out, elems, options.format);
  }

  static void decode(const void* packed, std::size_t elems, const PackedFormat& format, void* out) {
    const auto* in = static_cast<const unsigned char*>(packed);
    auto* values = static_cast<unsigned char*>(out);
    forEachBlock(elems, format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      const BlockDecoder decoder = decoderAt<Code>(in + place.scale, format);
      forEachPart<Code>(in, place, n, [&](std::size_t at, std::size_t part, const unsigned char* codes) {
        Loops::template decode<Code, T>(codes, 0, part, decoder, values + (first + at) * T::kBytes);
      });
    });
  }

  static void decodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum) {
    const auto* in = static_cast<const unsigned char*>(packed);
    forEachBlock(elems, format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      decodeAddBlock<Code>(in, place, n, decoderAt<Code>(in + place.scale, format), sum + first);
    });
  }

  static void addEncode(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                        EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(packedIn);
    const auto* addend = static_cast<const unsigned char*>(x);
    auto* out = static_cast<unsigned char*>(packed);
    alignas(64) float sum[kMaxBlockElems];
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      loadValues<T>(addend + first * T::kBytes, n, sum);
      decodeAddBlock<Code>(in, place, n, decoderAt<Code>(in + place.scale, options.format), sum);
      encodeBlock<Code, F32>(bytesOf(sum), first, n, options, out, place, counts);
    });
    clearPadding(out, elems, options.format);
  }

  static void encodeFeedback(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed,
                             EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(x);
    auto* rest = static_cast<unsigned char*>(residual);
    auto* out = static_cast<unsigned char*>(packed);
    const EncodeOptions restOptions{residualFormat(options.format.blockElems), false, 0, 0, false};
    const std::size_t perFrame = frameElems(options.format.blockElems);
    EncodeCounts ignored;
    alignas(64) float values[kMaxBlockElems];
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      const BlockPlace restPlace = residualPlace(first, elems, perFrame, restOptions.format);
      loadValues<T>(in + first * T::kBytes, n, values);
      decodeAddBlock<IntCode<8>>(rest, restPlace, n, decoderAt<IntCode<8>>(rest + restPlace.scale, restOptions.format), values);
      encodeBlock<Code, F32>(bytesOf(values), first, n, options, out, place, counts);
      BlockDecoder decoder = decoderAt<Code>(out + place.scale, options.format);
      decoder.multiplier = -decoder.multiplier;
      decodeAddBlock<Code>(out, place, n, decoder, values);
      keepResidual(values, first, n, restOptions, rest, restPlace, &ignored);
    });
    clearPadding(out, elems, options.format);
    clearPadding(rest, elems, restOptions.format);
  }

  // values[0, n) as the residual's codes; zeros if they are not finite, or the error would poison the element for ever.
  static QCCL_HD void keepResidual(float* values, std::size_t first, std::size_t n, const EncodeOptions& options, unsigned char* residual,
                                   const BlockPlace& place, EncodeCounts* counts) {
    if (Loops::template maxMagnitude<F32>(bytesOf(values), n) >= kInfBits) __builtin_memset(values, 0, n * sizeof(float));
    encodeBlock<IntCode<8>, F32>(bytesOf(values), first, n, options, residual, place, counts);
  }

  static QCCL_HD BlockPlace residualPlace(std::size_t first, std::size_t elems, std::size_t perFrame, const PackedFormat& format) {
    const std::size_t frame = first / perFrame;
    const std::size_t inFrame = first % perFrame;
    const std::size_t left = elems - frame * perFrame;
    const std::size_t base = frame * frameBytes(perFrame, format);
    const std::size_t low = base + frameScaleBytes(left < perFrame ? left : perFrame, format) + inFrame;
    return {base + inFrame / format.blockElems * scaleBytes(format), low, low};
  }
};

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA

#include "quant/cpu/bf16_kernels.inc.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

template <typename Kernels>
constexpr CodecKernels tableOf() {
  return {Kernels::encode, Kernels::decode, Kernels::decodeAdd, Kernels::addEncode, Kernels::encodeFeedback};
}

}  // namespace

#define QCCL_CODEC_ROW(Kernels) \
  { tableOf<Kernels<F32>>(), tableOf<Kernels<Bf16>>(), tableOf<Kernels<F16>>() }
template <typename T>
using Int8 = Blocks<IntCode<8>, T>;
template <typename T>
using Int6 = Blocks<IntCode<6>, T>;
template <typename T>
using Int5 = Blocks<IntCode<5>, T>;
template <typename T>
using Int4 = Blocks<IntCode<4>, T>;
template <typename T>
using Fp8E4m3 = Blocks<Fp8E4m3Code, T>;
template <typename T>
using Fp8E5m2 = Blocks<Fp8E5m2Code, T>;
template <typename T>
using Fp4E2m1 = Blocks<Fp4E2m1Code, T>;

// Declared first: a constant has internal linkage otherwise, and kernels.cc reads these. By codec from int8 on; FP32, BF16, FP16.
extern const CodecKernels kCodecKernels[qcclNumCodecs - 1][3];
const CodecKernels kCodecKernels[qcclNumCodecs - 1][3] = {QCCL_CODEC_ROW(Int8),    QCCL_CODEC_ROW(Int6),      QCCL_CODEC_ROW(Int5),
                                                          QCCL_CODEC_ROW(Int4),    QCCL_CODEC_ROW(Fp8E4m3),   QCCL_CODEC_ROW(Fp8E5m2),
                                                          QCCL_CODEC_ROW(Fp4E2m1), QCCL_CODEC_ROW(Bf16Values)};
#undef QCCL_CODEC_ROW

}  // namespace qccl::quant::QCCL_KERNEL_ISA
