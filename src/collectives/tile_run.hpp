// One tile on its way through the schedule: where the steps of a schedule become work on bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "collectives/tile_plan.hpp"
#include "transport/transport.hpp"

namespace qccl::collectives {

class TileRun {
 public:
  // Posts the tile's receives. `staging` has plan.tileStagingBytes() bytes for this tile alone, `residual`
  // (nullptr: no error feedback) plan.residualBytes() for all; all arguments must outlive it.
  TileRun(const TilePlan& plan, transport::Transport& transport, ExecutionCounts& counts, std::size_t tile, std::byte* staging,
          std::byte* residual);

  std::byte* staging() const { return staging_; }

  bool finished() const { return next_ == plan_.steps().size() && sent_.empty(); }

  // Does what can be done now; true if anything was.
  bool advance();

  // Adds the ranks that this tile waits for.
  void collectAwaited(std::set<int>* peers) const;

 private:
  struct Sent {
    std::unique_ptr<transport::Request> request;
    const std::byte* data;
    std::size_t bytes;
    int peer;
  };

  // Each does one step and returns false if it has to wait; `part` is not empty.
  bool run(const Step& step);
  void encodeInput(const Step& step, const Chunk& part);
  bool encodeSum(const Step& step, const Chunk& part);
  void send(const Step& step, const Chunk& part);
  bool receive(const Step& step);
  bool storeSum(const Chunk& part);
  bool decodeSlot(const Step& step, const Chunk& part);

  transport::Tag tagOf(const Step& step) const;
  std::byte* slotAt(int slot, const Chunk& part) const;
  std::byte* sum() const { return staging_ + plan_.sumOffset(); }
  // The sum in progress. Where sums may lie anywhere it begins as its first operand, read where that lies, and the last addition writes to
  // where the sum is wanted; otherwise it is in sum().
  bool takeOperand(const std::byte* operand, const Chunk& part, bool first);
  std::byte* sumTarget(const Chunk& part) const;
  void divideSum();
  TileCodec::Encoding encoding(quant::EncodeCounts* counts) const;
  void count(const quant::EncodeCounts& encoded);
  bool mayWrite(const std::byte* out, std::size_t bytes);

  const TilePlan& plan_;
  transport::Transport& transport_;
  ExecutionCounts& counts_;
  const std::size_t tile_;
  std::byte* const staging_;
  std::byte* const residual_;
  std::size_t next_ = 0;              // step
  const std::byte* sumAt_ = nullptr;  // the sum in progress
  bool sumIsOperand_ = false;         // nothing was added to it yet: not ours to change
  std::size_t sumElems_ = 0;
  std::vector<std::unique_ptr<transport::Request>> received_;  // by slot
  std::vector<Sent> sent_;
};

}  // namespace qccl::collectives
