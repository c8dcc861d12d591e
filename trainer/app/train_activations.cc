// Plan `auto` in a run: solved for once, at the step that was asked for, and part of every checkpoint after that, so that a resumed run
// keeps what it began with.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "app/checkpoint_model.hpp"
#include "app/train_run.hpp"

namespace qccl::train {
namespace {

ActivationPlan exactLike(const TrainOptions& o) { return parseActivationPlan("exact", o.actBlock, o.actScale); }

// What a plan was solved for: with other flags it has to be solved for again.
LogRecord planQuestion(const TrainOptions& o) {
  return {{"budget", o.actBudgetBytes},
          {"block", o.actBlock},
          {"scale", o.actScale},
          {"tokens", o.batch * o.seq},
          {"measure_at", o.actMeasureAt}};
}

SolvedPlan solvedFrom(std::vector<KindBits> byLayer, std::uint64_t bytes, double squaredError, const TrainOptions& o) {
  SolvedPlan solved{exactLike(o), bytes, squaredError};
  solved.plan.name = "auto";
  solved.plan.byLayer = std::move(byLayer);
  solved.plan.recomputesStatistics = losesBitsOfQOrK(solved.plan);
  return solved;
}

bool isPlanned(int bits) { return std::find(std::begin(kPlannedBits), std::end(kPlannedBits), bits) != std::end(kPlannedBits); }

}  // namespace

bool TrainRun::planIsDue() const { return options_.activations == "auto" && !solvedPlan_ && step_ >= options_.actMeasureAt; }

// On every rank, with the same weights and the same batch, and so with the same plan.
void TrainRun::planActivations() {
  const TokenBatch batch = firstWindows(*trainFile_, options_.batch, options_.seq);
  const ActivationPlan like = exactLike(options_);
  GradientProbe probe(model_->parameters(), model_->config(), *ops_, batch);
  const auto sensitivities = measureSensitivities(probe, options_.batch * options_.seq, like);
  usePlan(solvePlan(sensitivities, model_->config(), options_.actBudgetBytes, like));
}

void TrainRun::usePlan(SolvedPlan solved) {
  solvedPlan_ = std::move(solved);
  keeper_->setPlan(solvedPlan_->plan);
}

void TrainRun::logPlan() {
  if (!isMain()) return;
  log_->append({{"kind", "activations"},
                {"step", step_},
                {"bits", solvedPlan_->plan.byLayer},
                {"bytes", solvedPlan_->bytes},
                {"predicted_error", std::sqrt(solvedPlan_->predictedError)}});
  std::printf("%s", planTable(*solvedPlan_).c_str());
  std::fflush(stdout);
}

LogRecord TrainRun::planRecord() const {
  return {{"for", planQuestion(options_)},
          {"bits", solvedPlan_->plan.byLayer},
          {"bytes", solvedPlan_->bytes},
          {"squared_error", solvedPlan_->predictedError}};
}

void TrainRun::readPlan(const nlohmann::json& state, const std::string& folder) {
  if (options_.activations != "auto" || !state.contains("activations")) return;
  const auto& record = state["activations"];
  try {
    if (record.at("for") != nlohmann::json(planQuestion(options_))) return;
    const auto byLayer = record.at("bits").get<std::vector<KindBits>>();
    bool known = byLayer.size() == static_cast<std::size_t>(model_->config().layers);
    for (const KindBits& layer : byLayer) known = known && std::all_of(layer.begin(), layer.end(), isPlanned);
    if (!known) failTrain(folder, "/trainer.json: \"activations\" has not a plan of 4, 5, 6, 8 or 16 bits for every layer of the model");
    usePlan(solvedFrom(byLayer, record.at("bytes"), record.at("squared_error"), options_));
  } catch (const nlohmann::json::exception& error) {
    failTrain(folder, "/trainer.json: \"activations\" is not what a run writes: ", error.what());
  }
}

// Rank 0's, if it read one.
void TrainRun::sharePlan() {
  if (options_.activations != "auto") return;
  const auto layers = static_cast<std::size_t>(model_->config().layers);
  std::vector<std::uint64_t> numbers(3 + layers * kSavedKinds.size());
  if (isMain() && solvedPlan_) {
    numbers[0] = 1;
    numbers[1] = solvedPlan_->bytes;
    numbers[2] = std::bit_cast<std::uint64_t>(solvedPlan_->predictedError);
    for (std::size_t i = 0; i < layers * kSavedKinds.size(); ++i)
      numbers[3 + i] = static_cast<std::uint64_t>(solvedPlan_->plan.byLayer[i / kSavedKinds.size()][i % kSavedKinds.size()]);
  }
  group_.broadcast(numbers);
  if (isMain() || numbers[0] == 0) return;
  std::vector<KindBits> byLayer(layers);
  for (std::size_t i = 0; i < layers * kSavedKinds.size(); ++i)
    byLayer[i / kSavedKinds.size()][i % kSavedKinds.size()] = static_cast<int>(numbers[3 + i]);
  usePlan(solvedFrom(std::move(byLayer), numbers[1], std::bit_cast<double>(numbers[2]), options_));
}

}  // namespace qccl::train
