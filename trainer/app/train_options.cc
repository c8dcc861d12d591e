#include "app/train_options.hpp"

#include <algorithm>

#include "app/flag_bounds.hpp"
#include "app/gradient_capture.hpp"
#include "model/error.hpp"
#include "parallel/comm_mode.hpp"

namespace qccl::train {
namespace {

// The value of an option that takes the library's names; TrainError with all of them for another.
int valueOf(qcclEnum_t kind, const char* flag, const std::string& name, int count) {
  const int value = qcclEnumValue(kind, name.c_str());
  if (value >= 0) return value;
  std::string names;
  for (int i = 0; i < count; ++i) names += (i == 0 ? "" : i + 1 == count ? " or " : ", ") + std::string(qcclEnumName(kind, i));
  failTrain(flag, " ", name, " is not known; give ", names);
}

}  // namespace

std::vector<CLI::Option*> addShapeFlags(CLI::App& app, TrainOptions& o) {
  const auto model = "Model";
  std::vector<CLI::Option*> all = {app.add_option("--model-config", o.modelConfig, "Shape from a Hugging Face config.json")->group(model)};
  const auto shape = [&](CLI::Option* option) { all.push_back(option->excludes(all.front())->capture_default_str()->group(model)); };
  shape(app.add_option("--hidden", o.hidden, "Width of the model"));
  shape(app.add_option("--layers", o.layers, "Layers"));
  shape(app.add_option("--heads", o.heads, "Attention heads"));
  shape(app.add_option("--kv-heads", o.kvHeads, "Key/value heads; 0: as heads"));
  shape(app.add_option("--head-dim", o.headDim, "Width of a head; 0: hidden / heads"));
  shape(app.add_option("--ffn", o.ffn, "Width of the gated MLP; 0: 8/3 of hidden, rounded up to a multiple of 32"));
  shape(app.add_flag("--untied", o.untied, "Give the output head a table of its own"));
  shape(app.add_option("--rope-theta", o.ropeTheta, "Base of the rotary frequencies"));
  shape(app.add_option("--norm-eps", o.normEps, "Epsilon of the norms"));
  return all;
}

void addTrainFlags(CLI::App& app, TrainOptions& o) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const auto where = "Run";
  app.add_option("--data", o.data, "Folder made by `qccl-train prepare`")->required()->group(where);
  app.add_option("--out", o.out, "Folder of the run: checkpoints and log")->required()->group(where);
  app.add_option("--name", o.name, "Name of the run in logs and plots (default: the last part of --out)")->group(where);
  app.add_option("--log", o.log, "JSON-lines log (default: log.jsonl in --out)")->group(where);
  auto* resume = app.add_flag("--resume", o.resume, "Continue from the latest complete checkpoint in --out; begin anew if there is none")
                     ->group(where);
  app.add_flag("--overwrite", o.overwrite, "Remove the checkpoints and the log of an earlier run in --out first")
      ->excludes(resume)
      ->group(where);

  auto* init = app.add_option("--init", o.init, "Begin from this checkpoint (config.json and model.safetensors)")->group("Model");
  for (CLI::Option* option : addShapeFlags(app, o)) option->excludes(init);

  const auto amount = "Amount";
  auto* steps = app.add_option("--steps", o.steps, "Optimizer steps")->check(oneOrMore())->group(amount);
  app.add_option("--tokens", o.tokens, "Tokens to train on, instead of --steps")->check(oneOrMore())->excludes(steps)->group(amount);
  app.add_option("--batch", o.batch, "Sequences of one micro-batch of one rank")->check(oneOrMore())->capture_default_str()->group(amount);
  app.add_option("--seq", o.seq, "Tokens of a sequence")->check(oneOrMore())->capture_default_str()->group(amount);
  app.add_option("--grad-accum", o.gradAccum, "Micro-batches of a step")->check(oneOrMore())->capture_default_str()->group(amount);

  const auto optimizer = "Optimizer (AdamW)";
  app.add_option("--lr", o.lr, "Highest learning rate")->check(aboveZero())->capture_default_str()->group(optimizer);
  app.add_option("--min-lr", o.minLr, "Learning rate at the end of the cosine")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(optimizer);
  app.add_option("--warmup", o.warmup, "Steps of linear warm-up")->check(zeroOrMore())->capture_default_str()->group(optimizer);
  app.add_option("--weight-decay", o.weightDecay, "Of matrices")->check(zeroOrMore())->capture_default_str()->group(optimizer);
  app.add_option("--beta1", o.beta1, "Decay of the first moment")->capture_default_str()->group(optimizer);
  app.add_option("--beta2", o.beta2, "Decay of the second moment")->capture_default_str()->group(optimizer);
  app.add_option("--clip", o.clip, "Largest norm of the gradient; 0: no clipping")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(optimizer);
  app.add_option("--seed", o.seed, "Of the initial weights and the order of the data")->capture_default_str()->group(optimizer);

