// extern "C": what calls would do, before they are made, and the table that decides it.
#include "api/collective_guard.hpp"
#include "api/guard.hpp"
#include "api/handles.hpp"
#include "collectives/tuning_table.hpp"
#include "core/settings.hpp"
#include "core/types.hpp"

namespace qccl::api {
namespace {

// A call that is only looked at: of a device it matters that there is one.
collectives::Call callIn(const char* function, qcclMemory_t memory, collectives::Call call) {
  if (memory != qcclMemoryHost && memory != qcclMemoryCuda) {
    fail(qcclInvalidArgument, function, ": memory ", static_cast<int>(memory), " is unknown; see qcclMemory_t");
  }
  call.device = memory == qcclMemoryCuda ? 0 : -1;
  return call;
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclCommExplainIn(qcclComm_t comm, qcclMemory_t memory, qcclColl_t coll, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                               const qcclQuantConfig_t* quant, qcclPlan_t* plan) {
  return guard([&] {
    requireNonNull(plan, "qcclCommExplain", "plan");
    if (qccl::typeSize(dtype) == 0) qccl::fail(qcclInvalidArgument, "qcclCommExplain: data type ", static_cast<int>(dtype), " is unknown");
    if (qccl::enumName(qcclEnumRedOp, op) == nullptr)
      qccl::fail(qcclInvalidArgument, "qcclCommExplain: operation ", static_cast<int>(op), " is unknown");
    const auto call = callIn("qcclCommExplainIn", memory, makeCall(coll, nullptr, nullptr, count, dtype, op, -1));
    *plan = lookUp(comm)->explain(call, quant);
  });
}

qcclResult_t qcclCommExplain(qcclComm_t comm, qcclColl_t coll, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                             const qcclQuantConfig_t* quant, qcclPlan_t* plan) {
  return qcclCommExplainIn(comm, qcclMemoryHost, coll, count, dtype, op, quant, plan);
}

qcclResult_t qcclCommGetTuningKey(qcclComm_t comm, qcclMemory_t memory, qcclTuningKey_t* key) {
  return guard([&] {
    requireNonNull(key, "qcclCommGetTuningKey", "key");
    const auto call = callIn("qcclCommGetTuningKey", memory, {});
    *key = lookUp(comm)->tuningKey(call.onDevice());
  });
}

qcclResult_t qcclGetTuningTable(const char* path, const char** text) {
  return guard([&] {
    requireNonNull(text, "qcclGetTuningTable", "text");
    const auto table = qccl::collectives::readTuning(path != nullptr ? path : qccl::readSettings().tuningTable);
    thread_local std::string kept;
    kept = formatTuning(table->rows());
    *text = kept.c_str();
  });
}

}  // extern "C"
