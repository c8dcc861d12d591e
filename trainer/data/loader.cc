#include "data/loader.hpp"

#include <algorithm>

#include "data/permutation.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

void readWindow(const TokenFile& file, std::size_t seq, std::uint64_t window, std::size_t row, Batch& batch) {
  file.read(window * seq, seq, batch.inputs.data() + row * seq);
  file.read(window * seq + 1, seq, batch.targets.data() + row * seq);
}

}  // namespace

std::uint64_t windowCount(const TokenFile& file, std::size_t seq) { return file.info().tokens < 1 ? 0 : (file.info().tokens - 1) / seq; }

Loader::Loader(const TokenFile& file, std::size_t seq, std::size_t sequences, int rank, int worldSize, LoaderState state)
    : file_(file),
      seq_(seq),
      sequences_(sequences),
      rank_(static_cast<std::uint64_t>(rank)),
      worldSize_(static_cast<std::uint64_t>(worldSize)),
      windows_(windowCount(file, seq)),
      state_(state) {
  if (windows_ == 0) {
    failTrain(file.path(), " has ", file.info().tokens, " tokens, too few for one sequence of ", seq,
              "; take more text or a smaller --seq");
  }
}

std::uint64_t Loader::windowOf(std::uint64_t sample) const {
  const std::uint64_t epoch = sample / windows_;
  return Permutation(windows_, mix64(state_.seed) + epoch)(sample % windows_);
}

void Loader::microBatch(std::size_t micro, Batch& batch) const {
  batch.inputs.resize(sequences_ * seq_);
  batch.targets.resize(sequences_ * seq_);
  const std::uint64_t first = state_.samples + (micro * worldSize_ + rank_) * sequences_;
  for (std::size_t row = 0; row < sequences_; ++row) readWindow(file_, seq_, windowOf(first + row), row, batch);
}

void Loader::advance(std::size_t microBatches) { state_.samples += worldSize_ * microBatches * sequences_; }

std::size_t readWindows(const TokenFile& file, std::size_t seq, std::uint64_t first, std::size_t sequences, Batch& batch) {
  const std::uint64_t windows = windowCount(file, seq);
  const std::size_t count = first >= windows ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(sequences, windows - first));
  batch.inputs.resize(count * seq);
  batch.targets.resize(count * seq);
  for (std::size_t row = 0; row < count; ++row) readWindow(file, seq, first + row, row, batch);
  return count;
}

}  // namespace qccl::train
