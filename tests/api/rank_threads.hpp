// Ranks as threads of the test program, driven through the C API.
#pragma once

#include <gtest/gtest.h>
#include <qccl/qccl.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace qccl::test {

inline constexpr int kTestTimeoutMs = 60000;

#define QCCL_EXPECT_OK(call) EXPECT_EQ(call, qcclSuccess) << qcclGetLastError(nullptr)
#define QCCL_ASSERT_OK(call) ASSERT_EQ(call, qcclSuccess) << qcclGetLastError(nullptr)

// All ranks of one communicator. Destroyed side by side, as their owners would do.
class RankThreads {
 public:
  RankThreads(const std::string& transport, int size, const std::function<void(qcclConfig_t&)>& change = {})
      : comms_(static_cast<std::size_t>(size)) {
    qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
    config.transport = transport.c_str();
    config.timeoutMs = kTestTimeoutMs;
    if (change) change(config);
    QCCL_EXPECT_OK(qcclCommInitAllConfig(comms_.data(), size, nullptr, &config));
  }
  RankThreads(const RankThreads&) = delete;
  RankThreads& operator=(const RankThreads&) = delete;

  ~RankThreads() {
    qcclGroupStart();
    for (const qcclComm_t comm : comms_) qcclCommDestroy(comm);
    qcclGroupEnd();
  }

  int size() const { return static_cast<int>(comms_.size()); }
  qcclComm_t comm(int rank) const { return comms_[static_cast<std::size_t>(rank)]; }
  // For tests that end a communicator themselves.
  void forget(int rank) { comms_[static_cast<std::size_t>(rank)] = nullptr; }

  // body(rank, comm) on a thread for each rank.
  void run(const std::function<void(int, qcclComm_t)>& body) const {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size(); ++rank) threads.emplace_back([&, rank] { body(rank, comm(rank)); });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  std::vector<qcclComm_t> comms_;
};

}  // namespace qccl::test
