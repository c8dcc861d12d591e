// What `qccl-train train` can be told.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "model/config.hpp"
#include "parallel/gradient_reducer.hpp"

namespace qccl::train {

struct TrainOptions {
  // Where.
  std::string data;
  std::string out;
  std::string name;
  std::string log;
  bool resume = false;
  bool overwrite = false;

  // The model: a checkpoint to begin from, a config.json, or a shape.
  std::string init;
  std::string modelConfig;
  std::int64_t hidden = 256;
  std::int64_t layers = 4;
  std::int64_t heads = 4;
  std::int64_t kvHeads = 0;  // 0: as heads
  std::int64_t headDim = 0;  // 0: hidden / heads
  std::int64_t ffn = 0;      // 0: 8/3 of hidden, rounded up to a multiple of 32
  bool untied = false;
  double ropeTheta = 10000.0;
  double normEps = 1e-5;

  // How long, and how much at a time.
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  std::int64_t batch = 8;
  std::int64_t seq = 128;
  std::int64_t gradAccum = 1;

  // Optimizer.
  double lr = 1e-3;
  double minLr = 1e-4;
  std::int64_t warmup = 20;
  double weightDecay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double clip = 1.0;
  std::uint64_t seed = 0;

  // What is kept between forward and backward.
  std::string activations = "exact";
  std::uint64_t actBudgetBytes = 0;  // of plan auto
  std::int64_t actMeasureAt = 0;     // when it is solved for: steps done
  std::string actBefore = "exact";   // what is kept until then
  int actBlock = 128;
  std::string actScale = "bfloat16";

  // Ranks.
  int ranks = 0;     // 0: as many as the launcher started, else 1
  std::string comm;  // empty: none with one rank; with several the codec of the gradient store, exact if that is FP32
  int block = 256;
  std::string commScale = "float32";
  std::string commRounding = "nearest";
  bool errorFeedback = false;
  std::string gradStore = "fp32";
  std::string gradRounding = "nearest";
  std::uint64_t minBytes = std::uint64_t{16} << 10;
  double bucketMb = 4.0;
  std::int64_t checkEvery = 50;
  int threads = 0;  // 0: the processors of this host shared among its ranks

  // On the way.
  std::int64_t evalEvery = 100;
  std::int64_t evalBatches = 0;  // 0: all of val.bin
  std::int64_t saveEvery = 0;
  std::int64_t keep = 2;
  std::string saveGradients;  // steps, "10,100"; empty: none
  std::int64_t printEvery = 1;
};

// --model-config and the flags of a shape. Returns them.
std::vector<CLI::Option*> addShapeFlags(CLI::App& app, TrainOptions& options);

void addTrainFlags(CLI::App& app, TrainOptions& options);

// Throws TrainError for values that do not fit together.
void checkTrainOptions(const TrainOptions& options);

// How saved activations are kept, from the flags; with auto, as they are until the plan is solved for. Throws TrainError.
ActivationPlan activationPlanOf(const TrainOptions& options);

// How gradients travel and are kept, from the flags. Throw TrainError.
CommMode commModeOf(const TrainOptions& options, int worldSize);
StoreOptions storeOptionsOf(const TrainOptions& options, int rank);
ReducerOptions reducerOptionsOf(const TrainOptions& options, int worldSize);

// The model that the shape flags describe.
ModelConfig modelFromFlags(const TrainOptions& options, std::int64_t vocab);

// Optimizer steps of the run: --steps, or --tokens divided by the tokens of a step and rounded up.
std::int64_t totalSteps(const TrainOptions& options, int worldSize);

}  // namespace qccl::train
