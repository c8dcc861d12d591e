// The host codec kernels. Included by one source file for each instruction set, which is compiled with that set's options and defines QCCL_KERNEL_ISA to the name of
// its namespace; the loops are written so that the compiler vectorizes them. Everything here is in that namespace or always inlined: no code compiled for a newer
// processor may be shared with the baseline.
//
// Cost per element of FP32: encode reads 4 bytes twice (the second time from the first-level cache: a block is at most 16 KiB) and writes 1; decode reads 1 and
// writes 4; decodeAdd reads 5 and writes 4.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/codec.hpp"
#include "quant/kernels.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

struct F32 {
  static QCCL_HD float load(const unsigned char* p, std::size_t i) {
    float x;
    __builtin_memcpy(&x, p + 4 * i, 4);
    return x;
  }
  static QCCL_HD void store(unsigned char* p, std::size_t i, float x) { __builtin_memcpy(p + 4 * i, &x, 4); }
  static constexpr std::size_t kBytes = 4;
};

template <float (*kFrom)(std::uint16_t), std::uint16_t (*kTo)(float)>
struct Short16 {
  static QCCL_HD float load(const unsigned char* p, std::size_t i) {
    std::uint16_t x;
    __builtin_memcpy(&x, p + 2 * i, 2);
    return kFrom(x);
  }
  static QCCL_HD void store(unsigned char* p, std::size_t i, float x) {
    const std::uint16_t bits = kTo(x);
    __builtin_memcpy(p + 2 * i, &bits, 2);
  }
  static constexpr std::size_t kBytes = 2;
};
using Bf16 = Short16<fromBfloat16, toBfloat16>;
using F16 = Short16<fromFloat16, toFloat16>;

// Adding 1.5 * 2^23 rounds a value of magnitude below 2^22 to nearest even and leaves it, in two's complement, in the low bits: rintf and the conversion in one
// operation that every instruction set has.
QCCL_HD std::int8_t nearestCode(const Int8Encoder& encoder, float x) {
  return static_cast<std::int8_t>(bitsOf(encoder.scaled(x) + 0x1.8p23f));
}

template <typename T>
QCCL_HD std::uint32_t maxMagnitude(const unsigned char* x, std::size_t elems) {
  std::uint32_t maxBits = 0;
  for (std::size_t i = 0; i < elems; ++i) {
    const std::uint32_t bits = magnitudeBits(T::load(x, i));
    maxBits = bits > maxBits ? bits : maxBits;
  }
  return maxBits;
}

template <typename T>
QCCL_HD void encodeBlock(const unsigned char* x, std::size_t elems, std::uint64_t firstIndex, const EncodeOptions& options, unsigned char* scaleOut,
                         unsigned char* codes, EncodeCounts* counts) {
  const std::uint32_t maxBits = maxMagnitude<T>(x, elems);
  const float scale = scaleFromMagnitude(maxBits);
  __builtin_memcpy(scaleOut, &scale, kScaleBytes);
  ++counts->blocks;
  if (maxBits >= kInfBits) {
    ++counts->nonFiniteBlocks;
    __builtin_memset(codes, 0, elems);
    return;
  }
  const Int8Encoder encoder(scale);
  if (options.stochastic) {
    const std::uint64_t key = options.noiseKey;
    for (std::size_t i = 0; i < elems; ++i) {
      codes[i] = static_cast<unsigned char>(encoder.stochastic(T::load(x, i), uniformNoise(key, firstIndex + i)));
    }
  } else {
    for (std::size_t i = 0; i < elems; ++i) codes[i] = static_cast<unsigned char>(nearestCode(encoder, T::load(x, i)));
  }
}

