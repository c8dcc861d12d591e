// extern "C": include/qccl/memory.h, where it is kept.
#include <cerrno>
#include <optional>

#include "api/pool_guard.hpp"
#include "api/saved_tensor.hpp"
#include "api/sized_struct.hpp"
#include "memory/best_fit_pool.hpp"
#include "memory/limit_adaptor.hpp"
#include "memory/logging_adaptor.hpp"
#include "memory/planned_pool.hpp"

namespace qccl::api {
namespace {

using memory::Pool;

qcclPoolConfig_t readConfig(const char* function, const qcclPoolConfig_t* config) {
  const qcclPoolConfig_t checked =
      readSized<qcclPoolConfig_t>(function, "config", config, QCCL_POOL_CONFIG_INITIALIZER, "QCCL_POOL_CONFIG_INITIALIZER");
  if (checked.memory != qcclMemoryHost && checked.memory != qcclMemoryCuda) {
    fail(qcclInvalidArgument, function, ": config->memory = ", checked.memory, " is unknown; see qcclMemory_t");
  }
  return checked;
}

memory::PoolPlan readPlan(const qcclPoolConfig_t& config) {
  const auto instance = lookUp(config.ledger);
  const std::lock_guard lock(instance->mutex);
  return {instance->ledger, {config.microBatchesInFlight, config.scratchBytes}};
}

// The pool and what stands around it: a limit inside, so that what it refuses is counted and written down as well.
std::shared_ptr<PoolInstance> makePool(const qcclPoolConfig_t& config) {
  const std::string name = config.name == nullptr ? "pool" : config.name;
  const std::optional<std::size_t> limitBytes =
      config.limitBytes == UINT64_MAX ? std::nullopt : std::optional<std::size_t>(config.limitBytes);
  auto instance = std::make_shared<PoolInstance>();
  std::optional<memory::PoolPlan> plan;
  if (config.ledger != nullptr) plan = readPlan(config);
  instance->onDevice = config.memory == qcclMemoryCuda;
  instance->device = config.device;
  instance->space = instance->onDevice ? memory::cudaMemory(config.device) : memory::hostMemory();
  if (config.tracePath != nullptr) {
    instance->trace.open(config.tracePath);
    if (!instance->trace) failErrno(strCat("qcclPoolCreate: cannot write the trace of pool ", name, " to ", config.tracePath), errno);
  }
  std::unique_ptr<Pool> pool;
  if (plan) {
    pool = std::make_unique<memory::PlannedPool>(name, std::move(*plan), *instance->space, limitBytes);
  } else {
    pool = std::make_unique<memory::BestFitPool>(name, *instance->space, config.segmentBytes);
    if (limitBytes) pool = std::make_unique<memory::LimitAdaptor>(std::move(pool), *limitBytes);
  }
  auto counted = std::make_unique<memory::StatisticsAdaptor>(std::move(pool));
  instance->statistics = counted.get();
  pool = std::move(counted);
  if (instance->trace.is_open()) {
    pool = std::make_unique<memory::LoggingAdaptor>(std::move(pool),
                                                    [&trace = instance->trace](const std::string& line) { trace << line << '\n'; });
  }
  instance->pool = std::move(pool);
  return instance;
}

qcclPlace_t placeOf(const memory::Place& place) { return {place.codes, place.scales, place.bytes.codes, place.bytes.scales}; }

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclPoolExplain(const qcclPoolConfig_t* config, uint64_t* totalBytes, qcclReport_t kind, const char** text) {
  return guard([&] {
    requireReport("qcclPoolExplain", kind);
    const qccl::memory::PoolPlan plan = readPlan(readConfig("qcclPoolExplain", config));
    if (totalBytes != nullptr) *totalBytes = plan.totalBytes();
    if (text != nullptr) *text = keepReport(kind == qcclReportJson ? plan.json() : plan.table());
  });
}

qcclResult_t qcclPoolCreate(qcclPool_t* pool, const qcclPoolConfig_t* config) {
  return guard([&] {
    requireNonNull(pool, "qcclPoolCreate", "pool");
    *pool = registerPool(makePool(readConfig("qcclPoolCreate", config)));
  });
}

qcclResult_t qcclPoolSave(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, qcclStream_t stream, qcclPlace_t* place) {
  return withPool(pool, [&](PoolInstance& instance) {
    requireNonNull(place, "qcclPoolSave", "place");
    const qccl::memory::TensorBytes bytes = readTensorBytes("qcclPoolSave", tensor);
    requireNonNull(tensor->name, "qcclPoolSave", "tensor->name");
    *place = placeOf(instance.pool->save({microBatch, tensor->name}, bytes, streamOf(stream)));
  });
}

qcclResult_t qcclPoolRestore(qcclPool_t pool, uint64_t microBatch, const char* name, qcclStream_t stream, qcclPlace_t* place) {
  return withPool(pool, [&](PoolInstance& instance) {
    requireNonNull(name, "qcclPoolRestore", "name");
    requireNonNull(place, "qcclPoolRestore", "place");
    *place = placeOf(instance.pool->restore({microBatch, name}, streamOf(stream)));
  });
}

qcclResult_t qcclPoolPeek(qcclPool_t pool, uint64_t microBatch, const char* name, qcclStream_t stream, qcclPlace_t* place) {
  return withPool(pool, [&](PoolInstance& instance) {
    requireNonNull(name, "qcclPoolPeek", "name");
    requireNonNull(place, "qcclPoolPeek", "place");
    *place = placeOf(instance.pool->peek({microBatch, name}, streamOf(stream)));
  });
}

qcclResult_t qcclPoolDiscard(qcclPool_t pool, uint64_t microBatch) {
  return withPool(pool, [&](PoolInstance& instance) { instance.pool->discard(microBatch); });
}

qcclResult_t qcclPoolAllocate(qcclPool_t pool, const char* name, size_t bytes, qcclStream_t stream, void** memory) {
  return withPool(pool, [&](PoolInstance& instance) {
    requireNonNull(name, "qcclPoolAllocate", "name");
    requireNonNull(memory, "qcclPoolAllocate", "memory");
    *memory = instance.pool->allocate(name, bytes, streamOf(stream));
  });
}

qcclResult_t qcclPoolFree(qcclPool_t pool, void* memory, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) { instance.pool->free(memory, streamOf(stream)); });
}

