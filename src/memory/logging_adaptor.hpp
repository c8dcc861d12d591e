// Writes down every call (trace.hpp), so that it can be read, and replayed by pool-bench. Refused calls become comments with their
// sentence.
#pragma once

#include <functional>
#include <unordered_map>

#include "memory/pool_adaptor.hpp"
#include "memory/trace.hpp"

namespace qccl::memory {

class LoggingAdaptor final : public PoolAdaptor {
 public:
  using Sink = std::function<void(const std::string& line)>;

  LoggingAdaptor(std::unique_ptr<Pool> inner, Sink sink) : PoolAdaptor(std::move(inner)), sink_(std::move(sink)) {}

  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override;
  Place restore(const TensorId& id, StreamHandle stream) override;
  Place peek(const TensorId& id, StreamHandle stream) override;
  void discard(std::uint64_t microBatch) override;
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override;
  Named free(void* memory, StreamHandle stream) override;

 private:
  // Runs a call of the inner pool and writes the event, or the refusal.
  template <typename Call>
  auto logged(const TraceEvent& event, Call call);
  std::size_t numberOf(StreamHandle stream) { return streams_.emplace(stream, streams_.size()).first->second; }

  Sink sink_;
  std::unordered_map<StreamHandle, std::size_t> streams_;
  std::unordered_map<void*, std::uint64_t> allocations_;  // in use
  std::uint64_t nextAllocation_ = 0;
};

}  // namespace qccl::memory
