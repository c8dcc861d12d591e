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

struct Values {
  float* data;
  std::int64_t elems;
};

// In the order of kSavedKinds, then the statistics.
std::array<Values, kSavedKinds.size() + 3> valuesOf(const LayerActivations& t, std::int64_t heads) {
  const auto of = [](const Matrix& m) { return Values{m.data, m.rows * m.cols}; };
  const std::int64_t rows = t.q.rows;
  return {of(t.xhat1),
          of(t.q),
          of(t.k),
          of(t.v),
          of(t.o),
          of(t.xhat2),
          of(t.gate),
          of(t.up),
          Values{t.rstd1, rows},
          Values{t.rstd2, rows},
          Values{t.lse, rows * heads}};
}

constexpr std::array<const char*, 3> kStatistics = {"rstd1", "rstd2", "lse"};

}  // namespace

PooledActivations::~PooledActivations() { release(); }

void PooledActivations::setPlan(const ActivationPlan& plan) {
  release();
  plan_ = plan;
}

void PooledActivations::release() {
  (void)qcclPoolDestroy(pool_);
  (void)qcclLedgerDestroy(ledger_);
  pool_ = nullptr;
  ledger_ = nullptr;
}

void PooledActivations::begin(const ModelConfig& config, std::int64_t rows) {
  heads_ = config.heads;
  if (pool_ == nullptr || rows > rows_ || static_cast<std::size_t>(config.layers) != layers_) {
    makePool(config, rows);
  } else {
    check(qcclPoolDiscard(pool_, kMicroBatch), "saved activations");
  }
}

void PooledActivations::makeLedger(const ModelConfig& config, std::int64_t rows) {
  release();
  heads_ = config.heads;
  check(qcclLedgerCreate(&ledger_), "saved activations");
  LayerActivations shape;
  const std::int64_t h = config.hidden, a = config.queryWidth(), k = config.kvWidth(), f = config.ffn;
  shape.xhat1 = shape.xhat2 = {nullptr, rows, h};
  shape.q = shape.o = {nullptr, rows, a};
  shape.k = shape.v = {nullptr, rows, k};
  shape.gate = shape.up = {nullptr, rows, f};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Tensor& tensor : tensorsOf(static_cast<std::size_t>(layer), shape)) {
      check(qcclLedgerAdd(ledger_, &tensor.saved), "saved activations");
    }
  }
}

void PooledActivations::makePool(const ModelConfig& config, std::int64_t rows) {
  makeLedger(config, rows);
  qcclPoolConfig_t pool = QCCL_POOL_CONFIG_INITIALIZER;
  pool.name = "activations";
  pool.ledger = ledger_;
  std::uint64_t bytes = 0;
  check(qcclPoolExplain(&pool, &bytes, qcclReportTable, nullptr), "saved activations");
  check(qcclPoolCreate(&pool_, &pool), "saved activations");
  bytes_ = bytes;
  rows_ = rows;
  layers_ = static_cast<std::size_t>(config.layers);
}

std::vector<PooledActivations::Tensor> PooledActivations::tensorsOf(std::size_t layer, const LayerActivations& values) const {
  std::vector<Tensor> tensors;
  const auto all = valuesOf(values, heads_);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool statistic = i >= kSavedKinds.size();
    if (statistic && i + 1 == all.size() && plan_.recomputesStatistics) continue;  // lse
    Tensor tensor{"layers." + std::to_string(layer) + '.' + (statistic ? kStatistics[i - kSavedKinds.size()] : kSavedKinds[i]), {}};
    tensor.saved.elems = static_cast<std::size_t>(all[i].elems);
    tensor.saved.format = statistic ? qcclPackedFormat_t{qcclCodecNone, qcclScaleFloat32, 0} : plan_.formatOf(layer, i);
    tensor.saved.dtype = qcclFloat32;
    tensors.push_back(std::move(tensor));
  }
  for (Tensor& tensor : tensors) tensor.saved.name = tensor.name.c_str();
  return tensors;
}

void PooledActivations::save(std::size_t layer, const LayerActivations& values) {
  const std::vector<Tensor> tensors = tensorsOf(layer, values);
  const auto all = valuesOf(values, heads_);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(qcclActivationSave(pool_, kMicroBatch, &tensors[i].saved, all[i].data, qcclFloat32, nullptr), "saved activations");
  }
}

void PooledActivations::restore(std::size_t layer, const LayerActivations& values) {
  const std::vector<Tensor> tensors = tensorsOf(layer, values);
  const auto all = valuesOf(values, heads_);
  for (std::size_t i = tensors.size(); i-- > 0;) {
    check(qcclActivationRestore(pool_, kMicroBatch, &tensors[i].saved, all[i].data, qcclFloat32, nullptr), "saved activations");
  }
}

std::string PooledActivations::report(const ModelConfig& config, std::int64_t rows, const ActivationPlan& plan) {
  PooledActivations planned(plan);
  planned.makeLedger(config, rows);
  const char* text = "";
  check(qcclLedgerGetReport(planned.ledger_, qcclReportTable, &text), "saved activations");
  return text;
}

}  // namespace qccl::train
