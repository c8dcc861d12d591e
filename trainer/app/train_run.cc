#include "app/train_run.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/progress.hpp"
#include "app/stop_request.hpp"
#include "data/hashing.hpp"
#include "io/atomic_file.hpp"
#include "io/checkpoint.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "optimizer/clip.hpp"
#include "parallel/replica_check.hpp"

namespace qccl::train {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string readText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) failTrain("cannot read ", path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string runName(const TrainOptions& options) {
  if (!options.name.empty()) return options.name;
  return std::filesystem::path(options.out).lexically_normal().filename().string();
}

std::string logPath(const TrainOptions& options) { return options.log.empty() ? options.out + "/log.jsonl" : options.log; }

LogRecord modelRecord(const ModelConfig& model, std::int64_t parameters) {
  return {{"parameters", parameters},  {"vocab", model.vocab},      {"hidden", model.hidden},
          {"ffn", model.ffn},          {"layers", model.layers},    {"heads", model.heads},
          {"kv_heads", model.kvHeads}, {"head_dim", model.headDim}, {"tied", model.tied}};
}

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

TrainRun::TrainRun(const TrainOptions& options, Group& group, int threads)
    : options_(options), group_(group), checkpoints_(options.out), ops_(makeCpuOps({threads})) {
  mode_ = parseCommMode(!options_.comm.empty() ? options_.comm : group_.size() > 1 ? "exact" : "none");
  openData();
  makeModel();
  agreeOnOptions();
  if (isMain()) prepareRunFolder();
  restoreOrInitialize();
}

void TrainRun::failTogether(const std::string& sentence) const { throw AgreedError(group_.rank(), sentence); }

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
  model_ = std::make_unique<Llama>(config, *ops_);
  optimizer_ = std::make_unique<AdamW>(model_->parameters(), AdamWOptions{options_.beta1, options_.beta2, 1e-8, options_.weightDecay});
  schedule_.peak = options_.lr;
  schedule_.finalFraction = options_.minLr / options_.lr;
  schedule_.warmupSteps = options_.warmup;
  schedule_.totalSteps = totalSteps(options_, group_.size());
  schedule_.validate();
  ReducerOptions reducer;
  reducer.mode = mode_;
  reducer.blockElems = options_.block;
  reducer.minBytes = options_.minBytes;
  reducer.bucketBytes = static_cast<std::size_t>(options_.bucketMb * 1048576.0);
  reducer_ = std::make_unique<GradientReducer>(group_, model_->parameters(), reducer);
}

