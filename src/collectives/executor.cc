#include "collectives/executor.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "collectives/blame.hpp"
#include "collectives/message_tag.hpp"
#include "collectives/tile_codec.hpp"
#include "core/backoff.hpp"
#include "core/deadline.hpp"
#include "quant/noise.hpp"
#include "transport/rank_list.hpp"

namespace qccl::collectives {
namespace {

using transport::Request;
using transport::Transport;

// Where a slot's bytes lie.
enum class SlotPlace { staging, input, output };

struct SlotUse {
  SlotPlace place = SlotPlace::staging;
  int chunk = -1;
  std::size_t stagingOffset = 0;
};

// All that is the same for every tile.
class Plan {
 public:
  Plan(const Execution& e, const ExecutorOptions& options, int rank, int size)
      : execution(e),
        codec(e.call),
        fingerprint_(collectives::fingerprint(announce(e.call, e.sequence))),
        rank_(rank),
        size_(size),
        uses_(static_cast<std::size_t>(e.schedule.slots)) {
    const std::size_t granule = codec.exact() ? 64 : quant::frameElems(e.call.quant.blockElems);
    const std::size_t maxChunk = e.partition.maxChunkElems();
    tileElems_ = std::max<std::size_t>(quant::alignUp(quant::divideUp(options.tileBytes, codec.typeBytes()), granule), granule);
    // Very large messages get larger tiles instead of more than can be numbered.
    tileElems_ = std::max(tileElems_, quant::alignUp(quant::divideUp(maxChunk, kMaxTiles - 1), granule));
    tiles_ = quant::divideUp(maxChunk, tileElems_);
    const std::size_t largest = std::min(tileElems_, maxChunk);
    placeSlots(quant::alignUp(codec.wireBytes(largest), StagingMemory::kAlign));
    sumOffset_ = tileStagingBytes_;
    tileStagingBytes_ += quant::alignUp(largest * codec.accumulatorBytes(), StagingMemory::kAlign);
  }

  std::size_t tiles() const { return tiles_; }
  std::size_t tileStagingBytes() const { return tileStagingBytes_; }
  std::size_t sumOffset() const { return sumOffset_; }
  std::uint64_t fingerprint() const { return fingerprint_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  const SlotUse& slot(int index) const { return uses_[static_cast<std::size_t>(index)]; }

  // The part of a chunk that is in a tile; elements count from the start of the message.
  Chunk part(std::size_t tile, int chunk) const {
    const Chunk whole = execution.partition.chunk(chunk);
    const std::size_t first = std::min(tile * tileElems_, whole.elems);
    return {whole.firstElem + first, std::min(tileElems_, whole.elems - first)};
  }

  const std::byte* inputAt(const Chunk& part) const {
    return static_cast<const std::byte*>(execution.call.input) + (part.firstElem - execution.inputFirstElem) * codec.typeBytes();
  }
  std::byte* outputAt(const Chunk& part) const {
    return static_cast<std::byte*>(execution.call.output) + (part.firstElem - execution.outputFirstElem) * codec.typeBytes();
  }

  const Execution& execution;
  const TileCodec codec;

 private:
  // On the exact path a slot filled from the input is the input, and a slot that becomes the result is the output.
  void placeSlots(std::size_t slotBytes) {
    for (const Step& step : execution.schedule.steps) {
      if (step.slot < 0) continue;
      SlotUse& use = uses_[static_cast<std::size_t>(step.slot)];
      use.chunk = step.chunk;
      if (!codec.exact()) continue;
      if (step.kind == StepKind::encodeInput) use.place = SlotPlace::input;
      if (step.kind == StepKind::decodeSlot && use.place == SlotPlace::staging) use.place = SlotPlace::output;
    }
    for (SlotUse& use : uses_) {
      if (use.place != SlotPlace::staging) continue;
      use.stagingOffset = tileStagingBytes_;
      tileStagingBytes_ += slotBytes;
    }
  }

  std::uint64_t fingerprint_;
  int rank_;
  int size_;
  std::vector<SlotUse> uses_;
  std::size_t tileElems_ = 0;
  std::size_t tiles_ = 0;
  std::size_t tileStagingBytes_ = 0;
  std::size_t sumOffset_ = 0;
};

// One tile on its way through the schedule.
class TileRun {
 public:
  TileRun(const Plan& plan, Transport& transport, ExecutionCounts& counts, std::size_t tile, std::byte* staging)
      : plan_(plan),
        transport_(transport),
        counts_(counts),
        tile_(tile),
        staging_(staging),
        received_(static_cast<std::size_t>(plan.execution.schedule.slots)) {
    // Receives are posted before anything else, so that what arrives goes straight to its place.
    for (const Step& step : plan_.execution.schedule.steps) {
      if (step.kind != StepKind::recv) continue;
      const Chunk part = plan_.part(tile_, step.chunk);
      if (part.elems == 0) continue;
      received_[static_cast<std::size_t>(step.slot)] =
          transport_.recv(step.peer, tagOf(step), slotAt(step.slot, part), plan_.codec.wireBytes(part.elems));
    }
  }

