#include "parallel/group.hpp"

#include <string>
#include <vector>

#include "model/error.hpp"

namespace qccl::train {

void checkQccl(qcclResult_t result, const char* what, qcclComm_t comm) {
  if (result == qcclSuccess) return;
  std::string story = qcclGetLastError(comm);
  if (story.empty()) story = qcclGetErrorString(result);
  failTrain(what, ": ", story);
}

Group::Group(const qcclLaunchInfo_t& launch) {
  if (launch.size == 1) return;
  qcclUniqueId id;
  checkQccl(qcclLaunchGetUniqueId(&launch, &id), "the ranks could not agree on a rendezvous");
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.name = "gradients";
  // Buckets say for themselves how they travel; everything else is exact, whatever the environment asks for.
  config.quant.codec = qcclCodecNone;
  qcclComm_t comm = nullptr;
  checkQccl(qcclCommInitRankConfig(&comm, launch.size, id, launch.rank, &config), "the ranks could not connect");
  adopt(comm);
}

Group::Group(qcclComm_t comm) { adopt(comm); }

void Group::adopt(qcclComm_t comm) {
  comm_ = comm;
  checkQccl(qcclCommUserRank(comm, &rank_), "the rank is unknown", comm);
  checkQccl(qcclCommCount(comm, &size_), "the number of ranks is unknown", comm);
}

Group::~Group() {
  if (comm_ != nullptr) qcclCommDestroy(comm_);
}

bool Group::hasPeers() const {
  if (comm_ == nullptr && aborted_) failTrain("the ranks have been parted by an earlier failure");
  return comm_ != nullptr;
}

void Group::broadcast(std::span<float> values) {
  if (!hasPeers()) return;
  checkQccl(qcclBroadcast(values.data(), values.data(), values.size(), qcclFloat32, 0, comm_, nullptr), "the broadcast failed", comm_);
}

void Group::broadcast(std::span<std::uint64_t> values) {
  if (!hasPeers()) return;
  checkQccl(qcclBroadcast(values.data(), values.data(), values.size(), qcclUint64, 0, comm_, nullptr), "the broadcast failed", comm_);
}

void Group::sum(std::span<double> values) {
  if (!hasPeers()) return;
  const std::size_t count = values.size();
  std::vector<double> all(count * static_cast<std::size_t>(size_));
  checkQccl(qcclAllGather(values.data(), all.data(), count, qcclFloat64, comm_, nullptr), "the exchange of numbers failed", comm_);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = all[i];
    for (std::size_t r = 1; r < static_cast<std::size_t>(size_); ++r) values[i] += all[r * count + i];
  }
}

void Group::max(std::span<std::uint64_t> values) {
  if (!hasPeers()) return;
  checkQccl(qcclAllReduce(values.data(), values.data(), values.size(), qcclUint64, qcclMax, comm_, nullptr),
            "the exchange of numbers failed", comm_);
}

void Group::barrier() {
  std::uint64_t nothing[1] = {0};
  max(nothing);
}

std::uint64_t Group::wireBytes() const {
  if (!hasPeers()) return 0;
  qcclStats_t stats{};
  stats.size = sizeof(stats);
  checkQccl(qcclCommGetStats(comm_, &stats), "the communicator's counters cannot be read", comm_);
  return stats.wireBytes;
}

void Group::abort() noexcept {
  if (comm_ != nullptr) qcclCommAbort(comm_);
  comm_ = nullptr;
  aborted_ = true;
}

}  // namespace qccl::train
