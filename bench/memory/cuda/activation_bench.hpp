// What the parts of activation-bench share: values on the GPU, pools, and the table's rows.
#pragma once

#include <qccl/fused.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/api.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"

namespace qccl::memory {

struct BenchOptions {
  std::size_t rows = 8192;
  std::size_t cols = 4096;  // of norms
  std::size_t ffn = 14336;  // of SwiGLU
  std::size_t layers = 32;  // of the step
  int turns = 15;
  int blockElems = 128;
  std::vector<std::string> dtypes = {"bfloat16", "float32"};
  std::vector<std::string> codecs = {"int4", "int8", "bf16"};
  std::vector<std::string> scales = {"bfloat16"};
  std::vector<std::string> plans = {"mixed", "int4", "bf16", "full"};
  std::string jsonPath;
};

// Normal values in the memory of the current GPU: some of them, again and again.
device::cuda::DeviceBuffer normalValues(std::size_t elems, qcclDataType_t dtype, unsigned seed, device::StreamHandle stream);

// A pool in the memory of GPU 0, planned from a ledger.
class PlannedOnGpu {
 public:
  PlannedOnGpu(qcclLedger_t ledger, std::size_t microBatchesInFlight);
  ~PlannedOnGpu() { qcclPoolDestroy(pool_); }
  PlannedOnGpu(const PlannedOnGpu&) = delete;
  PlannedOnGpu& operator=(const PlannedOnGpu&) = delete;
  qcclPool_t get() const { return pool_; }

 private:
  qcclPool_t pool_ = nullptr;
};

class LedgerHandle {
 public:
  LedgerHandle() { bench::check(qcclLedgerCreate(&ledger_), "qcclLedgerCreate"); }
  ~LedgerHandle() { qcclLedgerDestroy(ledger_); }
  LedgerHandle(const LedgerHandle&) = delete;
  LedgerHandle& operator=(const LedgerHandle&) = delete;
  qcclLedger_t get() const { return ledger_; }

 private:
  qcclLedger_t ledger_ = nullptr;
};

// Each operator against the copy of as many bytes; and a step's saved activations, really in a pool. Both print a table and give JSON
// lines.
std::vector<nlohmann::json> benchOperators(const BenchOptions& options);
std::vector<nlohmann::json> benchPlans(const BenchOptions& options);

}  // namespace qccl::memory
