// The 48 bits that tell the messages between two ranks apart.
//
//   bits 46..47  kind: announcement, data, point to point
//   data:            28..45 fingerprint of the call   12..27 tile   11 phase   0..10 chunk
//   announcement:    45 of the inspection of a call   0..44 call number
//   point to point:  0..45 number of the operation between the two ranks
// The fingerprint covers the call's arguments and its number, so data of a call that differs is never taken for ours: it stays unmatched
// until the neighbour check reports the difference. Calls that happen to share a fingerprint are kept apart by their order.
#pragma once

#include <cstdint>

#include "collectives/schedule.hpp"
#include "core/error.hpp"
#include "transport/transport.hpp"

namespace qccl::collectives {

inline constexpr std::uint64_t kMaxTiles = std::uint64_t{1} << 16;
inline constexpr int kMaxChunks = 1 << 11;

namespace tag_kind {
inline constexpr std::uint64_t kAnnouncement = std::uint64_t{1} << 46;
inline constexpr std::uint64_t kData = std::uint64_t{2} << 46;
inline constexpr std::uint64_t kPointToPoint = std::uint64_t{3} << 46;
inline constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << 46) - 1;
}  // namespace tag_kind

inline transport::Tag announcementTag(std::uint64_t sequence, bool ofInspection) {
  return tag_kind::kAnnouncement | static_cast<std::uint64_t>(ofInspection) << 45 | (sequence & (tag_kind::kNumberMask >> 1));
}

inline transport::Tag pointToPointTag(std::uint64_t number) { return tag_kind::kPointToPoint | (number & tag_kind::kNumberMask); }

inline transport::Tag dataTag(std::uint64_t fingerprint, std::uint64_t tile, Phase phase, int chunk) {
  QCCL_CHECK(tile < kMaxTiles && chunk >= 0 && chunk < kMaxChunks);
  return tag_kind::kData | (fingerprint & 0x3ffff) << 28 | tile << 12 | static_cast<std::uint64_t>(phase) << 11 |
         static_cast<std::uint64_t>(chunk);
}

}  // namespace qccl::collectives
