#include "memory/saved_tensor.hpp"

#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/wire_format.hpp"

namespace qccl::memory {
namespace {

bool hasScales(qcclCodec_t codec) { return codec != qcclCodecNone && codec != qcclCodecBf16; }

}  // namespace

TensorFormat formatOfBits(int bits, std::size_t blockElems, qcclScale_t scale) {
  TensorFormat format;
  format.blockElems = blockElems;
  format.scale = scale;
  switch (bits) {
    case 4:
      format.codec = qcclCodecInt4;
      break;
    case 5:
      format.codec = qcclCodecInt5;
      break;
    case 6:
      format.codec = qcclCodecInt6;
      break;
    case 8:
      format.codec = qcclCodecInt8;
      break;
    case 16:
      format.codec = qcclCodecBf16;
      break;
    case 32:
      format.codec = qcclCodecNone;
      break;
    default:
      fail(qcclInvalidArgument, "no format keeps a value in ", bits, " bits; choose 4, 5, 6, 8, 16 or 32");
  }
  return format;
}

std::size_t bitsOf(const TensorFormat& format) {
  return format.codec == qcclCodecNone ? 8 * typeSize(format.exactType) : quant::codeBits(format.codec);
}

std::string formatName(const TensorFormat& format) {
  if (format.codec == qcclCodecNone) return enumName(qcclEnumDataType, format.exactType);
  std::string name = enumName(qcclEnumCodec, format.codec);
  if (hasScales(format.codec)) name += strCat("/", format.blockElems, "/", enumName(qcclEnumScale, format.scale));
  return name;
}

void checkFormat(std::string_view what, const TensorFormat& format) {
  if (enumName(qcclEnumCodec, format.codec) == nullptr) {
    fail(qcclInvalidArgument, what, ": codec ", static_cast<int>(format.codec), " is not one of ", enumNames(qcclEnumCodec));
  }
  if (format.codec == qcclCodecNone) {
    if (typeSize(format.exactType) == 0) {
      fail(qcclInvalidArgument, what, ": data type ", static_cast<int>(format.exactType), " is not one of ", enumNames(qcclEnumDataType));
    }
    return;
  }
  if (hasScales(format.codec) && enumName(qcclEnumScale, format.scale) == nullptr) {
    fail(qcclInvalidArgument, what, ": scale ", static_cast<int>(format.scale), " is not one of ", enumNames(qcclEnumScale));
  }
  if (!quant::isValidBlock(format.blockElems)) {
    fail(qcclInvalidArgument, what, ": blocks of ", format.blockElems, " elements; they must be a power of two from ",
         quant::kMinBlockElems, " to ", quant::kMaxBlockElems);
  }
}

TensorBytes storedBytes(std::size_t elems, const TensorFormat& format) {
  if (format.codec == qcclCodecNone) return {elems * typeSize(format.exactType), 0, {elems, format}};
  const quant::PackedFormat packed{format.codec, format.scale, format.blockElems};
  const std::size_t perFrame = quant::frameElems(format.blockElems);
  const std::size_t wholeFrames = elems / perFrame;
  const std::size_t rest = elems % perFrame;
  const std::size_t scales = wholeFrames * quant::frameScaleBytes(perFrame, packed) + quant::frameScaleBytes(rest, packed);
  return {quant::packedBytes(elems, packed) - scales, scales, {elems, format}};
}

std::string_view kindOf(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace qccl::memory