  const auto activations = "Saved activations";
  app.add_option(
         "--activations", o.activations,
         "How what backward needs is kept: exact (FP32, where it is), bf16, agoq (attention bf16, the rest 4 bits), mixed (attention 8 "
         "bits, the rest 4), int4, int5, int6, int8, fp4, fp8, by kind such as q=8,k=8,rest=fp4, or auto: the plan of least error within "
         "--act-budget, measured on this model and data")
      ->capture_default_str()
      ->group(activations);
  app.add_option("--act-budget", o.actBudgetBytes, "Plan auto: bytes for codes and scales of a micro-batch (6GiB)")
      ->transform(CLI::AsSizeValue(false))
      ->group(activations);
  app.add_option("--act-measure-at", o.actMeasureAt, "Plan auto: measure and solve after so many steps")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(activations);
  app.add_option("--act-before", o.actBefore, "Plan auto: the plan until then, such as exact or mixed")
      ->capture_default_str()
      ->group(activations);
  app.add_option("--act-block", o.actBlock, "Values that share a scale: a power of two from 32 to 4096")
      ->capture_default_str()
      ->group(activations);
  app.add_option("--act-scale", o.actScale, "Scales: float32, bfloat16 or e8m0")->capture_default_str()->group(activations);

  const auto ranks = "Ranks and communication";
  app.add_option("--ranks", o.ranks,
                 "Start so many ranks on this machine (default: the ranks that mpirun, srun or torchrun started, else 1)")
      ->check(oneOrMore())
      ->group(ranks);
  app.add_option("--comm", o.comm,
                 "How gradients travel: none, exact[-ALGO] or CODEC[-ALGO] with CODEC " + codecNames() + " and ALGO " + algorithmNames() +
                     " (default: as --grad-store keeps them; none with one rank)")
      ->group(ranks);
  app.add_option("--comm-scale", o.commScale, "Scales of a codec: float32, bfloat16 or e8m0")->capture_default_str()->group(ranks);
  app.add_option("--comm-rounding", o.commRounding, "Rounding where gradients travel in a codec: nearest or stochastic")
      ->capture_default_str()
      ->group(ranks);
  app.add_flag("--error-feedback", o.errorFeedback, "Keep what quantization cut off and add it to the next step's gradients")->group(ranks);
  app.add_option("--grad-store", o.gradStore, "Format in which gradients are added up and kept until the optimizer: fp32 or a CODEC")
      ->capture_default_str()
      ->group(ranks);
  app.add_option("--grad-rounding", o.gradRounding, "Rounding where micro-batches are added to a packed store: nearest or stochastic")
      ->capture_default_str()
      ->group(ranks);
  app.add_option("--block", o.block, "Gradients that share a scale: a power of two from 32 to 4096")->capture_default_str()->group(ranks);
  app.add_option("--min-bytes", o.minBytes, "Smaller buckets travel exactly")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str()
      ->group(ranks);
  app.add_option("--bucket-mb", o.bucketMb, "Gradients that travel together, in MiB at most (less in small models)")
      ->check(aboveZero())
      ->capture_default_str()
      ->group(ranks);
  app.add_option("--check-every", o.checkEvery,
                 "Steps between proofs that all ranks hold the same weights, bit for bit; 0: only at the end")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(ranks);
  app.add_option("--threads", o.threads, "Threads of each rank's matrix products; 0: this host's processors shared among its ranks")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(ranks);

  const auto way = "On the way";
  app.add_option("--eval-every", o.evalEvery, "Steps between measurements of the validation loss; 0: only at the end")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(way);
  app.add_option("--eval-batches", o.evalBatches, "Batches of a measurement; 0: all validation text")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(way);
  app.add_option("--save-every", o.saveEvery, "Steps between checkpoints; 0: only at the end")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(way);
  app.add_option("--save-gradients", o.saveGradients,
                 "Steps (10,100,300) at which each rank writes its own gradient, not yet averaged, to the folder gradients in --out")
      ->group(way);
  app.add_option("--keep", o.keep, "Checkpoints to keep")->check(oneOrMore())->capture_default_str()->group(way);
  app.add_option("--print-every", o.printEvery, "Steps between progress lines; 0: none")
      ->check(zeroOrMore())
      ->capture_default_str()
      ->group(way);
}

