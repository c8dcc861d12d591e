#include "memory/memory_space.hpp"

namespace qccl::memory {
namespace {

class HostMemory final : public MemorySpace {
 public:
  explicit HostMemory(std::pmr::memory_resource* upstream) : upstream_(upstream) {}

  std::string name() const override { return "host memory"; }

  // What the system calls free is neither promised nor all that an allocation can get.
  std::optional<std::size_t> freeBytes() const override { return std::nullopt; }

  std::string refusalOf(StreamHandle stream) override {
    return stream == nullptr ? "" : "the stream must be NULL, the pool is in host memory and has none";
  }

  void order(StreamHandle, StreamHandle) override {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t align) override { return upstream_->allocate(bytes, align); }
  void do_deallocate(void* data, std::size_t bytes, std::size_t align) override { upstream_->deallocate(data, bytes, align); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::pmr::memory_resource* upstream_;
};

}  // namespace

std::unique_ptr<MemorySpace> hostMemory(std::pmr::memory_resource* upstream) { return std::make_unique<HostMemory>(upstream); }

}  // namespace qccl::memory
