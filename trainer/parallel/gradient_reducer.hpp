// Averages the gradients of all ranks while backward is still running.
//
// One thread a rank does all communication of a step: it takes the buckets in the order of the layout, waits until backward has finished
// the bucket's parameters, and all-reduces it in place: in the arena, or packed as the store holds it. So every rank makes the same calls
// in the same order whatever the timing, and the result has the same bits in every run.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "parallel/comm_mode.hpp"
#include "parallel/gradient_store.hpp"
#include "parallel/group.hpp"

namespace qccl::train {

struct ReducerOptions {
  CommMode mode;
  int blockElems = QCCL_UNDEF_INT;      // of the codec; QCCL_UNDEF_INT: the library's setting
  std::uint64_t minBytes = UINT64_MAX;  // smaller buckets travel exactly; UINT64_MAX: the library's setting
  int scale = QCCL_UNDEF_INT;           // qcclScale_t of the codec; QCCL_UNDEF_INT: the library's setting
  int rounding = QCCL_UNDEF_INT;        // qcclRounding_t of the codec; QCCL_UNDEF_INT: the library's setting
  bool errorFeedback = false;           // what a call's codes lose is added in the next step; not with a packed store
  std::uint64_t seed = UINT64_MAX;      // of stochastic rounding, the same on all ranks; UINT64_MAX: the library's setting
};

struct ReduceReport {
  double waitSeconds = 0;       // that backward's thread waited for gradients after backward was done
  double busySeconds = 0;       // that the communication thread spent inside all-reduces
  std::uint64_t wireBytes = 0;  // that this rank sent
};

// Throws TrainError if gradients of this store cannot travel so: packed gradients travel as they lie, or exactly.
void requireFitting(const CommMode& mode, const std::optional<qcclPackedFormat_t>& store);

class GradientReducer {
 public:
  // `group` and `store` must outlive the reducer. Without communication (mode none, or one rank) the functions do nothing. A packed store
  // travels as it lies, so the mode must have its codec; or be exact: then each bucket is decoded, averaged in FP32 and left in the arena.
  // Throws TrainError if mode does not fit the store, or is none and there are several ranks.
  GradientReducer(Group& group, GradientStore& store, const ReducerOptions& options);
  // If a step is under way, the group is aborted, so that the other ranks do not wait for what will not come.
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // The last micro-batch's backward is about to begin. From now to finish() the group belongs to the communication thread.
  void begin();
  // This parameter's gradient is final, and in the store: for Llama::backward's onReady. Each parameter once between begin() and finish().
  void ready(const Parameter& parameter);
  // Waits until all gradients are averages over the ranks. Throws TrainError with the library's sentence if the communication failed.
  ReduceReport finish();

 private:
  void run();
  void reduceBuckets();
  void reduce(std::size_t bucket);

  Group& group_;
  GradientStore& store_;
  const BucketLayout& layout_;
  ReducerOptions options_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::size_t> pending_;  // by bucket: parameters that are not final
  bool running_ = false;              // between begin() and the end of the last bucket
  bool stop_ = false;
  std::exception_ptr failure_;
  double busySeconds_ = 0;
  std::uint64_t wireBytesBefore_ = 0;

  bool inStep_ = false;  // between begin() and finish(); of the training thread
  std::thread thread_;
};

}  // namespace qccl::train
