#include "numerics/rank_threads.hpp"

#include <exception>
#include <mutex>
#include <thread>

#include "common/api.hpp"

namespace qccl::bench::numerics {

void onEachRank(int ranks, const std::function<void(int rank)>& work) {
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        work(rank);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

Communicators::~Communicators() {
  for (const auto& [ranks, comms] : comms_) {
    for (const qcclComm_t comm : comms) qcclCommDestroy(comm);
  }
}

const std::vector<qcclComm_t>& Communicators::ofSize(int ranks) {
  const auto known = comms_.find(ranks);
  if (known != comms_.end()) return known->second;
  std::vector<qcclComm_t> made(static_cast<std::size_t>(ranks));
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.transport = "inproc";
  config.quant.inspectEvery = 0;
  check(qcclCommInitAllConfig(made.data(), ranks, nullptr, &config), "qcclCommInitAllConfig");
  return comms_[ranks] = std::move(made);
}

}  // namespace qccl::bench::numerics
