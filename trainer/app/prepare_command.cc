#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "data/prepare.hpp"

namespace qccl::train {

namespace {

void print(const PrepareOptions& options, const PrepareResult& result) {
  const auto count = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("read       %llu documents from %llu files, %.2f MB of text\n", count(result.found.documents), count(result.found.files),
              static_cast<double>(result.found.bytes) / 1e6);
  std::printf("left out   %llu files that are not text, %llu unreadable, %llu duplicate documents, %llu documents beyond --max-bytes\n",
              count(result.found.binary), count(result.found.unreadable), count(result.duplicates), count(result.leftOut));
  if (result.tokenizerBytes > 0) {
    std::printf("tokenizer  %zu tokens, learned from %.2f MB\n", result.vocab, static_cast<double>(result.tokenizerBytes) / 1e6);
  } else {
    std::printf("tokenizer  %zu tokens, from %s\n", result.vocab, options.tokenizer.c_str());
  }
  if (options.tokenizer.empty() && result.vocab < options.vocab) {
    std::printf("           (fewer than --vocab %zu: no further pair of tokens occurs twice)\n", options.vocab);
  }
  const auto side = [&](const char* name, const TokenFileInfo& info) {
    const std::uint64_t textTokens = info.tokens - info.documents;
    std::printf("%-10s %llu documents, %.2f MB, %llu tokens, %.3f bytes a token\n", name, count(info.documents),
                static_cast<double>(info.textBytes) / 1e6, count(info.tokens),
                textTokens == 0 ? 0.0 : static_cast<double>(info.textBytes) / static_cast<double>(textTokens));
  };
  side("train", result.train);
  side("val", result.val);
  std::printf("wrote      %s/{train.bin,val.bin,tokenizer.json,manifest.json}\n", options.outFolder.c_str());
}

}  // namespace

Command addPrepareCommand(CLI::App& app) {
  const auto options = std::make_shared<PrepareOptions>();
  app.add_option("paths", options->paths, "Files and folders: text, gzip-compressed text, or .jsonl with a string \"text\" in each line")
      ->required();
  app.add_option("--out", options->outFolder, "Folder for the result")->required();
  app.add_option("--vocab", options->vocab, "Tokens in the vocabulary: 256 bytes, merges, and the separator")->capture_default_str();
  app.add_option("--val-fraction", options->valFraction, "Share of the documents that is kept for validation")->capture_default_str();
  app.add_option("--max-bytes", options->maxBytes,
                 "Take a sample of the documents with at most so many bytes of text (64K, 10M, ...); 0: all")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--tokenizer-bytes", options->tokenizerBytes, "Learn the tokenizer from a sample of at most so many bytes")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--document-bytes", options->documents.maxDocumentBytes, "Cut longer texts into documents of at most so many bytes")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--seed", options->seed, "Chooses which documents are taken and which are for validation")->capture_default_str();
  app.add_option("--tokenizer", options->tokenizer, "Use this tokenizer.json instead of learning one");
  return [options](char* const*) {
    print(*options, prepare(*options));
    return 0;
  };
}

}  // namespace qccl::train