// Ranks that were started with different flags or data would train nonsense, or wait for one another.
void TrainRun::agreeOnOptions() {
  std::ostringstream text;
  text.precision(17);
  const TrainOptions& o = options_;
  text << model_->config().toJson() << ' ' << trainFile_->info().checksum << ' ' << valFile_->info().checksum << ' ' << schedule_.totalSteps
       << ' ' << o.batch << ' ' << o.seq << ' ' << o.gradAccum << ' ' << o.lr << ' ' << o.minLr << ' ' << o.warmup << ' ' << o.weightDecay
       << ' ' << o.beta1 << ' ' << o.beta2 << ' ' << o.clip << ' ' << o.seed << ' ' << mode_.name << ' ' << o.block << ' ' << o.minBytes
       << ' ' << o.bucketMb << ' ' << o.checkEvery << ' ' << o.evalEvery << ' ' << o.evalBatches << ' ' << o.saveEvery << ' ' << o.resume;
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

void TrainRun::restoreOrInitialize() {
  LoaderState loader{options_.seed, 0};
  if (isMain()) {
    const auto latest = options_.resume ? checkpoints_.latest() : std::nullopt;
    if (latest) {
      loader.samples = static_cast<std::uint64_t>(readCheckpoint(latest->folder));
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
  std::uint64_t numbers[3] = {static_cast<std::uint64_t>(step_), loader.samples, static_cast<std::uint64_t>(optimizer_->steps())};
  group_.broadcast(numbers);
  step_ = startStep_ = static_cast<std::int64_t>(numbers[0]);
  loader.samples = numbers[1];
  optimizer_->setSteps(static_cast<std::int64_t>(numbers[2]));
  shareState();
  loader_ = std::make_unique<Loader>(*trainFile_, static_cast<std::size_t>(options_.seq), static_cast<std::size_t>(options_.batch),
                                     group_.rank(), group_.size(), loader);
}

void TrainRun::shareState() {
  group_.broadcast(model_->parameters().values());
  if (optimizer_->steps() == 0) return;  // both moments are zero everywhere
  group_.broadcast(optimizer_->firstMoment());
  group_.broadcast(optimizer_->secondMoment());
}

// Returns the samples that had been taken.
std::int64_t TrainRun::readCheckpoint(const std::string& folder) {
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
  return number("samples");
}

void TrainRun::save() {
  if (savedStep_ == step_) return;
  if (isMain()) {
    const Checkpoint saved = checkpoints_.save(step_, options_.keep, [this](const std::string& folder) {
      saveModel(folder, model_->config(), model_->parameters());
      saveOptimizer(folder, model_->parameters(), *optimizer_);
      tokenizer_->save(folder + "/tokenizer.json");
      const LogRecord state = {{"step", step_},       {"samples", loader_->state().samples},        {"seed", options_.seed},
                               {"seq", options_.seq}, {"train_crc32", trainFile_->info().checksum}, {"ranks", group_.size()}};
      writeFileAtomically(folder + "/trainer.json", state.dump(2) + "\n");
    });
    std::printf("saved      %s\n", saved.folder.c_str());
  }
  savedStep_ = step_;
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
                {"min_bytes", o.minBytes},
                {"buckets", reducer_->layout().buckets.size()},
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
  std::printf("ranks      %d, gradients %s in %zu buckets\n", group_.size(), mode_.name.c_str(), reducer_->layout().buckets.size());
  std::printf("compute    %s\n", cpuOpsDescription().c_str());
  std::fflush(stdout);
}

TrainRun::StepResult TrainRun::step() {
  const Clock::time_point start = Clock::now();
  StepResult result;
  const auto micros = static_cast<std::size_t>(options_.gradAccum);
  const float scale = 1.0f / static_cast<float>(micros);
  model_->parameters().zeroGradients();
  double loss = 0;
  Batch batch;
  for (std::size_t micro = 0; micro < micros; ++micro) {
    loader_->microBatch(micro, batch);
    loss += static_cast<double>(model_->forward(batch.inputs, batch.targets, options_.batch, options_.seq)) / static_cast<double>(micros);
    if (micro + 1 < micros) {
      model_->backward(scale);
      continue;
    }
    reducer_->begin();
    model_->backward(scale, [this](const Parameter& parameter) { reducer_->ready(parameter); });
  }
  const ReduceReport report = reducer_->finish();

  double sums[4] = {loss, report.waitSeconds, static_cast<double>(report.wireBytes), stopRequested() != 0 ? 1.0 : 0.0};
  group_.sum(sums);
  const double ranks = group_.size();
  result.loss = sums[0] / ranks;
  result.waitSeconds = sums[1] / ranks;
  result.wireBytes = sums[2] / ranks;
  result.stop = sums[3] > 0;
  result.gradNorm = gradientNorm(model_->parameters());
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradNorm)) {
    std::ostringstream sentence;
    sentence << "step " << step_ + 1 << ": the loss is " << result.loss << " and the gradient norm " << result.gradNorm
             << "; the run stops before the weights are spoilt. Take a lower --lr or a longer --warmup";
    if (savedStep_ >= 0) sentence << "; the latest checkpoint is of step " << savedStep_;
    if (isMain()) log_->append({{"kind", "done"}, {"step", step_}, {"reason", "not finite"}});
    failTogether(sentence.str());
  }
  result.learningRate = learningRate(schedule_, step_);
  optimizer_->step(model_->parameters(), result.learningRate, clipFactor(result.gradNorm, options_.clip));
  loader_->advance(micros);
  ++step_;
  result.seconds = secondsSince(start);
  return result;
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
  TrainOutcome outcome;
  while (step_ < schedule_.totalSteps && !outcome.interrupted) {
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
                  {"wait_share", outcome.waitShare}});
    std::printf("%s  step %lld of %lld after %s | %s tok/s | wire %.3f MB a step | wait %.1f %%\n",
                outcome.interrupted ? "interrupted" : "done      ", static_cast<long long>(step_),
                static_cast<long long>(schedule_.totalSteps), formatSeconds(stepSeconds_).c_str(), formatCount(tokensPerSecond).c_str(),
                outcome.wireBytesPerStep / 1e6, outcome.waitShare * 100);
    std::fflush(stdout);
  }
  // Nobody leaves before the checkpoint is on disk: a launcher may take the first end for the end of all.
  group_.barrier();
  return outcome;
}

}  // namespace qccl::train
