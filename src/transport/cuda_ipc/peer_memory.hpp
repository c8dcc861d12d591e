// Memory of every rank of a communicator that kernels of all ranks read and write: GPU memory, over NVLink or PCIe or within one GPU, or,
// for GPUs that do not reach one another, page-locked memory of the host that they share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/deadline.hpp"
#include "transport/control.hpp"

namespace qccl::transport {

// What ranks know of one another's.
struct GpuFacts {
  std::array<std::uint8_t, 16> process;  // ProcessIdentity::token
  char bus[16];                          // of the GPU
  std::int32_t multiprocessors;
  std::int32_t capability;
};

class PeerMemory {
 public:
  enum class Kind { gpu, host };

  // The other ranks must not use this rank's memory any more.
  virtual ~PeerMemory() = default;
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Leaves the memory allocated, for a communicator that failed: nobody knows what the other ranks still write.
  void abandon() { abandoned_ = true; }

  Kind kind() const { return kind_; }
  int device() const { return device_; }
  // By rank; readable and writable by kernels on device().
  const std::vector<unsigned char*>& arenas() const { return arenas_; }
  int multiprocessors() const { return multiprocessors_; }  // the fewest of any rank's GPU
  int ranksPerDevice() const { return ranksPerDevice_; }    // the most on any GPU

 protected:
  // Collective. Throws on every rank if the ranks are on several hosts or on GPUs of different kinds.
  PeerMemory(Kind kind, Control& control, const std::vector<int>& hosts, int device, Deadline deadline);

  // By rank.
  const std::vector<GpuFacts>& facts() const { return facts_; }
  bool abandoned() const { return abandoned_; }

  std::vector<unsigned char*> arenas_;

 private:
  const Kind kind_;
  const int device_;
  bool abandoned_ = false;
  int multiprocessors_ = 0;
  int ranksPerDevice_ = 0;
  std::vector<GpuFacts> facts_;
};

// So many bytes, all of that value.
struct MemoryFill {
  std::size_t bytes;
  unsigned char value;
};

// Collective over all ranks of `control`, whose hosts `hosts` numbers. Both throw the same kind of Error on every rank, with the reason of
// the first rank that has one: qcclInvalidUsage if there can be no such memory here; qcclUnhandledCudaError.
//
// `bytes` of GPU memory on `device`, filled from the first byte on, with that of the others mapped. Between threads of a process the
// pointers are shared, between processes CUDA's inter-process handles are. Not on GPUs without access to one another's memory.
std::unique_ptr<PeerMemory> shareGpuMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes,
                                           const std::vector<MemoryFill>& fills, Deadline deadline);

// `bytes` of zeros in page-locked host memory, with that of the others mapped for `device`. It has no name in any file system: processes
// find one another's through /proc, so nothing is left of it however they end.
std::unique_ptr<PeerMemory> shareHostMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes,
                                            Deadline deadline);

}  // namespace qccl::transport