  std::size_t tile() const { return tile_; }
  std::byte* staging() const { return staging_; }

  bool finished() const { return next_ == plan_.execution.schedule.steps.size() && sent_.empty(); }

  // Does what can be done now; true if anything was.
  bool advance() {
    const auto& steps = plan_.execution.schedule.steps;
    bool progressed = false;
    while (next_ < steps.size() && run(steps[next_])) {
      ++next_;
      progressed = true;
    }
    if (next_ == steps.size()) {
      while (!sent_.empty() && sent_.back().request->poll()) {
        sent_.pop_back();
        progressed = true;
      }
    }
    return progressed;
  }

  // Ranks that this tile waits for.
  void collectAwaited(std::set<int>* peers) const {
    const auto& steps = plan_.execution.schedule.steps;
    if (next_ < steps.size() && steps[next_].kind == StepKind::recv) {
      peers->insert(steps[next_].peer);
    } else {
      for (const Sent& sent : sent_) peers->insert(sent.peer);
    }
  }

 private:
  struct Sent {
    std::unique_ptr<Request> request;
    const std::byte* data;
    std::size_t bytes;
    int peer;
  };

  transport::Tag tagOf(const Step& step) const { return dataTag(plan_.fingerprint(), tile_, step.phase, step.chunk); }

  std::byte* slotAt(int slot, const Chunk& part) const {
    const SlotUse& use = plan_.slot(slot);
    switch (use.place) {
      case SlotPlace::staging:
        break;
      // Only ever read: encodeInput leaves the bytes where they are.
      case SlotPlace::input:
        return const_cast<std::byte*>(plan_.inputAt(part));
      case SlotPlace::output:
        return plan_.outputAt(part);
    }
    return staging_ + use.stagingOffset;
  }

  void* sum() const { return staging_ + plan_.sumOffset(); }

  quant::EncodeOptions encodeOptions(const Chunk& part) const {
    const Quantization& quant = plan_.execution.call.quant;
    quant::EncodeOptions options;
    options.blockElems = quant.blockElems;
    options.stochastic = quant.rounding == qcclRoundStochastic;
    if (options.stochastic) {
      options.noiseKey = quant::noiseKey(quant.seed, plan_.execution.sequence, static_cast<std::uint64_t>(plan_.rank()), next_);
      options.firstElemIndex = part.firstElem;
    }
    return options;
  }

  // In place, the output may still be on its way out as input: true once nothing that is being sent overlaps [out, out + bytes).
  bool mayWrite(const std::byte* out, std::size_t bytes) {
    for (std::size_t i = 0; i < sent_.size(); ++i) {
      Sent& sent = sent_[i];
      if (sent.data < out + bytes && out < sent.data + sent.bytes && !sent.request->poll()) return false;
    }
    return true;
  }

