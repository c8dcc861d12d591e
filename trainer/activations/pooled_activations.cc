#include "activations/pooled_activations.hpp"

#include <array>

#include "model/error.hpp"

namespace qccl::train {
namespace {

void check(qcclResult_t result, const char* what) {
  if (result != qcclSuccess) failTrain(what, ": ", qcclGetLastError(nullptr));
}

// Only one micro-batch is between its forward and its backward.
constexpr std::uint64_t kMicroBatch = 0;

// In the order of kSavedKinds, then the statistics.
std::array<float*, kSavedKinds.size() + 3> valuesOf(const LayerActivations& t) {
  return {t.xhat1.data, t.q.data, t.k.data, t.v.data, t.o.data, t.xhat2.data, t.gate.data, t.up.data, t.rstd1, t.rstd2, t.lse};
}

}  // namespace

PooledActivations::~PooledActivations() { release(); }

void PooledActivations::setPlan(const ActivationPlan& plan) {
  release();
  tensors_.clear();
  plan_ = plan;
}

void PooledActivations::release() {
  (void)qcclPoolDestroy(pool_);
  (void)qcclLedgerDestroy(ledger_);
  pool_ = nullptr;
  ledger_ = nullptr;
}

void PooledActivations::begin(const ModelConfig& config, std::int64_t rows) {
  const bool sameModel = tensors_.size() == static_cast<std::size_t>(config.layers);
  if (!sameModel || rows != rows_) layOut(config, rows);
  if (pool_ == nullptr || !sameModel || rows > poolRows_) {
    makePool();
  } else {
    check(qcclPoolDiscard(pool_, kMicroBatch), "saved activations");
  }
}

void PooledActivations::layOut(const ModelConfig& config, std::int64_t rows) {
  tensors_.clear();
  for (std::size_t layer = 0; layer < static_cast<std::size_t>(config.layers); ++layer) {
    tensors_.push_back(tensorsOf(layer, config, rows));
  }
  rows_ = rows;
}

std::vector<PooledActivations::Tensor> PooledActivations::tensorsOf(std::size_t layer, const ModelConfig& config, std::int64_t rows) const {
  std::vector<Tensor> tensors;
  const auto add = [&](const char* kind, std::int64_t width, const qcclPackedFormat_t& format) {
    tensors.push_back(
        {"layers." + std::to_string(layer) + '.' + kind, {nullptr, static_cast<std::size_t>(rows * width), format, qcclFloat32}});
  };
  for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind)
    add(kSavedKinds[kind], savedWidth(kind, config), plan_.formatOf(layer, kind));
  constexpr qcclPackedFormat_t kExact = {qcclCodecNone, qcclScaleFloat32, 0};
  add("rstd1", 1, kExact);
  add("rstd2", 1, kExact);
  if (!plan_.recomputesStatistics) add("lse", config.heads, kExact);
  for (Tensor& tensor : tensors) tensor.saved.name = tensor.name.c_str();
  return tensors;
}

void PooledActivations::makeLedger() {
  release();
  check(qcclLedgerCreate(&ledger_), "saved activations");
  for (const std::vector<Tensor>& layer : tensors_) {
    for (const Tensor& tensor : layer) check(qcclLedgerAdd(ledger_, &tensor.saved), "saved activations");
  }
}

void PooledActivations::makePool() {
  makeLedger();
  qcclPoolConfig_t pool = QCCL_POOL_CONFIG_INITIALIZER;
  pool.name = "activations";
  pool.ledger = ledger_;
  std::uint64_t bytes = 0;
  check(qcclPoolExplain(&pool, &bytes, qcclReportTable, nullptr), "saved activations");
  check(qcclPoolCreate(&pool_, &pool), "saved activations");
  bytes_ = bytes;
  poolRows_ = rows_;
}

void PooledActivations::save(std::size_t layer, const LayerActivations& values) {
  const std::vector<Tensor>& tensors = tensors_[layer];
  const auto all = valuesOf(values);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(qcclActivationSave(pool_, kMicroBatch, &tensors[i].saved, all[i], qcclFloat32, nullptr), "saved activations");
  }
}

void PooledActivations::restore(std::size_t layer, const LayerActivations& values) {
  const std::vector<Tensor>& tensors = tensors_[layer];
  const auto all = valuesOf(values);
  for (std::size_t i = tensors.size(); i-- > 0;) {
    check(qcclActivationRestore(pool_, kMicroBatch, &tensors[i].saved, all[i], qcclFloat32, nullptr), "saved activations");
  }
}

std::string PooledActivations::report(const ModelConfig& config, std::int64_t rows, const ActivationPlan& plan) {
  PooledActivations planned(plan);
  planned.layOut(config, rows);
  planned.makeLedger();
  const char* text = "";
  check(qcclLedgerGetReport(planned.ledger_, qcclReportTable, &text), "saved activations");
  return text;
}

}  // namespace qccl::train
