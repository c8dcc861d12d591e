// Twoshot all-reduce (AGoQ's): rank c owns chunk c. Every rank sends each owner its codes of the owner's chunk; the owner adds them in rank
// order, its own contribution unquantized in its place, encodes the sum once and sends it to all. Two quantizations on the path whatever
// the number of ranks.
//
// Reduce-scatter is the first half: the owner keeps the sum as it is.
#include "collectives/schedule.hpp"

namespace qccl::collectives {
namespace {

void exchangeAndSum(ScheduleBuilder& build, int rank, int size) {
  for (int k = 1; k < size; ++k) {
    const int owner = (rank + k) % size;
    build.send(build.encodeInput(owner), owner, Phase::contribution);
  }
  for (int peer = 0; peer < size; ++peer) {
    if (peer == rank) {
      build.takeInput(rank, peer == 0);
    } else {
      build.takeSlot(build.recv(rank, peer, Phase::contribution), peer == 0);
    }
  }
  build.divide();
}

}  // namespace

Schedule twoshotSchedule(int rank, int size) {
  ScheduleBuilder build(size);
  exchangeAndSum(build, rank, size);
  const int result = build.encodeSum(rank);
  for (int k = 1; k < size; ++k) build.send(result, (rank + k) % size, Phase::result);
  build.decodeSlot(result);
  for (int k = 1; k < size; ++k) {
    const int owner = (rank + k) % size;
    build.decodeSlot(build.recv(owner, owner, Phase::result));
  }
  return build.finish();
}

Schedule reduceScatterDirectSchedule(int rank, int size) {
  ScheduleBuilder build(size);
  exchangeAndSum(build, rank, size);
  build.storeSum(rank);
  return build.finish();
}

}  // namespace qccl::collectives
