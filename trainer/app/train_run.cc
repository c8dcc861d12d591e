#include "app/train_run.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "app/progress.hpp"
#include "app/stop_request.hpp"
#include "io/atomic_file.hpp"
#include "io/checkpoint.hpp"
#include "optimizer/clip.hpp"
#include "parallel/replica_check.hpp"

namespace qccl::train {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

struct TrainRun::StepResult {
  double loss = 0;
  double gradNorm = 0;
  double learningRate = 0;
  double seconds = 0;
  double waitSeconds = 0;  // mean over ranks
  double wireBytes = 0;    // mean over ranks
  bool stop = false;       // some rank was asked to stop
};

void TrainRun::together(const std::function<void()>& work) {
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  // The lower the rank, the larger the number.
  const auto mine = static_cast<std::uint64_t>(group_.size() - group_.rank());
  std::uint64_t loudest[1] = {failure != nullptr ? mine : 0};
  group_.max(loudest);
  if (loudest[0] == 0) return;
  if (loudest[0] == mine) std::rethrow_exception(failure);
  throw ReportedElsewhere();
}

void TrainRun::failTogether(const std::string& sentence) const {
  if (!isMain()) throw ReportedElsewhere();
  throw TrainError(sentence);
}

void TrainRun::save() {
  if (savedStep_ == step_) return;
  together([this] {
    if (!isMain()) return;
    const Checkpoint saved = checkpoints_.save(step_, options_.keep, [this](const std::string& folder) {
      saveModel(folder, model_->config(), model_->parameters());
      saveOptimizer(folder, model_->parameters(), *optimizer_);
      tokenizer_->save(folder + "/tokenizer.json");
      LogRecord state = {{"step", step_},       {"samples", loader_->state().samples},        {"seed", options_.seed},
                         {"seq", options_.seq}, {"train_crc32", trainFile_->info().checksum}, {"ranks", group_.size()}};
      if (solvedPlan_) state["activations"] = planRecord();
      writeFileAtomically(folder + "/trainer.json", state.dump(2) + "\n");
    });
    std::printf("saved      %s\n", saved.folder.c_str());
  });
  savedStep_ = step_;
}

TrainRun::StepResult TrainRun::step() {
  const Clock::time_point start = Clock::now();
  StepResult result;
  const bool capture = capture_->wants(step_ + 1);
  const auto micros = static_cast<std::size_t>(options_.gradAccum);
  const float scale = 1.0f / static_cast<float>(micros);
  double loss = 0;
  Batch batch;
  for (std::size_t micro = 0; micro < micros; ++micro) {
    loader_->microBatch(micro, batch);
    loss += static_cast<double>(model_->forward(batch.inputs, batch.targets, options_.batch, options_.seq)) / static_cast<double>(micros);
    store_->begin(static_cast<std::uint64_t>(step_) * micros + micro, micro == 0);
    const bool last = micro + 1 == micros;
    if (last) reducer_->begin();
    model_->backward(scale, [&](const Parameter& parameter) {
      if (last && capture) capture_->take(parameter);
      store_->ready(parameter);
      if (last) reducer_->ready(parameter);
    });
  }
  const ReduceReport report = reducer_->finish();
  if (capture) together([&] { capture_->write(step_ + 1, group_.rank(), group_.size()); });

  double sums[4] = {loss, report.waitSeconds, static_cast<double>(report.wireBytes), stopRequested() != 0 ? 1.0 : 0.0};
  group_.sum(sums);
  const double ranks = group_.size();
  result.loss = sums[0] / ranks;
  result.waitSeconds = sums[1] / ranks;
  result.wireBytes = sums[2] / ranks;
  result.stop = sums[3] > 0;
  result.gradNorm = gradientNorm();
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradNorm)) {
    std::ostringstream sentence;
    sentence << "step " << step_ + 1 << ": the loss is " << result.loss << " and the gradient norm " << result.gradNorm
             << "; the run stops before the weights are spoilt. Take a lower --lr or a longer --warmup";
    if (savedStep_ >= 0) sentence << "; the latest checkpoint is of step " << savedStep_;
    if (isMain()) log_->append({{"kind", "done"}, {"step", step_}, {"reason", "not finite"}});
    failTogether(sentence.str());
  }
  result.learningRate = learningRate(schedule_, step_);
  optimizer_->beginStep(result.learningRate, clipFactor(result.gradNorm, options_.clip));
  store_->visit([this](const Parameter& parameter) { optimizer_->update(model_->parameters(), parameter); });
  loader_->advance(micros);
  ++step_;
  result.seconds = secondsSince(start);
  return result;
}

double TrainRun::gradientNorm() {
  double squares = 0;
  store_->visit([&](const Parameter& parameter) { squares += gradientSquares(model_->parameters(), parameter); });
  return std::sqrt(squares);
}

