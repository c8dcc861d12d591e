// One rank's training run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "activations/pooled_activations.hpp"
#include "activations/sensitivity.hpp"
#include "app/checkpoints.hpp"
#include "app/evaluation.hpp"
#include "app/gradient_capture.hpp"
#include "app/run_log.hpp"
#include "app/train_options.hpp"
#include "data/loader.hpp"
#include "data/tokenizer.hpp"
#include "model/error.hpp"
#include "optimizer/adamw.hpp"
#include "optimizer/schedule.hpp"
#include "parallel/gradient_reducer.hpp"
#include "parallel/group.hpp"

namespace qccl::train {

// The run has failed, and another rank says why: this one ends without a word.
class ReportedElsewhere : public TrainError {
 public:
  ReportedElsewhere() : TrainError("the run has failed; another rank says why") {}
};

struct TrainOutcome {
  std::int64_t step = 0;
  bool interrupted = false;
  double trainLoss = 0;  // of the last step
  double valLoss = 0;
  double wireBytesPerStep = 0;
  double waitShare = 0;
};

// All ranks construct it with the same options, and call run() once; the group must outlive it. Throws TrainError.
class TrainRun {
 public:
  TrainRun(const TrainOptions& options, Group& group, int threads);
  TrainOutcome run();

 private:
  struct StepResult;

  void openData();
  void makeModel();
  void agreeOnOptions();
  bool planIsDue() const;
  void planActivations();
  void usePlan(SolvedPlan solved);
  void logPlan();
  LogRecord planRecord() const;
  void readPlan(const nlohmann::json& state, const std::string& folder);
  void sharePlan();
  void prepareRunFolder();
  void shareStart();
  void loadOrInitialize();
  void shareState();
  void logConfig();
  StepResult step();
  void afterStep(const StepResult& result);
  void evaluateNow();
  double gradientNorm();
  void checkReplicas();
  void save();
  void readCheckpoint(const std::string& folder);
  bool isMain() const { return group_.rank() == 0; }
  // Collective. If `work` fails on any rank all ranks fail, the first of those it failed on with its own error and the others with
  // ReportedElsewhere.
  void together(const std::function<void()>& work);
  // All ranks know it: rank 0 says it.
  [[noreturn]] void failTogether(const std::string& sentence) const;

  const TrainOptions options_;
  Group& group_;
  CommMode mode_;
  Checkpoints checkpoints_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<TokenFile> trainFile_;
  std::unique_ptr<TokenFile> valFile_;
  std::unique_ptr<PooledActivations> keeper_;  // with --activations other than exact
  std::optional<SolvedPlan> solvedPlan_;       // with --activations auto, once it is solved for
  std::unique_ptr<Llama> model_;
  std::unique_ptr<AdamW> optimizer_;
  LoaderState startState_;  // of the loader, once restored
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<GradientStore> store_;
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<GradientCapture> capture_;
  std::unique_ptr<RunLog> log_;  // on rank 0
  ScheduleOptions schedule_;
  std::int64_t step_ = 0;  // optimizer steps done
  std::int64_t startStep_ = 0;
  std::int64_t savedStep_ = -1;
  std::int64_t evaluatedStep_ = -1;
  EvaluationResult evaluation_;
  // Of this process: for the summary and the time left.
  double stepSeconds_ = 0;
  double waitSeconds_ = 0;
  double wireBytes_ = 0;
  double smoothedSeconds_ = 0;
};

}  // namespace qccl::train
