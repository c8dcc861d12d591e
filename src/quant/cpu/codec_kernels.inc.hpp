// The host codec kernels: the walk over frames and blocks. Included by one source file for each instruction set, which is compiled with
// that set's options, defines QCCL_KERNEL_ISA to the name of its namespace and `Loops` there, the inner loops. Everything here is in that
// namespace or always inlined: no code compiled for a newer processor may be shared with the baseline.
//
// Cost per element of FP32: encode reads 4 bytes twice (the second time from the first-level cache: a block is at most 16 KiB) and writes
// 1; decode reads 1 and writes 4; decodeAdd reads 5 and writes 4.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/codec.hpp"
#include "quant/kernels.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

template <typename T>
QCCL_HD void encodeBlock(const unsigned char* x, std::size_t elems, std::uint64_t firstIndex, const EncodeOptions& options,
                         unsigned char* scaleOut, unsigned char* codes, EncodeCounts* counts) {
  const std::uint32_t maxBits = Loops::maxMagnitude<T>(x, elems);
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
    Loops::encodeStochastic<T>(x, 0, elems, encoder, options.noiseKey, firstIndex, codes);
  } else {
    Loops::encodeNearest<T>(x, 0, elems, encoder, codes);
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
  auto* values = static_cast<unsigned char*>(out);
  forEachBlock(elems, blockElems, [&](std::size_t first, std::size_t n, std::size_t scaleOffset, std::size_t codesOffset) {
    const Int8Decoder decoder = decoderAt(in + scaleOffset);
    Loops::decode<T>(reinterpret_cast<const std::int8_t*>(in + codesOffset), 0, n, decoder, values + first * T::kBytes);
  });
}

void decodeAdd(const void* packed, std::size_t elems, std::size_t blockElems, float* sum) {
  const auto* in = static_cast<const unsigned char*>(packed);
  forEachBlock(elems, blockElems, [&](std::size_t first, std::size_t n, std::size_t scaleOffset, std::size_t codesOffset) {
    const Int8Decoder decoder = decoderAt(in + scaleOffset);
    Loops::decodeAdd(reinterpret_cast<const std::int8_t*>(in + codesOffset), 0, n, decoder, sum + first);
  });
}

}  // namespace

// Declared first: a constant has internal linkage otherwise, and kernels.cc reads these.
extern const CodecKernels kFloat32, kBfloat16, kFloat16;
const CodecKernels kFloat32 = {encode<F32>, decode<F32>, decodeAdd};
const CodecKernels kBfloat16 = {encode<Bf16>, decode<Bf16>, decodeAdd};
const CodecKernels kFloat16 = {encode<F16>, decode<F16>, decodeAdd};

}  // namespace qccl::quant::QCCL_KERNEL_ISA
