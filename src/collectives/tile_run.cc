#include "collectives/tile_run.hpp"

#include <cstring>

#include "collectives/message_tag.hpp"
#include "quant/noise.hpp"

namespace qccl::collectives {

TileRun::TileRun(const TilePlan& plan, transport::Transport& transport, ExecutionCounts& counts, std::size_t tile, std::byte* staging,
                 std::byte* residual)
    : plan_(plan),
      transport_(transport),
      counts_(counts),
      tile_(tile),
      staging_(staging),
      residual_(residual),
      sumAt_(staging + plan.sumOffset()),
      received_(static_cast<std::size_t>(plan.execution().schedule.slots)) {
  // Receives are posted before anything else, so that what arrives goes straight to its place.
  for (const Step& step : plan_.steps()) {
    if (step.kind != StepKind::recv) continue;
    const Chunk part = plan_.part(tile_, step.chunk);
    if (part.elems == 0) continue;
    received_[static_cast<std::size_t>(step.slot)] =
        transport_.recv(step.peer, tagOf(step), slotAt(step.slot, part), plan_.codec().wireBytes(part));
  }
}

bool TileRun::advance() {
  const std::vector<Step>& steps = plan_.steps();
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

void TileRun::collectAwaited(std::set<int>* peers) const {
  const std::vector<Step>& steps = plan_.steps();
  if (next_ < steps.size() && steps[next_].kind == StepKind::recv) {
    peers->insert(steps[next_].peer);
  } else {
    for (const Sent& sent : sent_) peers->insert(sent.peer);
  }
}

bool TileRun::run(const Step& step) {
  const TileCodec& codec = plan_.codec();
  if (step.kind == StepKind::divide) {
    if (plan_.call().op == qcclAvg && sumElems_ > 0) divideSum();
    return true;
  }
  const Chunk part = plan_.part(tile_, step.chunk);
  if (step.kind == StepKind::loadInput || step.kind == StepKind::loadSlot) sumElems_ = part.elems;
  if (part.elems == 0) return true;
  switch (step.kind) {
    case StepKind::encodeInput:
      encodeInput(step, part);
      return true;
    case StepKind::encodeSum:
      return encodeSum(step, part);
    case StepKind::send:
      send(step, part);
      return true;
    case StepKind::recv:
      return receive(step);
    case StepKind::loadInput:
    case StepKind::addInput:
      if (codec.sumsAnywhere()) return takeOperand(plan_.inputAt(part), part, step.kind == StepKind::loadInput);
      step.kind == StepKind::loadInput ? codec.loadInput(plan_.inputAt(part), part, sum())
                                       : codec.addInput(plan_.inputAt(part), part, sum());
      return true;
    case StepKind::loadSlot:
    case StepKind::addSlot:
      if (codec.sumsAnywhere()) return takeOperand(slotAt(step.slot, part), part, step.kind == StepKind::loadSlot);
      step.kind == StepKind::loadSlot ? codec.loadWire(slotAt(step.slot, part), part, sum())
                                      : codec.addWire(slotAt(step.slot, part), part, sum());
      return true;
    case StepKind::storeSum:
      return storeSum(part);
    case StepKind::decodeSlot:
      return decodeSlot(step, part);
    case StepKind::divide:
      break;
  }
  return true;
}

bool TileRun::takeOperand(const std::byte* operand, const Chunk& part, bool first) {
  if (first) {
    sumAt_ = operand;
    sumIsOperand_ = true;
    return true;
  }
  std::byte* target = sumTarget(part);
  if (!mayWrite(target, part.elems * plan_.codec().typeBytes())) return false;
  plan_.codec().combine(sumAt_, operand, part.elems, target);
  sumAt_ = target;
  sumIsOperand_ = false;
  return true;
}

// Where the next step takes the sum to, or sum() if more is added to it first.
std::byte* TileRun::sumTarget(const Chunk& part) const {
  const std::vector<Step>& steps = plan_.steps();
  std::size_t next = next_ + 1;
  while (next < steps.size() && steps[next].kind == StepKind::divide) ++next;
  if (next < steps.size() && steps[next].kind == StepKind::encodeSum) return slotAt(steps[next].slot, part);
  if (next < steps.size() && steps[next].kind == StepKind::storeSum) return plan_.outputAt(part);
  return sum();
}

void TileRun::divideSum() {
  const TileCodec& codec = plan_.codec();
  if (sumIsOperand_) {
    std::memcpy(sum(), sumAt_, sumElems_ * codec.typeBytes());
    sumAt_ = sum();
    sumIsOperand_ = false;
  }
  // sumAt_ is sum(), or where the last addition wrote.
  codec.divide(const_cast<std::byte*>(sumAt_), sumElems_, plan_.size());
}

void TileRun::encodeInput(const Step& step, const Chunk& part) {
  if (plan_.codec().inputIsWire()) return;  // the slot is the input
  quant::EncodeCounts encoded;
  plan_.codec().encodeInput(plan_.inputAt(part), part, encoding(&encoded), slotAt(step.slot, part));
  count(encoded);
}

bool TileRun::encodeSum(const Step& step, const Chunk& part) {
  std::byte* slot = slotAt(step.slot, part);
  if (slot == sumAt_) return true;  // the last addition wrote it
  if (plan_.slot(step.slot).place == SlotPlace::output && !mayWrite(slot, plan_.codec().wireBytes(part))) return false;
  quant::EncodeCounts encoded;
  plan_.codec().encodeSum(sumAt_, part, encoding(&encoded), slot);
  count(encoded);
  return true;
}

void TileRun::send(const Step& step, const Chunk& part) {
  const std::byte* slot = slotAt(step.slot, part);
  const std::size_t bytes = plan_.codec().wireBytes(part);
  sent_.push_back({transport_.send(step.peer, tagOf(step), slot, bytes), slot, bytes, step.peer});
  counts_.wireBytes += bytes;
  counts_.exactWireBytes += part.elems * plan_.codec().typeBytes();
}

bool TileRun::receive(const Step& step) {
  std::unique_ptr<transport::Request>& request = received_[static_cast<std::size_t>(step.slot)];
  if (!request->poll()) return false;
  request.reset();
  return true;
}

bool TileRun::storeSum(const Chunk& part) {
  std::byte* out = plan_.outputAt(part);
  if (out == sumAt_) return true;  // the last addition wrote it
  if (!mayWrite(out, plan_.codec().outputBytes(part))) return false;
  quant::EncodeCounts encoded;
  TileCodec::Encoding all = encoding(&encoded);
  // Every rank that stores the sum must store the same codes.
  all.noiseKey = quant::noiseKey(plan_.call().quant.seed, plan_.execution().sequence, kEveryRank, 0);
  all.residual = nullptr;
  plan_.codec().storeSum(sumAt_, part, all, out);
  count(encoded);
  return true;
}

bool TileRun::decodeSlot(const Step& step, const Chunk& part) {
  std::byte* out = plan_.outputAt(part);
  const std::byte* slot = slotAt(step.slot, part);
  if (slot == out) return true;
  if (!mayWrite(out, plan_.codec().outputBytes(part))) return false;
  plan_.codec().decode(slot, part, out);
  return true;
}

transport::Tag TileRun::tagOf(const Step& step) const { return dataTag(plan_.fingerprint(), tile_, step.phase, step.chunk); }

std::byte* TileRun::slotAt(int slot, const Chunk& part) const {
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

TileCodec::Encoding TileRun::encoding(quant::EncodeCounts* counts) const {
  const Quantization& quant = plan_.call().quant;
  const bool stochastic = quant.rounding == qcclRoundStochastic;
  const auto rank = static_cast<std::uint64_t>(plan_.rank());
  return {stochastic, stochastic ? quant::noiseKey(quant.seed, plan_.execution().sequence, rank, next_) : 0,
          residual_ == nullptr ? nullptr : residual_ + plan_.residualOffset(next_, tile_), counts};
}

void TileRun::count(const quant::EncodeCounts& encoded) {
  counts_.encodedBlocks += encoded.blocks;
  counts_.nonFiniteBlocks += encoded.nonFiniteBlocks;
  counts_.sampledElems += encoded.sampledElems;
  counts_.saturatedElems += encoded.saturated;
  counts_.flushedElems += encoded.flushed;
}

// In place, the output may still be on its way out as input: true once nothing that is being sent overlaps [out, out + bytes).
bool TileRun::mayWrite(const std::byte* out, std::size_t bytes) {
  for (const Sent& sent : sent_) {
    if (sent.data < out + bytes && out < sent.data + sent.bytes && !sent.request->poll()) return false;
  }
  return true;
}

}  // namespace qccl::collectives
