#include "collectives/tree_shape.hpp"

#include <algorithm>

namespace qccl::collectives {

TreePlace treePlace(int position, int size) {
  TreePlace place;
  if (position == 0) {
    int top = 1;
    while (2 * top < size) top *= 2;
    if (size > 1) place.children.push_back(top);
    return place;
  }
  const int span = position & -position;  // the subtree holds positions within span - 1 of this one
  const int above = (position & ~span) | (span << 1);
  place.parent = above < size ? above : position & ~span;
  if (span > 1) place.children.push_back(position - span / 2);
  // Where the right half is cut off by `size`, its largest subtree that still fits takes its place.
  for (int step = span / 2; step > 0; step /= 2) {
    if (position + step < size) {
      place.children.push_back(position + step);
      break;
    }
  }
  return place;
}

namespace {

int depthOf(int position, int size) {
  int depth = 0;
  for (int at = position; at != 0; at = treePlace(at, size).parent) ++depth;
  return depth;
}

}  // namespace

int treeHeight(int size) {
  int height = 0;
  for (int position = 0; position < size; ++position) height = std::max(height, depthOf(position, size));
  return height;
}

double treeMeanDepth(int size) {
  double sum = 0;
  for (int position = 0; position < size; ++position) sum += depthOf(position, size);
  return sum / size;
}

}  // namespace qccl::collectives
