#include "perf/memory.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace qccl::bench {
namespace {

constexpr bool kHasCuda = QCCL_PERF_CUDA;  // bench/CMakeLists.txt knows

class HostSampler final : public Sampler {
 public:
  HostSampler(std::size_t calls, std::function<void()> call) : calls_(calls), call_(std::move(call)) {}

  double run() override {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    for (std::size_t i = 0; i < calls_; ++i) call_();
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / static_cast<double>(calls_);
  }

 private:
  std::size_t calls_;
  std::function<void()> call_;
};

// Calls block here, so there is nothing to wait for.
class HostMemory final : public Memory {
 public:
  std::string description() const override { return "host"; }
  qcclStream_t stream() const override { return nullptr; }

  char* allocate(std::size_t bytes) override { return buffers_.emplace_back(bytes).data(); }
  void write(void* to, std::size_t, const std::function<void(void*)>& make) override { make(to); }
  const void* read(const void* from, std::size_t) override { return from; }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void fill(void* to, int byte, std::size_t bytes) override { std::memset(to, byte, bytes); }

  void wait(qcclComm_t) override {}

  std::size_t callsPerSample(std::size_t) const override { return 1; }
  bool startsTogether() const override { return false; }
  std::unique_ptr<Sampler> sampler(std::size_t calls, std::function<void()> call, qcclComm_t) override {
    return std::make_unique<HostSampler>(calls, std::move(call));
  }

 private:
  std::vector<std::vector<char>> buffers_;
};

}  // namespace

void requireMemoryKind(const Options& options) {
  if (options.memory != MemoryKind::cuda) return;
  if constexpr (kHasCuda) return requireCuda();
  throw ToolError("--memory cuda: this qccl-perf was built without CUDA; install the CUDA toolkit and configure the build again");
}

std::unique_ptr<Memory> makeMemory(const Options& options, int localRank) {
  if constexpr (kHasCuda) {
    if (options.memory == MemoryKind::cuda) return makeCudaMemory(options, localRank);
  }
  return std::make_unique<HostMemory>();
}

std::chrono::milliseconds waitLimit() {
  constexpr std::chrono::milliseconds kLonger{10000};
  qcclSettingInfo_t setting;
  for (int i = 0; qcclGetSettingInfo(i, &setting) == qcclSuccess; ++i) {
    if (std::strcmp(setting.name, "QCCL_TIMEOUT_MS") == 0) return std::chrono::milliseconds(std::atoll(setting.value)) + kLonger;
  }
  return std::chrono::milliseconds(120000) + kLonger;
}

}  // namespace qccl::bench
