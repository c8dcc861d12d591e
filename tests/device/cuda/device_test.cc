// Memory, streams and errors of a CUDA device; and that a machine without one is told so in a sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/error.hpp"
#include "device/cuda/devices.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "device/pointer_kind.hpp"

namespace qccl::device::cuda {
namespace {

class CudaDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (deviceCount() == 0) GTEST_SKIP() << whyNoDevice();
  }
};

TEST(CudaDevices, AreCountedWithAndWithoutADriver) {
  EXPECT_EQ(deviceCount() == 0, !whyNoDevice().empty()) << whyNoDevice();
  if (deviceCount() > 0) {
    EXPECT_GT(deviceInfo(0).multiprocessors, 0);
  } else {
    EXPECT_THAT([] { DeviceBuffer buffer(16); }, testing::Throws<Error>(testing::Property(&Error::code, qcclUnhandledCudaError)));
  }
}

TEST_F(CudaDevice, MemoryKeepsWhatIsCopiedToIt) {
  Stream stream;
  std::vector<unsigned char> values(1000), back(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned char>(i * 7);
  DeviceBuffer buffer(values.size());
  EXPECT_EQ(buffer.bytes(), values.size());
  copyAsync(buffer.data(), values.data(), values.size(), stream.handle());
  fillAsync(buffer.data() + 10, 0x5a, 3, stream.handle());
  DeviceBuffer moved = std::move(buffer);
  EXPECT_EQ(buffer.data(), nullptr);
  copyAsync(back.data(), moved.data(), back.size(), stream.handle());
  stream.synchronize();
  for (const std::size_t i : {10, 11, 12}) values[i] = 0x5a;
  EXPECT_EQ(back, values);
  EXPECT_EQ(DeviceBuffer(0).data(), nullptr);
}

TEST_F(CudaDevice, PointersOfDeviceMemoryAreKnown) {
  DeviceBuffer buffer(4096);
  EXPECT_EQ(pointerInfo(buffer.data()), (PointerInfo{PointerKind::device, 0}));
  EXPECT_EQ(pointerInfo(buffer.data() + 4095), (PointerInfo{PointerKind::device, 0}));
}

TEST_F(CudaDevice, ErrorsNameTheCallAndAreNotReportedTwice) {
  try {
    DeviceBuffer buffer(std::size_t{1} << 60);
    FAIL() << "an exbibyte was allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclUnhandledCudaError);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("cudaMalloc"), testing::HasSubstr("memory")));
  }
  Stream stream;
  DeviceBuffer buffer(64);
  fillAsync(buffer.data(), 1, 64, stream.handle());
  EXPECT_NO_THROW(stream.synchronize());
}

TEST_F(CudaDevice, EventsTellTheTimeBetweenThem) {
  Stream stream;
  Event start, end;
  DeviceBuffer buffer(std::size_t{64} << 20);
  start.record(stream.handle());
  fillAsync(buffer.data(), 1, buffer.bytes(), stream.handle());
  end.record(stream.handle());
  EXPECT_GT(end.secondsSince(start), 0.0);
}

}  // namespace
}  // namespace qccl::device::cuda
