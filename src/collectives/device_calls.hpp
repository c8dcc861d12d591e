// Collectives on GPU memory, for the communicator: which calls there are, and running them. cuda/ has the implementation; without CUDA in
// the build no call is ever one on GPU memory.
#pragma once

#include <qccl/qccl.h>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
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
  int threadBlocks = 0;                              // at most; 0: as many as run at the same time
  std::string path = "auto";                         // setting QCCL_GPU_PATH
  std::string ncclLibrary;                           // setting QCCL_NCCL_LIBRARY
  std::size_t ncclTileBytes = std::size_t{8} << 20;  // setting QCCL_NCCL_TILE_BYTES
};

// One qcclSend or qcclRecv.
struct PointToPoint {
  bool isSend;
  void* buffer;  // only read when isSend
  std::size_t bytes;
  int peer;
  int device = -1;                        // the GPU whose memory the buffer is; -1: the host's
  device::StreamHandle stream = nullptr;  // of one on a GPU

  bool onDevice() const { return device >= 0; }
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

  // Enqueues sends and receives, which progress together; those between the same two ranks match in order.
  virtual void exchange(std::span<const PointToPoint> operations) = 0;

  // What is enqueued on `stream` from now on waits for the calls so far that are not in graphs; nothing for a stream that is captured.
  virtual void orderAfter(device::StreamHandle stream) = 0;

  // What carries quantized calls and those of float32, bfloat16 and float16: "peer" (GPU memory mapped into all ranks),
  // "host" (memory of their host) or "nccl".
  virtual const char* path() const = 0;

  // Whether the real NCCL can make calls in place of these: the same on every rank.
  virtual bool canUseNccl() const = 0;

  // Waits for calls that have not ended; counts what ended. From any thread.
  virtual DeviceCounts counts() = 0;

  // Waits, bounded, until all ranks' calls have ended; for Communicator::leave().
  virtual void leave() = 0;
};

// Copies within the memory of call.device, ordered on call.stream: what a call of a single rank is.
void copyOnDevice(const Call& call, std::size_t bytes);

// Throws Error(qcclInvalidArgument) naming what calls on GPU memory cannot do, or what it takes, if `call` needs that.
void requireDeviceCall(const Call& call, const DeviceCallOptions& options);

// The same for sends and receives. `name` begins the sentence.
void requireDeviceExchange(const char* name, const DeviceCallOptions& options);

// The calls of this rank on `device`. Collective over the communicator's ranks, whose hosts `hosts` numbers.
std::unique_ptr<DeviceCalls> makeDeviceCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                             const DeviceCallOptions& options);

}  // namespace qccl::collectives
