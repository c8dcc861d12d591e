// What stands around a pool and is a pool itself. Adaptors add one thing each and can be stacked in any order.
#pragma once

#include <memory>

#include "memory/pool.hpp"

namespace qccl::memory {

// Passes every call on; adaptors override what they add to.
class PoolAdaptor : public Pool {
 public:
  explicit PoolAdaptor(std::unique_ptr<Pool> inner) : inner_(std::move(inner)) {}

  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override { return inner_->save(id, bytes, stream); }
  Place restore(const TensorId& id, StreamHandle stream) override { return inner_->restore(id, stream); }
  Place peek(const TensorId& id, StreamHandle stream) override { return inner_->peek(id, stream); }
  void discard(std::uint64_t microBatch) override { inner_->discard(microBatch); }
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override { return inner_->allocate(name, bytes, stream); }
  Named free(void* memory, StreamHandle stream) override { return inner_->free(memory, stream); }
  std::vector<Named> saved(std::uint64_t microBatch) const override { return inner_->saved(microBatch); }
  PoolUsage usage() const override { return inner_->usage(); }
  const std::string& name() const override { return inner_->name(); }

 protected:
  Pool& inner() { return *inner_; }
  const Pool& inner() const { return *inner_; }

 private:
  std::unique_ptr<Pool> inner_;
};

}  // namespace qccl::memory
