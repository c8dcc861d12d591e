#include "api/saved_tensor.hpp"

#include "api/guard.hpp"

namespace qccl::api {

memory::TensorFormat readTensorFormat(std::string_view function, const qcclPackedFormat_t& format, int dtype) {
  memory::TensorFormat checked;
  checked.codec = static_cast<qcclCodec_t>(format.codec);
  if (checked.codec == qcclCodecNone) {
    checked.exactType = static_cast<qcclDataType_t>(dtype);
  } else if (checked.codec != qcclCodecBf16) {  // which has no scales: whatever is said about them
    checked.scale = static_cast<qcclScale_t>(format.scale);
    checked.blockElems = format.blockElems < 0 ? 0 : static_cast<std::size_t>(format.blockElems);
  }
  memory::checkFormat(function, checked);
  return checked;
}

memory::TensorBytes readTensorBytes(const char* function, const qcclSavedTensor_t* tensor) {
  requireNonNull(tensor, function, "tensor");
  if (tensor->elems == 0 || tensor->elems > memory::kMaxElems) {
    fail(qcclInvalidArgument, function, ": a tensor has 1 to ", memory::kMaxElems, " elements, not ", tensor->elems);
  }
  return memory::storedBytes(tensor->elems, readTensorFormat(function, tensor->format, tensor->dtype));
}

void requireReport(const char* function, qcclReport_t kind) {
  if (kind != qcclReportTable && kind != qcclReportJson) {
    fail(qcclInvalidArgument, function, ": report ", static_cast<int>(kind), " is unknown; see qcclReport_t");
  }
}

}  // namespace qccl::api
