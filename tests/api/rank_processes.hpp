// Ranks as processes of a test program.
#pragma once

#include <gtest/gtest.h>
#include <qccl/qccl.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "api/all_reduce_cases.hpp"
#include "api/rank_threads.hpp"
#include "support/process.hpp"

namespace qccl::test {

// Runs `program` as `size` processes with the arguments mode, id, rank and size, and `more` after them.
inline std::vector<ProcessResult> runRankProcesses(const std::string& program, const std::string& mode, int size,
                                                   const std::vector<std::string>& more,
                                                   const std::map<std::string, std::string>& environment) {
  qcclUniqueId id;
  EXPECT_EQ(qcclGetUniqueId(&id), qcclSuccess) << qcclGetLastError(nullptr);
  std::vector<ProcessResult> results(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      std::vector<std::string> arguments = {program, mode, hexOf(id), std::to_string(rank), std::to_string(size)};
      arguments.insert(arguments.end(), more.begin(), more.end());
      results[static_cast<std::size_t>(rank)] = runProcess(arguments, environment, std::chrono::seconds(100));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

}  // namespace qccl::test
