// What callers say about saved tensors, checked.
#pragma once

#include <qccl/memory.h>

#include <string_view>

#include "memory/saved_tensor.hpp"

namespace qccl::api {

// Throw Error(qcclInvalidArgument) naming `function` and what is wrong.
memory::TensorFormat readTensorFormat(std::string_view function, const qcclPackedFormat_t& format, int dtype);
memory::TensorBytes readTensorBytes(const char* function, const qcclSavedTensor_t* tensor);
void requireReport(const char* function, qcclReport_t kind);

}  // namespace qccl::api
