// Ranks as threads of the test.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace qccl::test {

// Runs body(rank) in `size` threads and returns what they threw, by rank; "" where nothing was thrown.
inline std::vector<std::string> runRankThreads(int size, const std::function<void(int rank)>& body) {
  std::vector<std::string> complaints(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (const std::exception& error) {
        complaints[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return complaints;
}

}  // namespace qccl::test
