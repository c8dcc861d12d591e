// One rank's membership in a communicator of the real NCCL, for GPU memory: between hosts, between GPUs that cannot write into one
// another's memory, and for what only NCCL does.
//
// Nothing here waits without a bound. A communicator is made without blocking, polled until the deadline, and what is used is a second one
// that was split off it and shares its fate ("aborting any communicator can result in other communicators in the same family becoming
// unusable"): abort() ends the first, and with it the kernels, and the calls of a thread that is inside NCCL, on the second, whose memory
// nobody frees while they last.
#pragma once

#include <qccl/qccl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/stream_handle.hpp"
#include "transport/control.hpp"

namespace qccl::transport {

// "" if the real NCCL can be opened from `library` (QCCL_NCCL_LIBRARY; empty: libnccl.so.2), else the sentence that says why not and what
// to do. Never throws.
std::string whyNoNccl(const std::string& library);

// "2.28.9 (path)", or whyNoNccl. For reports about the machine.
std::string ncclVersionText(const std::string& library);

// Threads: one at a time makes calls; abort() and failure() from any. Calls are enqueued on `stream` and return, except that the first ones
// between two ranks connect them and wait for that until abort(). `device` must be current. Each throws Error with NCCL's own story.
class NcclComm {
 public:
  // Collective over all ranks of `control`, whose hosts `hosts` numbers. Throws the same Error on every rank: qcclSystemError if one cannot
  // open NCCL, qcclInvalidUsage if two share a GPU or have different versions, qcclTimeout.
  NcclComm(Control& control, const std::vector<int>& hosts, int device, const std::string& library, std::chrono::milliseconds timeout);

  // After left() at peace, otherwise by abort(). Waits a few seconds at most: what NCCL has not given up by then (it waits for CUDA graphs
  // with its calls to be destroyed) is left to a thread in the background.
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  int device() const { return device_; }

  // Types and operations are numbered as NCCL's are. An all-gather is in place where `in` is the own part of `out`.
  void allReduce(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, qcclRedOp_t op, device::StreamHandle stream);
  void reduceScatter(const void* in, void* out, std::size_t outElems, qcclDataType_t dtype, qcclRedOp_t op, device::StreamHandle stream);
  void allGather(const void* in, void* out, std::size_t inElems, qcclDataType_t dtype, device::StreamHandle stream);
  void broadcast(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, int root, device::StreamHandle stream);
  void reduce(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, qcclRedOp_t op, int root, device::StreamHandle stream);

  // What body() sends and receives goes as one kernel, in which all progress together. Between two ranks, sends and receives match in the
  // order in which they are made.
  void group(const std::function<void()>& body);
  void send(const void* from, std::size_t bytes, int peer, device::StreamHandle stream);
  void receive(void* to, std::size_t bytes, int peer, device::StreamHandle stream);

  // Ends kernels in flight and calls inside NCCL; the communicator is unusable then. Returns at once.
  void abort() noexcept;

  // What NCCL itself found wrong since (a connection that was lost); "" if nothing.
  std::string failure() const;

  // All calls of all ranks have ended, and none will follow.
  void left() { left_ = true; }

 private:
  struct Handles;
  class Ending;

  void make(Control& control, const std::string& id, std::chrono::milliseconds timeout);
  void check(int result, const char* call);

  const int device_;
  std::shared_ptr<Handles> handles_;
  std::atomic<bool> aborted_{false};
  std::shared_ptr<Ending> aborting_;
  bool left_ = false;
};

}  // namespace qccl::transport
