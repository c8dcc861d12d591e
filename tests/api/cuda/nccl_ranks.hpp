// Ranks with a GPU each whose calls go over the real NCCL.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "api/cuda/device_cases.hpp"
#include "transport/nccl/nccl_comm.hpp"

namespace qccl::test {

// NVLink multicast is never used here, and NCCL reads its environment when it is loaded.
inline const int kNoMulticast = setenv("NCCL_NVLS_ENABLE", "0", 0);

// NCCL takes seconds to begin.
inline constexpr int kNcclTimeoutMs = 60000;

inline std::string whyNoNcclRanks() {
  if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) return why;
  if (device::cuda::deviceCount() < 2) return "NCCL needs a GPU for each rank, and there is one";
  const char* library = std::getenv("QCCL_NCCL_LIBRARY");
  return transport::whyNoNccl(library != nullptr ? library : "");
}

class WithNccl : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = whyNoNcclRanks(); !why.empty()) GTEST_SKIP() << why;
  }
};

// qccl's own algorithms go over NCCL too.
class OverNccl : public WithNccl {
 private:
  const Setting path_{"QCCL_GPU_PATH", "nccl"};
};

inline RankThreads makeNcclRanks(int timeoutMs = kNcclTimeoutMs) { return makeRanks(2, 0, timeoutMs); }

}  // namespace qccl::test
