#include "model/cpu/cpu_ops.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

#include "model/cpu/blas.hpp"
#include "model/cpu/ops_impl.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

constexpr std::size_t kAlignBytes = 64;

}  // namespace

std::unique_ptr<Ops> makeCpuOps(const CpuOpsOptions& options) { return std::make_unique<CpuOps>(options); }

std::string cpuOpsDescription() {
  return blas::description() + "; " + std::to_string(simd::kernels().vectorBits) + "-bit vectors (" + simd::kernels().name + ")";
}

void requireShape(bool fits, const char* operation) {
  if (!fits) failTrain("defect in the trainer: ", operation, " was given matrices that do not fit together");
}

CpuOps::CpuOps(const CpuOpsOptions& options) : kernels_(simd::kernels()) {
  if (options.blasThreads < 1) failTrain("the number of BLAS threads is ", options.blasThreads, "; it must be at least 1");
  blas::setThreads(options.blasThreads);
}

void* CpuOps::allocate(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
  void* memory = std::aligned_alloc(kAlignBytes, rounded == 0 ? kAlignBytes : rounded);
  if (memory == nullptr) failTrain("out of memory: cannot allocate ", bytes, " bytes; use a smaller model, batch or sequence");
  std::memset(memory, 0, rounded);
  return memory;
}

void CpuOps::release(void* memory) noexcept { std::free(memory); }

void CpuOps::toHost(void* host, const void* memory, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, memory, bytes);
}

void CpuOps::fromHost(void* memory, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(memory, host, bytes);
}

void CpuOps::zero(void* memory, std::size_t bytes) {
  if (bytes != 0) std::memset(memory, 0, bytes);
}

float* CpuOps::workspace(std::size_t elems) {
  if (elems > workspace_.elems()) {
    workspace_ = Buffer<float>();
    workspace_ = Buffer<float>(*this, elems);
  }
  return workspace_.data();
}

}  // namespace qccl::train
