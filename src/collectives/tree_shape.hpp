// The binary tree that tree all-reduce, broadcast and reduce use.
//
// Positions 1..size-1 form a binary search tree in which every odd position is a leaf; position 0 is the parent of its root. So the depth
// is at most ceil(log2(size)), and a mirrored numbering turns leaves into inner positions and back: two such trees, each carrying half of
// the message, load every rank evenly.
#pragma once

#include <vector>

namespace qccl::collectives {

struct TreePlace {
  int parent = -1;  // -1 at position 0
  std::vector<int> children;
};

TreePlace treePlace(int position, int size);

// Most edges between position 0 and any other; 0 for one position.
int treeHeight(int size);

// Edges between position 0 and the others, on average over all positions.
double treeMeanDepth(int size);

}  // namespace qccl::collectives
