// Memory of the rank's GPU, and the time of calls by the GPU's own clock.
#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "perf/cuda/cuda_check.hpp"
#include "perf/memory.hpp"

namespace qccl::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Calls between two events, and in a graph: enough that the start of the first and the ranks' different beginnings hardly count, few enough
// that a sample of the slowest calls stays short and the launch queue never fills.
constexpr std::size_t kCallsPerSample = 10;

// Between looks at the clock and at the communicator, which are dearer than a look at the event.
constexpr int kPollsBetweenLooks = 256;

class Event {
 public:
  Event() { checkCuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { checkCuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// A failure in the midst of an asynchronous call shows here.
void checkAsync(qcclComm_t comm) {
  qcclResult_t state = qcclSuccess;
  check(qcclCommGetAsyncError(comm, &state), "qcclCommGetAsyncError", comm);
  if (state != qcclInProgress) check(state, "a call on the GPU", comm);
}

// Polls, because a wait inside the runtime would have no end if a kernel has none.
void waitFor(const Event& event, qcclComm_t comm, std::chrono::milliseconds limit) {
  const Clock::time_point start = Clock::now();
  for (int polls = 1;; ++polls) {
    const cudaError_t state = cudaEventQuery(event.get());
    if (state == cudaSuccess) break;
    if (state != cudaErrorNotReady) {
      checkAsync(comm);  // knows more, if the library has noticed
      checkCuda(state, "the calls on the GPU");
    }
    if (polls < kPollsBetweenLooks) continue;
    polls = 0;
    checkAsync(comm);
    if (Clock::now() - start > limit) {
      throw DeviceHung("the calls on the GPU have not ended in " + std::to_string(limit.count()) +
                       " ms (QCCL_TIMEOUT_MS and some): a rank is missing, or a kernel waits for what does not come");
    }
    std::this_thread::yield();
  }
  cudaGetLastError();  // "not ready" counts as an error to some versions of the runtime
  checkAsync(comm);
}

// What all samplers of a rank share.
struct Clocks {
  cudaStream_t stream = nullptr;
  std::chrono::milliseconds limit{};
  Event begin;
  Event end;

  // Microseconds from the start of what `enqueue` gives to the stream to its end.
  template <typename Enqueue>
  double time(const Enqueue& enqueue, qcclComm_t comm) {
    begin.record(stream);
    enqueue();
    end.record(stream);
    waitFor(end, comm, limit);
    float milliseconds = 0;
    checkCuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    return 1e3 * static_cast<double>(milliseconds);
  }
};

class CallSampler final : public Sampler {
 public:
  CallSampler(Clocks* clocks, std::size_t calls, std::function<void()> call, qcclComm_t comm)
      : clocks_(clocks), calls_(calls), call_(std::move(call)), comm_(comm) {}

  double run() override {
    const auto enqueue = [this] {
      for (std::size_t i = 0; i < calls_; ++i) call_();
    };
    return clocks_->time(enqueue, comm_) / static_cast<double>(calls_);
  }

 private:
  Clocks* clocks_;
  std::size_t calls_;
  std::function<void()> call_;
  qcclComm_t comm_;
};

class GraphSampler final : public Sampler {
 public:
  GraphSampler(Clocks* clocks, std::size_t calls, const std::function<void()>& call, qcclComm_t comm)
      : clocks_(clocks), calls_(calls), comm_(comm) {
    // What a library allocates and connects on its first call of a kind does not belong into a graph.
    clocks_->time(call, comm);
    capture(call);
    checkCuda(cudaGraphInstantiate(&executable_, graph_, 0), "cudaGraphInstantiate");
    checkCuda(cudaGraphUpload(executable_, clocks_->stream), "cudaGraphUpload");
  }
  ~GraphSampler() override {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }

  double run() override {
    const auto enqueue = [this] { checkCuda(cudaGraphLaunch(executable_, clocks_->stream), "cudaGraphLaunch"); };
    return clocks_->time(enqueue, comm_) / static_cast<double>(calls_);
  }

 private:
  // Of this thread alone: other ranks may be threads that allocate meanwhile.
  void capture(const std::function<void()>& call) {
    checkCuda(cudaStreamBeginCapture(clocks_->stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      for (std::size_t i = 0; i < calls_; ++i) call();
    } catch (...) {
      cudaStreamEndCapture(clocks_->stream, &graph_);  // whatever is left of it: the call's own story is the one to tell
      if (graph_ != nullptr) cudaGraphDestroy(graph_);
      cudaGetLastError();
      throw;
    }
    checkCuda(cudaStreamEndCapture(clocks_->stream, &graph_), "cudaStreamEndCapture (--graph)");
  }

  Clocks* clocks_;
  std::size_t calls_;
  qcclComm_t comm_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

int deviceCount() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  throw ToolError(std::string("--memory cuda: this machine has no GPU that CUDA can use (") +
                  (result == cudaSuccess ? "none is visible" : cudaGetErrorString(result)) + "); use --memory host");
}

std::string deviceName(int device) {
  cudaDeviceProp properties;
  checkCuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

class CudaMemory final : public Memory {
 public:
  CudaMemory(bool graph, int device) : graph_(graph), device_(device) {
    checkCuda(cudaSetDevice(device), "cudaSetDevice(" + std::to_string(device) + ")");
    clocks_ = std::make_unique<Clocks>();
    clocks_->limit = waitLimit();
    checkCuda(cudaStreamCreateWithFlags(&clocks_->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }

  // Freeing waits for the GPU: after a failure that may be for ever, so memory is then left to the end of the process.
  ~CudaMemory() override {
    if (cudaStreamQuery(clocks_->stream) == cudaSuccess) {
      for (char* buffer : buffers_) cudaFree(buffer);
      cudaStreamDestroy(clocks_->stream);
    } else {
      clocks_.release();
    }
    cudaGetLastError();
  }

  std::string description() const override { return "cuda, " + deviceName(device_); }
  qcclStream_t stream() const override { return clocks_->stream; }

  char* allocate(std::size_t bytes) override {
    void* buffer = nullptr;
    checkCuda(cudaMalloc(&buffer, bytes), "cudaMalloc of " + std::to_string(bytes) + " bytes on GPU " + std::to_string(device_) +
                                              " (lower --max if there are not as many)");
    buffers_.push_back(static_cast<char*>(buffer));
    return buffers_.back();
  }

  void write(void* to, std::size_t bytes, const std::function<void(void*)>& make) override {
    staging_.resize(bytes);
    make(staging_.data());
    checkCuda(cudaMemcpyAsync(to, staging_.data(), bytes, cudaMemcpyHostToDevice, clocks_->stream), "cudaMemcpyAsync to the GPU");
    checkCuda(cudaStreamSynchronize(clocks_->stream), "the copy to the GPU");
  }

  const void* read(const void* from, std::size_t bytes) override {
    staging_.resize(bytes);
    checkCuda(cudaMemcpyAsync(staging_.data(), from, bytes, cudaMemcpyDeviceToHost, clocks_->stream), "cudaMemcpyAsync from the GPU");
    checkCuda(cudaStreamSynchronize(clocks_->stream), "the copy from the GPU");
    return staging_.data();
  }

  void copy(void* to, const void* from, std::size_t bytes) override {
    checkCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, clocks_->stream), "cudaMemcpyAsync on the GPU");
  }

  void fill(void* to, int byte, std::size_t bytes) override {
    checkCuda(cudaMemsetAsync(to, byte, bytes, clocks_->stream), "cudaMemsetAsync");
  }

  void wait(qcclComm_t comm) override {
    clocks_->end.record(clocks_->stream);
    waitFor(clocks_->end, comm, clocks_->limit);
  }

  std::size_t callsPerSample(std::size_t most) const override { return std::clamp<std::size_t>(most, 1, kCallsPerSample); }
  bool startsTogether() const override { return true; }

  std::unique_ptr<Sampler> sampler(std::size_t calls, std::function<void()> call, qcclComm_t comm) override {
    if (graph_) return std::make_unique<GraphSampler>(clocks_.get(), calls, call, comm);
    return std::make_unique<CallSampler>(clocks_.get(), calls, std::move(call), comm);
  }

 private:
  bool graph_;
  int device_;
  std::unique_ptr<Clocks> clocks_;
  std::vector<char*> buffers_;
  std::vector<char> staging_;
};

}  // namespace

void requireCuda() { deviceCount(); }

std::unique_ptr<Memory> makeCudaMemory(const Options& options, int localRank) {
  return std::make_unique<CudaMemory>(options.graph, localRank % deviceCount());
}

}  // namespace qccl::bench