// Calls visit(first element, elems, scale offset, codes offset) for every block.
template <typename Visit>
QCCL_HD void forEachBlock(std::size_t elems, std::size_t blockElems, Visit visit) {
  const std::size_t wholeFrame = frameElems(blockElems);
  std::size_t frameOffset = 0;
  for (std::size_t frameFirst = 0; frameFirst < elems; frameFirst += wholeFrame) {
    const std::size_t inFrame = elems - frameFirst < wholeFrame ? elems - frameFirst : wholeFrame;
    const std::size_t codesOffset = frameOffset + frameScaleBytes(inFrame, blockElems);
    for (std::size_t first = 0, block = 0; first < inFrame; first += blockElems, ++block) {
      visit(frameFirst + first, inFrame - first < blockElems ? inFrame - first : blockElems, frameOffset + block * kScaleBytes,
            codesOffset + first);
    }
    frameOffset += frameBytes(inFrame, blockElems);
  }
}

// Zeroes the padding of the last frame, the only one that can have any beside the codes.
QCCL_HD void clearPadding(unsigned char* packed, std::size_t elems, std::size_t blockElems) {
  const std::size_t rest = elems % frameElems(blockElems);
  if (rest == 0) return;
  unsigned char* frame = packed + packedBytes(elems - rest, blockElems);
  const std::size_t scales = divideUp(rest, blockElems) * kScaleBytes;
  const std::size_t codesOffset = frameScaleBytes(rest, blockElems);
  __builtin_memset(frame + scales, 0, codesOffset - scales);
  __builtin_memset(frame + codesOffset + rest, 0, alignUp(rest, kSectionAlign) - rest);
}

template <typename T>
void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
  const auto* in = static_cast<const unsigned char*>(x);
  auto* out = static_cast<unsigned char*>(packed);
  forEachBlock(elems, options.blockElems, [&](std::size_t first, std::size_t n, std::size_t scaleOffset, std::size_t codesOffset) {
    encodeBlock<T>(in + first * T::kBytes, n, options.firstElemIndex + first, options, out + scaleOffset, out + codesOffset, counts);
  });
  clearPadding(out, elems, options.blockElems);
}

QCCL_HD Int8Decoder decoderAt(const unsigned char* scale) {
  float value;
  __builtin_memcpy(&value, scale, kScaleBytes);
  return Int8Decoder(value);
}

template <typename T>
void decode(const void* packed, std::size_t elems, std::size_t blockElems, void* out) {
  const auto* in = static_cast<const unsigned char*>(packed);
  auto* __restrict values = static_cast<unsigned char*>(out);
  forEachBlock(elems, blockElems, [&](std::size_t first, std::size_t n, std::size_t scaleOffset, std::size_t codesOffset) {
    const Int8Decoder decoder = decoderAt(in + scaleOffset);
    const auto* __restrict codes = reinterpret_cast<const std::int8_t*>(in + codesOffset);
    unsigned char* __restrict block = values + first * T::kBytes;
    for (std::size_t i = 0; i < n; ++i) T::store(block, i, decoder.decode(codes[i]));
  });
}

void decodeAdd(const void* packed, std::size_t elems, std::size_t blockElems, float* sum) {
  const auto* in = static_cast<const unsigned char*>(packed);
  forEachBlock(elems, blockElems, [&](std::size_t first, std::size_t n, std::size_t scaleOffset, std::size_t codesOffset) {
    const Int8Decoder decoder = decoderAt(in + scaleOffset);
    const auto* __restrict codes = reinterpret_cast<const std::int8_t*>(in + codesOffset);
    float* __restrict block = sum + first;
    for (std::size_t i = 0; i < n; ++i) block[i] = decoder.addTo(block[i], codes[i]);
  });
}

}  // namespace

const CodecKernels kFloat32 = {encode<F32>, decode<F32>, decodeAdd};
const CodecKernels kBfloat16 = {encode<Bf16>, decode<Bf16>, decodeAdd};
const CodecKernels kFloat16 = {encode<F16>, decode<F16>, decodeAdd};

}  // namespace qccl::quant::QCCL_KERNEL_ISA
