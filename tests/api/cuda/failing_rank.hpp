// A rank whose calls on GPU memory may never end, and what its communicator says then.
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "api/cuda/device_ranks.hpp"

namespace qccl::test {

// One rank's memory and stream.
struct FailingRank {
  explicit FailingRank(int device, std::size_t elems = 100000) : guard(device), in(elems * 4), out(elems * 4) {}

  qcclResult_t allReduce(std::size_t count, qcclComm_t comm, qcclDataType_t dtype = qcclFloat32) {
    return qcclAllReduce(in.data(), out.data(), count, dtype, qcclSum, comm, stream.handle());
  }

  device::cuda::DeviceGuard guard;
  device::cuda::DeviceBuffer in, out;
  device::cuda::Stream stream;
};

// What the communicator says once it has failed, within `limit`.
inline std::string failureOf(qcclComm_t comm, qcclResult_t expected, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  qcclResult_t result = qcclSuccess;
  while (result == qcclSuccess && std::chrono::steady_clock::now() < end) {
    QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &result));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(result, expected);
  float x = 0;
  EXPECT_EQ(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, comm, nullptr), expected) << "the next call says why";
  return qcclGetLastError(comm);
}

}  // namespace qccl::test
