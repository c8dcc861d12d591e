// Ranks as threads of the test.
#pragma once

#include <qccl/qccl.h>

#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "parallel/group.hpp"

namespace qccl::train {

// Runs body(group) on `ranks` threads, each with its rank of one communicator, and gives back what each threw ("" for nothing). A rank that
// ends leaves the communicator; nothing waits longer than timeoutMs.
inline std::vector<std::string> runRanks(int ranks, const std::function<void(Group&)>& body, int timeoutMs = 20000) {
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.timeoutMs = timeoutMs;
  config.quant.codec = qcclCodecNone;
  std::vector<qcclComm_t> comms(static_cast<std::size_t>(ranks));
  checkQccl(qcclCommInitAllConfig(comms.data(), ranks, nullptr, &config), "the communicators could not be made");
  std::vector<std::string> errors(comms.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < comms.size(); ++r) {
    threads.emplace_back([&, r] {
      Group group(comms[r]);
      try {
        body(group);
      } catch (const std::exception& error) {
        errors[r] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

}  // namespace qccl::train
