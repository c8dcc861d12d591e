// The oracle: plain scalar loops over codec.hpp and wire_format.hpp, one element at a time, against which every kernel is compared bit for
// bit. Never used for work.
#pragma once

#include <qccl/qccl.h>

#include "quant/kernels.hpp"

namespace qccl::quant {

// As the functions of CodecKernels, for any quantizable dtype.
void referenceEncode(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                     EncodeCounts* counts);
void referenceDecode(qcclDataType_t dtype, const void* packed, std::size_t elems, std::size_t blockElems, void* out);
void referenceDecodeAdd(const void* packed, std::size_t elems, std::size_t blockElems, float* sum);

// Element `i` of an array of dtype, as FP32; and its inverse.
float loadElem(qcclDataType_t dtype, const void* x, std::size_t i);
void storeElem(qcclDataType_t dtype, void* x, std::size_t i, float value);

}  // namespace qccl::quant