qcclResult_t qcclPoolGetStats(qcclPool_t pool, qcclPoolStats_t* stats) {
  return withPool(pool, [&](PoolInstance& instance) {
    const qccl::memory::PoolStatistics all = instance.statistics->statistics();
    writeSized<qcclPoolStats_t>("qcclPoolGetStats", "stats", "qcclPoolStats_t", stats,
                                {sizeof(qcclPoolStats_t), all.saves, all.restores, all.discards, all.allocations, all.frees, all.refusals,
                                 all.usedBytes, all.peakBytes, all.reservedBytes, all.peakReservedBytes});
  });
}

qcclResult_t qcclPoolResetPeaks(qcclPool_t pool) {
  return withPool(pool, [&](PoolInstance& instance) { instance.statistics->resetPeaks(); });
}

qcclResult_t qcclPoolGetReport(qcclPool_t pool, qcclReport_t kind, const char** text) {
  return withPool(pool, [&](PoolInstance& instance) {
    requireNonNull(text, "qcclPoolGetReport", "text");
    requireReport("qcclPoolGetReport", kind);
    *text = keepReport(kind == qcclReportJson ? instance.statistics->json() : instance.statistics->table());
  });
}

qcclResult_t qcclPoolDestroy(qcclPool_t pool) {
  return guard([&] {
    if (pool == nullptr) return;
    const auto instance = takeOut(pool);
    const std::lock_guard lock(instance->mutex);
    instance->pool.reset();
  });
}

}  // extern "C"
