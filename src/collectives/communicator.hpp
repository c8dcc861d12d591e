// One rank's membership in a communicator: validates calls, chooses what they do, runs them, keeps count, and remembers why it cannot go
// on.
//
// Threads: run, runPointToPoint and leave by one thread at a time (a second one is refused, not raced); everything else from any thread at
// any time.
#pragma once

#include <qccl/qccl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "collectives/device_calls.hpp"
#include "collectives/executor.hpp"
#include "collectives/feedback.hpp"
#include "collectives/message_tag.hpp"
#include "collectives/selector.hpp"
#include "collectives/staging.hpp"
#include "collectives/statistics.hpp"
#include "transport/membership.hpp"

namespace qccl::collectives {

// No collective cuts a message into more chunks than there are ranks, and a message's tag has room for this many.
inline constexpr int kMaxRanks = kMaxChunks;

struct CommunicatorOptions {
  std::string name;
  QuantDefaults quant;
  ExecutorOptions executor;
  int threadBlocks = 0;                                         // of calls on GPU memory, at most; 0: as many as run at the same time
  std::string gpuPath = "auto";                                 // what carries them: auto, peer, host or nccl
  std::string ncclLibrary;                                      // the file of the real NCCL; empty: as the loader finds it
  std::size_t ncclTileBytes = std::size_t{8} << 20;             // of what they cut a message into tiles by, over NCCL
  std::shared_ptr<const TuningTable> tuning = builtInTuning();  // the same rows on every rank
};

class Communicator {
 public:
  // Of at most kMaxRanks ranks.
  Communicator(transport::Membership membership, CommunicatorOptions options);

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return options_.name; }

  // Checks the arguments of a call and decides its quantization (config: that of the call itself, or nullptr). Throws
  // Error(qcclInvalidArgument); nothing has happened then and the communicator is as good as before.
  Call prepare(Call call, const qcclQuantConfig_t* config) const;

  // The same for an all-reduce with a precision map, and for a call whose input is packed in `format`.
  Call prepareMapped(Call call, const qcclPrecisionRange_t* ranges, std::size_t numRanges, const qcclQuantConfig_t* config) const;
  Call preparePacked(Call call, const quant::PackedFormat& format, const qcclQuantConfig_t* config) const;

  // Forgets what error feedback remembers.
  void resetFeedback();

  // What `call` would do; of its buffers it matters where they lie.
  qcclPlan_t explain(const Call& call, const qcclQuantConfig_t* config) const;

  // What calls are looked up by in a tuning table.
  qcclTuningKey_t tuningKey(bool onDevice) const;

  // Blocks until this rank's part of a prepared call is done; on GPU memory, enqueues it on the call's stream and returns. An Error makes
  // the communicator unusable on every rank.
  void run(const Call& call);

  // Runs all operations side by side; those between the same two ranks match in order. Those on GPU memory are enqueued on their streams.
  void runPointToPoint(std::span<const PointToPoint> operations);

  // Throws Error(qcclInvalidArgument) for an impossible operation.
  void checkPointToPoint(const PointToPoint& operation) const;

  // Ends this rank's membership cleanly; waits, bounded, for the others. After a failure returns at once.
  void leave();

  // Makes the communicator unusable everywhere.
  void abort() noexcept;

  // qcclSuccess and "", or why the communicator cannot go on.
  qcclResult_t asyncError(std::string* what) const;

  // Calls on GPU memory count when they are enqueued, what they found in the values when they have run, and that in the total only.
  qcclStats_t totalStatistics();
  qcclStats_t lastCallStatistics() const { return statistics_.lastCall(); }

 private:
  class Exclusive;

  // Runs body() alone, and after a failure of it ends the communicator on every rank. what() names the operation, for that case only.
  template <typename Describe, typename Body>
  void guarded(Describe what, Body body);
  // values: every element is one, and all have the call's codec.
  Call prepareFor(Call call, const qcclQuantConfig_t* config, bool values) const;
  Situation situation(bool onDevice) const;
  Choice chooseFor(const Call& call, const qcclQuantConfig_t* config, bool values, bool explains) const;
  void copyOwn(const Call& call);
  DeviceCalls& deviceCallsOn(int device);
  void copyOwnOnDevice(const Call& call);
  void runOnDevice(const Call& call);
  qcclStats_t deviceCallStatistics(const Call& call) const;
  // What is known of a call's statistics before it runs: that it is one, and of how many elements.
  qcclStats_t statisticsOf(const Call& call) const;
  // Bytes that this rank sends in a call, and would send on the exact path.
  struct PlannedBytes {
    std::size_t wire;
    std::size_t exact;
  };
  PlannedBytes plannedBytes(const Call& call) const;
  // Elements of the message at which the caller's buffers begin: where they hold this rank's part only, at that.
  struct FirstElems {
    std::size_t input;
    std::size_t output;
  };
  FirstElems firstElems(const Call& call) const;
  ExecutionCounts executeCall(const Call& call, std::uint64_t sequence, bool ofInspection);
  void runQuantized(const Call& call, std::uint64_t sequence, qcclStats_t* stats);
  RankLayout layoutFor(const Call& call) const;
  Schedule scheduleFor(const Call& call, int rank) const;
  Partition partitionFor(const Call& call) const;
  void exchange(std::span<const PointToPoint> operations);
  // Where some are on GPU memory.
  void exchangeOnDevice(std::span<const PointToPoint> operations);

  const int rank_;
  const int size_;
  const CommunicatorOptions options_;
  transport::Membership membership_;
  const RankLayout layout_;  // as found when the ranks joined
  StagingMemory staging_;
  FeedbackMemory feedback_;
  std::uint64_t sequence_ = 0;
  std::vector<std::uint64_t> sendNumbers_;  // point-to-point operations so far, by peer
  std::vector<std::uint64_t> recvNumbers_;
  std::atomic<bool> busy_{false};
  std::atomic<bool> aborted_{false};

  std::uint64_t quantizedCalls_ = 0;
  Statistics statistics_;
  const DeviceCallOptions deviceOptions_;
  mutable std::mutex deviceMutex_;
  std::unique_ptr<DeviceCalls> deviceCalls_;  // from the first call on GPU memory
  int device_ = -1;                           // theirs
  Announcement lastDeviceCall_{};
  qcclStats_t lastDeviceStats_{};  // of that call
};

}  // namespace qccl::collectives
