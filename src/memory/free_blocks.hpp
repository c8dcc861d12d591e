// The bookkeeping of a best-fit allocator over segments of memory: which piece of which segment is free or taken. It never touches the
// memory itself.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "memory/pool.hpp"
#include "memory/stream_set.hpp"

namespace qccl::memory {

struct Block {
  std::size_t bytes = 0;  // a multiple of kPlaceAlign
  std::size_t segment = 0;
  bool taken = false;
  bool saved = false;  // while taken: part of a saved tensor, which restore gives back
  Named user;          // while taken
  StreamSet streams;   // that may still work on it
};

class FreeBlocks {
 public:
  using Address = std::byte*;
  using Entry = std::map<Address, Block>::value_type;

  // A new segment, all free. Blocks of different segments never become one.
  void addSegment(Address begin, std::size_t bytes);

  // The smallest free block of at least `bytes`, of several the one at the lowest address; nullptr if there is none.
  Entry* bestFit(std::size_t bytes);

  // Takes a free block; what it has beyond `bytes` becomes a free block behind it, with the same streams.
  void take(Entry& block, std::size_t bytes, Named user, bool saved);

  // Frees a taken block and joins it with free neighbours: the joined block has the streams of all.
  void giveBack(Entry& block);

  // The block that begins there, free or taken; nullptr if there is none.
  Entry* at(const void* address);

  std::size_t largestFreeBytes() const { return free_.empty() ? 0 : free_.rbegin()->first; }

  // Calls visit(address, block) for every block in the order of addresses.
  template <typename Visit>
  void forEach(Visit visit) const {
    for (const auto& [address, block] : blocks_) visit(address, block);
  }

 private:
  using Iterator = std::map<Address, Block>::iterator;
  // Joins `block` and its successor if both are free and neighbours.
  void joinWithNext(Iterator block);

  std::map<Address, Block> blocks_;
  std::set<std::pair<std::size_t, Address>> free_;  // by size, then address
  std::size_t segments_ = 0;
};

}  // namespace qccl::memory
