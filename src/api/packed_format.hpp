// What callers say about packed buffers, checked.
#pragma once

#include <qccl/packed.h>

#include "quant/kernels.hpp"

namespace qccl::api {

// The checked format. Throws Error(qcclInvalidArgument) naming `function` and the field that is wrong.
quant::PackedFormat readFormat(const char* function, const qcclPackedFormat_t* format);

// Throws Error(qcclInvalidArgument) unless `packed` is aligned as packed buffers must be; NULL is allowed when count is 0.
void requirePacked(const char* function, const char* argument, const void* packed, std::size_t count);

// What is said of every count of values that must fit into memory.
void requireCount(const char* function, std::size_t count);

}  // namespace qccl::api
