// The host codec kernels: the walk over frames and blocks. Included by one source file for each instruction set, which is compiled with
// that set's options, defines QCCL_KERNEL_ISA to the name of its namespace and `Loops` there, the inner loops. Everything here is in that
// namespace or always inlined: no code compiled for a newer processor may be shared with the baseline.
//
// Cost per element of FP32 and int8: encode reads 4 bytes twice (the second time from the first-level cache: a block is at most 16 KiB) and
// writes 1; decode reads 1 and writes 4; decodeAdd reads 5 and writes 4; addEncode reads 5 and writes 1.
//
// What happens within a block is a coder's, a type with
//     encode<T>(x, first, elems, options, packed, place, counts)    codes of the block x[0, elems), block `first` by its first element
//     decode<T>(packed, place, elems, format, out)                  out[0, elems) = its values, rounded once
//     decodeAdd(packed, place, elems, format, sign, sum)            sum[i] = fmaf(code, sign * scale, sum[i]); sign is 1 or -1
// where `packed` is the whole buffer and `place` the block's in it.
#include <cstddef>
#include <cstdint>

#include "quant/codes.hpp"
#include "quant/kernels.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

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

}  // namespace
}  // namespace qccl::quant::QCCL_KERNEL_ISA

#include "quant/cpu/bf16_coder.inc.hpp"
#include "quant/cpu/scaled_coder.inc.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

template <typename T>
QCCL_HD void loadValues(const unsigned char* __restrict x, std::size_t elems, float* __restrict values) {
  for (std::size_t i = 0; i < elems; ++i) values[i] = valueAt<T>(x, i);
}

QCCL_HD const unsigned char* bytesOf(const float* values) { return reinterpret_cast<const unsigned char*>(values); }

// The functions of CodecKernels.
template <typename Coder, typename T>
struct Blocks {
  static void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
    const auto* in = static_cast<const unsigned char*>(x);
    auto* out = static_cast<unsigned char*>(packed);
    forEachBlock(elems, options.format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      Coder::template encode<T>(in + first * T::kBytes, first, n, options, out, place, counts);
    });
    clearPadding(out, elems, options.format);
  }

  static void decode(const void* packed, std::size_t elems, const PackedFormat& format, void* out) {
    const auto* in = static_cast<const unsigned char*>(packed);
    auto* values = static_cast<unsigned char*>(out);
    forEachBlock(elems, format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      Coder::template decode<T>(in, place, n, format, values + first * T::kBytes);
    });
  }

  static void decodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum) {
    const auto* in = static_cast<const unsigned char*>(packed);
    forEachBlock(elems, format, [&](std::size_t first, std::size_t n, const BlockPlace& place) {
      Coder::decodeAdd(in, place, n, format, 1.0f, sum + first);
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
      Coder::decodeAdd(in, place, n, options.format, 1.0f, sum);
      Coder::template encode<F32>(bytesOf(sum), first, n, options, out, place, counts);
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
      RestCoder::decodeAdd(rest, restPlace, n, restOptions.format, 1.0f, values);
      Coder::template encode<F32>(bytesOf(values), first, n, options, out, place, counts);
      Coder::decodeAdd(out, place, n, options.format, -1.0f, values);
      // An error that is not finite would poison the element for ever.
      if (Loops::template maxMagnitude<F32>(bytesOf(values), n) >= kInfBits) __builtin_memset(values, 0, n * sizeof(float));
      RestCoder::encode<F32>(bytesOf(values), first, n, restOptions, rest, restPlace, &ignored);
    });
    clearPadding(out, elems, options.format);
    clearPadding(rest, elems, restOptions.format);
  }

 private:
  using RestCoder = ScaledCoder<IntCode<8>>;  // residualFormat's

  static QCCL_HD BlockPlace residualPlace(std::size_t first, std::size_t elems, std::size_t perFrame, const PackedFormat& format) {
    const std::size_t frame = first / perFrame;
    const std::size_t inFrame = first % perFrame;
    const std::size_t left = elems - frame * perFrame;
    const std::size_t base = frame * frameBytes(perFrame, format);
    const std::size_t low = base + frameScaleBytes(left < perFrame ? left : perFrame, format) + inFrame;
    return {base + inFrame / format.blockElems * scaleBytes(format), low, low};
  }
};

template <typename Kernels>
constexpr CodecKernels tableOf() {
  return {Kernels::encode, Kernels::decode, Kernels::decodeAdd, Kernels::addEncode, Kernels::encodeFeedback};
}

}  // namespace

#define QCCL_CODEC_ROW(...) \
  { tableOf<Blocks<__VA_ARGS__, F32>>(), tableOf<Blocks<__VA_ARGS__, Bf16>>(), tableOf<Blocks<__VA_ARGS__, F16>>() }

// Declared first: a constant has internal linkage otherwise, and kernels.cc reads these. By codec from int8 on; FP32, BF16, FP16.
extern const CodecKernels kCodecKernels[qcclNumCodecs - 1][3];
const CodecKernels kCodecKernels[qcclNumCodecs - 1][3] = {
    QCCL_CODEC_ROW(ScaledCoder<IntCode<8>>),  QCCL_CODEC_ROW(ScaledCoder<IntCode<6>>),
    QCCL_CODEC_ROW(ScaledCoder<IntCode<5>>),  QCCL_CODEC_ROW(ScaledCoder<IntCode<4>>),
    QCCL_CODEC_ROW(ScaledCoder<Fp8E4m3Code>), QCCL_CODEC_ROW(ScaledCoder<Fp8E5m2Code>),
    QCCL_CODEC_ROW(ScaledCoder<Fp4E2m1Code>), QCCL_CODEC_ROW(Bf16Coder)};
#undef QCCL_CODEC_ROW

}  // namespace qccl::quant::QCCL_KERNEL_ISA
