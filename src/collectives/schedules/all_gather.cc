// All-gather: every rank sends its chunk to all others directly.
#include "collectives/schedule.hpp"

namespace qccl::collectives {

Schedule allGatherSchedule(int rank, int size) {
  ScheduleBuilder build(size);
  const int own = build.encodeInput(rank);
  for (int k = 1; k < size; ++k) build.send(own, (rank + k) % size, Phase::result);
  build.decodeSlot(own);
  for (int k = 1; k < size; ++k) {
    const int peer = (rank + size - k) % size;
    build.decodeSlot(build.recv(peer, peer, Phase::result));
  }
  return build.finish();
}

}  // namespace qccl::collectives
