// Saved activations and the fused operators on GPU memory leave what they leave on the host, byte by byte, NaNs included: every codec,
// scale and type, rows that are whole blocks and rows that are not, any alignment, with a plan and without, on streams and in graphs.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include "api/cuda/device_ranks.hpp"
#include "api/fused_cases.hpp"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/devices.hpp"
#include "quant/formats.hpp"

namespace qccl::test {
namespace {

using device::cuda::copyAsync;
using testing::HasSubstr;

constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};

// The memory of GPU 0.
class DeviceMachine {
 public:
  static constexpr int kMemory = qcclMemoryCuda;

  class Buffer {
   public:
    Buffer(DeviceMachine& machine, const Bytes& contents, std::size_t offset) : machine_(machine), memory_(contents.size(), offset) {
      memory_.fill(contents, machine.stream_.handle());
    }
    void* data() { return memory_.data(); }
    Bytes read() { return memory_.read(machine_.stream_); }

   private:
    DeviceMachine& machine_;
    DeviceMemory memory_;
  };

  void* stream() { return stream_.handle(); }
  Bytes read(const void* memory, std::size_t bytes) {
    Bytes contents(bytes);
    if (bytes > 0) copyAsync(contents.data(), memory, bytes, stream_.handle());
    stream_.synchronize();
    return contents;
  }
  void write(void* memory, const Bytes& contents) {
    copyAsync(memory, contents.data(), contents.size(), stream_.handle());
    stream_.synchronize();
  }

 private:
  device::cuda::Stream stream_;
};

class ActivationsOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
    guard_.emplace(0);
  }

 private:
  std::optional<device::cuda::DeviceGuard> guard_;
};

using Run = Left (*)(HostMachine&, const FusedCase&);
using DeviceRun = Left (*)(DeviceMachine&, const FusedCase&);

void expectHostBits(const FusedCase& c, Run onHost, DeviceRun onDevice) {
  SCOPED_TRACE(nameOf(c));
  HostMachine host;
  DeviceMachine device;
  expectSame(onHost(host, c), onDevice(device, c));
}

// Every codec and scale, with codec none, and with blocks that take turns between the shortest and the longest.
std::vector<qcclPackedFormat_t> formatsInTurn(std::size_t shortest, std::size_t longest) {
  std::vector<qcclPackedFormat_t> all = {{qcclCodecNone, 0, 0}};
  std::size_t block = shortest;
  for (const quant::PackedFormat& f : quant::formats(32)) {
    all.push_back({f.codec, f.scale, static_cast<int>(block)});
    block = block == longest ? shortest : 2 * block;
  }
  return all;
}

// A case for each format and type: hostile and ordinary values, both alignments, both kinds of pools, in place and not take turns. (The
// types do so within three seeds.)
std::vector<FusedCase> casesOf(const std::vector<qcclPackedFormat_t>& formats, std::size_t rows, std::size_t cols) {
  std::vector<FusedCase> cases;
  for (const qcclPackedFormat_t& format : formats) {
    for (const qcclDataType_t dtype : kTypes) {
      FusedCase c;
      c.seed = static_cast<unsigned>(cases.size() + rows + cols);
      c.dtype = dtype;
      c.format = c.second = format;
      c.rows = rows;
      c.cols = cols;
      c.offset = c.seed / 3 % 3 == 0 ? qcclTypeSize(dtype) : 0;
      c.planned = c.seed % 5 != 0;
      c.hostile = c.seed % 2 == 0;
      c.inPlace = c.seed / 6 % 2 == 0;
      cases.push_back(c);
    }
  }
  return cases;
}

TEST_F(ActivationsOnDevice, AreSavedAndRestoredAsOnTheHost) {
  for (const std::size_t elems : {1, 33, 4097, 20011, 65536}) {
    for (const FusedCase& c : casesOf(formatsInTurn(32, 4096), 1, elems)) expectHostBits(c, runSaveRestore, runSaveRestore);
  }
}

// One pass: rows that are whole blocks, for one warp, some, and as many as there are; more rows than strips.
TEST_F(ActivationsOnDevice, TheNormOfWholeBlocksIsTheHosts) {
  for (const FusedCase& c : casesOf(formatsInTurn(128, 512), 37, 1024)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf(formatsInTurn(128, 128), 1030, 128)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf(formatsInTurn(128, 512), 5, 8192)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf({{qcclCodecInt4, qcclScaleBfloat16, 128}, {qcclCodecInt5, qcclScaleFloat32, 1024}}, 3, 15360)) {
    expectHostBits(c, runNorm, runNorm);
  }
}

