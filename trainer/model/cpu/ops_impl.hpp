// The class behind makeCpuOps; each operator's members are in a file of their own.
#pragma once

#include <vector>

#include "model/cpu/cpu_ops.hpp"
#include "model/cpu/simd/kernels.hpp"

namespace qccl::train {

class CpuOps final : public Ops {
 public:
  explicit CpuOps(const CpuOpsOptions& options);

  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void toHost(void* host, const void* memory, std::size_t bytes) override;
  void fromHost(void* memory, const void* host, std::size_t bytes) override;
  void zero(void* memory, std::size_t bytes) override;
  void discard(void* memory, std::size_t bytes) override;
  std::size_t residentBytes(const void* memory, std::size_t bytes) override;

  void embeddingForward(const std::int32_t* tokens, ConstMatrix table, Matrix out) override;
  void embeddingBackward(const std::int32_t* tokens, ConstMatrix dOut, Matrix dTable) override;
  void rmsNormForward(ConstMatrix x, const float* weight, float eps, Matrix xhat, float* rstd, Matrix y) override;
  void rmsNormScale(ConstMatrix xhat, const float* weight, Matrix y) override;
  void rmsNormBackward(ConstMatrix dy, ConstMatrix xhat, const float* rstd, const float* weight, Matrix dx, float* dWeight) override;
  void linearForward(ConstMatrix x, ConstMatrix w, Matrix y, Write write) override;
  void linearBackwardInput(ConstMatrix dy, ConstMatrix w, Matrix dx, Write write) override;
  void linearBackwardWeight(ConstMatrix dy, ConstMatrix x, Matrix dw) override;
  void ropeForward(Matrix x, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) override;
  void ropeBackward(Matrix dx, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) override;
  void attentionForward(const AttentionShape& shape, ConstMatrix q, ConstMatrix k, ConstMatrix v, Matrix o, float* lse) override;
  void attentionBackward(const AttentionShape& shape, ConstMatrix q, ConstMatrix k, ConstMatrix v, ConstMatrix o, const float* lse,
                         ConstMatrix dO, Matrix dq, Matrix dk, Matrix dv) override;
  void swigluForward(ConstMatrix gate, ConstMatrix up, Matrix out) override;
  void swigluBackward(ConstMatrix gate, ConstMatrix up, ConstMatrix dOut, Matrix dGate, Matrix dUp) override;
  LossSum crossEntropyForward(ConstMatrix logits, const std::int32_t* targets, float* lse) override;
  void crossEntropyBackward(Matrix logits, const std::int32_t* targets, const float* lse, float scale) override;
  void add(ConstMatrix x, Matrix y) override;

 private:
  // At least `elems` values that live until the next call; only grows.
  float* workspace(std::size_t elems);

  const simd::Kernels& kernels_;
  Buffer<float> workspace_;
};

// A shape that does not fit is a defect in the caller: TrainError naming the operator.
void requireShape(bool fits, const char* operation);

}  // namespace qccl::train
