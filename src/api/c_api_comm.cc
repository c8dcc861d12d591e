// extern "C": communicators.
#include <cstring>

#include "api/comm_config.hpp"
#include "api/group.hpp"
#include "api/guard.hpp"
#include "api/handles.hpp"
#include "api/sized_struct.hpp"
#include "collectives/tuning_agreement.hpp"
#include "core/log.hpp"
#include "transport/bootstrap.hpp"

namespace qccl::api {
namespace {

using collectives::Communicator;

qcclComm_t makeCommunicator(transport::Membership membership, const collectives::CommunicatorOptions& options) {
  auto comm = std::make_shared<Communicator>(std::move(membership), options);
  log(LogLevel::info, "rank ", comm->rank(), " of ", comm->size(), " joined ", comm->name());
  return registerCommunicator(std::move(comm));
}

// Of ranks whose environments may differ. Collective.
qcclComm_t joinCommunicator(const qcclUniqueId& id, int rank, int nranks, const CommConfig& config) {
  transport::Membership membership = transport::joinTcp(id, rank, nranks, config.settings);
  collectives::CommunicatorOptions options = config.options;
  const Deadline deadline = Deadline::in(options.executor.timeout);
  options.tuning = collectives::agreeOnTuning(*membership.control, config.settings.tuningTable, deadline);
  return makeCommunicator(std::move(membership), options);
}

// Before any rank connects: each finds out by itself.
void checkSize(const char* function, int nranks) {
  if (nranks < 1 || nranks > collectives::kMaxRanks)
    fail(qcclInvalidArgument, function, ": nranks = ", nranks, " must be from 1 to ", collectives::kMaxRanks);
}

void initRank(qcclComm_t* comm, int nranks, const qcclUniqueId& id, int rank, const qcclConfig_t* userConfig) {
  requireNonNull(comm, "qcclCommInitRank", "comm");
  checkSize("qcclCommInitRank", nranks);
  if (rank < 0 || rank >= nranks)
    fail(qcclInvalidArgument, "qcclCommInitRank: rank = ", rank, " must be from 0 to nranks - 1 = ", nranks - 1);
  submitTask([comm, nranks, id, rank, config = resolveConfig(userConfig)] { *comm = joinCommunicator(id, rank, nranks, config); });
}

// Each rank joins on a thread of its own: they wait for one another.
void initAll(qcclComm_t* comms, int nranks, const int* devices, const qcclConfig_t* userConfig) {
  requireNonNull(comms, "qcclCommInitAll", "comms");
  checkSize("qcclCommInitAll", nranks);
  if (devices != nullptr) fail(qcclInvalidArgument, "qcclCommInitAll: devices must be NULL: this build works on host memory");
  CommConfig config = resolveConfig(userConfig);
  std::vector<qcclComm_t> made(static_cast<std::size_t>(nranks));
  if (config.settings.transport == "ucx") {
    const qcclUniqueId id = transport::makeUniqueId(config.settings);
    groupStart();
    for (int rank = 0; rank < nranks; ++rank) {
      submitTask(
          [&made, &config, &id, nranks, rank] { made[static_cast<std::size_t>(rank)] = joinCommunicator(id, rank, nranks, config); });
    }
    groupEnd();
  } else {
    config.options.tuning = collectives::readTuning(config.settings.tuningTable);
    std::vector<transport::Membership> memberships = transport::connectInproc(nranks);
    for (std::size_t rank = 0; rank < made.size(); ++rank) made[rank] = makeCommunicator(std::move(memberships[rank]), config.options);
  }
  std::copy(made.begin(), made.end(), comms);
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclGetUniqueId(qcclUniqueId* id) {
  return guard([&] {
    requireNonNull(id, "qcclGetUniqueId", "id");
    *id = qccl::transport::makeUniqueId(qccl::readSettings());
  });
}

qcclResult_t qcclCommInitRank(qcclComm_t* comm, int nranks, qcclUniqueId id, int rank) {
  return guard([&] { initRank(comm, nranks, id, rank, nullptr); });
}

qcclResult_t qcclCommInitRankConfig(qcclComm_t* comm, int nranks, qcclUniqueId id, int rank, const qcclConfig_t* config) {
  return guard([&] { initRank(comm, nranks, id, rank, config); });
}

qcclResult_t qcclCommInitAll(qcclComm_t* comms, int nranks, const int* devices) {
  return guard([&] { initAll(comms, nranks, devices, nullptr); });
}

qcclResult_t qcclCommInitAllConfig(qcclComm_t* comms, int nranks, const int* devices, const qcclConfig_t* config) {
  return guard([&] { initAll(comms, nranks, devices, config); });
}

qcclResult_t qcclCommCount(qcclComm_t comm, int* count) {
  return guard([&] {
    requireNonNull(count, "qcclCommCount", "count");
    *count = lookUp(comm)->size();
  });
}

qcclResult_t qcclCommUserRank(qcclComm_t comm, int* rank) {
  return guard([&] {
    requireNonNull(rank, "qcclCommUserRank", "rank");
    *rank = lookUp(comm)->rank();
  });
}

qcclResult_t qcclCommDestroy(qcclComm_t comm) {
  return guard([&] {
    if (comm == nullptr) return;
    submitTask([taken = takeOut(comm)] { taken->leave(); });
  });
}

qcclResult_t qcclCommAbort(qcclComm_t comm) {
  return guard([&] {
    if (comm != nullptr) takeOut(comm)->abort();
  });
}

qcclResult_t qcclCommGetAsyncError(qcclComm_t comm, qcclResult_t* result) {
  return guard([&] {
    requireNonNull(result, "qcclCommGetAsyncError", "result");
    *result = lookUp(comm)->asyncError(nullptr);
  });
}

qcclResult_t qcclCommGetStats(qcclComm_t comm, qcclStats_t* stats) {
  return guard([&] { writeSized("qcclCommGetStats", "stats", "qcclStats_t", stats, lookUp(comm)->totalStatistics()); });
}

qcclResult_t qcclCommGetLastCallStats(qcclComm_t comm, qcclStats_t* stats) {
  return guard([&] { writeSized("qcclCommGetLastCallStats", "stats", "qcclStats_t", stats, lookUp(comm)->lastCallStatistics()); });
}

qcclResult_t qcclCommResetFeedback(qcclComm_t comm) {
  return guard([&] { lookUp(comm)->resetFeedback(); });
}

}  // extern "C"