  // False if the step has to wait.
  bool run(const Step& step) {
    if (step.kind == StepKind::divide) {
      if (plan_.execution.call.op == qcclAvg) plan_.codec.divide(sum(), sumElems_, plan_.size());
      return true;
    }
    const Chunk part = plan_.part(tile_, step.chunk);
    const TileCodec& codec = plan_.codec;
    if (part.elems == 0) {
      if (step.kind == StepKind::loadInput || step.kind == StepKind::loadSlot) sumElems_ = 0;
      return true;
    }
    quant::EncodeCounts encoded;
    switch (step.kind) {
      case StepKind::encodeInput:
        if (!codec.exact()) codec.encodeInput(plan_.inputAt(part), part.elems, encodeOptions(part), slotAt(step.slot, part), &encoded);
        break;
      case StepKind::encodeSum: {
        std::byte* slot = slotAt(step.slot, part);
        if (plan_.slot(step.slot).place == SlotPlace::output && !mayWrite(slot, part.elems * codec.typeBytes())) return false;
        codec.encodeSum(sum(), part.elems, encodeOptions(part), slot, &encoded);
        break;
      }
      case StepKind::send: {
        const std::byte* slot = slotAt(step.slot, part);
        const std::size_t bytes = codec.wireBytes(part.elems);
        sent_.push_back({transport_.send(step.peer, tagOf(step), slot, bytes), slot, bytes, step.peer});
        counts_.wireBytes += bytes;
        counts_.exactWireBytes += part.elems * codec.typeBytes();
        break;
      }
      case StepKind::recv: {
        std::unique_ptr<Request>& request = received_[static_cast<std::size_t>(step.slot)];
        if (!request->poll()) return false;
        request.reset();
        break;
      }
      case StepKind::loadInput:
        sumElems_ = part.elems;
        codec.loadInput(plan_.inputAt(part), part.elems, sum());
        break;
      case StepKind::addInput:
        codec.addInput(plan_.inputAt(part), part.elems, sum());
        break;
      case StepKind::loadSlot:
        sumElems_ = part.elems;
        codec.loadWire(slotAt(step.slot, part), part.elems, sum());
        break;
      case StepKind::addSlot:
        codec.addWire(slotAt(step.slot, part), part.elems, sum());
        break;
      case StepKind::storeSum:
        if (!mayWrite(plan_.outputAt(part), part.elems * codec.typeBytes())) return false;
        codec.storeSum(sum(), part.elems, plan_.outputAt(part));
        break;
      case StepKind::decodeSlot: {
        std::byte* out = plan_.outputAt(part);
        const std::byte* slot = slotAt(step.slot, part);
        if (slot != out) {
          if (!mayWrite(out, part.elems * codec.typeBytes())) return false;
          codec.decode(slot, part.elems, out);
        }
        break;
      }
      case StepKind::divide:
        break;
    }
    counts_.encodedBlocks += encoded.blocks;
    counts_.nonFiniteBlocks += encoded.nonFiniteBlocks;
    return true;
  }

  const Plan& plan_;
  Transport& transport_;
  ExecutionCounts& counts_;
  std::size_t tile_;
  std::byte* staging_;
  std::size_t next_ = 0;  // step
  std::size_t sumElems_ = 0;
  std::vector<std::unique_ptr<Request>> received_;  // by slot
  std::vector<Sent> sent_;
};

// Tells the right-hand neighbour what is called here and checks what the left-hand neighbour calls. If any two ranks differ, some two
// neighbours do.
class NeighbourCheck {
 public:
  NeighbourCheck(const Execution& e, Transport& transport, int rank, int size)
      : rank_(rank), left_((rank + size - 1) % size), right_((rank + 1) % size), own_(announce(e.call, e.sequence)) {
    received_ = transport.recv(left_, announcementTag(e.sequence), &theirs_, sizeof(theirs_));
    sent_ = transport.send(right_, announcementTag(e.sequence), &own_, sizeof(own_));
  }

  // True once both messages are through. Throws on a mismatch.
  bool poll() {
    if (received_ && received_->poll()) {
      received_.reset();
      checkAnnouncement(own_, rank_, theirs_, left_);
    }
    if (sent_ && sent_->poll()) sent_.reset();
    return !received_ && !sent_;
  }

  void collectAwaited(std::set<int>* peers) const {
    if (received_) peers->insert(left_);
    if (sent_) peers->insert(right_);
  }

