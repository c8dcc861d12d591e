// qcclLedger_t and qcclPool_t values (handle_registry.hpp).
#pragma once

#include <qccl/memory.h>

#include <fstream>
#include <memory>
#include <mutex>

#include "memory/ledger.hpp"
#include "memory/statistics_adaptor.hpp"

namespace qccl::api {

// One thread at a time.
struct LedgerInstance {
  std::mutex mutex;
  memory::Ledger ledger;
};

// One thread at a time. What stands below is destroyed after what stands above it.
struct PoolInstance {
  std::mutex mutex;
  bool onDevice = false;  // the memory is a GPU's,
  int device = 0;         // of this number
  std::unique_ptr<memory::MemorySpace> space;
  std::ofstream trace;
  std::unique_ptr<memory::Pool> pool;               // with everything that stands around it
  memory::StatisticsAdaptor* statistics = nullptr;  // in there
};

qcclLedger_t registerLedger(std::shared_ptr<LedgerInstance> ledger);
std::shared_ptr<LedgerInstance> lookUp(qcclLedger_t handle);
std::shared_ptr<LedgerInstance> takeOut(qcclLedger_t handle);

qcclPool_t registerPool(std::shared_ptr<PoolInstance> pool);
std::shared_ptr<PoolInstance> lookUp(qcclPool_t handle);
std::shared_ptr<PoolInstance> takeOut(qcclPool_t handle);

// Keeps the text of a report until this thread asks for another.
const char* keepReport(std::string text);

}  // namespace qccl::api
