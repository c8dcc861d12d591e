// Refuses what would bring the bytes in use above a limit.
#pragma once

#include "memory/pool_adaptor.hpp"

namespace qccl::memory {

class LimitAdaptor final : public PoolAdaptor {
 public:
  LimitAdaptor(std::unique_ptr<Pool> inner, std::size_t limitBytes) : PoolAdaptor(std::move(inner)), limitBytes_(limitBytes) {}

  // Throw Error(qcclInvalidUsage) with the name (and micro-batch), the bytes in use and the shortfall.
  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override;
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override;

 private:
  bool fits(std::size_t bytes) const;
  [[noreturn]] void refuse(std::string_view what, std::size_t bytes) const;

  std::size_t limitBytes_;
};

}  // namespace qccl::memory