// Several rows of a strip: four strips a thread block, two and one, of one warp and of several; columns that end within a team's part.
TEST_F(ActivationsOnDevice, TheNormOfManyRowsIsTheHosts) {
  const std::vector<qcclPackedFormat_t> formats = {{qcclCodecInt4, qcclScaleBfloat16, 128},
                                                   {qcclCodecInt5, qcclScaleE8m0, 128},
                                                   {qcclCodecInt8, qcclScaleFloat32, 128},
                                                   {qcclCodecNone, 0, 0}};
  const std::pair<std::size_t, std::size_t> shapes[] = {{1030, 640}, {1537, 1024}, {1030, 4224}, {600, 8192}};
  for (const auto& [rows, cols] : shapes) {
    for (const FusedCase& c : casesOf(formats, rows, cols)) expectHostBits(c, runNorm, runNorm);
  }
}

// Two passes: blocks that straddle rows, that are shorter or longer than a warp takes, rows that are longer than a thread block takes.
TEST_F(ActivationsOnDevice, TheNormOfAnyRowsIsTheHosts) {
  for (const FusedCase& c : casesOf(formatsInTurn(32, 4096), 9, 577)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf(formatsInTurn(32, 64), 4, 1024)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf(formatsInTurn(2048, 4096), 3, 4096)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf(formatsInTurn(128, 512), 1, 1)) expectHostBits(c, runNorm, runNorm);
  for (const FusedCase& c : casesOf({{qcclCodecInt8, qcclScaleE8m0, 256}, {qcclCodecBf16, 0, 0}}, 2, 70001)) {
    expectHostBits(c, runNorm, runNorm);
  }
  for (const FusedCase& c : casesOf({{qcclCodecInt6, qcclScaleFloat32, 32}}, 1100, 5)) expectHostBits(c, runNorm, runNorm);
}

TEST_F(ActivationsOnDevice, SwigluIsTheHosts) {
  for (const std::size_t cols : {1, 77, 1024, 20011}) {
    for (const FusedCase& c : casesOf(formatsInTurn(32, 4096), 3, cols)) expectHostBits(c, runSwiglu, runSwiglu);
  }
}

TEST_F(ActivationsOnDevice, SwigluOfTwoFormatsIsTheHosts) {
  const std::vector<qcclPackedFormat_t> formats = formatsInTurn(32, 4096);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    for (FusedCase c : casesOf({formats[i]}, 5, 999)) {
      c.second = formats[(i + 3) % formats.size()];
      expectHostBits(c, runSwiglu, runSwiglu);
    }
  }
}

