#include "api/memory_handles.hpp"

#include "api/handle_registry.hpp"

namespace qccl::api {
namespace {

auto& ledgers() {
  static auto* const instance = new HandleRegistry<qcclLedger_t, LedgerInstance>(
      "the ledger is NULL; make one with qcclLedgerCreate", "the ledger handle is not valid: it was destroyed, or never made by qccl");
  return *instance;
}

auto& pools() {
  static auto* const instance = new HandleRegistry<qcclPool_t, PoolInstance>(
      "the pool is NULL; make one with qcclPoolCreate", "the pool handle is not valid: it was destroyed, or never made by qccl");
  return *instance;
}

}  // namespace

qcclLedger_t registerLedger(std::shared_ptr<LedgerInstance> ledger) { return ledgers().add(std::move(ledger)); }
std::shared_ptr<LedgerInstance> lookUp(qcclLedger_t handle) { return ledgers().lookUp(handle); }
std::shared_ptr<LedgerInstance> takeOut(qcclLedger_t handle) { return ledgers().takeOut(handle); }

qcclPool_t registerPool(std::shared_ptr<PoolInstance> pool) { return pools().add(std::move(pool)); }
std::shared_ptr<PoolInstance> lookUp(qcclPool_t handle) { return pools().lookUp(handle); }
std::shared_ptr<PoolInstance> takeOut(qcclPool_t handle) { return pools().takeOut(handle); }

const char* keepReport(std::string text) {
  thread_local std::string kept;
  kept = std::move(text);
  return kept.c_str();
}

}  // namespace qccl::api
