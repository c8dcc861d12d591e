// GPU memory for pools: what only a device can refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cuda/devices.hpp"
#include "device/cuda/stream.hpp"
#include "memory/memory_space.hpp"
#include "memory/planned_pool.hpp"
#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using qccl::test::sentenceOf;
using testing::AllOf;
using testing::HasSubstr;

TEST(CudaMemory, ADeviceThatIsNotThereIsRefused) {
  EXPECT_THAT(sentenceOf([] { cudaMemory(1000); }), HasSubstr("no pool in the memory of GPU 1000: th"));
  EXPECT_THAT(sentenceOf([] { cudaMemory(-1); }), HasSubstr("GPU -1"));
}

TEST(CudaMemory, APlanLargerThanTheDeviceIsRefusedBeforeAllocating) {
  if (device::cuda::deviceCount() == 0) GTEST_SKIP() << device::cuda::whyNoDevice();
  const auto space = cudaMemory(0);
  Ledger ledger;
  ledger.add({"x", std::size_t{1} << 42, formatOfBits(8)});
  EXPECT_THAT(sentenceOf([&] {
                PlannedPool("acts", PoolPlan(ledger, {1, 0}), *space);
              }),
              AllOf(HasSubstr("that are free in the memory of GPU 0"), HasSubstr("bytes more than")));
}

TEST(CudaMemory, AStreamOfAnotherDeviceIsRefused) {
  if (device::cuda::deviceCount() < 2) GTEST_SKIP() << "needs two GPUs";
  const auto space = cudaMemory(1);
  const device::cuda::Stream ofDevice0;
  EXPECT_THAT(space->refusalOf(ofDevice0.handle()), AllOf(HasSubstr("the stream is one of GPU 0"), HasSubstr("GPU 1")));
  EXPECT_EQ(space->refusalOf(nullptr), "");
}

}  // namespace
}  // namespace qccl::memory