// A step of a layer, captured and replayed: what it leaves is the host's after as many steps.
TEST_F(ActivationsOnDevice, ReplayInGraphs) {
  constexpr std::size_t kRows = 64, kCols = 512, kReplays = 5;
  const qcclPackedFormat_t int4{qcclCodecInt4, qcclScaleBfloat16, 128};
  const qcclSavedTensor_t xhat{"xhat", kRows * kCols, int4, 0}, rstd{"rstd", kRows, {qcclCodecNone, 0, 0}, qcclFloat32},
      gate{"gate", kRows * kCols, int4, 0}, up{"up", kRows * kCols, int4, 0},
      q{"q", kRows * kCols, {qcclCodecInt8, qcclScaleFloat32, 128}, 0};
  const auto step = [&](auto& machine, const std::function<void(const std::function<void()>&)>& repeat) {
    using Machine = std::remove_reference_t<decltype(machine)>;
    CasePool<Machine> pool(machine, {xhat, rstd, q, gate, up}, true);
    FusedCase c;
    c.dtype = qcclBfloat16;
    c.rows = kRows;
    c.cols = kCols;
    c.hostile = false;
    std::size_t scratchBytes = 0;
    QCCL_EXPECT_OK(qcclRmsNormScratchBytes(kRows, kCols, &scratchBytes));
    typename Machine::Buffer x(machine, c.values(c.elems(), 0), 0), weight(machine, c.values(kCols, 1), 0),
        y(machine, c.nothing(c.elems()), 0), product(machine, c.nothing(c.elems()), 0), dGate(machine, c.nothing(c.elems()), 0),
        dUp(machine, c.nothing(c.elems()), 0), back(machine, c.nothing(c.elems()), 0);
    typename Machine::Buffer dWeight(machine, Bytes(4 * kCols, 0), 0), scratch(machine, Bytes(scratchBytes, 0), 0);
    // A micro-batch of its own for each call, in the slot that the guards have left; restored to the end, so that the next begins anew.
    QCCL_EXPECT_OK(qcclPoolDiscard(pool.get(), 1));
    std::uint64_t microBatch = 2;
    const auto once = [&] {
      void* const stream = machine.stream();
      const qcclSavedTensor_t before{"before", 64, {qcclCodecNone, 0, 0}, qcclUint8};
      qcclPlace_t place{};
      QCCL_EXPECT_OK(qcclPoolSave(pool.get(), microBatch, &before, stream, &place));
      QCCL_EXPECT_OK(qcclRmsNormForward(pool.get(), microBatch, &xhat, &rstd, x.data(), weight.data(), 1e-5f, y.data(), c.dtype, stream));
      QCCL_EXPECT_OK(qcclActivationSave(pool.get(), microBatch, &q, y.data(), c.dtype, stream));
      QCCL_EXPECT_OK(qcclSwigluForward(pool.get(), microBatch, &gate, &up, y.data(), x.data(), product.data(), c.dtype, stream));
      QCCL_EXPECT_OK(
          qcclSwigluBackward(pool.get(), microBatch, &gate, &up, product.data(), dGate.data(), dUp.data(), nullptr, c.dtype, stream));
      QCCL_EXPECT_OK(qcclActivationRestore(pool.get(), microBatch, &q, back.data(), c.dtype, stream));
      QCCL_EXPECT_OK(qcclRmsNormBackward(pool.get(), microBatch, &xhat, &rstd, dGate.data(), weight.data(), x.data(),
                                         static_cast<float*>(dWeight.data()), nullptr, scratch.data(), c.dtype, stream));
      QCCL_EXPECT_OK(qcclPoolRestore(pool.get(), microBatch, "before", stream, &place));
      ++microBatch;
    };
    repeat(once);
    return Left{{"x", x.read()}, {"y", y.read()}, {"dUp", dUp.read()}, {"back", back.read()}, {"dWeight", dWeight.read()}};
  };
  HostMachine host;
  const Left expected = step(host, [&](const std::function<void()>& once) {
    for (std::size_t i = 0; i < 1 + kReplays; ++i) once();
  });
  DeviceMachine machine;
  const Left replayed = step(machine, [&](const std::function<void()>& once) {
    auto* const stream = static_cast<cudaStream_t>(machine.stream());
    cudaGraph_t captured;
    cudaGraphExec_t runnable;
    once();  // loads the kernels
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    once();
    ASSERT_EQ(cudaStreamEndCapture(stream, &captured), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&runnable, captured, 0), cudaSuccess);
    for (std::size_t i = 0; i < kReplays; ++i) ASSERT_EQ(cudaGraphLaunch(runnable, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(captured);
  });
  expectSame(expected, replayed);
}

// Saved on one stream and restored on another, again and again into the same places: the pool orders them.
TEST_F(ActivationsOnDevice, StreamsAreOrderedByThePool) {
  constexpr std::size_t kElems = std::size_t{1} << 22;
  for (const bool planned : {true, false}) {
    DeviceMachine machine;
    const qcclSavedTensor_t tensor{"x", kElems, {qcclCodecInt8, qcclScaleFloat32, 128}, 0};
    const Bytes first = normalBytes(qcclBfloat16, kElems, 1), second = normalBytes(qcclBfloat16, kElems, 2);
    CasePool<DeviceMachine> pool(machine, {tensor}, planned);
    QCCL_EXPECT_OK(qcclPoolDiscard(pool.get(), 1));
    DeviceMachine::Buffer values[] = {{machine, first, 0}, {machine, second, 0}};
    DeviceMachine::Buffer back[] = {{machine, Bytes(first.size()), 0}, {machine, Bytes(first.size()), 0}};
    (void)back[1].read();  // waits
    device::cuda::Stream saving, restoring;
    const qcclSavedTensor_t before{"before", 64, {qcclCodecNone, 0, 0}, qcclUint8};
    for (std::uint64_t i = 2; i < 22; ++i) {
      qcclPlace_t place{};
      QCCL_EXPECT_OK(qcclPoolSave(pool.get(), i, &before, saving.handle(), &place));
      QCCL_EXPECT_OK(qcclActivationSave(pool.get(), i, &tensor, values[i % 2].data(), qcclBfloat16, saving.handle()));
      QCCL_EXPECT_OK(qcclActivationRestore(pool.get(), i, &tensor, back[i % 2].data(), qcclBfloat16, restoring.handle()));
      QCCL_EXPECT_OK(qcclPoolRestore(pool.get(), i, "before", restoring.handle(), &place));
    }
    restoring.synchronize();
    for (int i = 0; i < 2; ++i) {
      HostMachine host;
      CasePool<HostMachine> onHost(host, {tensor}, true);
      Bytes expected(first.size());
      QCCL_EXPECT_OK(qcclActivationSave(onHost.get(), 1, &tensor, (i == 0 ? first : second).data(), qcclBfloat16, nullptr));
      QCCL_EXPECT_OK(qcclActivationRestore(onHost.get(), 1, &tensor, expected.data(), qcclBfloat16, nullptr));
      expectSame({{"restored", expected}}, {{"restored", back[i].read()}});
    }
  }
}

TEST_F(ActivationsOnDevice, MemoryOfAnotherKindIsRefused) {
  const qcclSavedTensor_t tensor{"x", 128, {qcclCodecInt8, qcclScaleFloat32, 128}, 0};
  HostMachine host;
  DeviceMachine device;
  CasePool<HostMachine> hostPool(host, {tensor}, true);
  CasePool<DeviceMachine> devicePool(device, {tensor}, true);
  Bytes onHost(512, 0);
  DeviceMachine::Buffer onDevice(device, onHost, 0);
  const auto expectRefused = [](qcclResult_t result, const char* sentence) {
    EXPECT_EQ(result, qcclInvalidArgument);
    EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr(sentence));
  };
  expectRefused(qcclActivationSave(hostPool.get(), 1, &tensor, onDevice.data(), qcclFloat32, nullptr),
                "values is in the memory of GPU 0, pool pool in host memory; pass buffers of the pool's memory");
  expectRefused(qcclActivationSave(devicePool.get(), 1, &tensor, onHost.data(), qcclFloat32, nullptr),
                "values is in host memory, pool pool in the memory of GPU 0");
  expectRefused(qcclActivationSave(hostPool.get(), 1, &tensor, onHost.data(), qcclFloat32, device.stream()), "stream must be NULL");
  expectRefused(
      qcclSwigluForward(devicePool.get(), 1, &tensor, &tensor, onDevice.data(), onDevice.data(), onHost.data(), qcclFloat32, nullptr),
      "product is in host memory, pool pool in the memory of GPU 0");
  // Nothing of that has changed the pools.
  QCCL_EXPECT_OK(qcclActivationSave(hostPool.get(), 1, &tensor, onHost.data(), qcclFloat32, nullptr));
  QCCL_EXPECT_OK(qcclActivationSave(devicePool.get(), 1, &tensor, onDevice.data(), qcclFloat32, device.stream()));
  expectRefused(qcclActivationRestore(devicePool.get(), 1, &tensor, onHost.data(), qcclFloat32, device.stream()),
                "values is in host memory");
  QCCL_EXPECT_OK(qcclActivationRestore(devicePool.get(), 1, &tensor, onDevice.data(), qcclFloat32, device.stream()));
}

TEST_F(ActivationsOnDevice, MemoryOfAnotherGpuIsRefused) {
  if (device::cuda::deviceCount() < 2) GTEST_SKIP() << "needs two GPUs";
  const qcclSavedTensor_t tensor{"x", 128, {qcclCodecInt8, qcclScaleFloat32, 128}, 0};
  DeviceMachine device;
  CasePool<DeviceMachine> pool(device, {tensor}, true);
  const device::cuda::DeviceGuard other(1);
  device::cuda::DeviceBuffer there(512);
  EXPECT_EQ(qcclActivationSave(pool.get(), 1, &tensor, there.data(), qcclFloat32, nullptr), qcclInvalidArgument);
  EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("values is in the memory of GPU 1, pool pool in the memory of GPU 0"));
}

}  // namespace
}  // namespace qccl::test
