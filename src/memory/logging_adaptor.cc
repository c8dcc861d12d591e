#include "memory/logging_adaptor.hpp"

#include "core/error.hpp"

namespace qccl::memory {

using Kind = TraceEvent::Kind;

template <typename Call>
auto LoggingAdaptor::logged(const TraceEvent& event, Call call) {
  try {
    const auto result = call();
    sink_(formatEvent(event));
    return result;
  } catch (const Error& error) {
    sink_(strCat("# refused: ", formatEvent(event), ": ", error.what()));
    throw;
  }
}

Place LoggingAdaptor::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  return logged({Kind::save, id.microBatch, std::string(id.name), bytes, numberOf(stream)},
                [&] { return inner().save(id, bytes, stream); });
}

Place LoggingAdaptor::restore(const TensorId& id, StreamHandle stream) {
  return logged({Kind::restore, id.microBatch, std::string(id.name), {}, numberOf(stream)}, [&] { return inner().restore(id, stream); });
}

Place LoggingAdaptor::peek(const TensorId& id, StreamHandle stream) {
  return logged({Kind::peek, id.microBatch, std::string(id.name), {}, numberOf(stream)}, [&] { return inner().peek(id, stream); });
}

void LoggingAdaptor::discard(std::uint64_t microBatch) {
  logged({Kind::discard, microBatch, "", {}, 0}, [&] {
    inner().discard(microBatch);
    return 0;
  });
}

void* LoggingAdaptor::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) {
  return logged({Kind::allocate, nextAllocation_, std::string(name), {bytes, 0}, numberOf(stream)}, [&] {
    void* memory = inner().allocate(name, bytes, stream);
    allocations_[memory] = nextAllocation_++;
    return memory;
  });
}

Named LoggingAdaptor::free(void* memory, StreamHandle stream) {
  const auto known = allocations_.find(memory);
  const std::uint64_t number = known == allocations_.end() ? nextAllocation_ : known->second;
  return logged({Kind::free, number, "", {}, numberOf(stream)}, [&] {
    Named freed = inner().free(memory, stream);
    allocations_.erase(memory);
    return freed;
  });
}

}  // namespace qccl::memory
