#include <list>
#include <map>
#include <unordered_map>

#include "memory/allocators.hpp"
#include "memory/arena.hpp"
#include "memory/free_blocks.hpp"

namespace qccl::memory {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kStep = 512;
constexpr std::size_t kSmall = kMiB;
constexpr std::size_t kSmallSegment = 2 * kMiB;
constexpr std::size_t kMedium = 10 * kMiB;
constexpr std::size_t kMediumSegment = 20 * kMiB;

std::size_t roundUp(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

class CachingAllocator final : public Allocator {
 public:
  explicit CachingAllocator(MemorySpace& space) : space_(space) {}

  void* allocate(std::size_t bytes, StreamHandle stream) override {
    const std::size_t rounded = roundUp(bytes, kStep);
    const bool isSmall = rounded <= kSmall;
    FreeBlocks& blocks = pools_[{stream, isSmall}];
    FreeBlocks::Entry* block = blocks.bestFit(rounded);
    if (block == nullptr) {
      const std::size_t segment = isSmall ? kSmallSegment : rounded < kMedium ? kMediumSegment : roundUp(rounded, 2 * kMiB);
      segments_.emplace_back("caching allocator", space_, segment);
      reservedBytes_ += segment;
      blocks.addSegment(segments_.back().at(0), segment);
      block = blocks.bestFit(rounded);
    }
    const std::size_t rest = block->second.bytes - rounded;
    blocks.take(*block, isSmall || rest > kSmall ? rounded : block->second.bytes, {}, false);
    owners_[block->first] = &blocks;
    return block->first;
  }

  void free(void* memory, std::size_t, StreamHandle) override {
    const auto owner = owners_.find(memory);
    owner->second->giveBack(*owner->second->at(memory));
    owners_.erase(owner);
  }

  std::size_t reservedBytes() override { return reservedBytes_; }

 private:
  MemorySpace& space_;
  std::list<Arena> segments_;
  std::map<std::pair<StreamHandle, bool>, FreeBlocks> pools_;
  std::unordered_map<void*, FreeBlocks*> owners_;
  std::size_t reservedBytes_ = 0;
};

}  // namespace

std::unique_ptr<Allocator> cachingAllocator(MemorySpace& space) { return std::make_unique<CachingAllocator>(space); }

}  // namespace qccl::memory
