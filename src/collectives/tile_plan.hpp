// All that is the same for every tile of one execution: how large tiles are, and where their messages and sums lie.
//
// Nothing is staged that need not be: on the exact path and with packed buffers, inputs are sent from, and results received into, the
// caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectives/execution.hpp"
#include "collectives/tile_codec.hpp"

namespace qccl::collectives {

// Where a slot's bytes lie.
enum class SlotPlace { staging, input, output };

struct SlotUse {
  SlotPlace place = SlotPlace::staging;
  std::size_t stagingOffset = 0;  // of place staging
};

class TilePlan {
 public:
  // The execution must outlive the plan. `fingerprint` is that of the call's announcement.
  TilePlan(const Execution& execution, const ExecutorOptions& options, std::uint64_t fingerprint, int rank, int size);

  const Execution& execution() const { return execution_; }
  const Call& call() const { return execution_.call; }
  const std::vector<Step>& steps() const { return execution_.schedule.steps; }
  const TileCodec& codec() const { return codec_; }
  std::uint64_t fingerprint() const { return fingerprint_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

  std::size_t tiles() const { return tiles_; }
  // What a tile in flight needs of staging memory, and where in it the sum lies.
  std::size_t tileStagingBytes() const { return tileStagingBytes_; }
  std::size_t sumOffset() const { return sumOffset_; }
  const SlotUse& slot(int index) const { return slots_[static_cast<std::size_t>(index)]; }

  // The part of a chunk that is in a tile; elements count from the start of the message.
  Chunk part(std::size_t tile, int chunk) const;

  // Where a part lies in the caller's buffers.
  const std::byte* inputAt(const Chunk& part) const {
    return static_cast<const std::byte*>(call().input) + codec_.bytesBefore(part.firstElem - execution_.inputFirstElem, call().inputPacked);
  }
  std::byte* outputAt(const Chunk& part) const {
    return static_cast<std::byte*>(call().output) + codec_.bytesBefore(part.firstElem - execution_.outputFirstElem, call().outputPacked);
  }

  // What error feedback needs for all tiles, and where in it the residual of a step that encodes lies.
  std::size_t residualBytes() const { return encodings_ * tiles_ * tileResidualBytes_; }
  std::size_t residualOffset(std::size_t step, std::size_t tile) const {
    return (encodingNumbers_[step] * tiles_ + tile) * tileResidualBytes_;
  }

 private:
  void placeSlots(std::size_t slotBytes);
  void numberEncodings();
  // The largest of what `bytesOf` says of any tile's part of any chunk.
  template <typename BytesOf>
  std::size_t largestPart(BytesOf bytesOf) const;

  const Execution& execution_;
  const TileCodec codec_;
  const std::uint64_t fingerprint_;
  const int rank_;
  const int size_;
  std::vector<SlotUse> slots_;
  std::size_t tileElems_ = 0;
  std::size_t tiles_ = 0;
  std::size_t tileStagingBytes_ = 0;
  std::size_t sumOffset_ = 0;
  std::vector<std::size_t> encodingNumbers_;  // by step
  std::size_t encodings_ = 0;
  std::size_t tileResidualBytes_ = 0;
};

}  // namespace qccl::collectives
