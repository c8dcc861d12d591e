// extern "C": include/qccl/fused.h.
#include <qccl/fused.h>

#include <cstdint>

#include "api/activation_call.hpp"
#include "api/pool_guard.hpp"
#include "core/types.hpp"
#include "memory/fused.hpp"
#include "memory/fused_formulas.hpp"
#include "quant/wire_format.hpp"

namespace qccl::api {
namespace {

using memory::Place;

void requireFloats(const char* function, qcclDataType_t dtype) {
  if (isQuantizable(dtype)) return;
  const char* name = enumName(qcclEnumDataType, dtype);
  fail(qcclInvalidArgument, function, ": data type ", name != nullptr ? name : "unknown",
       " is not one of float32, bfloat16 and float16, which this operator computes with");
}

void requireMatrix(const char* function, std::size_t rows, std::size_t cols) {
  if (rows > 0 && rows <= INT32_MAX && cols > 0 && cols <= memory::kMaxCols) return;
  fail(qcclInvalidArgument, function, ": a matrix of ", rows, " rows and ", cols, " columns; there are 1 to ", INT32_MAX, " and 1 to ",
       memory::kMaxCols);
}

struct Norm {
  std::size_t rows, cols;
  Saved xhat, rstd;
};

Norm readNorm(const char* function, const qcclSavedTensor_t* xhat, const qcclSavedTensor_t* rstd, qcclDataType_t dtype) {
  requireFloats(function, dtype);
  const Saved savedXhat = readStorable(function, xhat, dtype), savedRstd = readStorable(function, rstd, qcclFloat32);
  if (savedRstd.format().codec != qcclCodecNone) {
    fail(qcclInvalidArgument, function, ": ", rstd->name, " is to be kept as ", formatName(savedRstd.format()),
         "; statistics are kept with codec none in float32");
  }
  if (xhat->elems % rstd->elems != 0) {
    fail(qcclInvalidArgument, function, ": ", xhat->name, " has ", xhat->elems, " elements, which are not ", rstd->elems, " rows, as ",
         rstd->name, " has elements");
  }
  requireMatrix(function, rstd->elems, xhat->elems / rstd->elems);
  return {rstd->elems, xhat->elems / rstd->elems, savedXhat, savedRstd};
}

struct Swiglu {
  Saved gate, up;
};

Swiglu readSwiglu(const char* function, const qcclSavedTensor_t* gate, const qcclSavedTensor_t* up, qcclDataType_t dtype) {
  requireFloats(function, dtype);
  const Saved savedGate = readStorable(function, gate, dtype), savedUp = readStorable(function, up, dtype);
  if (gate->elems != up->elems) {
    fail(qcclInvalidArgument, function, ": ", gate->name, " has ", gate->elems, " elements, ", up->name, " ", up->elems,
         "; gate and up have as many");
  }
  return {savedGate, savedUp};
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclRmsNormForward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* xhat, const qcclSavedTensor_t* rstd,
                                const void* x, const void* weight, float epsilon, void* output, qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclRmsNormForward";
    const Norm norm = readNorm(kFunction, xhat, rstd, dtype);
    requireBuffers(kFunction, instance, {{"x", x}, {"weight", weight}, {"output", output}});
    const Place xhatPlace = saveOne(instance, microBatch, norm.xhat, stream);
    const Place rstdPlace = saveOne(instance, microBatch, norm.rstd, stream);
    const qccl::memory::RmsNormForward call = {
        norm.rows, norm.cols, dtype, norm.xhat.format(), xhatPlace, static_cast<float*>(rstdPlace.codes), x, weight, epsilon, output};
    if (instance.onDevice) return rmsNormForwardOnDevice(queueOf(instance, stream), call);
    rmsNormForward(call);
  });
}

qcclResult_t qcclRmsNormScratchBytes(size_t rows, size_t cols, size_t* bytes) {
  return guard([&] {
    requireNonNull(bytes, "qcclRmsNormScratchBytes", "bytes");
    requireMatrix("qcclRmsNormScratchBytes", rows, cols);
    *bytes = qccl::memory::rmsNormScratchBytes(rows, cols);
  });
}

qcclResult_t qcclRmsNormBackward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* xhat, const qcclSavedTensor_t* rstd,
                                 const void* dOutput, const void* weight, void* dX, float* dWeight, void* output, void* scratch,
                                 qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclRmsNormBackward";
    const Norm norm = readNorm(kFunction, xhat, rstd, dtype);
    requireBuffers(kFunction, instance, {{"dOutput", dOutput}, {"weight", weight}, {"dX", dX}, {"dWeight", dWeight}, {"scratch", scratch}});
    if (output != nullptr) requireBuffers(kFunction, instance, {{"output", output}});
    if (reinterpret_cast<std::uintptr_t>(scratch) % qccl::quant::kSectionAlign != 0) {
      qccl::fail(qcclInvalidArgument, kFunction, ": scratch is not aligned to ", qccl::quant::kSectionAlign, " bytes");
    }
    const TwoPlaces places = restoreTwo(kFunction, instance, microBatch, norm.xhat, norm.rstd, stream);
    const qccl::memory::RmsNormBackward call = {norm.rows,    norm.cols,
                                                dtype,        norm.xhat.format(),
                                                places.first, static_cast<const float*>(places.last.codes),
                                                dOutput,      weight,
                                                dX,           dWeight,
                                                output,       static_cast<float*>(scratch)};
    if (instance.onDevice) return rmsNormBackwardOnDevice(queueOf(instance, stream), call);
    rmsNormBackward(call);
  });
}

qcclResult_t qcclSwigluForward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* gateTensor, const qcclSavedTensor_t* upTensor,
                               const void* gate, const void* up, void* product, qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclSwigluForward";
    const Swiglu tensors = readSwiglu(kFunction, gateTensor, upTensor, dtype);
    requireBuffers(kFunction, instance, {{"gate", gate}, {"up", up}, {"product", product}});
    const Place gatePlace = saveOne(instance, microBatch, tensors.gate, stream);
    const Place upPlace = saveOne(instance, microBatch, tensors.up, stream);
    const qccl::memory::SwigluForward call = {
        gateTensor->elems, dtype, tensors.gate.format(), tensors.up.format(), gatePlace, upPlace, gate, up, product};
    if (instance.onDevice) return swigluForwardOnDevice(queueOf(instance, stream), call);
    swigluForward(call);
  });
}

qcclResult_t qcclSwigluBackward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* gateTensor,
                                const qcclSavedTensor_t* upTensor, const void* dProduct, void* dGate, void* dUp, void* product,
                                qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclSwigluBackward";
    const Swiglu tensors = readSwiglu(kFunction, gateTensor, upTensor, dtype);
    requireBuffers(kFunction, instance, {{"dProduct", dProduct}, {"dGate", dGate}, {"dUp", dUp}});
    if (product != nullptr) requireBuffers(kFunction, instance, {{"product", product}});
    const TwoPlaces places = restoreTwo(kFunction, instance, microBatch, tensors.gate, tensors.up, stream);
    const qccl::memory::SwigluBackward call = {
        gateTensor->elems, dtype, tensors.gate.format(), tensors.up.format(), places.first, places.last, dProduct, dGate, dUp, product};
    if (instance.onDevice) return swigluBackwardOnDevice(queueOf(instance, stream), call);
    swigluBackward(call);
  });
}

}  // extern "C"
