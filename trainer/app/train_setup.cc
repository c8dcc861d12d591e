// How a run begins: data, model, agreement among the ranks, the run's folder, and the weights that it starts from.
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/checkpoint_model.hpp"
#include "app/progress.hpp"
#include "app/train_run.hpp"
#include "data/hashing.hpp"
#include "io/checkpoint.hpp"
#include "model/cpu/cpu_ops.hpp"

namespace qccl::train {

namespace {

std::string readText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) failTrain("cannot read ", path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string runName(const TrainOptions& options) {
  if (!options.name.empty()) return options.name;
  const std::filesystem::path out = std::filesystem::absolute(options.out).lexically_normal();
  return (out.has_filename() ? out : out.parent_path()).filename().string();  // "runs/a/" is called a
}

std::string logPath(const TrainOptions& options) { return options.log.empty() ? options.out + "/log.jsonl" : options.log; }

LogRecord modelRecord(const ModelConfig& model, std::int64_t parameters) {
  return {{"parameters", parameters},  {"vocab", model.vocab},      {"hidden", model.hidden},
          {"ffn", model.ffn},          {"layers", model.layers},    {"heads", model.heads},
          {"kv_heads", model.kvHeads}, {"head_dim", model.headDim}, {"tied", model.tied}};
}

}  // namespace

TrainRun::TrainRun(const TrainOptions& options, Group& group, int threads)
    : options_(options), group_(group), checkpoints_(options.out), ops_(makeCpuOps({threads})) {
  mode_ = commModeOf(options_, group_.size());
  together([this] {
    openData();
    makeModel();
  });
  agreeOnOptions();
  together([this] {
    if (!isMain()) return;
    prepareRunFolder();
    loadOrInitialize();
  });
  shareStart();
}

void TrainRun::openData() {
  trainFile_ = std::make_unique<TokenFile>(options_.data + "/train.bin");
  valFile_ = std::make_unique<TokenFile>(options_.data + "/val.bin");
  tokenizer_ = std::make_unique<Tokenizer>(Tokenizer::load(options_.data + "/tokenizer.json"));
  for (const TokenFile* file : {trainFile_.get(), valFile_.get()}) {
    if (file->info().tokenizerFingerprint != tokenizer_->fingerprint()) {
      failTrain(file->path(), " was made with another tokenizer than ", options_.data, "/tokenizer.json; prepare the data again");
    }
  }
}

void TrainRun::makeModel() {
  if (windowCount(*valFile_, static_cast<std::size_t>(options_.seq)) == 0) {
    failTrain(valFile_->path(), " has ", valFile_->info().tokens, " tokens, too few for one sequence of ", options_.seq,
              "; prepare the data with a larger --val-fraction or take a smaller --seq");
  }
  const auto vocab = static_cast<std::int64_t>(tokenizer_->vocabSize());
  ModelConfig config;
  if (!options_.init.empty()) {
    config = loadConfig(options_.init);
  } else if (!options_.modelConfig.empty()) {
    config = ModelConfig::load(options_.modelConfig);
  } else {
    config = modelFromFlags(options_, vocab);
  }
  if (config.vocab < vocab)
    failTrain("the model has ", config.vocab, " tokens and the data's tokenizer ", vocab, "; they do not belong together");
  if (options_.seq > config.maxSeq) failTrain("--seq ", options_.seq, " is longer than the model's ", config.maxSeq, " positions");
  config.bosToken = config.eosToken = tokenizer_->endOfText();
  config.validate();
  const ActivationPlan plan = activationPlanOf(options_);
  if (!plan.isExact() || options_.activations == "auto") keeper_ = std::make_unique<PooledActivations>(plan);
  if (options_.activations == "auto") requireBudget(config, options_.batch * options_.seq, options_.actBudgetBytes, plan);
  LlamaOptions modelOptions;
  modelOptions.keeper = keeper_.get();
  model_ = std::make_unique<Llama>(config, *ops_, modelOptions);
  optimizer_ = std::make_unique<AdamW>(model_->parameters(), AdamWOptions{options_.beta1, options_.beta2, 1e-8, options_.weightDecay});
  schedule_.peak = options_.lr;
  schedule_.finalFraction = options_.minLr / options_.lr;
  schedule_.warmupSteps = options_.warmup;
  schedule_.totalSteps = totalSteps(options_, group_.size());
  schedule_.validate();
  if (options_.actMeasureAt >= schedule_.totalSteps && options_.activations == "auto") {
    failTrain("--act-measure-at ", options_.actMeasureAt, " is not within the ", schedule_.totalSteps,
              " steps of the run; measure earlier, or give --activations ", options_.actBefore, " instead of auto");
  }
  store_ = std::make_unique<GradientStore>(model_->parameters(), storeOptionsOf(options_, group_.rank()));
  reducer_ = std::make_unique<GradientReducer>(group_, *store_, reducerOptionsOf(options_, group_.size()));
  capture_ = std::make_unique<GradientCapture>(options_.saveGradients, options_.out + "/gradients", model_->parameters());
}

// Ranks that were started with different flags or data would train nonsense, or wait for one another.
void TrainRun::agreeOnOptions() {
  std::ostringstream text;
  text.precision(17);
  const TrainOptions& o = options_;
  text << model_->config().toJson() << ' ' << trainFile_->info().checksum << ' ' << valFile_->info().checksum << ' ' << schedule_.totalSteps
       << ' ' << o.batch << ' ' << o.seq << ' ' << o.gradAccum << ' ' << o.lr << ' ' << o.minLr << ' ' << o.warmup << ' ' << o.weightDecay
       << ' ' << o.beta1 << ' ' << o.beta2 << ' ' << o.clip << ' ' << o.seed << ' ' << mode_.name << ' ' << o.commScale << ' '
       << o.commRounding << ' ' << o.errorFeedback << ' ' << o.gradStore << ' ' << o.gradRounding << ' ' << o.block << ' ' << o.minBytes
       << ' ' << o.bucketMb << ' ' << o.checkEvery << ' ' << o.evalEvery << ' ' << o.evalBatches << ' ' << o.saveEvery << ' ' << o.resume
       << ' ' << o.saveGradients << ' ' << o.activations << ' ' << o.actBudgetBytes << ' ' << o.actBlock << ' ' << o.actScale << ' '
       << o.actMeasureAt << ' ' << o.actBefore;
  const std::uint64_t hash = hashBytes(text.str(), 0);
  std::uint64_t extremes[2] = {hash, ~hash};
  group_.max(extremes);
  if (extremes[0] != ~extremes[1])
    failTogether("the ranks were started with different flags or different data; start all with the same command");
}

void TrainRun::prepareRunFolder() {
  std::error_code error;
  std::filesystem::create_directories(options_.out, error);
  if (error) failTrain("cannot make the folder ", options_.out, ": ", error.message());
  const std::string log = logPath(options_);
  if (options_.overwrite) {
    checkpoints_.removeAll();
    std::filesystem::remove(log, error);
  } else if (!options_.resume && (checkpoints_.latest().has_value() || std::filesystem::exists(log))) {
    failTrain(options_.out, " holds a run already; continue it with --resume, remove it with --overwrite, or give another --out");
  }
  log_ = std::make_unique<RunLog>(log);
}

// On rank 0; the others get it over the wire.
void TrainRun::loadOrInitialize() {
  startState_ = {options_.seed, 0};
  const auto latest = options_.resume ? checkpoints_.latest() : std::nullopt;
  if (latest) {
    readCheckpoint(latest->folder);
    savedStep_ = step_;
    std::printf("resume     from %s\n", latest->folder.c_str());
  } else if (!options_.init.empty()) {
    loadModel(options_.init, model_->parameters());
  } else {
    InitOptions init;
    init.scaleResidual = true;
    model_->parameters().initialize(options_.seed, init);
  }
}

void TrainRun::shareStart() {
  std::uint64_t numbers[4] = {static_cast<std::uint64_t>(step_), startState_.samples, static_cast<std::uint64_t>(optimizer_->steps()),
                              static_cast<std::uint64_t>(savedStep_ + 1)};
  group_.broadcast(numbers);
  step_ = startStep_ = static_cast<std::int64_t>(numbers[0]);
  startState_ = {options_.seed, numbers[1]};
  optimizer_->setSteps(static_cast<std::int64_t>(numbers[2]));
  savedStep_ = static_cast<std::int64_t>(numbers[3]) - 1;
  shareState();
  loader_ = std::make_unique<Loader>(*trainFile_, static_cast<std::size_t>(options_.seq), static_cast<std::size_t>(options_.batch),
                                     group_.rank(), group_.size(), startState_);
}

void TrainRun::shareState() {
  group_.broadcast(model_->parameters().values());
  sharePlan();
  if (optimizer_->steps() == 0) return;  // both moments are zero everywhere
  group_.broadcast(optimizer_->firstMoment());
  group_.broadcast(optimizer_->secondMoment());
}

void TrainRun::readCheckpoint(const std::string& folder) {
  if (!(loadConfig(folder) == model_->config())) {
    failTrain("the checkpoint ", folder, " holds a model of another shape than the flags describe; resume with the flags of its run");
  }
  const auto state = nlohmann::json::parse(readText(folder + "/trainer.json"), nullptr, false);
  const auto number = [&](const char* key) {
    if (!state.is_object() || !state.contains(key) || !state[key].is_number_integer())
      failTrain(folder, "/trainer.json has no number \"", key, "\"");
    return state[key].get<std::int64_t>();
  };
  const auto mustBe = [&](const char* key, std::int64_t value, const char* what) {
    if (number(key) != value)
      failTrain("the checkpoint ", folder, " was made with ", what, " ", number(key), ", now it is ", value, "; it cannot be continued so");
  };
  mustBe("train_crc32", trainFile_->info().checksum, "training data of checksum");
  mustBe("seq", options_.seq, "--seq");
  mustBe("seed", static_cast<std::int64_t>(options_.seed), "--seed");
  loadModel(folder, model_->parameters());
  loadOptimizer(folder, model_->parameters(), *optimizer_);
  step_ = number("step");
  startState_.samples = static_cast<std::uint64_t>(number("samples"));
  readPlan(state, folder);
}

void TrainRun::logConfig() {
  if (!isMain()) return;
  const ModelConfig& model = model_->config();
  const TrainOptions& o = options_;
  const std::int64_t stepTokens = o.batch * o.seq * o.gradAccum * group_.size();
  log_->append({{"kind", "config"},
                {"run", runName(o)},
                {"time", static_cast<std::int64_t>(std::time(nullptr))},
                {"start_step", startStep_},
                {"steps", schedule_.totalSteps},
                {"ranks", group_.size()},
                {"comm", mode_.name},
                {"block", o.block},
                {"scale", o.commScale},
                {"rounding", o.commRounding},
                {"error_feedback", o.errorFeedback},
                {"min_bytes", o.minBytes},
                {"buckets", store_->layout().buckets.size()},
                {"grad_store", o.gradStore},
                {"grad_rounding", o.gradRounding},
                {"activations", o.activations},
                {"act_block", o.actBlock},
                {"act_scale", o.actScale},
                {"act_measure_at", o.actMeasureAt},
                {"act_before", o.actBefore},
                {"model", modelRecord(model, model.parameterCount())},
                {"batch", o.batch},
                {"seq", o.seq},
                {"grad_accum", o.gradAccum},
                {"step_tokens", stepTokens},
                {"lr", o.lr},
                {"min_lr", o.minLr},
                {"warmup", o.warmup},
                {"weight_decay", o.weightDecay},
                {"clip", o.clip},
                {"seed", o.seed},
                {"data", o.data},
                {"train_tokens", trainFile_->info().tokens},
                {"val_tokens", valFile_->info().tokens}});
  std::printf("model      %s parameters, %lld layers, width %lld, %lld/%lld heads, ffn %lld, vocabulary %lld%s\n",
              formatCount(static_cast<double>(model.parameterCount())).c_str(), static_cast<long long>(model.layers),
              static_cast<long long>(model.hidden), static_cast<long long>(model.heads), static_cast<long long>(model.kvHeads),
              static_cast<long long>(model.ffn), static_cast<long long>(model.vocab), model.tied ? ", tied" : "");
  std::printf("data       %s tokens to train on, %s to validate on, %s a step (%.2f epochs in all)\n",
              formatCount(static_cast<double>(trainFile_->info().tokens)).c_str(),
              formatCount(static_cast<double>(valFile_->info().tokens)).c_str(), formatCount(static_cast<double>(stepTokens)).c_str(),
              static_cast<double>(schedule_.totalSteps * stepTokens / o.seq) / static_cast<double>(loader_->windows()));
  std::printf("ranks      %d, gradients kept in %s, exchanged %s in %zu buckets\n", group_.size(), o.gradStore.c_str(), mode_.name.c_str(),
              store_->layout().buckets.size());
  std::printf("compute    %s\n", cpuOpsDescription().c_str());
  std::fflush(stdout);
}

}  // namespace qccl::train
