// Text in; train.bin, val.bin, tokenizer.json and manifest.json out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/documents.hpp"
#include "data/token_file.hpp"

namespace qccl::train {

struct PrepareOptions {
  std::vector<std::string> paths;
  std::string outFolder;
  std::size_t vocab = 4096;
  double valFraction = 0.05;                               // of the documents
  std::uint64_t maxBytes = 0;                              // of text in all, a sample of the documents; 0: everything
  std::uint64_t tokenizerBytes = std::uint64_t{16} << 20;  // of text to learn the tokenizer from, a sample of the training documents
  std::uint64_t seed = 0;
  std::string tokenizer;  // a tokenizer.json to use instead of learning one
  DocumentOptions documents;
};

struct PrepareResult {
  DocumentCounts found;          // what was read
  std::uint64_t duplicates = 0;  // documents left out because the same bytes were there before
  std::uint64_t leftOut = 0;     // documents left out to stay under maxBytes
  std::size_t vocab = 0;
  std::uint64_t tokenizerBytes = 0;  // text that the tokenizer was learned from; 0 if it was given
  TokenFileInfo train;
  TokenFileInfo val;
};

// Whether a document is validation text depends on its bytes, the seed and the fraction alone (but one document is, and one is not, however
// few there are); so documents with the same bytes are never on both sides, and adding text moves none from one side to the other. The same
// files at the same paths give the same output, byte for byte. Text is read as a stream, three times; memory holds about 64 bytes a
// document. Throws TrainError if the input cannot be used. Each file appears when it is complete, manifest.json last.
PrepareResult prepare(const PrepareOptions& options);

}  // namespace qccl::train