 private:
  int rank_;
  int left_;
  int right_;
  Announcement own_;
  Announcement theirs_{};
  std::unique_ptr<Request> received_;
  std::unique_ptr<Request> sent_;
};

// A rank that has waited this long says so, for others to see; sooner would only cost.
constexpr std::chrono::milliseconds kSayWaitingAfter{50};

// A message of an unexpected size means that the ranks' calls differ, and some rank's neighbour check finds out how: this one's, if its
// announcement is not here yet, or another's. Waits a moment for that better story.
[[noreturn]] void explainMismatch(const Error& error, NeighbourCheck& check, const transport::Control& control) {
  const Deadline deadline = Deadline::in(std::chrono::seconds(1));
  Backoff backoff;
  while (!deadline.passed() && !control.failed()) {
    check.poll();
    backoff.pause();
  }
  control.throwIfFailed();
  throw Error(error.code(), error.what());
}

}  // namespace

std::size_t scheduledWireBytes(const Schedule& schedule, const Partition& partition, const Call& call) {
  const TileCodec codec(call);
  std::size_t bytes = 0;
  for (const Step& step : schedule.steps) {
    if (step.kind == StepKind::send) bytes += codec.wireBytes(partition.chunk(step.chunk).elems);
  }
  return bytes;
}

ExecutionCounts execute(const Execution& execution, const ExecutorOptions& options, Transport& transport, transport::Control& control,
                        StagingMemory& staging) {
  ExecutionCounts counts;
  const Plan plan(execution, options, control.rank(), control.size());
  const std::size_t window = std::min<std::size_t>(static_cast<std::size_t>(options.tilesInFlight), std::max<std::size_t>(plan.tiles(), 1));
  std::byte* memory = staging.reserve(window * plan.tileStagingBytes());

  NeighbourCheck check(execution, transport, control.rank(), control.size());
  bool checked = false;
  std::deque<std::unique_ptr<TileRun>> running;
  std::size_t started = 0;
  while (started < window && started < plan.tiles()) {
    running.push_back(std::make_unique<TileRun>(plan, transport, counts, started, memory + started * plan.tileStagingBytes()));
    ++started;
  }

  const auto awaitedRanks = [&] {
    std::set<int> ranks;
    if (!checked) check.collectAwaited(&ranks);
    for (const auto& run : running) run->collectAwaited(&ranks);
    return ranks;
  };
  control.setStatus({execution.sequence, -1});
  Deadline deadline = Deadline::in(options.timeout);
  Deadline soon = Deadline::in(kSayWaitingAfter);
  bool saidWaiting = false;
  Backoff backoff;
  while (!running.empty() || !checked) {
    bool progressed = false;
    if (!checked && check.poll()) checked = progressed = true;
    try {
      for (auto it = running.begin(); it != running.end();) {
        TileRun& run = **it;
        progressed |= run.advance();
        if (!run.finished()) {
          ++it;
          continue;
        }
        std::byte* freed = run.staging();
        it = running.erase(it);
        if (started < plan.tiles()) {
          // Appended: `it` may be invalid after that, and the new tile is reached in the next round.
          running.push_back(std::make_unique<TileRun>(plan, transport, counts, started++, freed));
          break;
        }
      }
    } catch (const Error& error) {
      if (error.code() == qcclInvalidUsage) explainMismatch(error, check, control);
      throw;
    }
    if (progressed) {
      backoff.reset();
      deadline = Deadline::in(options.timeout);
      soon = Deadline::in(kSayWaitingAfter);
      if (saidWaiting) control.setStatus({execution.sequence, -1});
      saidWaiting = false;
      continue;
    }
    control.throwIfFailed();
    if (!saidWaiting && soon.passed()) {
      const std::set<int> awaited = awaitedRanks();
      control.setStatus({execution.sequence, awaited.empty() ? -1 : *awaited.begin()});
      saidWaiting = true;
    }
    if (deadline.passed()) {
      const std::set<int> awaited = awaitedRanks();
      const std::string why = explainWait(control, awaited.empty() ? control.rank() : *awaited.begin(), execution.sequence);
      control.throwIfFailed();  // another rank was first to find out
      fail(qcclTimeout, why, ". Rank ", control.rank(), " waited ", options.timeout.count(), " ms for ",
           transport::rankList({awaited.begin(), awaited.end()}), " in ", describe(execution.call), ", call #", execution.sequence,
           " of the communicator (QCCL_TIMEOUT_MS sets the bound)");
    }
    backoff.pause();
  }
  return counts;
}

}  // namespace qccl::collectives
