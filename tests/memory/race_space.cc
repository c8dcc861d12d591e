#include "memory/race_space.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace qccl::memory::test {

RaceSpace::~RaceSpace() { EXPECT_EQ(living_, 0) << "a pool kept memory"; }

void* RaceSpace::do_allocate(std::size_t bytes, std::size_t align) {
  ++allocations_;
  ++living_;
  return std::pmr::new_delete_resource()->allocate(bytes, align);
}

void RaceSpace::do_deallocate(void* data, std::size_t bytes, std::size_t align) {
  --living_;
  std::pmr::new_delete_resource()->deallocate(data, bytes, align);
}

void RaceSpace::orderByProgram(StreamHandle earlier, StreamHandle later) {
  Clock& known = clocks_[later];
  for (const auto& [stream, time] : clocks_[earlier]) known[stream] = std::max(known[stream], time);
}

void RaceSpace::order(StreamHandle earlier, StreamHandle later) {
  ++orders_;
  orderByProgram(earlier, later);
}

void RaceSpace::use(const void* memory, std::size_t bytes, StreamHandle stream, bool isWrite) {
  Clock& known = clocks_[stream];
  const std::uint64_t now = ++known[stream];
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  for (std::uintptr_t at = first / kPlaceAlign; at * kPlaceAlign < first + bytes; ++at) {
    Piece& piece = pieces_[at];
    const auto isAfter = [&](const Clock& uses) {
      return std::all_of(uses.begin(), uses.end(), [&](const auto& use) { return known[use.first] >= use.second; });
    };
    EXPECT_TRUE(isAfter(piece.writes) && (!isWrite || isAfter(piece.reads)))
        << (isWrite ? "a write" : "a read") << " may overtake work of another stream";
    (isWrite ? piece.writes : piece.reads)[stream] = now;
  }
}

}  // namespace qccl::memory::test
