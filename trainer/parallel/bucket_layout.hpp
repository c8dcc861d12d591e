// Which gradients travel together. Pure arithmetic on the parameters' layout: the same on every rank, never a matter of timing.
//
// Matrices: whole parameters in the order in which backward finishes them, gathered until a bucket has the target size; so each bucket is a
// contiguous range of the gradient arena, and the buckets become ready from the first to the last. Vectors (norm weights): one bucket at
// the end, which travels exactly. Together the buckets cover every element of the arena once, the gaps between parameters (always zero)
// included.
#pragma once

#include <cstddef>
#include <vector>

#include "model/parameters.hpp"

namespace qccl::train {

struct Bucket {
  std::size_t beginElems = 0;  // in the gradient arena
  std::size_t endElems = 0;
  std::size_t parameters = 0;  // whose gradients must be final before it can travel
  bool exact = false;          // vectors
  std::size_t elems() const { return endElems - beginElems; }
};

struct BucketLayout {
  std::vector<Bucket> buckets;        // in the order in which they travel
  std::vector<std::size_t> bucketOf;  // by the parameter's position in Parameters::list()
};

// A bucket is closed when it has at least min(targetBytes, a sixteenth of the matrices) bytes, so that small models overlap too, but not
// with less than kSmallestBucketBytes, below which the cost of a message is latency.
inline constexpr std::size_t kSmallestBucketBytes = std::size_t{64} << 10;
BucketLayout layOutBuckets(const std::vector<Parameter>& parameters, std::size_t matrixElems, std::size_t arenaElems,
                           std::size_t targetBytes);

}  // namespace qccl::train
