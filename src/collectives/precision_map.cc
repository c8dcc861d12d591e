#include "collectives/precision_map.hpp"

#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/noise.hpp"

namespace qccl::collectives {

PrecisionMap makePrecisionMap(std::size_t count, const qcclPrecisionRange_t* ranges, std::size_t numRanges, qcclCodec_t defaultCodec) {
  std::vector<qcclPrecisionRange_t> sorted(ranges, ranges + numRanges);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.firstElem < b.firstElem; });
  auto map = std::make_shared<std::vector<CodedRange>>();
  std::size_t done = 0;
  const auto append = [&](std::size_t end, qcclCodec_t codec) {
    if (end == done) return;
    if (!map->empty() && map->back().codec == codec) {
      map->back().endElem = end;
    } else {
      map->push_back({done, end, codec});
    }
    done = end;
  };
  for (const qcclPrecisionRange_t& range : sorted) {
    if (enumName(qcclEnumCodec, range.codec) == nullptr) {
      fail(qcclInvalidArgument, "the precision range at element ", range.firstElem, " has codec ", range.codec, ", which is not one of ",
           enumNames(qcclEnumCodec));
    }
    if (range.firstElem > count || range.elems > count - range.firstElem) {
      fail(qcclInvalidArgument, "the precision range of ", range.elems, " elements at element ", range.firstElem,
           " reaches beyond the message of ", count);
    }
    if (range.elems == 0) continue;
    if (range.firstElem < done) {
      fail(qcclInvalidArgument, "the precision range of ", range.elems, " elements at element ", range.firstElem,
           " overlaps another one, which ends at element ", done);
    }
    append(range.firstElem, defaultCodec);
    append(range.firstElem + range.elems, static_cast<qcclCodec_t>(range.codec));
  }
  append(count, defaultCodec);
  return map;
}

std::uint64_t fingerprint(const PrecisionMap& map) {
  if (map == nullptr) return 0;
  std::uint64_t hash = 1;
  for (const CodedRange& range : *map) {
    hash = quant::mix64(hash + quant::kNoiseStride + range.endElem);
    hash = quant::mix64(hash + quant::kNoiseStride + static_cast<std::uint64_t>(range.codec));
  }
  return hash == 0 ? 1 : hash;
}

}  // namespace qccl::collectives
