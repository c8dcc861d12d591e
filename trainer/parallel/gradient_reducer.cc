#include "parallel/gradient_reducer.hpp"

#include <chrono>

#include "model/error.hpp"

namespace qccl::train {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

void requireFitting(const CommMode& mode, const std::optional<qcclPackedFormat_t>& store) {
  if (!store || mode.codec == qcclCodecNone || mode.codec == store->codec) return;
  const char* codec = qcclEnumName(qcclEnumCodec, store->codec);
  failTrain("--grad-store ", codec, " and --comm ", mode.name, " do not fit together: gradients travel as they are stored; give --comm ",
            codec, ", alone or with an algorithm, or exact");
}

GradientReducer::GradientReducer(Group& group, GradientStore& store, const ReducerOptions& options)
    : group_(group), store_(store), layout_(store.layout()), options_(options) {
  if (!options_.mode.communicates && group.size() > 1) {
    failTrain("--comm none is for one rank; ", group.size(), " ranks that do not exchange gradients would train ", group.size(),
              " different models");
  }
  requireFitting(options_.mode, store.format());
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
  const auto index = static_cast<std::size_t>(&parameter - store_.parameters().list().data());
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
    reduce(i);
    busySeconds_ += secondsSince(start);  // read by finish() after running_ has been cleared under the lock
  }
}

void GradientReducer::reduce(std::size_t index) {
  const Bucket& bucket = layout_.buckets[index];
  const bool packed = store_.format() && !bucket.exact;
  const bool quantized = !bucket.exact && options_.mode.codec != qcclCodecNone;
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = quantized ? options_.mode.codec : qcclCodecNone;
  quant.algorithm = options_.mode.algorithm;
  quant.blockElems = options_.blockElems;
  quant.minBytes = options_.minBytes;
  quant.scale = options_.scale;
  quant.rounding = options_.rounding;
  quant.seed = options_.seed;
  quant.errorFeedback = quantized && !packed && options_.errorFeedback ? 1 : 0;
  constexpr const char* kFailed = "the gradients could not be averaged";
  if (packed && quantized) {
    void* buffer = store_.packed(index);
    checkQccl(
        qcclAllReduceQuantized(buffer, buffer, bucket.elems(), qcclPacked, qcclAvg, &*store_.format(), &quant, group_.comm(), nullptr),
        kFailed, group_.comm());
    return;
  }
  if (packed) store_.unpack(index);
  float* gradients = store_.parameters().gradients().data() + bucket.beginElems;
  checkQccl(qcclAllReduceEx(gradients, gradients, bucket.elems(), qcclFloat32, qcclAvg, &quant, group_.comm(), nullptr), kFailed,
            group_.comm());
}

}  // namespace qccl::train
