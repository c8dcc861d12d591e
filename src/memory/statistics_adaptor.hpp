// Counts what goes through a pool: calls, bytes in use and their high-water marks, in all and by name, and who held how much when the total
// was highest. Bytes are those that were asked for.
#pragma once

#include <string>
#include <vector>

#include "memory/name_map.hpp"
#include "memory/pool_adaptor.hpp"

namespace qccl::memory {

struct NameStatistics {
  std::uint64_t times = 0;      // saved or allocated
  std::size_t usedBytes = 0;    // now
  std::size_t peakBytes = 0;    // most at a time under this name
  std::size_t atPeakBytes = 0;  // when the total was highest
};

struct PoolStatistics {
  std::uint64_t saves = 0, restores = 0, discards = 0, allocations = 0, frees = 0;
  std::uint64_t refusals = 0;  // calls that ended in an error
  std::size_t usedBytes = 0, peakBytes = 0, reservedBytes = 0, peakReservedBytes = 0;
};

class StatisticsAdaptor final : public PoolAdaptor {
 public:
  using PoolAdaptor::PoolAdaptor;

  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override;
  Place restore(const TensorId& id, StreamHandle stream) override;
  Place peek(const TensorId& id, StreamHandle stream) override;  // counted only if it is refused
  void discard(std::uint64_t microBatch) override;
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override;
  Named free(void* memory, StreamHandle stream) override;

  PoolStatistics statistics() const;
  // High-water marks begin again from what is in use now; calls are counted on.
  void resetPeaks();

  std::string table() const;  // by kind of tensor, the largest at the peak first
  std::string json() const;   // by name

 private:
  // Runs a call of the inner pool; one that throws is a refusal.
  template <typename Call>
  auto counted(Call call);
  void grow(std::string_view name, std::size_t bytes);
  void shrink(std::string_view name, std::size_t bytes);
  std::size_t atPeak(const NameStatistics& of) const { return atPeakNow_ ? of.usedBytes : of.atPeakBytes; }

  PoolStatistics totals_;
  NameMap<NameStatistics> names_;
  // The total is at its peak, which atPeakBytes do not say yet: they are written down when the total first falls, so that a step that only
  // repeats the last one costs nothing here.
  bool atPeakNow_ = false;
};

}  // namespace qccl::memory
