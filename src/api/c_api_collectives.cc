// extern "C": collectives, point to point, groups.
#include "api/collective_guard.hpp"
#include "api/group.hpp"
#include "api/handles.hpp"
#include "core/types.hpp"

namespace qccl::api {
namespace {

using collectives::Call;

qcclResult_t collective(Call call, const qcclQuantConfig_t* config, qcclComm_t handle, qcclStream_t stream) noexcept {
  return guardCall([&] {
    placeCall(&call, stream);
    const CommunicatorPtr comm = lookUp(handle);
    submit(comm, comm->prepare(call, config));
  });
}

qcclResult_t pointToPoint(bool isSend, void* buffer, size_t count, qcclDataType_t dtype, int peer, qcclComm_t handle,
                          qcclStream_t stream) noexcept {
  return guardCall([&] {
    const CommunicatorPtr comm = lookUp(handle);
    const std::size_t elemBytes = typeSize(dtype);
    if (elemBytes == 0)
      fail(qcclInvalidArgument, isSend ? "send" : "recv", ": data type ", static_cast<int>(dtype), " is unknown; see qcclDataType_t");
    if (count > (SIZE_MAX >> 1) / elemBytes)
      fail(qcclInvalidArgument, isSend ? "send" : "recv", ": a count of ", count, " elements does not fit into memory");
    collectives::PointToPoint operation{isSend, buffer, count * elemBytes, peer};
    placeExchange(&operation, stream);
    comm->checkPointToPoint(operation);
    submit(comm, operation);
  });
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclAllReduce(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op, qcclComm_t comm,
                           qcclStream_t stream) {
  return collective(makeCall(qcclCollAllReduce, sendbuff, recvbuff, count, dtype, op, -1), nullptr, comm, stream);
}

qcclResult_t qcclAllReduceEx(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                             const qcclQuantConfig_t* quant, qcclComm_t comm, qcclStream_t stream) {
  return collective(makeCall(qcclCollAllReduce, sendbuff, recvbuff, count, dtype, op, -1), quant, comm, stream);
}

qcclResult_t qcclAllReduceMapped(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                 const qcclPrecisionRange_t* ranges, size_t numRanges, const qcclQuantConfig_t* quant, qcclComm_t comm,
                                 qcclStream_t stream) {
  return guardCall([&] {
    const CommunicatorPtr communicator = lookUp(comm);
    Call call = makeCall(qcclCollAllReduce, sendbuff, recvbuff, count, dtype, op, -1);
    placeCall(&call, stream);
    submit(communicator, communicator->prepareMapped(call, ranges, numRanges, quant));
  });
}

qcclResult_t qcclReduceScatter(const void* sendbuff, void* recvbuff, size_t recvcount, qcclDataType_t dtype, qcclRedOp_t op,
                               qcclComm_t comm, qcclStream_t stream) {
  return collective(makeCall(qcclCollReduceScatter, sendbuff, recvbuff, recvcount, dtype, op, -1), nullptr, comm, stream);
}

qcclResult_t qcclReduceScatterEx(const void* sendbuff, void* recvbuff, size_t recvcount, qcclDataType_t dtype, qcclRedOp_t op,
                                 const qcclQuantConfig_t* quant, qcclComm_t comm, qcclStream_t stream) {
  return collective(makeCall(qcclCollReduceScatter, sendbuff, recvbuff, recvcount, dtype, op, -1), quant, comm, stream);
}

qcclResult_t qcclAllGather(const void* sendbuff, void* recvbuff, size_t sendcount, qcclDataType_t dtype, qcclComm_t comm,
                           qcclStream_t stream) {
  return collective(makeCall(qcclCollAllGather, sendbuff, recvbuff, sendcount, dtype, qcclSum, -1), nullptr, comm, stream);
}

qcclResult_t qcclBroadcast(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, int root, qcclComm_t comm,
                           qcclStream_t stream) {
  return collective(makeCall(qcclCollBroadcast, sendbuff, recvbuff, count, dtype, qcclSum, root), nullptr, comm, stream);
}

qcclResult_t qcclReduce(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op, int root, qcclComm_t comm,
                        qcclStream_t stream) {
  return collective(makeCall(qcclCollReduce, sendbuff, recvbuff, count, dtype, op, root), nullptr, comm, stream);
}

qcclResult_t qcclSend(const void* sendbuff, size_t count, qcclDataType_t dtype, int peer, qcclComm_t comm, qcclStream_t stream) {
  return pointToPoint(true, const_cast<void*>(sendbuff), count, dtype, peer, comm, stream);
}

qcclResult_t qcclRecv(void* recvbuff, size_t count, qcclDataType_t dtype, int peer, qcclComm_t comm, qcclStream_t stream) {
  return pointToPoint(false, recvbuff, count, dtype, peer, comm, stream);
}

qcclResult_t qcclGroupStart(void) {
  return guard([] { groupStart(); });
}

qcclResult_t qcclGroupEnd(void) {
  return guard([] { groupEnd(); });
}

}  // extern "C"
