// The collectives as data: how large their buffers are for a message of so many bytes, where in-place operands lie, what nccl-tests' bus
// bandwidth counts, and the call.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <optional>

#include "perf/options.hpp"

namespace qccl::bench {

// One collective at one size. Counts are elements.
struct Shape {
  std::size_t count = 0;       // the argument of the call
  std::size_t sendElems = 0;   // what one rank puts in
  std::size_t recvElems = 0;   // what one rank gets
  std::size_t totalElems = 0;  // the message as nccl-tests counts it: the larger of both

  // Where operands start in a buffer of totalElems when the call is in place; `rank` is the own one.
  std::size_t inPlaceSendOffset(qcclColl_t collective, int rank) const {
    return collective == qcclCollAllGather ? static_cast<std::size_t>(rank) * count : 0;
  }
  std::size_t inPlaceRecvOffset(qcclColl_t collective, int rank) const {
    return collective == qcclCollReduceScatter ? static_cast<std::size_t>(rank) * count : 0;
  }
};

// Of a message of at most `bytes`, at least one element; reduce-scatter and all-gather round down to whole chunks (at least one element a
// rank).
Shape shapeOf(qcclColl_t collective, std::size_t bytes, qcclDataType_t dtype, int ranks);

// busbw = algbw * factor, so that the number can be compared with the bandwidth of a link whatever the collective and the number of ranks.
// 0 bytes move at one rank.
double busFactor(qcclColl_t collective, int ranks);

// The result is a sum, product, ... of the inputs.
bool isReduction(qcclColl_t collective);
// Every rank gets the same result.
bool isSameEverywhere(qcclColl_t collective);
bool hasInPlace(qcclColl_t collective);
// `rank` gets a result.
bool receives(qcclColl_t collective, int rank, int root);

// What the call itself asks for; none: what the communicator was configured with.
std::optional<qcclQuantConfig_t> quantOfCall(const Options& options);

// Makes the call; blocks until done where the operands are host memory (`stream` is NULL then). Throws ToolError.
void runCollective(const Options& options, const Shape& shape, const void* send, void* recv, int rank, int ranks, qcclComm_t comm,
                   qcclStream_t stream);

}  // namespace qccl::bench
