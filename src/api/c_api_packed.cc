// extern "C": include/qccl/packed.h, what needs no communicator.
#include <qccl/packed.h>

#include <optional>

#include "api/collective_guard.hpp"
#include "api/packed_format.hpp"
#include "core/types.hpp"
#include "quant/device_codec.hpp"
#include "quant/noise.hpp"

namespace qccl::api {

quant::PackedFormat readFormat(const char* function, const qcclPackedFormat_t* format) {
  requireNonNull(format, function, "format");
  if (format->codec == qcclCodecNone || enumName(qcclEnumCodec, format->codec) == nullptr) {
    fail(qcclInvalidArgument, function, ": format->codec = ", format->codec,
         " is not a codec of packed buffers; start from QCCL_PACKED_FORMAT_INITIALIZER");
  }
  if (enumName(qcclEnumScale, format->scale) == nullptr) {
    fail(qcclInvalidArgument, function, ": format->scale = ", format->scale, " is not one of ", enumNames(qcclEnumScale));
  }
  if (format->blockElems <= 0 || !quant::isValidBlock(static_cast<std::size_t>(format->blockElems))) {
    fail(qcclInvalidArgument, function, ": format->blockElems = ", format->blockElems, " must be a power of two from ",
         quant::kMinBlockElems, " to ", quant::kMaxBlockElems);
  }
  return {static_cast<qcclCodec_t>(format->codec), static_cast<qcclScale_t>(format->scale), static_cast<std::size_t>(format->blockElems)};
}

void requirePacked(const char* function, const char* argument, const void* packed, std::size_t count) {
  if (count > 0) requireNonNull(packed, function, argument);
  if (reinterpret_cast<std::uintptr_t>(packed) % quant::kSectionAlign != 0) {
    fail(qcclInvalidArgument, function, ": ", argument, " is not aligned to ", quant::kSectionAlign, " bytes, as packed buffers must be");
  }
}

void requireCount(const char* function, std::size_t count) {
  if (count > (SIZE_MAX >> 4)) {
    fail(qcclInvalidArgument, function, ": a count of ", count, " elements does not fit into memory; was a negative number passed?");
  }
}

namespace {

// What a call works with, after its arguments are checked.
struct Checked {
  const quant::CodecKernels& onHost;
  std::optional<quant::DeviceQueue> queue;  // of a call on GPU memory
};

Checked check(const char* function, const void* packed, const void* values, const char* valuesName, std::size_t count, qcclDataType_t dtype,
              const quant::PackedFormat& format, qcclStream_t stream) {
  const device::PointerInfo place = placeOf(valuesName, values, "packed", packed, stream);
  requireCount(function, count);
  requirePacked(function, "packed", packed, count);
  if (count > 0) requireNonNull(values, function, valuesName);
  const quant::CodecKernels* kernels = quant::codecKernels(format.codec, dtype);
  if (kernels == nullptr) {
    const char* name = enumName(qcclEnumDataType, dtype);
    fail(qcclInvalidArgument, function, ": data type ", name != nullptr ? name : "unknown",
         " is not quantized, only float32, bfloat16 and float16 are");
  }
  if (place.kind == device::PointerKind::host) return {*kernels, std::nullopt};
  return {*kernels, quant::DeviceQueue{place.device, static_cast<device::StreamHandle>(stream)}};
}

quant::EncodeOptions encodeOptions(const char* function, const quant::PackedFormat& format, const qcclPackedRounding_t* rounding) {
  quant::EncodeOptions options;
  options.format = format;
  if (rounding == nullptr) return options;
  if (enumName(qcclEnumRounding, rounding->rounding) == nullptr) {
    fail(qcclInvalidArgument, function, ": rounding->rounding = ", rounding->rounding, " is not one of ", enumNames(qcclEnumRounding));
  }
  options.stochastic = rounding->rounding == qcclRoundStochastic;
  options.noiseKey = quant::noiseKey(rounding->seed, rounding->call, 0, 0);
  options.firstElemIndex = rounding->firstElem;
  return options;
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclPackedBytes(size_t count, const qcclPackedFormat_t* format, size_t* bytes) {
  return guard([&] {
    requireNonNull(bytes, "qcclPackedBytes", "bytes");
    const qccl::quant::PackedFormat checked = readFormat("qcclPackedBytes", format);
    requireCount("qcclPackedBytes", count);
    *bytes = qccl::quant::packedBytes(count, checked);
  });
}

qcclResult_t qcclQuantize(const void* src, void* packed, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                          const qcclPackedRounding_t* rounding, qcclStream_t stream) {
  return guard([&] {
    const qccl::quant::PackedFormat layout = readFormat("qcclQuantize", format);
    const Checked checked = check("qcclQuantize", packed, src, "src", count, dtype, layout, stream);
    const qccl::quant::EncodeOptions options = encodeOptions("qcclQuantize", layout, rounding);
    if (checked.queue) return qccl::quant::encodeOnDevice(*checked.queue, dtype, src, count, options, packed);
    qccl::quant::EncodeCounts counts;
    checked.onHost.encode(src, count, options, packed, &counts);
  });
}

qcclResult_t qcclDequantize(const void* packed, void* dst, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                            qcclStream_t stream) {
  return guard([&] {
    const qccl::quant::PackedFormat layout = readFormat("qcclDequantize", format);
    const Checked checked = check("qcclDequantize", packed, dst, "dst", count, dtype, layout, stream);
    if (checked.queue) return qccl::quant::decodeOnDevice(*checked.queue, dtype, packed, count, layout, dst);
    checked.onHost.decode(packed, count, layout, dst);
  });
}

qcclResult_t qcclAccumulate(void* packed, const void* src, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                            const qcclPackedRounding_t* rounding, qcclStream_t stream) {
  return guard([&] {
    const qccl::quant::PackedFormat layout = readFormat("qcclAccumulate", format);
    const Checked checked = check("qcclAccumulate", packed, src, "src", count, dtype, layout, stream);
    const qccl::quant::EncodeOptions options = encodeOptions("qcclAccumulate", layout, rounding);
    if (checked.queue) return qccl::quant::addEncodeOnDevice(*checked.queue, dtype, packed, src, count, options);
    qccl::quant::EncodeCounts counts;
    checked.onHost.addEncode(packed, src, count, options, packed, &counts);
  });
}

}  // extern "C"