void checkTrainOptions(const TrainOptions& o) {
  if (o.steps == 0 && o.tokens == 0) failTrain("say how long to train: --steps or --tokens");
  parseCaptureSteps(o.saveGradients);
  const ReducerOptions reducer = reducerOptionsOf(o, std::max(1, o.ranks));
  const StoreOptions store = storeOptionsOf(o, 0);
  requireFitting(reducer.mode, store.format);
  if (store.format && !o.saveGradients.empty())
    failTrain("--save-gradients writes gradients in FP32 and needs --grad-store fp32, not ", o.gradStore);
  if (o.errorFeedback && (store.format || reducer.mode.codec == qcclCodecNone)) {
    failTrain(
        "--error-feedback is for gradients that lie in FP32 and travel in a codec: give --grad-store fp32 and, for example, --comm int4");
  }
  if (o.minLr > o.lr) failTrain("--min-lr ", o.minLr, " is above --lr ", o.lr);
  if (!o.comm.empty() && parseCommMode(o.comm).name == "none" && o.ranks > 1) {
    failTrain("--comm none is for one rank; ", o.ranks, " ranks that do not exchange gradients would train ", o.ranks, " different models");
  }
  if (o.block < 32 || o.block > 4096 || (o.block & (o.block - 1)) != 0)
    failTrain("--block ", o.block, " is not a power of two from 32 to 4096");
  activationPlanOf(o);
  if (o.activations == "auto" && o.actBudgetBytes == 0) failTrain("--activations auto needs --act-budget: how many bytes may be kept");
  if (o.activations != "auto" && o.actBudgetBytes > 0) failTrain("--act-budget is for --activations auto, not ", o.activations);
  if (o.activations != "auto" && (o.actMeasureAt > 0 || o.actBefore != "exact"))
    failTrain("--act-measure-at and --act-before are for --activations auto, not ", o.activations);
  if (o.actBefore != "exact" && o.actMeasureAt == 0)
    failTrain("--act-before ", o.actBefore, " has no steps: give --act-measure-at, after how many steps the plan is solved for");
}

ActivationPlan activationPlanOf(const TrainOptions& o) {
  const ActivationPlan exact =
      parseActivationPlan("exact", o.actBlock, o.actScale);  // first, so that flags of all plans are not blamed on one
  if (o.activations != "auto") return parseActivationPlan(o.activations, o.actBlock, o.actScale);
  if (o.actBefore == exact.name) return exact;
  try {
    return parseActivationPlan(o.actBefore, o.actBlock, o.actScale);
  } catch (const TrainError& error) {
    failTrain("--act-before ", o.actBefore, ", the plan before that of --activations auto: ", error.what());
  }
}

CommMode commModeOf(const TrainOptions& o, int worldSize) {
  if (!o.comm.empty()) return parseCommMode(o.comm);
  if (worldSize == 1) return parseCommMode("none");
  return parseCommMode(o.gradStore == "fp32" ? "exact" : o.gradStore);
}

StoreOptions storeOptionsOf(const TrainOptions& o, int rank) {
  StoreOptions store;
  const auto scale = static_cast<qcclScale_t>(valueOf(qcclEnumScale, "--comm-scale", o.commScale, qcclNumScales));
  store.format = parseGradientStore(o.gradStore, scale, o.block);
  store.rounding = static_cast<qcclRounding_t>(valueOf(qcclEnumRounding, "--grad-rounding", o.gradRounding, qcclNumRoundings));
  // Apart from those of other ranks, whatever the seed.
  store.seed = o.seed + static_cast<std::uint64_t>(rank) * 0x9E3779B97F4A7C15u;
  store.bucketBytes = static_cast<std::size_t>(o.bucketMb * 1048576.0);
  return store;
}

ReducerOptions reducerOptionsOf(const TrainOptions& o, int worldSize) {
  ReducerOptions reducer;
  reducer.mode = commModeOf(o, worldSize);
  reducer.blockElems = o.block;
  reducer.minBytes = o.minBytes;
  reducer.scale = valueOf(qcclEnumScale, "--comm-scale", o.commScale, qcclNumScales);
  reducer.rounding = valueOf(qcclEnumRounding, "--comm-rounding", o.commRounding, qcclNumRoundings);
  reducer.errorFeedback = o.errorFeedback;
  reducer.seed = o.seed;
  return reducer;
}

ModelConfig modelFromFlags(const TrainOptions& o, std::int64_t vocab) {
  ModelConfig config;
  config.vocab = vocab;
  config.hidden = o.hidden;
  config.layers = o.layers;
  config.heads = o.heads;
  config.kvHeads = o.kvHeads > 0 ? o.kvHeads : o.heads;
  if (o.headDim == 0 && (o.heads <= 0 || o.hidden % o.heads != 0)) {
    failTrain("--hidden ", o.hidden, " is not a multiple of --heads ", o.heads, "; choose others or give --head-dim");
  }
  config.headDim = o.headDim > 0 ? o.headDim : o.hidden / o.heads;
  config.ffn = o.ffn > 0 ? o.ffn : ((o.hidden * 8 / 3 + 31) / 32) * 32;
  config.maxSeq = o.seq;
  config.ropeTheta = o.ropeTheta;
  config.normEps = o.normEps;
  config.tied = !o.untied;
  return config;
}

std::int64_t totalSteps(const TrainOptions& o, int worldSize) {
  if (o.steps > 0) return o.steps;
  const std::int64_t stepTokens = o.batch * o.seq * o.gradAccum * worldSize;
  return (o.tokens + stepTokens - 1) / stepTokens;
}

}  // namespace qccl::train
