#include "transport/cuda_ipc/peer_memory.hpp"

#include <algorithm>
#include <set>

#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "transport/cuda_ipc/gather_structs.hpp"
#include "transport/tcp/random.hpp"
#include "transport/together.hpp"

namespace qccl::transport {
namespace {

GpuFacts factsOf(int device) {
  GpuFacts facts{};
  facts.process = thisProcess().token;
  QCCL_CUDA_CHECK(cudaDeviceGetPCIBusId(facts.bus, sizeof(facts.bus), device));
  cudaDeviceProp properties;
  QCCL_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  facts.multiprocessors = properties.multiProcessorCount;
  facts.capability = properties.major * 10 + properties.minor;
  return facts;
}

void requireOneKind(const std::vector<GpuFacts>& facts, std::size_t rank) {
  const int own = facts[rank].capability;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const int theirs = facts[i].capability;
    if (theirs == own) continue;
    fail(qcclInvalidUsage, "rank ", rank, " has a GPU of compute capability ", own / 10, ".", own % 10, ", rank ", i, " one of ",
         theirs / 10, ".", theirs % 10, "; use GPUs of one kind in a communicator");
  }
}

}  // namespace

PeerMemory::PeerMemory(Kind kind, Control& control, const std::vector<int>& hosts, int device, Deadline deadline)
    : kind_(kind), device_(device) {
  if (std::set<int>(hosts.begin(), hosts.end()).size() > 1) {
    fail(qcclInvalidUsage, "the ranks are on several hosts, between which GPU buffers go over NCCL only");
  }
  GpuFacts mine{};
  together(control, deadline, [&] { mine = factsOf(device); });
  facts_ = gatherStructs(control, mine, deadline);
  together(control, deadline, [&] { requireOneKind(facts_, static_cast<std::size_t>(control.rank())); });

  multiprocessors_ = mine.multiprocessors;
  for (const GpuFacts& facts : facts_) {
    multiprocessors_ = std::min(multiprocessors_, facts.multiprocessors);
    const auto there = std::count_if(facts_.begin(), facts_.end(), [&](const GpuFacts& f) { return std::strcmp(f.bus, facts.bus) == 0; });
    ranksPerDevice_ = std::max(ranksPerDevice_, static_cast<int>(there));
  }
}

}  // namespace qccl::transport
