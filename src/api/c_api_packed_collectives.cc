// extern "C": the collectives of include/qccl/packed.h.
#include <qccl/packed.h>

#include "api/collective_guard.hpp"
#include "api/handles.hpp"
#include "api/packed_format.hpp"

namespace qccl::api {
namespace {

qcclResult_t packedCollective(const char* function, qcclColl_t coll, const void* sendpacked, void* recvbuff, size_t count,
                              qcclDataType_t recvtype, qcclRedOp_t op, const qcclPackedFormat_t* format, const qcclQuantConfig_t* quant,
                              qcclComm_t handle, qcclStream_t stream) noexcept {
  return guardCall([&] {
    const quant::PackedFormat checked = readFormat(function, format);
    requireCount(function, count);
    requirePacked(function, "sendpacked", sendpacked, count);
    collectives::Call call = makeCall(coll, sendpacked, recvbuff, count, recvtype, op, -1);
    placeCall(&call, stream, "sendpacked");
    call.inputPacked = true;
    call.outputPacked = recvtype == qcclPacked;
    if (call.outputPacked) requirePacked(function, "recvbuff", recvbuff, count);
    const CommunicatorPtr comm = lookUp(handle);
    submit(comm, comm->preparePacked(call, checked, quant));
  });
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclAllReduceQuantized(const void* sendpacked, void* recvbuff, size_t count, qcclDataType_t recvtype, qcclRedOp_t op,
                                    const qcclPackedFormat_t* format, const qcclQuantConfig_t* quant, qcclComm_t comm,
                                    qcclStream_t stream) {
  return packedCollective("qcclAllReduceQuantized", qcclCollAllReduce, sendpacked, recvbuff, count, recvtype, op, format, quant, comm,
                          stream);
}

qcclResult_t qcclReduceScatterQuantized(const void* sendpacked, void* recvbuff, size_t recvcount, qcclDataType_t recvtype, qcclRedOp_t op,
                                        const qcclPackedFormat_t* format, const qcclQuantConfig_t* quant, qcclComm_t comm,
                                        qcclStream_t stream) {
  return packedCollective("qcclReduceScatterQuantized", qcclCollReduceScatter, sendpacked, recvbuff, recvcount, recvtype, op, format, quant,
                          comm, stream);
}

qcclResult_t qcclAllGatherQuantized(const void* sendpacked, void* recvbuff, size_t sendcount, qcclDataType_t recvtype,
                                    const qcclPackedFormat_t* format, qcclComm_t comm, qcclStream_t stream) {
  return packedCollective("qcclAllGatherQuantized", qcclCollAllGather, sendpacked, recvbuff, sendcount, recvtype, qcclSum, format, nullptr,
                          comm, stream);
}

}  // extern "C"
