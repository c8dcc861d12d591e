// Operators of a model whose saved tensors go straight into a pool's places, or come from there: on the host, one plain loop after
// another, and on a GPU in one pass. Both have the same bits (fused_formulas.hpp); codes are those of storeTensor for the same values.
#pragma once

#include <cstddef>

#include "memory/pool.hpp"
#include "quant/device_codec.hpp"

namespace qccl::memory {

// Value pointers need the alignment of dtype only; all of dtype (float32, bfloat16, float16) unless said otherwise. Saved tensors in a
// format that is storable from dtype. Places have their storedBytes.

// xhat = x * rstd, saved; output = xhat * weight, rounded once; rstd, saved in FP32, one a row: 1 / sqrt(mean of x^2 + epsilon).
struct RmsNormForward {
  std::size_t rows, cols;  // cols <= kMaxCols
  qcclDataType_t dtype;
  TensorFormat format;  // of xhat
  Place xhat;
  float* rstd;
  const void* x;       // rows, cols
  const void* weight;  // cols
  float epsilon;
  void* output;  // rows, cols; may be x
};

// g = dOutput * weight; dX = rstd * (g - xhat * mean of g xhat over the row); dWeight += sum of dOutput * xhat over the rows.
struct RmsNormBackward {
  std::size_t rows, cols;
  qcclDataType_t dtype;
  TensorFormat format;
  Place xhat;
  const float* rstd;
  const void* dOutput;
  const void* weight;
  void* dX;        // may be dOutput
  float* dWeight;  // cols
  void* output;    // xhat * weight again, or nullptr
  float* scratch;  // of rmsNormScratchBytes
};

std::size_t rmsNormScratchBytes(std::size_t rows, std::size_t cols);

// product = silu(gate) * up; gate and up saved.
struct SwigluForward {
  std::size_t elems;
  qcclDataType_t dtype;
  TensorFormat gateFormat, upFormat;
  Place gatePlace, upPlace;
  const void* gate;
  const void* up;
  void* product;  // may be gate or up
};

// With gate and up as they come from the pool, in FP32.
struct SwigluBackward {
  std::size_t elems;
  qcclDataType_t dtype;
  TensorFormat gateFormat, upFormat;
  Place gatePlace, upPlace;
  const void* dProduct;
  void* dGate;
  void* dUp;      // one of the two may be dProduct
  void* product;  // silu(gate) * up again, or nullptr
};

void rmsNormForward(const RmsNormForward& call);
void rmsNormBackward(const RmsNormBackward& call);
void swigluForward(const SwigluForward& call);
void swigluBackward(const SwigluBackward& call);

// The same on GPU memory, all of the queue's device, for those who do not know whether there is CUDA in the build: enqueued, to be captured
// in a CUDA graph as well. Without CUDA no memory is a GPU's, and nothing here is reached. Throw Error(qcclUnhandledCudaError).
using quant::DeviceQueue;
void storeTensorOnDevice(const DeviceQueue& queue, const void* values, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format,
                         const Place& place);
void loadTensorOnDevice(const DeviceQueue& queue, const Place& place, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format,
                        void* values);
void rmsNormForwardOnDevice(const DeviceQueue& queue, const RmsNormForward& call);
void rmsNormBackwardOnDevice(const DeviceQueue& queue, const RmsNormBackward& call);
void swigluForwardOnDevice(const DeviceQueue& queue, const SwigluForward& call);
void swigluBackwardOnDevice(const DeviceQueue& queue, const SwigluBackward& call);

}  // namespace qccl::memory
