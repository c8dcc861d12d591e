// The few streams that have worked on a piece of memory.
#pragma once

#include <algorithm>
#include <vector>

#include "memory/memory_space.hpp"

namespace qccl::memory {

// One stream, by far the most common number, needs no allocation.
class StreamSet {
 public:
  bool contains(StreamHandle stream) const {
    return !empty_ && (first_ == stream || std::find(others_.begin(), others_.end(), stream) != others_.end());
  }

  void add(StreamHandle stream) {
    if (contains(stream)) return;
    if (empty_) {
      first_ = stream;
      empty_ = false;
    } else {
      others_.push_back(stream);
    }
  }

  void add(const StreamSet& streams) {
    streams.forEach([this](StreamHandle stream) { add(stream); });
  }

  void clear() {
    empty_ = true;
    others_.clear();
  }

  template <typename Visit>
  void forEach(Visit visit) const {
    if (empty_) return;
    visit(first_);
    for (const StreamHandle stream : others_) visit(stream);
  }

 private:
  StreamHandle first_ = nullptr;
  bool empty_ = true;
  std::vector<StreamHandle> others_;
};

// Work given to `later` from now on begins after all that the streams of `earlier` were given so far. A stream needs no order with itself:
// where there is only one, this does nothing.
inline void orderAfter(MemorySpace& space, const StreamSet& earlier, StreamHandle later) {
  earlier.forEach([&](StreamHandle stream) {
    if (stream != later) space.order(stream, later);
  });
}

}  // namespace qccl::memory
