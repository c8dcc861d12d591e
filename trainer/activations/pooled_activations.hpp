// Saved activations in a planned pool of qccl's, in the bits of a plan.
#pragma once

#include <qccl/activations.h>

#include <cstdint>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "model/activation_keeper.hpp"

namespace qccl::train {

class PooledActivations final : public ActivationKeeper {
 public:
  explicit PooledActivations(const ActivationPlan& plan) : plan_(plan) {}
  ~PooledActivations() override;
  PooledActivations(const PooledActivations&) = delete;
  PooledActivations& operator=(const PooledActivations&) = delete;

  // Makes the pool for so many rows, if none for as many is there. Throws TrainError if there is no memory for it.
  void begin(const ModelConfig& config, std::int64_t rows) override;
  void save(std::size_t layer, const LayerActivations& tensors) override;
  void restore(std::size_t layer, const LayerActivations& tensors) override;
  bool recomputesStatistics() const override { return plan_.recomputesStatistics; }
  std::size_t bytes() const override { return bytes_; }

  const ActivationPlan& plan() const { return plan_; }
  // Between a backward and the next forward.
  void setPlan(const ActivationPlan& plan);
  // What is kept of a micro-batch of so many tokens, by kind: elements, format and bytes, and the total. Takes no memory.
  static std::string report(const ModelConfig& config, std::int64_t rows, const ActivationPlan& plan);

 private:
  struct Tensor {
    std::string name;
    qcclSavedTensor_t saved;  // its name is the one above
  };

  void release();
  std::vector<Tensor> tensorsOf(std::size_t layer, const ModelConfig& config, std::int64_t rows) const;
  void layOut(const ModelConfig& config, std::int64_t rows);
  void makeLedger();
  void makePool();

  ActivationPlan plan_;
  qcclLedger_t ledger_ = nullptr;
  qcclPool_t pool_ = nullptr;
  std::vector<std::vector<Tensor>> tensors_;  // by layer, in the order of saving
  std::int64_t rows_ = 0;                     // of them
  std::int64_t poolRows_ = 0;                 // that the pool has room for
  std::size_t bytes_ = 0;
};

}  // namespace qccl::train
