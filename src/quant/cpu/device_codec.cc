// A build without CUDA: no pointer is one to GPU memory, so nothing here is reached.
#include "quant/device_codec.hpp"

#include "core/error.hpp"

namespace qccl::quant {
namespace {

[[noreturn]] void failWithoutCuda() { fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA"); }

}  // namespace

void encodeOnDevice(const DeviceQueue&, qcclDataType_t, const void*, std::size_t, const EncodeOptions&, void*) { failWithoutCuda(); }

void decodeOnDevice(const DeviceQueue&, qcclDataType_t, const void*, std::size_t, const PackedFormat&, void*) { failWithoutCuda(); }

void addEncodeOnDevice(const DeviceQueue&, qcclDataType_t, void*, const void*, std::size_t, const EncodeOptions&) { failWithoutCuda(); }

}  // namespace qccl::quant
