// Ranks as threads with a GPU each, or several on one GPU, driven through the C API; and the same operation on host memory to compare with.
#pragma once

#include <gtest/gtest.h>
#include <qccl/packed.h>
#include <qccl/qccl.h>

#include <barrier>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/rank_threads.hpp"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/devices.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "quant/wire_format.hpp"

namespace qccl::test {

// A wait that never ends must not cost a test more than this.
inline constexpr int kDeviceTimeoutMs = 8000;

// Ranks that share a GPU as threads must have a hardware queue for each of their streams: in a shared one, what a rank enqueues waits for
// the kernel of another, which waits for it. Read when CUDA starts.
inline const int kHardwareQueues = setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);

// A setting for the communicators that are made while it lives.
class Setting {
 public:
  Setting(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

inline int deviceOf(int rank) { return rank % device::cuda::deviceCount(); }

inline qcclPackedFormat_t asPublic(const quant::PackedFormat& format) {
  return {format.codec, format.scale, static_cast<int>(format.blockElems)};
}

// One collective, with everything that makes it the same on host and device.
struct Operation {
  qcclColl_t coll = qcclCollAllReduce;
  std::size_t count = 20011;
  qcclDataType_t dtype = qcclFloat32;
  qcclRedOp_t op = qcclSum;
  int root = 0;
  bool inPlace = false;
  std::size_t offsetElems = 0;  // of buffers of values, from an aligned address
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  std::optional<quant::PackedFormat> packed;  // of the input; of the output as well if dtype is qcclPacked

  std::size_t bytes(std::size_t elems) const { return elems * qcclTypeSize(dtype); }
  std::size_t inputElems(int ranks) const { return coll == qcclCollReduceScatter ? count * static_cast<std::size_t>(ranks) : count; }
  std::size_t outputElems(int ranks) const { return coll == qcclCollAllGather ? count * static_cast<std::size_t>(ranks) : count; }

  std::size_t inputBytes(int ranks) const { return packed ? packedBytes(inputElems(ranks)) : bytes(inputElems(ranks)); }
  std::size_t outputBytes(int ranks) const { return dtype == qcclPacked ? packedBytes(outputElems(ranks)) : bytes(outputElems(ranks)); }
  // Of packed buffers of `count` values, one after another.
  std::size_t packedBytes(std::size_t elems) const { return count == 0 ? 0 : elems / count * quant::packedBytes(count, *packed); }

  // The call itself, on whatever memory the pointers are.
  qcclResult_t call(const void* in, void* out, qcclComm_t comm, void* stream) const {
    if (packed) return callPacked(in, out, comm, stream);
    switch (coll) {
      case qcclCollAllReduce:
        return qcclAllReduceEx(in, out, count, dtype, op, &quant, comm, stream);
      case qcclCollReduceScatter:
        return qcclReduceScatter(in, out, count, dtype, op, comm, stream);
      case qcclCollAllGather:
        return qcclAllGather(in, out, count, dtype, comm, stream);
      case qcclCollBroadcast:
        return qcclBroadcast(in, out, count, dtype, root, comm, stream);
      default:
        return qcclReduce(in, out, count, dtype, op, root, comm, stream);
    }
  }

 private:
  qcclResult_t callPacked(const void* in, void* out, qcclComm_t comm, void* stream) const {
    const qcclPackedFormat_t format = asPublic(*packed);
    switch (coll) {
      case qcclCollAllReduce:
        return qcclAllReduceQuantized(in, out, count, dtype, op, &format, &quant, comm, stream);
      case qcclCollReduceScatter:
        return qcclReduceScatterQuantized(in, out, count, dtype, op, &format, &quant, comm, stream);
      default:
        return qcclAllGatherQuantized(in, out, count, dtype, &format, comm, stream);
    }
  }
};

// By rank: bytes of the input and of the output.
using Buffers = std::vector<std::vector<char>>;

// A buffer on the current device between bytes that nobody may write, filled with something else than the result.
class DeviceMemory {
 public:
  DeviceMemory(std::size_t bytes, std::size_t offset)
      : buffer_(kGuard + offset + bytes + kGuard), offset_(kGuard + offset), bytes_(bytes) {}

  unsigned char* data() { return buffer_.data() + offset_; }

  void fill(const std::vector<char>& with, device::StreamHandle stream) {
    whole_.assign(buffer_.bytes(), 0x5a);
    std::memcpy(whole_.data() + offset_, with.data(), with.size());
    device::cuda::copyAsync(buffer_.data(), whole_.data(), whole_.size(), stream);
  }

  // Waits for the stream; fails the test if something beside the buffer was written.
  std::vector<char> read(device::cuda::Stream& stream) {
    device::cuda::copyAsync(whole_.data(), buffer_.data(), whole_.size(), stream.handle());
    stream.synchronize();
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      const bool outside = i < offset_ || i >= offset_ + bytes_;
      if (outside && whole_[i] != 0x5a) {
        ADD_FAILURE() << "byte " << i << " is outside of the buffer and was written";
        break;
      }
    }
    return {whole_.begin() + static_cast<std::ptrdiff_t>(offset_), whole_.begin() + static_cast<std::ptrdiff_t>(offset_ + bytes_)};
  }

 private:
  static constexpr std::size_t kGuard = 256;
  device::cuda::DeviceBuffer buffer_;
  const std::size_t offset_;
  const std::size_t bytes_;
  std::vector<char> whole_;
};

// Runs the operation on one rank's thread and returns its output.
inline std::vector<char> runOnHost(const Operation& operation, int ranks, std::vector<char> input, qcclComm_t comm) {
  std::vector<char> output(operation.outputBytes(ranks), 0x5a);
  char* const out = operation.inPlace ? input.data() : output.data();
  QCCL_EXPECT_OK(operation.call(input.data(), out, comm, nullptr));
  return operation.inPlace ? input : output;
}

// A rank's buffers of an operation.
struct DeviceBuffers {
  DeviceBuffers(const Operation& operation, int ranks, const std::vector<char>& input)
      : in(input.size(), operation.packed ? 0 : operation.bytes(operation.offsetElems)),
        out(operation.outputBytes(ranks), operation.bytes(operation.offsetElems)) {}
  DeviceMemory in, out;
};

// All operations of one rank, enqueued one after another. Device memory is taken and filled before the first call of any rank, and read and
// given back after the last one of all: where ranks share a GPU, those may wait for the kernels of all, which may wait for this rank.
inline void runOnDevice(const std::vector<Operation>& operations, int ranks, const std::vector<Buffers>& inputs, qcclComm_t comm, int rank,
                        std::barrier<>& together, std::vector<Buffers>* outputs) {
  const device::cuda::DeviceGuard guard(deviceOf(rank));
  const auto r = static_cast<std::size_t>(rank);
  device::cuda::Stream stream;
  std::vector<std::unique_ptr<DeviceBuffers>> buffers;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    buffers.push_back(std::make_unique<DeviceBuffers>(operations[i], ranks, inputs[i][r]));
    buffers[i]->in.fill(inputs[i][r], stream.handle());
    buffers[i]->out.fill({}, stream.handle());
  }
  stream.synchronize();
  together.arrive_and_wait();
  const auto outOf = [&](std::size_t i) -> DeviceMemory& { return operations[i].inPlace ? buffers[i]->in : buffers[i]->out; };
  for (std::size_t i = 0; i < operations.size(); ++i)
    QCCL_EXPECT_OK(operations[i].call(buffers[i]->in.data(), outOf(i).data(), comm, stream.handle()));
  stream.synchronize();
  together.arrive_and_wait();
  for (std::size_t i = 0; i < operations.size(); ++i) (*outputs)[i][r] = outOf(i).read(stream);
  qcclResult_t failed = qcclSuccess;
  QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &failed));
  EXPECT_EQ(failed, qcclSuccess);
  together.arrive_and_wait();
}

// All ranks' outputs; a communicator's calls are made in the order of the operations.
inline std::vector<Buffers> runAll(const RankThreads& ranks, const std::vector<Operation>& operations, const std::vector<Buffers>& inputs,
                                   bool onDevice) {
  std::vector<Buffers> outputs(operations.size(), Buffers(static_cast<std::size_t>(ranks.size())));
  std::barrier<> together(ranks.size());
  ranks.run([&](int rank, qcclComm_t comm) {
    if (onDevice) {
      runOnDevice(operations, ranks.size(), inputs, comm, rank, together, &outputs);
      return;
    }
    const auto r = static_cast<std::size_t>(rank);
    for (std::size_t i = 0; i < operations.size(); ++i) outputs[i][r] = runOnHost(operations[i], ranks.size(), inputs[i][r], comm);
  });
  return outputs;
}

}  // namespace qccl::test
