// Host memory with streams that exist on paper only: it notices work that a real device might run in the wrong order. Each stream has a
// clock of what it has been made to wait for, and each piece of memory remembers who used it and when.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>

#include "memory/memory_space.hpp"

namespace qccl::memory::test {

inline StreamHandle fakeStream(int number) {
  return reinterpret_cast<StreamHandle>(static_cast<std::uintptr_t>(number) * 64);  // NOLINT(performance-no-int-to-ptr): never followed
}

class RaceSpace final : public MemorySpace {
 public:
  ~RaceSpace() override;  // fails the test if memory was not given back

  std::string name() const override { return "imagined memory"; }
  std::optional<std::size_t> freeBytes() const override { return freeBytes_; }
  std::string refusalOf(StreamHandle) override { return {}; }
  void order(StreamHandle earlier, StreamHandle later) override;

  // Work on the memory is given to the stream. Fails the test if it could run before earlier work that it must not run before.
  void write(const void* memory, std::size_t bytes, StreamHandle stream) { use(memory, bytes, stream, true); }
  void read(const void* memory, std::size_t bytes, StreamHandle stream) { use(memory, bytes, stream, false); }

  // Another thing than a pool makes one stream wait for another: a program for its data.
  void orderByProgram(StreamHandle earlier, StreamHandle later);

  int orders() const { return orders_; }  // by the pool
  int allocations() const { return allocations_; }
  void setFreeBytes(std::size_t bytes) { freeBytes_ = bytes; }

 private:
  using Clock = std::map<StreamHandle, std::uint64_t>;
  struct Piece {
    Clock reads, writes;  // the last of each stream
  };

  void* do_allocate(std::size_t bytes, std::size_t align) override;
  void do_deallocate(void* data, std::size_t bytes, std::size_t align) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  void use(const void* memory, std::size_t bytes, StreamHandle stream, bool isWrite);

  std::map<StreamHandle, Clock> clocks_;
  std::unordered_map<std::uintptr_t, Piece> pieces_;
  std::optional<std::size_t> freeBytes_;
  int orders_ = 0;
  int allocations_ = 0;
  int living_ = 0;
};

}  // namespace qccl::memory::test
