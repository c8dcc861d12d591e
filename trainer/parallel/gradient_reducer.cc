#include "parallel/gradient_reducer.hpp"

#include <chrono>

#include "model/error.hpp"

namespace qccl::train {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

GradientReducer::GradientReducer(Group& group, Parameters& parameters, const ReducerOptions& options)
    : group_(group), parameters_(parameters), options_(options) {
  layout_ = layOutBuckets(parameters.list(), parameters.matrixElems(), parameters.arenaElems(), options.bucketBytes);
  if (!options_.mode.communicates && group.size() > 1) {
    failTrain("--comm none is for one rank; ", group.size(), " ranks that do not exchange gradients would train ", group.size(),
              " different models");
  }
  if (options_.mode.communicates && group.comm() != nullptr) thread_ = std::thread([this] { run(); });
}

GradientReducer::~GradientReducer() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  // An all-reduce that has begun ends: the other ranks take part in it, or the library's bound ends it. Aborting under it would pull the
  // communicator away from a thread that may be about to enter the next call.
  thread_.join();
  if (inStep_) group_.abort();
}

void GradientReducer::begin() {
  if (!thread_.joinable()) return;
  inStep_ = true;
  {
    const std::lock_guard lock(mutex_);
    pending_.clear();
    for (const Bucket& bucket : layout_.buckets) pending_.push_back(bucket.parameters);
    busySeconds_ = 0;
    wireBytesBefore_ = group_.wireBytes();
    running_ = true;
  }
  changed_.notify_all();
}

void GradientReducer::ready(const Parameter& parameter) {
  if (!thread_.joinable()) return;
  const auto index = static_cast<std::size_t>(&parameter - parameters_.list().data());
  bool complete = false;
  {
    const std::lock_guard lock(mutex_);
    std::size_t& pending = pending_.at(layout_.bucketOf.at(index));
    if (pending == 0) failTrain("the gradient of ", parameter.name, " became final twice in one step");
    complete = --pending == 0;
  }
  if (complete) changed_.notify_all();
}

ReduceReport GradientReducer::finish() {
  if (!thread_.joinable()) return {};
  const Clock::time_point start = Clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !running_; });
  inStep_ = false;
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  return {secondsSince(start), busySeconds_, group_.wireBytes() - wireBytesBefore_};
}

void GradientReducer::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return running_ || stop_; });
      if (stop_) return;
    }
    std::exception_ptr failure;
    try {
      reduceBuckets();
    } catch (...) {
      failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      failure_ = failure;
      running_ = false;
    }
    changed_.notify_all();
  }
}

void GradientReducer::reduceBuckets() {
  for (std::size_t i = 0; i < layout_.buckets.size(); ++i) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return pending_[i] == 0 || stop_; });
      if (stop_) return;
    }
    const Clock::time_point start = Clock::now();
    reduce(layout_.buckets[i]);
    busySeconds_ += secondsSince(start);  // read by finish() after running_ has been cleared under the lock
  }
}

void GradientReducer::reduce(const Bucket& bucket) {
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = bucket.exact ? qcclCodecNone : options_.mode.codec;
  quant.algorithm = options_.mode.algorithm;
  quant.blockElems = options_.blockElems;
  quant.minBytes = options_.minBytes;
  float* gradients = parameters_.gradients().data() + bucket.beginElems;
  checkQccl(qcclAllReduceEx(gradients, gradients, bucket.elems(), qcclFloat32, qcclAvg, &quant, group_.comm(), nullptr),
            "the gradients could not be averaged", group_.comm());
}

}  // namespace qccl::train
