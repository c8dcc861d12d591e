#include "collectives/schedule.hpp"

namespace qccl::collectives {

int ScheduleBuilder::newSlot(int chunk) {
  slotChunk_.push_back(chunk);
  return schedule_.slots++;
}

int ScheduleBuilder::encodeInput(int chunk) {
  const int slot = newSlot(chunk);
  schedule_.steps.push_back({StepKind::encodeInput, Phase::contribution, chunk, slot, -1});
  return slot;
}

int ScheduleBuilder::encodeSum(int chunk) {
  const int slot = newSlot(chunk);
  schedule_.steps.push_back({StepKind::encodeSum, Phase::contribution, chunk, slot, -1});
  return slot;
}

void ScheduleBuilder::send(int slot, int peer, Phase phase) {
  schedule_.steps.push_back({StepKind::send, phase, slotChunk_[static_cast<std::size_t>(slot)], slot, peer});
}

int ScheduleBuilder::recv(int chunk, int peer, Phase phase) {
  const int slot = newSlot(chunk);
  schedule_.steps.push_back({StepKind::recv, phase, chunk, slot, peer});
  return slot;
}

void ScheduleBuilder::takeInput(int chunk, bool first) {
  schedule_.steps.push_back({first ? StepKind::loadInput : StepKind::addInput, Phase::contribution, chunk, -1, -1});
}

void ScheduleBuilder::takeSlot(int slot, bool first) {
  const int chunk = slotChunk_[static_cast<std::size_t>(slot)];
  schedule_.steps.push_back({first ? StepKind::loadSlot : StepKind::addSlot, Phase::contribution, chunk, slot, -1});
}

void ScheduleBuilder::divide() { schedule_.steps.push_back({StepKind::divide, Phase::contribution, -1, -1, -1}); }

void ScheduleBuilder::storeSum(int chunk) { schedule_.steps.push_back({StepKind::storeSum, Phase::result, chunk, -1, -1}); }

void ScheduleBuilder::decodeSlot(int slot) {
  schedule_.steps.push_back({StepKind::decodeSlot, Phase::result, slotChunk_[static_cast<std::size_t>(slot)], slot, -1});
}

}  // namespace qccl::collectives
