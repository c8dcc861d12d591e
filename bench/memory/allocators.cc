#include "memory/allocators.hpp"

#include <malloc.h>

#include <cstdlib>

#include "memory/best_fit_pool.hpp"

namespace qccl::memory {
namespace {

class BestFitAllocator final : public Allocator {
 public:
  BestFitAllocator(MemorySpace& space, std::size_t segmentBytes) : pool_("bench", space, segmentBytes) {}
  void* allocate(std::size_t bytes, StreamHandle stream) override { return pool_.allocate("", bytes, stream); }
  void free(void* memory, std::size_t, StreamHandle stream) override { pool_.free(memory, stream); }
  std::size_t reservedBytes() override { return pool_.usage().reservedBytes; }

 private:
  BestFitPool pool_;
};

class MallocAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes, StreamHandle) override { return std::malloc(bytes); }
  void free(void* memory, std::size_t, StreamHandle) override { std::free(memory); }
  // Of the whole process, less what was in use before: an upper bound, because malloc keeps some of what earlier runs freed.
  std::size_t reservedBytes() override {
    const struct mallinfo2 info = mallinfo2();
    return info.arena + info.hblkhd - usedBefore_;
  }

 private:
  static std::size_t usedNow() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }
  std::size_t usedBefore_ = usedNow();
};

}  // namespace

std::unique_ptr<Allocator> bestFitAllocator(MemorySpace& space, std::size_t segmentBytes) {
  return std::make_unique<BestFitAllocator>(space, segmentBytes);
}

std::unique_ptr<Allocator> mallocAllocator() { return std::make_unique<MallocAllocator>(); }

}  // namespace qccl::memory
