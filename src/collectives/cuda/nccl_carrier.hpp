// Runs any schedule over NCCL: what a rank makes of values and codes are kernels, what travels are all-gathers, or sends and receives in
// groups. For GPUs that cannot write into one another's memory, and between hosts.
//
// The message is cut into tiles (round_tiles.hpp) that go through the schedule's rounds (rounds.hpp). Kernels run on the caller's stream
// and messages on a stream of the carrier's, so that a tile is coded while another travels; events order them, and the caller's stream has
// waited for all of it when the call ends. A message of one tile, with which nothing could overlap, stays on the caller's stream.
//
// Slots are written again by a later tile, and by the next call: a kernel that writes one comes behind, on the same stream, the kernels
// that read it and the wait for the messages that were sent from it; a message that is received into one is enqueued behind an event of
// that stream.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "collectives/cuda/graph_marks.hpp"
#include "collectives/cuda/kernel_call.hpp"
#include "collectives/cuda/sum_kernel.hpp"
#include "collectives/device_calls.hpp"
#include "collectives/round_tiles.hpp"
#include "collectives/rounds.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "quant/cuda/kernels.hpp"
#include "transport/nccl/nccl_comm.hpp"

struct CUevent_st;

namespace qccl::collectives::cuda {

class NcclCarrier {
 public:
  // Of the current device, as all its functions are. `comm` must outlive it. `tileBytes`: setting QCCL_NCCL_TILE_BYTES.
  NcclCarrier(transport::NcclComm& comm, int rank, int size, std::size_t tileBytes);
  // All that run() has enqueued must have ended.
  ~NcclCarrier();
  NcclCarrier(const NcclCarrier&) = delete;
  NcclCarrier& operator=(const NcclCarrier&) = delete;

  // Where a call in a graph says how far it is.
  struct Mark {
    GraphMarker& marker;
    std::uint32_t which;
  };

  // Enqueues the call, which is number `sequence` of the communicator, on its stream. `mark`: it is captured. One thread at a time.
  void run(const DeviceExecution& execution, std::uint64_t sequence, const std::optional<Mark>& mark);

  // Waits for calls that have not ended; counts what ended. From any thread.
  DeviceCounts counts();

  // What runs does not end: its memory stays.
  void abandon() { abandoned_ = true; }

 private:
  using StreamHandle = device::StreamHandle;
  using EventHandle = CUevent_st*;

  // What a call travels on. Two of them: one that is part of a graph being captured must not be used by other calls.
  struct Lane {
    StreamHandle wire = nullptr;
    EventHandle made = nullptr;          // what the next messages need
    std::vector<EventHandle> travelled;  // by set: the last messages of the tile
  };

  // All about a call but its buffers, stream and number: most calls are like the one before.
  struct Prepared {
    Announcement what{};
    const RoundPlan* plan = nullptr;
    RoundTiles tiles;
    std::vector<Turn> turns;
    CallKernel sum{};
    const quant::cuda::CodecKernels* codec = nullptr;  // nullptr: exact
  };

  // One call on its way.
  class Run;

  void prepare(const DeviceExecution& execution);
  const RoundPlan& planOf(const DeviceExecution& execution);
  void load(const Call& call);
  void makeLane(Lane* lane);

  transport::NcclComm& comm_;
  const int rank_;
  const int size_;
  const std::size_t tileBytes_;
  device::cuda::DeviceBuffer counts_;
  device::cuda::DeviceBuffer scratch_;
  device::cuda::DeviceBuffer staging_{0};  // kRoundStagingBytes from the first call that needs it
  Lane eager_, captured_;
  Prepared prepared_;
  std::map<std::tuple<qcclColl_t, qcclAlgo_t, int, int>, RoundPlan> plans_;
  std::set<std::tuple<qcclCodec_t, qcclDataType_t, bool>> loaded_;
  bool abandoned_ = false;
};

}  // namespace qccl::collectives::cuda
