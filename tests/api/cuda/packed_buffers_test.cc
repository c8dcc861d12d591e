// qcclQuantize, qcclDequantize and qcclAccumulate on GPU memory give the host's bits: every codec, scale, block, type and rounding, any
// count, on a stream and in graphs.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include "api/cuda/packed_cases.hpp"

namespace qccl::test {
namespace {

using quant::PackedFormat;
using testing::HasSubstr;

constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};

class PackedBuffersOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
  }
};

// The three functions one after another on buffers of one place.
struct Sequence {
  PackedFormat format;
  qcclDataType_t dtype;
  std::size_t count;
  qcclPackedRounding_t rounding;

  void run(const void* first, const void* more, void* packed, void* values, void* stream) const {
    const qcclPackedFormat_t wanted = asPublic(format);
    qcclPackedRounding_t next = rounding;
    ++next.call;
    QCCL_EXPECT_OK(qcclQuantize(first, packed, count, dtype, &wanted, &rounding, stream));
    QCCL_EXPECT_OK(qcclAccumulate(packed, more, count, dtype, &wanted, &next, stream));
    QCCL_EXPECT_OK(qcclDequantize(packed, values, count, dtype, &wanted, stream));
  }
};

void expectHostBits(const Sequence& sequence, unsigned seed) {
  SCOPED_TRACE(nameOf(sequence.format) + ", " + qcclEnumName(qcclEnumDataType, sequence.dtype) + ", count " +
               std::to_string(sequence.count));
  const std::vector<char> first = hostileValues(sequence.dtype, sequence.count, seed);
  const std::vector<char> more = hostileValues(sequence.dtype, sequence.count, seed + 1);
  std::vector<char> packed(quant::packedBytes(sequence.count, sequence.format), 0x5a), values(first.size(), 0x5a);
  sequence.run(first.data(), more.data(), packed.data(), values.data(), nullptr);

  device::cuda::Stream stream;
  // Values at an address that is aligned to their type only.
  DeviceMemory firstThere(first.size(), qcclTypeSize(sequence.dtype)), moreThere(more.size(), 0), packedThere(packed.size(), 0),
      valuesThere(values.size(), qcclTypeSize(sequence.dtype));
  firstThere.fill(first, stream.handle());
  moreThere.fill(more, stream.handle());
  packedThere.fill({}, stream.handle());
  valuesThere.fill({}, stream.handle());
  sequence.run(firstThere.data(), moreThere.data(), packedThere.data(), valuesThere.data(), stream.handle());
  expectSamePacked(sequence.format, packed, packedThere.read(stream), 0);
  expectSameValues(sequence.dtype, values, valuesThere.read(stream), 0);
}

TEST_F(PackedBuffersOnDevice, HaveTheHostsBits) {
  const device::cuda::DeviceGuard guard(0);
  unsigned seed = 1;
  for (const std::size_t block : {32, 256, 4096}) {
    for (const PackedFormat& format : quant::formats(block)) {
      for (const qcclDataType_t dtype : kTypes) {
        const int rounding = seed % 2 == 0 ? qcclRoundNearest : qcclRoundStochastic;
        expectHostBits({format, dtype, 20011, {rounding, 11, 5, 1000}}, seed);
        seed += 3;
      }
    }
  }
}

TEST_F(PackedBuffersOnDevice, OfAnyCountAndBlockHaveTheHostsBits) {
  const device::cuda::DeviceGuard guard(0);
  unsigned seed = 1;
  for (const std::size_t count : {0, 1, 31, 32, 33, 511, 513, 4095, 4096, 4097, 65537, 300007}) {
    for (const PackedFormat& format : formatsWithBlocksInTurn()) {
      expectHostBits({format, kTypes[seed % 3], count, {qcclRoundNearest, 0, 0, 0}}, seed);
      ++seed;
    }
  }
}

