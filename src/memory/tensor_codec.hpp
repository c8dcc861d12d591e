// Values into a pool's place for a saved tensor, and back. On host memory.
//
// The codes are those of the wire format: a tensor that is stored and one that is packed with the same format hold the same bits, only in
// two areas (saved_tensor.hpp) instead of one buffer. Rounding is to nearest.
#pragma once

#include "memory/pool.hpp"

namespace qccl::memory {

// Codec none keeps values as they are: dtype must be the format's exactType. The other codecs take float32, bfloat16 and float16. Throws
// Error(qcclInvalidArgument) beginning with `what` otherwise.
void requireStorable(const char* what, qcclDataType_t dtype, const TensorFormat& format);

// `values`: elems values of dtype, aligned to that, which must be storable. place.bytes must be storedBytes(elems, format).
void storeTensor(const void* values, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format, const Place& place);

// The other way, decoded and rounded once to dtype.
void loadTensor(const Place& place, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format, void* values);

}  // namespace qccl::memory
