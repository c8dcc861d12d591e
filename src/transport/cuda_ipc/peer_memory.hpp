// GPU memory of every rank of a communicator, mapped into each: kernels of one rank write into the memory of the others, over NVLink or
// PCIe or within one GPU. Between threads of a process the pointers are shared, between processes CUDA's inter-process handles are.
#pragma once

#include <cstddef>
#include <vector>

#include "core/deadline.hpp"
#include "transport/control.hpp"

namespace qccl::transport {

struct PeerOffer;

// So many bytes, all of that value.
struct MemoryFill {
  std::size_t bytes;
  unsigned char value;
};

class PeerMemory {
 public:
  // Collective over all ranks of `control`, whose hosts `hosts` numbers. Allocates `bytes` on `device`, fills them from the first byte on,
  // and maps the memory of the others. Throws the same kind of Error on every rank, with the reason of the first rank that has one:
  // qcclInvalidUsage if the ranks are on several hosts, on GPUs of different kinds or without peer access; qcclUnhandledCudaError.
  PeerMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes, const std::vector<MemoryFill>& fills,
             Deadline deadline);

  // The other ranks must not use this rank's memory any more.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Leaves the memory allocated, for a communicator that failed: nobody knows what the other ranks still write.
  void abandon() { abandoned_ = true; }

  int device() const { return device_; }
  // By rank; readable and writable by kernels on device().
  const std::vector<unsigned char*>& arenas() const { return arenas_; }
  int multiprocessors() const { return multiprocessors_; }  // the fewest of any rank's GPU
  int ranksPerDevice() const { return ranksPerDevice_; }    // the most on any GPU

 private:
  void mapPeers(const std::vector<PeerOffer>& offers, int rank);

  const int device_;
  bool abandoned_ = false;
  int multiprocessors_ = 0;
  int ranksPerDevice_ = 0;
  std::vector<unsigned char*> arenas_;
  unsigned char* own_ = nullptr;
  std::vector<void*> opened_;  // of other processes
};

}  // namespace qccl::transport
