#include "memory/free_blocks.hpp"

#include <iterator>

#include "core/error.hpp"

namespace qccl::memory {

void FreeBlocks::addSegment(Address begin, std::size_t bytes) {
  Block block;
  block.bytes = bytes;
  block.segment = segments_++;
  blocks_.emplace(begin, std::move(block));
  free_.emplace(bytes, begin);
}

FreeBlocks::Entry* FreeBlocks::bestFit(std::size_t bytes) {
  const auto found = free_.lower_bound({bytes, nullptr});
  return found == free_.end() ? nullptr : &*blocks_.find(found->second);
}

void FreeBlocks::take(Entry& block, std::size_t bytes, Named user, bool saved) {
  QCCL_CHECK(!block.second.taken && block.second.bytes >= bytes);
  free_.erase({block.second.bytes, block.first});
  if (block.second.bytes > bytes) {
    Block rest;
    rest.bytes = block.second.bytes - bytes;
    rest.segment = block.second.segment;
    rest.streams = block.second.streams;
    free_.emplace(rest.bytes, block.first + bytes);
    blocks_.emplace(block.first + bytes, std::move(rest));
  }
  block.second.bytes = bytes;
  block.second.taken = true;
  block.second.saved = saved;
  block.second.user = std::move(user);
}

void FreeBlocks::giveBack(Entry& block) {
  QCCL_CHECK(block.second.taken);
  block.second.taken = false;
  free_.emplace(block.second.bytes, block.first);
  const Iterator it = blocks_.find(block.first);
  joinWithNext(it);
  if (it != blocks_.begin()) joinWithNext(std::prev(it));
}

void FreeBlocks::joinWithNext(Iterator block) {
  const Iterator next = std::next(block);
  if (next == blocks_.end() || block->second.taken || next->second.taken) return;
  if (block->second.segment != next->second.segment) return;
  free_.erase({block->second.bytes, block->first});
  free_.erase({next->second.bytes, next->first});
  block->second.bytes += next->second.bytes;
  block->second.streams.add(next->second.streams);
  free_.emplace(block->second.bytes, block->first);
  blocks_.erase(next);
}

FreeBlocks::Entry* FreeBlocks::at(const void* address) {
  const auto found = blocks_.find(static_cast<Address>(const_cast<void*>(address)));  // NOLINT: a key, not an access
  return found == blocks_.end() ? nullptr : &*found;
}

}  // namespace qccl::memory
