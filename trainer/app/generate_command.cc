#include <cstdio>
#include <memory>

#include "app/checkpoint_model.hpp"
#include "app/checkpoints.hpp"
#include "app/commands.hpp"
#include "app/flag_bounds.hpp"
#include "data/tokenizer.hpp"
#include "io/checkpoint.hpp"
#include "model/decoder.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

struct GenerateOptions {
  std::string checkpoint;
  std::string tokenizer;
  std::string prompt;
  std::int64_t tokens = 200;
  SamplerOptions sampler{0.8, 0, 0.95, 0};
  int threads = 0;
};

int runGenerate(const GenerateOptions& options) {
  options.sampler.validate();
  const std::string folder = findCheckpoint(options.checkpoint);
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer.empty() ? folder + "/tokenizer.json" : options.tokenizer);
  const ModelConfig config = loadConfig(folder);
  if (static_cast<std::int64_t>(tokenizer.vocabSize()) > config.vocab) {
    failTrain("the model has ", config.vocab, " tokens and the tokenizer ", tokenizer.vocabSize(), "; they do not belong together");
  }
  const auto ops = makeOps(options.threads);
  Llama model(config, *ops);
  loadModel(folder, model.parameters());

  // Training text is documents with the separator after each, so the separator is how a document begins.
  std::vector<TokenId> prompt = {tokenizer.endOfText()};
  const std::vector<TokenId> text = tokenizer.encode(options.prompt);
  prompt.insert(prompt.end(), text.begin(), text.end());
  if (static_cast<std::int64_t>(prompt.size()) > config.maxSeq) {
    failTrain("the prompt has ", prompt.size(), " tokens and the model ", config.maxSeq, " positions; shorten the prompt");
  }
  std::fwrite(options.prompt.data(), 1, options.prompt.size(), stdout);
  const auto show = [&](std::int32_t token) {
    // A model may have more tokens than the tokenizer knows; those stand for nothing.
    if (static_cast<std::size_t>(token) < tokenizer.vocabSize()) {
      const std::string& bytes = tokenizer.bytesOf(token);
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      std::fflush(stdout);
    }
    return true;
  };
  generate(model, prompt, options.tokens, options.sampler, tokenizer.endOfText(), show);
  std::printf("\n");
  return 0;
}

}  // namespace

Command addGenerateCommand(CLI::App& app) {
  const auto options = std::make_shared<GenerateOptions>();
  app.add_option("--checkpoint", options->checkpoint, "A checkpoint's folder, or a run's folder (its latest checkpoint)")->required();
  app.add_option("--tokenizer", options->tokenizer, "tokenizer.json (default: that of the checkpoint)");
  app.add_option("--prompt", options->prompt, "Text to continue; without it a document begins");
  app.add_option("--tokens", options->tokens, "Tokens at most; the model may end the document before")
      ->check(oneOrMore())
      ->capture_default_str();
  app.add_option("--temperature", options->sampler.temperature, "0: always the most probable token; above 1: bolder")
      ->capture_default_str();
  app.add_option("--top-k", options->sampler.topK, "Choose among the k most probable tokens; 0: all")->capture_default_str();
  app.add_option("--top-p", options->sampler.topP, "Choose among the most probable tokens that together have this probability")
      ->capture_default_str();
  app.add_option("--seed", options->sampler.seed, "The same seed gives the same text")->capture_default_str();
  app.add_option("--threads", options->threads, "Threads of the matrix products; 0: all processors")
      ->check(zeroOrMore())
      ->capture_default_str();
  return [options](char* const*) { return runGenerate(*options); };
}

}  // namespace qccl::train
