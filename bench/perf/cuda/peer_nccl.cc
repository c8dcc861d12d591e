// The real NCCL on the operands and the stream of qccl's own calls. Its id goes from rank 0 to the others by way of qccl itself, for ranks
// that are threads and for ranks that are processes alike.
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string_view>
#include <thread>

#include "perf/cuda/cuda_check.hpp"
#include "perf/cuda/nccl_library.hpp"
#include "perf/peer.hpp"

namespace qccl::bench {
namespace {

// The values of the enums are the same on both sides, so that a cast is all that is needed.
static_assert(static_cast<int>(ncclInt8) == qcclInt8 && static_cast<int>(ncclUint64) == qcclUint64);
static_assert(static_cast<int>(ncclFloat16) == qcclFloat16 && static_cast<int>(ncclFloat32) == qcclFloat32);
static_assert(static_cast<int>(ncclFloat64) == qcclFloat64 && static_cast<int>(ncclBfloat16) == qcclBfloat16);
static_assert(static_cast<int>(ncclSum) == qcclSum && static_cast<int>(ncclProd) == qcclProd && static_cast<int>(ncclMax) == qcclMax &&
              static_cast<int>(ncclMin) == qcclMin && static_cast<int>(ncclAvg) == qcclAvg);

// NCCL waits for missing ranks without end. Here it does so in a thread of its own, which is left behind when the time is over. `work` must
// own what it uses.
void within(std::chrono::milliseconds limit, const char* what, std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> done = task.get_future();
  std::thread(std::move(task)).detach();
  if (done.wait_for(limit) != std::future_status::ready) {
    throw DeviceHung(std::string(what) + " has not ended in " + std::to_string(limit.count()) + " ms (QCCL_TIMEOUT_MS and some)");
  }
  done.get();
}

int currentDevice() {
  int device = 0;
  checkCuda(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

// NCCL refuses it as well, but says why only in its log.
void requireOwnGpus(Rank& rank, int device) {
  char where[HOST_NAME_MAX + 64] = "";
  gethostname(where, HOST_NAME_MAX);
  const std::size_t length = std::strlen(where);
  checkCuda(cudaDeviceGetPCIBusId(where + length, static_cast<int>(sizeof where - length), device), "cudaDeviceGetPCIBusId");
  const std::vector<std::uint64_t> gpus = rank.gather(static_cast<std::uint64_t>(std::hash<std::string_view>()(where)));
  if (std::set<std::uint64_t>(gpus.begin(), gpus.end()).size() < gpus.size()) {
    throw ToolError("--against nccl: NCCL wants a GPU for every rank, and here ranks share one; start as many ranks as there are GPUs");
  }
}

class NcclPeer final : public Peer {
 public:
  NcclPeer(const Options& options, Rank& rank, Memory& memory)
      : nccl_(openNccl(options.ncclLib)),
        collective_(options.collective),
        type_(static_cast<ncclDataType_t>(options.dtype)),
        op_(static_cast<ncclRedOp_t>(options.op)),
        root_(options.root),
        rank_(rank.index()),
        size_(rank.size()),
        stream_(static_cast<cudaStream_t>(memory.stream())) {
    const int device = currentDevice();
    requireOwnGpus(rank, device);
    ncclUniqueId id{};
    if (rank_ == 0) nccl_.check(nccl_.GetUniqueId(&id), "ncclGetUniqueId");
    const std::vector<char> all = rank.gather(std::span<const char>(id.internal));
    std::memcpy(id.internal, all.data(), sizeof id.internal);
    const auto made = std::make_shared<ncclComm_t>(nullptr);
    within(waitLimit(), "ncclCommInitRank", [made, id, device, nccl = nccl_, r = rank_, w = size_] {
      checkCuda(cudaSetDevice(device), "cudaSetDevice");
      nccl.check(nccl.CommInitRank(made.get(), w, id, r), "ncclCommInitRank");
    });
    comm_ = *made;
  }

  ~NcclPeer() override {
    if (comm_ != nullptr) nccl_.CommAbort(comm_);
  }

  std::string description() const override { return nccl_.description(); }

  void run(const Shape& shape, const void* send, void* recv, bool) override {
    const std::size_t count = shape.count;
    switch (collective_) {
      case qcclCollAllReduce:
        return nccl_.check(nccl_.AllReduce(send, recv, count, type_, op_, comm_, stream_), "ncclAllReduce");
      case qcclCollReduceScatter:
        return nccl_.check(nccl_.ReduceScatter(send, recv, count, type_, op_, comm_, stream_), "ncclReduceScatter");
      case qcclCollAllGather:
        return nccl_.check(nccl_.AllGather(send, recv, count, type_, comm_, stream_), "ncclAllGather");
      case qcclCollBroadcast:
        return nccl_.check(nccl_.Broadcast(send, recv, count, type_, root_, comm_, stream_), "ncclBroadcast");
      case qcclCollReduce:
        return nccl_.check(nccl_.Reduce(send, recv, count, type_, op_, root_, comm_, stream_), "ncclReduce");
      case qcclCollSendRecv:
        nccl_.check(nccl_.GroupStart(), "ncclGroupStart");
        nccl_.check(nccl_.Send(send, count, type_, (rank_ + 1) % size_, comm_, stream_), "ncclSend");
        nccl_.check(nccl_.Recv(recv, count, type_, (rank_ + size_ - 1) % size_, comm_, stream_), "ncclRecv");
        return nccl_.check(nccl_.GroupEnd(), "ncclGroupEnd");
      case qcclNumColls:
        break;
    }
  }

  void finish() override {
    const ncclComm_t comm = comm_;
    comm_ = nullptr;
    within(waitLimit(), "ncclCommDestroy", [comm, device = currentDevice(), nccl = nccl_] {
      checkCuda(cudaSetDevice(device), "cudaSetDevice");
      nccl.check(nccl.CommDestroy(comm), "ncclCommDestroy");
    });
  }

 private:
  NcclLibrary nccl_;
  qcclColl_t collective_;
  ncclDataType_t type_;
  ncclRedOp_t op_;
  int root_;
  int rank_;
  int size_;
  cudaStream_t stream_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace

void requireNccl(const Options& options) {
  // NVLink multicast is never used here, and NCCL reads its environment when it is loaded.
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  openNccl(options.ncclLib);
}

std::unique_ptr<Peer> makeNcclPeer(const Options& options, Rank& rank, Memory& memory) {
  return std::make_unique<NcclPeer>(options, rank, memory);
}

}  // namespace qccl::bench
