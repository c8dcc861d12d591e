// Which tokens a rank trains on in which step.
//
// A token file of N tokens has floor((N - 1) / seq) windows; window w is tokens w*seq .. w*seq + seq, of which the first seq are inputs and
// the last seq are targets. An epoch reads every window once, in an order that (seed, epoch) fixes. Epochs follow one another without a
// seam: sample k of the run is window order(epoch k / windows)[k % windows].
//
// A step of W ranks with `microBatches` micro-batches of B sequences takes the next W * microBatches * B samples: micro-batch m of rank r
// takes those from (m * W + r) * B on. So what a step trains on depends on W * B alone, ranks never share a sample, and the state is one
// number that means the same at any world size.
#pragma once

#include <cstdint>
#include <vector>

#include "data/token_file.hpp"

namespace qccl::train {

struct LoaderState {
  std::uint64_t seed = 0;
  std::uint64_t samples = 0;  // taken by all ranks together since the run began
  bool operator==(const LoaderState&) const = default;
};

// `sequences` rows of `seq` tokens; targets are the inputs shifted by one.
struct Batch {
  std::vector<TokenId> inputs;
  std::vector<TokenId> targets;
};

class Loader {
 public:
  // `file` must outlive the loader. Throws TrainError if it has no window of this length.
  Loader(const TokenFile& file, std::size_t seq, std::size_t sequences, int rank, int worldSize, LoaderState state);

  // Micro-batch `micro` of the coming step.
  void microBatch(std::size_t micro, Batch& batch) const;
  // The step is done: all ranks together have taken worldSize * microBatches * sequences samples.
  void advance(std::size_t microBatches);

  const LoaderState& state() const { return state_; }
  std::uint64_t windows() const { return windows_; }
  double epochs() const { return static_cast<double>(state_.samples) / static_cast<double>(windows_); }

  // The window that is sample `sample` of the run.
  std::uint64_t windowOf(std::uint64_t sample) const;

 private:
  const TokenFile& file_;
  std::size_t seq_;
  std::size_t sequences_;
  std::uint64_t rank_;
  std::uint64_t worldSize_;
  std::uint64_t windows_;
  LoaderState state_;
};

// Windows of a file in order, for evaluation: `sequences` windows from window `first` on, fewer at the end of the file. Returns how many.
std::size_t readWindows(const TokenFile& file, std::size_t seq, std::uint64_t first, std::size_t sequences, Batch& batch);
std::uint64_t windowCount(const TokenFile& file, std::size_t seq);

}  // namespace qccl::train
