// The oracle: plain scalar loops over codes.hpp, block_scale.hpp and wire_format.hpp, one element at a time, against which every
// kernel is compared bit for bit. Never used for work.
#pragma once

#include <qccl/qccl.h>

#include "quant/kernels.hpp"

namespace qccl::quant {

// As the functions of CodecKernels, for any quantizable dtype and any codec but none.
void referenceEncode(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                     EncodeCounts* counts);
void referenceDecode(qcclDataType_t dtype, const void* packed, std::size_t elems, const PackedFormat& format, void* out);
void referenceDecodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum);
void referenceAddEncode(qcclDataType_t dtype, const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options,
                        void* packed, EncodeCounts* counts);
void referenceEncodeFeedback(qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options, void* residual,
                             void* packed, EncodeCounts* counts);

// Element `i` of an array of dtype, as FP32; and its inverse.
float loadElem(qcclDataType_t dtype, const void* x, std::size_t i);
void storeElem(qcclDataType_t dtype, void* x, std::size_t i, float value);

// The code of value `i` of a packed buffer, as codes.hpp holds it in a byte (two bytes with bf16); and the stored scale of its block.
std::uint16_t codeAt(const void* packed, std::size_t elems, const PackedFormat& format, std::size_t i);
std::uint32_t scaleAt(const void* packed, std::size_t elems, const PackedFormat& format, std::size_t i);

}  // namespace qccl::quant
