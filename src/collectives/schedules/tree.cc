// Tree all-reduce: partial sums go up a binary tree, each inner rank adding its children's decoded codes to its own values in FP32 and
// encoding the sum; the root's codes come down unchanged. The message is cut into two halves with a tree each (tree_shape.hpp), so that
// ranks which are inner in one are leaves in the other. At most ceil(log2(size)) + 1 quantizations on the path.
//
// Broadcast is the way down and reduce the way up, of one tree whose position 0 is the root rank.
#include "collectives/schedule.hpp"
#include "collectives/tree_shape.hpp"

namespace qccl::collectives {
namespace {

// A tree over ranks instead of positions.
struct Neighbours {
  int parent = -1;
  std::vector<int> children;
};

template <typename RankAt>
Neighbours neighbours(int position, int size, RankAt rankAt) {
  const TreePlace place = treePlace(position, size);
  Neighbours result;
  if (place.parent >= 0) result.parent = rankAt(place.parent);
  for (const int child : place.children) result.children.push_back(rankAt(child));
  return result;
}

// Half 0: position = rank. Half 1: mirrored where that turns odd positions into even ones (even size), else shifted by one.
Neighbours neighboursInHalf(int half, int rank, int size) {
  if (half == 0) return neighbours(rank, size, [](int position) { return position; });
  if (size % 2 == 0) return neighbours(size - 1 - rank, size, [size](int position) { return size - 1 - position; });
  return neighbours((rank + size - 1) % size, size, [size](int position) { return (position + 1) % size; });
}

Neighbours neighboursBelowRoot(int rank, int size, int root) {
  return neighbours((rank - root + size) % size, size, [size, root](int position) { return (position + root) % size; });
}

// The sum of the subtree goes to the parent, or stays in `sum` at the root.
void sendUp(ScheduleBuilder& build, int chunk, const Neighbours& at) {
  if (at.children.empty()) {
    if (at.parent >= 0) build.send(build.encodeInput(chunk), at.parent, Phase::contribution);
    return;
  }
  build.takeInput(chunk, true);
  for (const int child : at.children) build.takeSlot(build.recv(chunk, child, Phase::contribution), false);
  if (at.parent >= 0) build.send(build.encodeSum(chunk), at.parent, Phase::contribution);
}

// `slot` holds the result.
void sendDown(ScheduleBuilder& build, int slot, const Neighbours& at) {
  for (const int child : at.children) build.send(slot, child, Phase::result);
  build.decodeSlot(slot);
}

}  // namespace

Schedule treeSchedule(int rank, int size) {
  ScheduleBuilder build(2);
  const Neighbours halves[2] = {neighboursInHalf(0, rank, size), neighboursInHalf(1, rank, size)};
  // All leaves' contributions first: they are what others wait for, and need nothing.
  for (int half = 0; half < 2; ++half) {
    if (halves[half].children.empty()) sendUp(build, half, halves[half]);
  }
  for (int half = 0; half < 2; ++half) {
    if (halves[half].children.empty()) continue;
    sendUp(build, half, halves[half]);
    if (halves[half].parent < 0) {
      build.divide();
      sendDown(build, build.encodeSum(half), halves[half]);
    }
  }
  for (int half = 0; half < 2; ++half) {
    if (halves[half].parent >= 0) sendDown(build, build.recv(half, halves[half].parent, Phase::result), halves[half]);
  }
  return build.finish();
}

Schedule broadcastSchedule(int rank, int size, int root) {
  ScheduleBuilder build(1);
  const Neighbours at = neighboursBelowRoot(rank, size, root);
  sendDown(build, at.parent < 0 ? build.encodeInput(0) : build.recv(0, at.parent, Phase::result), at);
  return build.finish();
}

Schedule reduceSchedule(int rank, int size, int root) {
  ScheduleBuilder build(1);
  const Neighbours at = neighboursBelowRoot(rank, size, root);
  sendUp(build, 0, at);
  if (at.parent < 0) {
    build.divide();
    build.storeSum(0);
  }
  return build.finish();
}

}  // namespace qccl::collectives
