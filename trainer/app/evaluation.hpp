// The mean loss over a token file.
#pragma once

#include <cstdint>

#include "data/token_file.hpp"
#include "model/llama.hpp"
#include "parallel/group.hpp"

namespace qccl::train {

struct EvaluationOptions {
  std::int64_t batch = 8;
  std::int64_t seq = 128;
  std::int64_t batches = 0;  // of `batch` windows, from the beginning of the file; 0: all
};

struct EvaluationResult {
  double loss = 0;         // nats a token
  double bitsPerByte = 0;  // the same over the bytes of text that a token stands for on average in this file: comparable between tokenizers
  std::uint64_t tokens = 0;
};

// The windows are shared among the ranks batch by batch; every rank gets the same result. Collective. Throws TrainError if the file has no
// window.
EvaluationResult evaluate(Llama& model, const TokenFile& file, const EvaluationOptions& options, Group& group);

}  // namespace qccl::train