void TrainRun::afterStep(const StepResult& result) {
  stepSeconds_ += result.seconds;
  waitSeconds_ += result.waitSeconds;
  wireBytes_ += result.wireBytes;
  smoothedSeconds_ = smoothedSeconds_ == 0 ? result.seconds : 0.9 * smoothedSeconds_ + 0.1 * result.seconds;
  if (!isMain()) return;
  const double tokens = static_cast<double>(options_.batch * options_.seq * options_.gradAccum * group_.size());
  const StepFigures figures{step_,
                            schedule_.totalSteps,
                            result.loss,
                            result.gradNorm,
                            result.learningRate,
                            result.seconds,
                            tokens / result.seconds,
                            result.wireBytes,
                            result.waitSeconds / result.seconds,
                            smoothedSeconds_ * static_cast<double>(schedule_.totalSteps - step_)};
  log_->append({{"kind", "step"},
                {"step", step_},
                {"loss", result.loss},
                {"grad_norm", result.gradNorm},
                {"lr", result.learningRate},
                {"ms", result.seconds * 1e3},
                {"tokens", static_cast<std::int64_t>(tokens) * step_},
                {"tokens_per_s", figures.tokensPerSecond},
                {"wire_bytes", result.wireBytes},
                {"wait_ms", result.waitSeconds * 1e3},
                {"wait_share", figures.waitShare}});
  if (options_.printEvery > 0 && (step_ % options_.printEvery == 0 || step_ == schedule_.totalSteps)) {
    std::printf("%s\n", progressLine(figures, group_.comm() != nullptr).c_str());
    std::fflush(stdout);
  }
}

void TrainRun::evaluateNow() {
  if (evaluatedStep_ == step_) return;
  const Clock::time_point start = Clock::now();
  evaluation_ = evaluate(*model_, *valFile_, {options_.batch, options_.seq, options_.evalBatches}, group_);
  evaluatedStep_ = step_;
  if (!isMain()) return;
  log_->append({{"kind", "eval"},
                {"step", step_},
                {"val_loss", evaluation_.loss},
                {"bits_per_byte", evaluation_.bitsPerByte},
                {"tokens", evaluation_.tokens},
                {"ms", secondsSince(start) * 1e3}});
  std::printf("validation %lld | loss %.4f | %.4f bits a byte | %s tokens\n", static_cast<long long>(step_), evaluation_.loss,
              evaluation_.bitsPerByte, formatCount(static_cast<double>(evaluation_.tokens)).c_str());
  std::fflush(stdout);
}

void TrainRun::checkReplicas() {
  if (!replicasAgree(group_, model_->parameters().values())) {
    failTogether("after step " + std::to_string(step_) +
                 " the ranks do not hold the same weights, bit for bit; are their machines of one kind, or is memory faulty? Resume from "
                 "the latest checkpoint");
  }
}

TrainOutcome TrainRun::run() {
  catchStopSignals();
  logConfig();
  if (solvedPlan_) logPlan();
  TrainOutcome outcome;
  while (step_ < schedule_.totalSteps && !outcome.interrupted) {
    if (planIsDue()) {
      together([this] { planActivations(); });
      logPlan();
    }
    const StepResult result = step();
    afterStep(result);
    outcome.trainLoss = result.loss;
    outcome.interrupted = result.stop;
    if (options_.checkEvery > 0 && step_ % options_.checkEvery == 0) checkReplicas();
    if (!result.stop && options_.evalEvery > 0 && step_ % options_.evalEvery == 0) evaluateNow();
    if (options_.saveEvery > 0 && step_ % options_.saveEvery == 0) save();
  }
  checkReplicas();
  if (!outcome.interrupted) evaluateNow();
  save();

  const auto stepsHere = static_cast<double>(step_ - startStep_);
  outcome.step = step_;
  outcome.valLoss = evaluatedStep_ >= 0 ? evaluation_.loss : std::nan("");
  outcome.wireBytesPerStep = stepsHere > 0 ? wireBytes_ / stepsHere : 0;
  outcome.waitShare = stepSeconds_ > 0 ? waitSeconds_ / stepSeconds_ : 0;
  if (isMain()) {
    const double tokens = static_cast<double>(options_.batch * options_.seq * options_.gradAccum * group_.size()) * stepsHere;
    const double tokensPerSecond = stepSeconds_ > 0 ? tokens / stepSeconds_ : 0;
    log_->append({{"kind", "done"},
                  {"step", step_},
                  {"reason", outcome.interrupted ? "interrupted" : "complete"},
                  {"val_loss", outcome.valLoss},
                  {"seconds", stepSeconds_},
                  {"tokens_per_s", tokensPerSecond},
                  {"wire_bytes_per_step", outcome.wireBytesPerStep},
                  {"wait_share", outcome.waitShare},
                  {"gradient_bytes", store_->peakBytes()},
                  {"activation_bytes", model_->activationBytes()},
                  {"saved_bytes", keeper_ == nullptr ? 0 : keeper_->bytes()}});
    std::printf("%s  step %lld of %lld after %s | %s tok/s | wire %.3f MB a step | wait %.1f %% | gradients %.3f MB\n",
                outcome.interrupted ? "interrupted" : "done      ", static_cast<long long>(step_),
                static_cast<long long>(schedule_.totalSteps), formatSeconds(stepSeconds_).c_str(), formatCount(tokensPerSecond).c_str(),
                outcome.wireBytesPerStep / 1e6, outcome.waitShare * 100, static_cast<double>(store_->peakBytes()) / 1e6);
    std::fflush(stdout);
  }
  return outcome;
}

}  // namespace qccl::train
