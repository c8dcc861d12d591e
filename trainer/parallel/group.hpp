// The data-parallel ranks of a run, over one qccl communicator.
#pragma once

#include <qccl/launch.h>
#include <qccl/qccl.h>

#include <cstdint>
#include <span>

namespace qccl::train {

// Throws TrainError with `what` and the library's sentence if `result` is a failure.
void checkQccl(qcclResult_t result, const char* what, qcclComm_t comm = nullptr);

// Every function is collective: all ranks call the same functions in the same order. They throw TrainError with the library's sentence, and
// never wait longer than the communicator's timeout. Used by one thread at a time.
class Group {
 public:
  // One rank that communicates with nobody.
  Group() = default;
  // The ranks that the launcher started; collective.
  explicit Group(const qcclLaunchInfo_t& launch);
  // Takes over a communicator (ranks as threads of one process: qcclCommInitAll).
  explicit Group(qcclComm_t comm);
  // Waits until this rank's communication is complete.
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  qcclComm_t comm() const { return comm_; }  // nullptr without ranks to talk to, and after abort()

  // values on every rank = those of rank 0.
  void broadcast(std::span<float> values);
  void broadcast(std::span<std::uint64_t> values);
  // values[i] = the sum over ranks, added in double in rank order whatever the algorithm: the same bits on every rank.
  void sum(std::span<double> values);
  // values[i] = the largest over ranks.
  void max(std::span<std::uint64_t> values);
  // Returns when every rank has called it.
  void barrier();

  // Payload bytes that this rank has sent so far.
  std::uint64_t wireBytes() const;

  // Ends whatever the ranks are doing; every later call fails. From any thread.
  void abort() noexcept;

 private:
  void adopt(qcclComm_t comm);
  // False if there is nobody to talk to; throws TrainError after abort().
  bool hasPeers() const;

  qcclComm_t comm_ = nullptr;
  int rank_ = 0;
  int size_ = 1;
  bool aborted_ = false;
};

}  // namespace qccl::train
