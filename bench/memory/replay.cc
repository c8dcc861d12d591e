#include "memory/replay.hpp"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "common/median.hpp"

namespace qccl::memory {
namespace {

double nanosecondsOf(const std::function<void()>& run, std::size_t ops) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(ops);
}

void measure(Measurement* result, const std::function<void()>& run, const Device& device, int runs) {
  std::vector<double> later;
  for (int i = 0; i < runs; ++i) {
    const double nanoseconds = nanosecondsOf(run, result->ops);
    device.synchronize();
    if (i == 0) {
      result->firstNanoseconds = nanoseconds;
    } else {
      later.push_back(nanoseconds);
    }
  }
  result->nanoseconds = later.empty() ? result->firstNanoseconds : bench::median(later);
}

}  // namespace

Measurement replay(const FlatTrace& trace, Allocator& allocator, const Device& device, int runs) {
  std::vector<void*> memory(trace.slots);
  std::vector<std::size_t> bytes(trace.slots);
  const auto run = [&](const std::function<void()>* afterAllocation) {
    for (const FlatOp& op : trace.ops) {
      if (!op.isAllocate) {
        allocator.free(memory[op.slot], bytes[op.slot], device.streams[op.stream]);
        continue;
      }
      memory[op.slot] = allocator.allocate(op.bytes, device.streams[op.stream]);
      bytes[op.slot] = op.bytes;
      if (afterAllocation != nullptr) (*afterAllocation)();
    }
  };
  Measurement result;
  result.ops = trace.ops.size();
  result.usedBytes = trace.peakBytes;
  measure(
      &result, [&] { run(nullptr); }, device, runs);
  const std::function<void()> look = [&] { result.reservedBytes = std::max(result.reservedBytes, allocator.reservedBytes()); };
  run(&look);
  device.synchronize();
  return result;
}

Measurement replay(const std::vector<TraceEvent>& trace, Pool& pool, const Device& device, int runs) {
  using Kind = TraceEvent::Kind;
  std::unordered_map<std::uint64_t, std::size_t> slots;  // of allocations, so that no time goes into finding them
  std::vector<std::size_t> slotOf;
  for (const TraceEvent& event : trace) {
    const bool isPiece = event.kind == Kind::allocate || event.kind == Kind::free;
    slotOf.push_back(isPiece ? slots.emplace(event.number, slots.size()).first->second : 0);
  }
  std::vector<void*> memory(slots.size());
  std::size_t peak = 0;
  const auto run = [&](bool look) {
    for (std::size_t i = 0; i < trace.size(); ++i) {
      const TraceEvent& event = trace[i];
      const StreamHandle stream = device.streams[event.stream];
      switch (event.kind) {
        case Kind::save:
          pool.save({event.number, event.name}, event.bytes, stream);
          break;
        case Kind::restore:
          pool.restore({event.number, event.name}, stream);
          break;
        case Kind::peek:
          pool.peek({event.number, event.name}, stream);
          break;
        case Kind::discard:
          pool.discard(event.number);
          break;
        case Kind::allocate:
          memory[slotOf[i]] = pool.allocate(event.name, event.bytes.codes, stream);
          break;
        case Kind::free:
          pool.free(memory[slotOf[i]], stream);
          break;
      }
      if (look) peak = std::max(peak, pool.usage().usedBytes);
    }
  };
  Measurement result;
  result.ops = trace.size();
  measure(
      &result, [&] { run(false); }, device, runs);
  run(true);
  device.synchronize();
  result.usedBytes = peak;
  result.reservedBytes = pool.usage().reservedBytes;
  return result;
}

}  // namespace qccl::memory
