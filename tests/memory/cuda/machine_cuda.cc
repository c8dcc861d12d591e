// The conformance suite in GPU memory, on two real streams.
#include <algorithm>

#include "device/cuda/devices.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "memory/conformance.hpp"

namespace qccl::memory::test {
namespace {

using namespace device::cuda;  // NOLINT(google-build-using-namespace): most of what is here is of it

class CudaMachine final : public Machine {
 public:
  // Streams end after the pool's memory, and cudaFree waits for their work.
  CudaMachine() {
    if (!whyNot().empty()) return;
    first_ = std::make_unique<Stream>();
    second_ = std::make_unique<Stream>();
    space_ = cudaMemory(0);
  }

  MemorySpace& space() override { return *space_; }
  StreamHandle stream() override { return first_->handle(); }
  StreamHandle otherStream() override { return second_->handle(); }

  void fill(void* memory, unsigned char value, std::size_t bytes, StreamHandle stream) override { fillAsync(memory, value, bytes, stream); }

  void expectFilled(const void* memory, unsigned char value, std::size_t bytes, StreamHandle stream) override {
    std::vector<unsigned char> copy(bytes);
    copyAsync(copy.data(), memory, bytes, stream);
    (stream == first_->handle() ? *first_ : *second_).synchronize();
    EXPECT_TRUE(std::all_of(copy.begin(), copy.end(), [&](unsigned char byte) { return byte == value; }));
  }

  std::string whyNot() const override { return whyNoDevice(); }

 private:
  std::unique_ptr<Stream> first_, second_;
  std::unique_ptr<MemorySpace> space_;
};

}  // namespace

std::unique_ptr<Machine> cudaMachine() { return std::make_unique<CudaMachine>(); }

INSTANTIATE_TEST_SUITE_P(Cuda, PoolConformance,
                         testing::Combine(testing::ValuesIn(poolKinds()), testing::Values(MachineKind{"OnGpu", cudaMachine})), caseName);

}  // namespace qccl::memory::test
