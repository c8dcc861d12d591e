// The operators that a LLaMA needs, apart from what computes them. model/cpu/ implements them over BLAS; an implementation for another
// device stands beside it and nothing above this file changes.
//
// Conventions. Matrices are row-major with no gap between rows; a row is a token (batch * seqLen of them, sequence after sequence). Outputs
// that are added to say so ("+="); all others are overwritten. Inputs and outputs do not overlap unless said. Pointers are in the
// implementation's memory (allocate). Calls take effect in the order in which they are made. The result is a function of the arguments
// alone: the same bits in every run on the same machine. An Ops object may be used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace qccl::train {

struct ConstMatrix {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  ConstMatrix rowRange(std::int64_t first, std::int64_t count) const { return {data + first * cols, count, cols}; }
};

struct Matrix {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  operator ConstMatrix() const { return {data, rows, cols}; }
  Matrix rowRange(std::int64_t first, std::int64_t count) const { return {data + first * cols, count, cols}; }
};

enum class Write { kReplace, kAdd };

// Causal attention of queryLen queries over keyLen keys in each of `batch` sequences; the last query sees all keys, query i sees the first
// keyLen - queryLen + i + 1. Query head h reads K/V head h / (heads / kvHeads).
struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t queryLen = 0;
  std::int64_t keyLen = 0;
  std::int64_t heads = 0;
  std::int64_t kvHeads = 0;
  std::int64_t headDim = 0;

  std::int64_t queryRows() const { return batch * queryLen; }
  std::int64_t keyRows() const { return batch * keyLen; }
};

// cos and sin of position * frequency: maxSeq rows of headDim / 2, in the implementation's memory.
struct RopeTable {
  const float* cosine = nullptr;
  const float* sine = nullptr;
  std::int64_t maxSeq = 0;
  std::int64_t halfDim = 0;
};

struct LossSum {
  double total = 0;        // of -log p(target)
  std::int64_t count = 0;  // rows whose target counts
};

// Targets with this value (or any other below zero) do not count.
inline constexpr std::int32_t kIgnoredTarget = -100;

class Ops {
 public:
  virtual ~Ops() = default;

  // ---- memory: 64-byte aligned and zeroed; release takes what allocate gave, or nullptr
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  virtual void toHost(void* host, const void* memory, std::size_t bytes) = 0;
  virtual void fromHost(void* memory, const void* host, std::size_t bytes) = 0;
  virtual void zero(void* memory, std::size_t bytes) = 0;
  // Zeroes a part of an allocation that will not be used for a while: what the system can have of it meanwhile it gets.
  virtual void discard(void* memory, std::size_t bytes) = 0;
  // Bytes of a part of an allocation that occupy memory: what was never written or has been discarded need not.
  virtual std::size_t residentBytes(const void* memory, std::size_t bytes) = 0;

  // ---- embedding: out[r] = table[tokens[r]]; backward: dTable[tokens[r]] += dOut[r], in the order of r
  virtual void embeddingForward(const std::int32_t* tokens, ConstMatrix table, Matrix out) = 0;
  virtual void embeddingBackward(const std::int32_t* tokens, ConstMatrix dOut, Matrix dTable) = 0;

  // ---- RMSNorm: rstd = 1 / sqrt(mean(x^2) + eps), xhat = x * rstd, y = xhat * weight. xhat and rstd are all that backward needs.
  virtual void rmsNormForward(ConstMatrix x, const float* weight, float eps, Matrix xhat, float* rstd, Matrix y) = 0;
  // y = xhat * weight again
  virtual void rmsNormScale(ConstMatrix xhat, const float* weight, Matrix y) = 0;
  // dx += rstd * (g - xhat * mean(g * xhat)) with g = dy * weight; dWeight += sum over rows of dy * xhat
  virtual void rmsNormBackward(ConstMatrix dy, ConstMatrix xhat, const float* rstd, const float* weight, Matrix dx, float* dWeight) = 0;

  // ---- linear without bias; w is (outputs, inputs)
  virtual void linearForward(ConstMatrix x, ConstMatrix w, Matrix y, Write write) = 0;          // y  (+)= x * w^T
  virtual void linearBackwardInput(ConstMatrix dy, ConstMatrix w, Matrix dx, Write write) = 0;  // dx (+)= dy * w
  virtual void linearBackwardWeight(ConstMatrix dy, ConstMatrix x, Matrix dw) = 0;              // dw  += dy^T * x

  // ---- rotary embedding in place, halves rotated against each other: for each head (a, b) -> (a cos - b sin, b cos + a sin). Row r stands
  // at position firstPosition + r % seqLen. Backward turns the other way.
  virtual void ropeForward(Matrix x, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) = 0;
  virtual void ropeBackward(Matrix dx, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) = 0;

  // ---- attention: o = softmax(q k^T / sqrt(headDim)) v; lse (queryRows * heads, row-major) = log of the softmax denominator, scores
  // scaled
  virtual void attentionForward(const AttentionShape& shape, ConstMatrix q, ConstMatrix k, ConstMatrix v, Matrix o, float* lse) = 0;
  virtual void attentionBackward(const AttentionShape& shape, ConstMatrix q, ConstMatrix k, ConstMatrix v, ConstMatrix o, const float* lse,
                                 ConstMatrix dO, Matrix dq, Matrix dk, Matrix dv) = 0;

  // ---- SwiGLU: out = gate * sigmoid(gate) * up. In backward dGate may be gate and dUp may be up.
  virtual void swigluForward(ConstMatrix gate, ConstMatrix up, Matrix out) = 0;
  virtual void swigluBackward(ConstMatrix gate, ConstMatrix up, ConstMatrix dOut, Matrix dGate, Matrix dUp) = 0;

  // ---- cross entropy over rows of logits; lse[r] = log(sum(exp(logits[r]))). A target is in [0, cols) or negative (does not count).
  virtual LossSum crossEntropyForward(ConstMatrix logits, const std::int32_t* targets, float* lse) = 0;
  // In place: logits[r] = scale * (exp(logits[r] - lse[r]) - onehot(targets[r])), zero where the target does not count.
  virtual void crossEntropyBackward(Matrix logits, const std::int32_t* targets, const float* lse, float scale) = 0;

  // ---- y += x
  virtual void add(ConstMatrix x, Matrix y) = 0;
};

// Owns `elems` values of an Ops' memory. The Ops must outlive it.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Ops& ops, std::size_t elems) : ops_(&ops), data_(static_cast<T*>(ops.allocate(elems * sizeof(T)))), elems_(elems) {}
  Buffer(Buffer&& other) noexcept
      : ops_(std::exchange(other.ops_, nullptr)), data_(std::exchange(other.data_, nullptr)), elems_(std::exchange(other.elems_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      free();
      ops_ = std::exchange(other.ops_, nullptr);
      data_ = std::exchange(other.data_, nullptr);
      elems_ = std::exchange(other.elems_, 0);
    }
    return *this;
  }
  ~Buffer() { free(); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t elems() const { return elems_; }

 private:
  void free() noexcept {
    if (ops_ != nullptr) ops_->release(data_);
  }

  Ops* ops_ = nullptr;
  T* data_ = nullptr;
  std::size_t elems_ = 0;
};

}  // namespace qccl::train
