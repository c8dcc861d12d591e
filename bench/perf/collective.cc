#include "perf/collective.hpp"

#include <algorithm>

#include "common/api.hpp"

namespace qccl::bench {

Shape shapeOf(qcclColl_t collective, std::size_t bytes, qcclDataType_t dtype, int ranks) {
  const std::size_t elems = std::max<std::size_t>(1, bytes / qcclTypeSize(dtype));
  const auto w = static_cast<std::size_t>(ranks);
  const std::size_t chunk = std::max<std::size_t>(1, elems / w);
  switch (collective) {
    case qcclCollReduceScatter:
      return {chunk, w * chunk, chunk, w * chunk};
    case qcclCollAllGather:
      return {chunk, chunk, w * chunk, w * chunk};
    default:
      return {elems, elems, elems, elems};
  }
}

double busFactor(qcclColl_t collective, int ranks) {
  const double w = ranks;
  switch (collective) {
    case qcclCollAllReduce:
      return 2 * (w - 1) / w;
    case qcclCollReduceScatter:
    case qcclCollAllGather:
      return (w - 1) / w;
    default:
      return 1;
  }
}

bool isReduction(qcclColl_t collective) {
  return collective == qcclCollAllReduce || collective == qcclCollReduceScatter || collective == qcclCollReduce;
}

bool isSameEverywhere(qcclColl_t collective) {
  return collective == qcclCollAllReduce || collective == qcclCollAllGather || collective == qcclCollBroadcast;
}

bool hasInPlace(qcclColl_t collective) { return collective != qcclCollSendRecv; }

bool receives(qcclColl_t collective, int rank, int root) { return collective != qcclCollReduce || rank == root; }

std::optional<qcclQuantConfig_t> quantOfCall(const Options& options) {
  if (!options.keepCodec) return std::nullopt;
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = options.codec;
  return quant;
}

void runCollective(const Options& options, const Shape& shape, const void* send, void* recv, int rank, int ranks, qcclComm_t comm,
                   qcclStream_t stream) {
  const qcclDataType_t dtype = options.dtype;
  const std::optional<qcclQuantConfig_t> own = quantOfCall(options);
  const qcclQuantConfig_t* const quant = own ? &*own : nullptr;
  switch (options.collective) {
    case qcclCollAllReduce:
      return check(qcclAllReduceEx(send, recv, shape.count, dtype, options.op, quant, comm, stream), "qcclAllReduce", comm);
    case qcclCollReduceScatter:
      return check(qcclReduceScatterEx(send, recv, shape.count, dtype, options.op, quant, comm, stream), "qcclReduceScatter", comm);
    case qcclCollAllGather:
      return check(qcclAllGather(send, recv, shape.count, dtype, comm, stream), "qcclAllGather", comm);
    case qcclCollBroadcast:
      return check(qcclBroadcast(send, recv, shape.count, dtype, options.root, comm, stream), "qcclBroadcast", comm);
    case qcclCollReduce:
      return check(qcclReduce(send, recv, shape.count, dtype, options.op, options.root, comm, stream), "qcclReduce", comm);
    case qcclCollSendRecv:
      // Round the ring: to the next rank, from the one before.
      check(qcclGroupStart(), "qcclGroupStart");
      check(qcclSend(send, shape.count, dtype, (rank + 1) % ranks, comm, stream), "qcclSend", comm);
      check(qcclRecv(recv, shape.count, dtype, (rank + ranks - 1) % ranks, comm, stream), "qcclRecv", comm);
      return check(qcclGroupEnd(), "qcclGroupEnd", comm);
    case qcclNumColls:
      break;
  }
}

}  // namespace qccl::bench
