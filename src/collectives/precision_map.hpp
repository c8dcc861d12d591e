// How the parts of one message are coded: ranges with a codec of their own, and the pieces in which a run of elements is packed. Pure
// arithmetic.
//
// Blocks lie on the message's grid of blockElems and end where a range ends, so they depend neither on tiles nor on ranks. A run of
// elements that begins inside a block of the grid is packed as that block's rest and what follows, each a packed buffer of its own.
#pragma once

#include <qccl/qccl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "quant/wire_format.hpp"

namespace qccl::collectives {

// Elements [firstElem, endElem) of a message.
struct CodedRange {
  std::size_t firstElem;
  std::size_t endElem;
  qcclCodec_t codec;  // none: as they are
};

// The whole message, every element in one range, in order. Shared by the copies of a call.
using PrecisionMap = std::shared_ptr<const std::vector<CodedRange>>;

// The map of `count` elements in which `ranges` (sorted here) have the codecs they name and the others `defaultCodec`. Throws
// Error(qcclInvalidArgument) for ranges that overlap or reach beyond the message.
PrecisionMap makePrecisionMap(std::size_t count, const qcclPrecisionRange_t* ranges, std::size_t numRanges, qcclCodec_t defaultCodec);

// The same for equal maps; 0 for no map.
std::uint64_t fingerprint(const PrecisionMap& map);

// use(first element, elements, codec) for the pieces of [firstElem, firstElem + elems), in order.
template <typename Use>
void forEachPiece(const std::vector<CodedRange>& map, std::size_t firstElem, std::size_t elems, std::size_t blockElems, Use use) {
  const std::size_t endElem = firstElem + elems;
  auto range = std::upper_bound(map.begin(), map.end(), firstElem, [](std::size_t at, const CodedRange& r) { return at < r.endElem; });
  for (std::size_t at = firstElem; at < endElem; ++range) {
    const std::size_t last = std::min(endElem, range->endElem);
    if (range->codec != qcclCodecNone && at % blockElems != 0) {
      const std::size_t rest = std::min(last, quant::alignUp(at, blockElems)) - at;
      use(at, rest, range->codec);
      at += rest;
    }
    if (at < last) use(at, last - at, range->codec);
    at = last;
  }
}

}  // namespace qccl::collectives
