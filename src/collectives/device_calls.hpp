// Collectives on GPU memory, for the communicator: which calls there are, and running them. cuda/ has the implementation; without CUDA in
// the build no call is ever one on GPU memory.
#pragma once

#include <qccl/qccl.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collectives/call.hpp"
#include "collectives/partition.hpp"
#include "collectives/schedule.hpp"
#include "device/stream_handle.hpp"
#include "transport/control.hpp"

namespace qccl::collectives {

struct DeviceCallOptions {
  std::string name;  // of the communicator
  std::chrono::milliseconds timeout{120000};
  int threadBlocks = 0;  // at most; 0: as many as run at the same time
};

// One call. The schedules of all ranks are asked for, by rank, when a kind of call is first made: a rank must know where its peers expect
// its messages.
struct DeviceExecution {
  const Call& call;
  std::function<Schedule(int rank)> scheduleOf;
  Partition partition;
  std::size_t inputFirstElem;
  std::size_t outputFirstElem;
};

// What the calls of a communicator on GPU memory have counted so far.
struct DeviceCounts {
  std::uint64_t blocks = 0;
  std::uint64_t nonFiniteBlocks = 0;
  std::uint64_t sampledElems = 0;
  std::uint64_t saturatedElems = 0;
  std::uint64_t flushedElems = 0;
};

class DeviceCalls {
 public:
  virtual ~DeviceCalls() = default;

  // Enqueues the call on call.stream and returns. Throws Error(qcclInvalidArgument) for what cannot run; a failure of the running kernel
  // becomes that of the communicator (Control::fail).
  virtual void launch(const DeviceExecution& execution) = 0;

  // Waits for calls that have not ended; counts what ended. From any thread.
  virtual DeviceCounts counts() = 0;

  // Waits, bounded, until all ranks' calls have ended; for Communicator::leave().
  virtual void leave() = 0;
};

// Copies within the memory of call.device, ordered on call.stream: what a call of a single rank is.
void copyOnDevice(const Call& call, std::size_t bytes);

// Throws Error(qcclInvalidArgument) naming what calls on GPU memory cannot do yet, if `call` needs that.
void requireDeviceCall(const Call& call);

// The calls of this rank on `device`. Collective over the communicator's ranks.
std::unique_ptr<DeviceCalls> makeDeviceCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                             const DeviceCallOptions& options);

}  // namespace qccl::collectives
