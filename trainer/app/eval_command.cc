#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/checkpoint_model.hpp"
#include "app/checkpoints.hpp"
#include "app/commands.hpp"
#include "app/evaluation.hpp"
#include "app/flag_bounds.hpp"
#include "data/tokenizer.hpp"
#include "io/checkpoint.hpp"

namespace qccl::train {

namespace {

struct EvalOptions {
  std::string checkpoint;
  std::string data;
  EvaluationOptions evaluation{8, 0, 0};
  int threads = 0;
  bool json = false;
};

int runEval(EvalOptions options) {
  const std::string folder = findCheckpoint(options.checkpoint);
  const TokenFile file(options.data + "/val.bin");
  const ModelConfig config = loadConfigFor(folder, file);
  if (options.evaluation.seq == 0) options.evaluation.seq = config.maxSeq;
  const auto ops = makeOps(options.threads);
  Llama model(config, *ops);
  loadModel(folder, model.parameters());
  Group alone;
  const EvaluationResult result = evaluate(model, file, options.evaluation, alone);
  if (options.json) {
    const nlohmann::ordered_json record = {{"checkpoint", folder},
                                           {"val_loss", result.loss},
                                           {"perplexity", std::exp(result.loss)},
                                           {"bits_per_byte", result.bitsPerByte},
                                           {"tokens", result.tokens}};
    std::printf("%s\n", record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    std::printf("checkpoint     %s\nloss           %.5f nats a token\nperplexity     %.3f\nbits a byte    %.5f\ntokens         %llu\n",
                folder.c_str(), result.loss, std::exp(result.loss), result.bitsPerByte, static_cast<unsigned long long>(result.tokens));
  }
  return 0;
}

}  // namespace

Command addEvalCommand(CLI::App& app) {
  const auto options = std::make_shared<EvalOptions>();
  app.add_option("--checkpoint", options->checkpoint, "A checkpoint's folder, or a run's folder (its latest checkpoint)")->required();
  app.add_option("--data", options->data, "Folder made by `qccl-train prepare`; its val.bin is used")->required();
  app.add_option("--batch", options->evaluation.batch, "Sequences at a time")->check(oneOrMore())->capture_default_str();
  app.add_option("--seq", options->evaluation.seq, "Tokens of a sequence; 0: the model's positions")
      ->check(zeroOrMore())
      ->capture_default_str();
  app.add_option("--eval-batches", options->evaluation.batches, "Batches to measure; 0: all")->check(zeroOrMore())->capture_default_str();
  app.add_option("--threads", options->threads, "Threads of the matrix products; 0: all processors")
      ->check(zeroOrMore())
      ->capture_default_str();
  app.add_flag("--json", options->json, "Print one line of JSON");
  return [options](char* const*) { return runEval(*options); };
}

}  // namespace qccl::train
