#include "memory/tensor_codec.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/kernels.hpp"

namespace qccl::memory {
namespace {

// Whether the codec's packed buffer is the code area alone.
bool isInOnePiece(const TensorFormat& format) { return format.codec == qcclCodecBf16; }

const quant::CodecKernels& kernelsFor(qcclDataType_t dtype, const TensorFormat& format) {
  const quant::CodecKernels* kernels = quant::codecKernels(format.codec, dtype);
  QCCL_CHECK(kernels != nullptr);
  return *kernels;
}

// A frame in one piece, aligned as packed buffers are: the way between the two areas and the kernels. Small enough for the caches.
class FrameBuffer {
 public:
  explicit FrameBuffer(std::size_t bytes) : words_(quant::divideUp(bytes, sizeof(Word))) {}
  unsigned char* data() { return reinterpret_cast<unsigned char*>(words_.data()); }

 private:
  struct alignas(quant::kSectionAlign) Word {
    unsigned char bytes[quant::kSectionAlign];
  };
  std::vector<Word> words_;
};

// Calls body(first element, elements, codes, bytes of codes, scales, bytes of scales) for each frame, with its parts of the two areas.
template <typename Body>
void forEachFrame(std::size_t elems, const quant::PackedFormat& format, const Place& place, Body body) {
  const std::size_t perFrame = quant::frameElems(format.blockElems);
  auto* codes = static_cast<unsigned char*>(place.codes);
  auto* scales = static_cast<unsigned char*>(place.scales);
  for (std::size_t first = 0; first < elems; first += perFrame) {
    const std::size_t count = std::min(perFrame, elems - first);
    const std::size_t scaleBytes = quant::frameScaleBytes(count, format);
    const std::size_t codeBytes = quant::frameBytes(count, format) - scaleBytes;
    body(first, count, codes, codeBytes, scales, scaleBytes);
    codes += codeBytes;
    scales += scaleBytes;
  }
}

}  // namespace

void requireStorable(const char* what, qcclDataType_t dtype, const TensorFormat& format) {
  if (format.codec != qcclCodecNone && !isQuantizable(dtype)) {
    fail(qcclInvalidArgument, what, ": values of ", enumName(qcclEnumDataType, dtype), " cannot be kept as ", formatName(format),
         "; only float32, bfloat16 and float16 can");
  }
  if (format.codec == qcclCodecNone && dtype != format.exactType) {
    fail(qcclInvalidArgument, what, ": values of ", enumName(qcclEnumDataType, dtype), " cannot be kept exactly as ",
         enumName(qcclEnumDataType, format.exactType), "; use one type for both");
  }
}

void storeTensor(const void* values, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format, const Place& place) {
  QCCL_CHECK(place.bytes == storedBytes(elems, format));
  if (format.codec == qcclCodecNone) {
    std::memcpy(place.codes, values, place.bytes.codes);
    return;
  }
  const quant::PackedFormat packed{format.codec, format.scale, format.blockElems};
  const quant::CodecKernels& kernels = kernelsFor(dtype, format);
  quant::EncodeCounts counts;
  if (isInOnePiece(format)) {
    kernels.encode(values, elems, {packed}, place.codes, &counts);
    return;
  }
  FrameBuffer frame(quant::frameBytes(std::min(elems, quant::frameElems(format.blockElems)), packed));
  const auto* bytes = static_cast<const unsigned char*>(values);
  forEachFrame(elems, packed, place,
               [&](std::size_t first, std::size_t count, unsigned char* codes, std::size_t codeBytes, unsigned char* scales,
                   std::size_t scaleBytes) {
                 kernels.encode(bytes + first * typeSize(dtype), count, {packed}, frame.data(), &counts);
                 std::memcpy(scales, frame.data(), scaleBytes);
                 std::memcpy(codes, frame.data() + scaleBytes, codeBytes);
               });
}

void loadTensor(const Place& place, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format, void* values) {
  QCCL_CHECK(place.bytes == storedBytes(elems, format));
  if (format.codec == qcclCodecNone) {
    std::memcpy(values, place.codes, place.bytes.codes);
    return;
  }
  const quant::PackedFormat packed{format.codec, format.scale, format.blockElems};
  const quant::CodecKernels& kernels = kernelsFor(dtype, format);
  if (isInOnePiece(format)) {
    kernels.decode(place.codes, elems, packed, values);
    return;
  }
  FrameBuffer frame(quant::frameBytes(std::min(elems, quant::frameElems(format.blockElems)), packed));
  auto* bytes = static_cast<unsigned char*>(values);
  forEachFrame(elems, packed, place,
               [&](std::size_t first, std::size_t count, unsigned char* codes, std::size_t codeBytes, unsigned char* scales,
                   std::size_t scaleBytes) {
                 std::memcpy(frame.data(), scales, scaleBytes);
                 std::memcpy(frame.data() + scaleBytes, codes, codeBytes);
                 kernels.decode(frame.data(), count, packed, bytes + first * typeSize(dtype));
               });
}

}  // namespace qccl::memory
