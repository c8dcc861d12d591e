// How a message is cut into chunks, and where each chunk lies in the caller's buffers.
#pragma once

#include <cstddef>

#include "quant/wire_format.hpp"

namespace qccl::collectives {

// Elements [firstElem, firstElem + elems) of the message.
struct Chunk {
  std::size_t firstElem;
  std::size_t elems;
};

class Partition {
 public:
  // `count` elements in `chunks` parts of whole blocks, as even as that allows; only the last non-empty chunk can end in a ragged block.
  // Large messages, and with `wholeFrames` all, are cut at whole frames, so that a packed buffer of the whole message can be sent chunk by
  // chunk as it lies.
  static Partition even(std::size_t count, int chunks, std::size_t blockElems, bool wholeFrames = false) {
    const std::size_t frame = quant::frameElems(blockElems);
    const auto parts = static_cast<std::size_t>(chunks);
    const std::size_t granule = wholeFrames || count >= 4 * parts * frame ? frame : blockElems;
    return Partition(count, parts, granule, 0);
  }

  // `chunks` parts of chunkElems each (reduce-scatter, all-gather); blocks start anew in each.
  static Partition fixed(std::size_t chunkElems, int chunks) { return Partition(0, static_cast<std::size_t>(chunks), 1, chunkElems); }

  Chunk chunk(int index) const {
    const auto i = static_cast<std::size_t>(index);
    if (granule_ == 1 && count_ == 0) return {i * fixedElems_, fixedElems_};
    const std::size_t granules = quant::divideUp(count_, granule_);
    // Without the product i * granules, which could overflow.
    const std::size_t each = granules / chunks_;
    const std::size_t extra = granules % chunks_;
    const std::size_t first = (i * each + (i < extra ? i : extra)) * granule_;
    const std::size_t last = first + (each + (i < extra ? 1 : 0)) * granule_;
    const std::size_t begin = first < count_ ? first : count_;
    return {begin, (last < count_ ? last : count_) - begin};
  }

  int chunks() const { return static_cast<int>(chunks_); }

  std::size_t maxChunkElems() const {
    std::size_t most = 0;
    for (int i = 0; i < chunks(); ++i) most = chunk(i).elems > most ? chunk(i).elems : most;
    return most;
  }

 private:
  Partition(std::size_t count, std::size_t chunks, std::size_t granule, std::size_t fixedElems)
      : count_(count), chunks_(chunks), granule_(granule), fixedElems_(fixedElems) {}

  std::size_t count_;
  std::size_t chunks_;
  std::size_t granule_;
  std::size_t fixedElems_;
};

}  // namespace qccl::collectives