TEST_F(PackedBuffersOnDevice, AccumulateInGraphs) {
  const device::cuda::DeviceGuard guard(0);
  const PackedFormat format{qcclCodecInt8, qcclScaleFloat32, 256};
  const qcclPackedFormat_t wanted = asPublic(format);
  constexpr std::size_t kCount = 70001;
  constexpr int kReplays = 50;
  const std::vector<char> values = hostileValues(qcclBfloat16, kCount, 3);
  std::vector<char> packed(quant::packedBytes(kCount, format), 0), sums(kCount * sizeof(float));
  for (int i = 0; i < kReplays; ++i) {
    QCCL_ASSERT_OK(qcclAccumulate(packed.data(), values.data(), kCount, qcclBfloat16, &wanted, nullptr, nullptr));
  }
  QCCL_ASSERT_OK(qcclDequantize(packed.data(), sums.data(), kCount, qcclFloat32, &wanted, nullptr));

  device::cuda::Stream stream;
  DeviceMemory valuesThere(values.size(), 0), packedThere(packed.size(), 0), sumsThere(sums.size(), 0);
  valuesThere.fill(values, stream.handle());
  packedThere.fill(std::vector<char>(packed.size(), 0), stream.handle());
  sumsThere.fill({}, stream.handle());
  stream.synchronize();
  cudaGraph_t captured;
  cudaGraphExec_t runnable;
  ASSERT_EQ(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
  QCCL_EXPECT_OK(qcclAccumulate(packedThere.data(), valuesThere.data(), kCount, qcclBfloat16, &wanted, nullptr, stream.handle()));
  QCCL_EXPECT_OK(qcclDequantize(packedThere.data(), sumsThere.data(), kCount, qcclFloat32, &wanted, stream.handle()));
  ASSERT_EQ(cudaStreamEndCapture(stream.handle(), &captured), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&runnable, captured, 0), cudaSuccess);
  for (int i = 0; i < kReplays; ++i) ASSERT_EQ(cudaGraphLaunch(runnable, stream.handle()), cudaSuccess);
  expectSamePacked(format, packed, packedThere.read(stream), 0);
  expectSameValues(qcclFloat32, sums, sumsThere.read(stream), 0);
  cudaGraphExecDestroy(runnable);
  cudaGraphDestroy(captured);
}

// From a thread whose current GPU is another, where there is one.
TEST_F(PackedBuffersOnDevice, AreWorkedOnWhereTheyLie) {
  const int last = device::cuda::deviceCount() - 1;
  const device::cuda::DeviceGuard guard(last);
  const std::vector<char> values = hostileValues(qcclFloat32, 1000, 9);
  const PackedFormat format{qcclCodecFp8E4m3, qcclScaleE8m0, 32};
  const qcclPackedFormat_t wanted = asPublic(format);
  device::cuda::Stream stream;
  DeviceMemory valuesThere(values.size(), 0), packedThere(quant::packedBytes(1000, format), 0);
  valuesThere.fill(values, stream.handle());
  packedThere.fill({}, stream.handle());
  {
    const device::cuda::DeviceGuard other(0);
    QCCL_ASSERT_OK(qcclQuantize(valuesThere.data(), packedThere.data(), 1000, qcclFloat32, &wanted, nullptr, stream.handle()));
  }
  expectSamePacked(format, hostilePacked(format, 1000, 9), packedThere.read(stream), 0);
}

TEST_F(PackedBuffersOnDevice, AreRefusedWhereTheyCannotBeWorkedOn) {
  const device::cuda::DeviceGuard guard(0);
  const qcclPackedFormat_t format = QCCL_PACKED_FORMAT_INITIALIZER;
  device::cuda::DeviceBuffer memory(4096);
  std::vector<char> host(4096);
  const auto refused = [&](const void* src, void* packed, const char* why) {
    EXPECT_EQ(qcclQuantize(src, packed, 100, qcclFloat32, &format, nullptr, nullptr), qcclInvalidArgument);
    EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr(why));
  };
  refused(host.data(), memory.data(), "src is in host memory, packed in the memory of GPU 0");
  refused(memory.data(), host.data(), "src is in the memory of GPU 0, packed in host memory");
  refused(memory.data(), memory.data() + 1032, "not aligned to 16 bytes");
  device::cuda::Stream stream;
  EXPECT_EQ(qcclDequantize(host.data(), host.data(), 1, qcclFloat32, &format, stream.handle()), qcclInvalidArgument);
  EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("stream must be NULL"));
}

}  // namespace
}  // namespace qccl::test
