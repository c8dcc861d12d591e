#include "model/cpu/cpu_ops.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "model/cpu/blas.hpp"
#include "model/cpu/ops_impl.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

constexpr std::size_t kAlignBytes = 64;

struct PageRange {
  char* begin;
  std::size_t count;
  std::size_t pageBytes;
};

// The pages that hold nothing else.
PageRange pagesWithin(char* memory, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % page;
  const std::size_t skip = past == 0 ? 0 : page - past;
  if (bytes < skip + page) return {memory, 0, page};
  return {memory + skip, (bytes - skip) / page, page};
}

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
  // calloc, which does not touch large memory to zero it. The address that it gave stands before the aligned one.
  void* base = std::calloc(bytes + sizeof(void*) + kAlignBytes, 1);
  if (base == nullptr) failTrain("out of memory: cannot allocate ", bytes, " bytes; use a smaller model, batch or sequence");
  const std::size_t past = (reinterpret_cast<std::uintptr_t>(base) + sizeof(void*)) % kAlignBytes;
  char* memory = static_cast<char*>(base) + sizeof(void*) + (past == 0 ? 0 : kAlignBytes - past);
  std::memcpy(memory - sizeof(void*), &base, sizeof(void*));
  return memory;
}

void CpuOps::release(void* memory) noexcept {
  if (memory == nullptr) return;
  void* base = nullptr;
  std::memcpy(&base, static_cast<char*>(memory) - sizeof(void*), sizeof(void*));
  std::free(base);
}

void CpuOps::toHost(void* host, const void* memory, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, memory, bytes);
}

void CpuOps::fromHost(void* memory, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(memory, host, bytes);
}

void CpuOps::zero(void* memory, std::size_t bytes) {
  if (bytes != 0) std::memset(memory, 0, bytes);
}

void CpuOps::discard(void* memory, std::size_t bytes) {
  // Whole pages inside the range are dropped and come back as zeros when they are touched.
  char* const begin = static_cast<char*>(memory);
  char* const end = begin + bytes;
  const PageRange pages = pagesWithin(begin, bytes);
  if (pages.count == 0 || ::madvise(pages.begin, pages.count * pages.pageBytes, MADV_DONTNEED) != 0) {
    zero(memory, bytes);
    return;
  }
  char* const pagesEnd = pages.begin + pages.count * pages.pageBytes;
  zero(begin, static_cast<std::size_t>(pages.begin - begin));
  zero(pagesEnd, static_cast<std::size_t>(end - pagesEnd));
}

std::size_t CpuOps::residentBytes(const void* memory, std::size_t bytes) {
  const PageRange pages = pagesWithin(static_cast<char*>(const_cast<void*>(memory)), bytes);
  std::vector<unsigned char> resident(pages.count);
  if (pages.count == 0 || ::mincore(pages.begin, pages.count * pages.pageBytes, resident.data()) != 0) return bytes;
  const auto absent =
      static_cast<std::size_t>(std::count_if(resident.begin(), resident.end(), [](unsigned char r) { return (r & 1) == 0; }));
  return bytes - absent * pages.pageBytes;
}

float* CpuOps::workspace(std::size_t elems) {
  if (elems > workspace_.elems()) {
    workspace_ = Buffer<float>();
    workspace_ = Buffer<float>(*this, elems);
  }
  return workspace_.data();
}

}  // namespace qccl::train
