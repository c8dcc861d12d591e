// Ring all-reduce: rank c owns chunk c. The partial sum of chunk c starts at rank c + 1 and travels c + 2, c + 3, ..., c; each rank on the
// way decodes it, adds its own values in FP32 and encodes it again. Then the owner's codes travel round unchanged. size quantizations on
// the path; only neighbours talk.
//
// Reduce-scatter is the first half: the owner keeps the sum as it is.
#include "collectives/schedule.hpp"

namespace qccl::collectives {
namespace {

int wrap(int x, int size) { return ((x % size) + size) % size; }

// After this the sum of chunk `rank` is complete.
void passPartialSums(ScheduleBuilder& build, int rank, int size) {
  const int next = wrap(rank + 1, size);
  const int previous = wrap(rank - 1, size);
  build.send(build.encodeInput(previous), next, Phase::contribution);
  for (int hop = 0; hop < size - 1; ++hop) {
    const int chunk = wrap(rank - 2 - hop, size);
    build.takeSlot(build.recv(chunk, previous, Phase::contribution), true);
    build.takeInput(chunk, false);
    if (hop < size - 2) build.send(build.encodeSum(chunk), next, Phase::contribution);
  }
  build.divide();
}

}  // namespace

Schedule ringSchedule(int rank, int size) {
  ScheduleBuilder build(size);
  passPartialSums(build, rank, size);
  const int next = wrap(rank + 1, size);
  const int previous = wrap(rank - 1, size);
  const int result = build.encodeSum(rank);
  build.send(result, next, Phase::result);
  build.decodeSlot(result);
  for (int hop = 0; hop < size - 1; ++hop) {
    const int slot = build.recv(wrap(rank - 1 - hop, size), previous, Phase::result);
    if (hop < size - 2) build.send(slot, next, Phase::result);
    build.decodeSlot(slot);
  }
  return build.finish();
}

Schedule reduceScatterRingSchedule(int rank, int size) {
  ScheduleBuilder build(size);
  passPartialSums(build, rank, size);
  build.storeSum(rank);
  return build.finish();
}

}  // namespace qccl::collectives
