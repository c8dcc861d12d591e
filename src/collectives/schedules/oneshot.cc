// Oneshot all-reduce: every rank sends its codes to all, and each adds the codes of all ranks, its own included, in rank order. One
// quantization on the path; all ranks do the same additions on the same codes, so they hold the same bits.
#include "collectives/schedule.hpp"

namespace qccl::collectives {

Schedule oneshotSchedule(int rank, int size) {
  ScheduleBuilder build(1);
  const int own = build.encodeInput(0);
  for (int k = 1; k < size; ++k) build.send(own, (rank + k) % size, Phase::contribution);
  for (int peer = 0; peer < size; ++peer) {
    const int slot = peer == rank ? own : build.recv(0, peer, Phase::contribution);
    build.takeSlot(slot, peer == 0);
  }
  build.divide();
  build.storeSum(0);
  return build.finish();
}

}  // namespace qccl::collectives
