// The memory of a rank that its peers write into: where messages, flags and acknowledgements lie. The same on every rank, so that a rank
// knows where in a peer's arena to write. It is GPU memory that all of them have mapped, or, for GPUs that do not reach one another, page-
// locked memory of their host. And what a rank notes for itself (CallState), always in memory of its GPU.
//
// Thread blocks that run a schedule (schedule_kernel.cuh) talk only to the thread blocks of the same number on the other ranks, each
// through memory of its own: a region for messages, flags that say that one is there, and acknowledgements that say that it was read. Flags
// and acknowledgements are numbers of tiles, counted by each thread block over all calls of the communicator (modulo 2^32), so none is ever
// cleared, and a CUDA graph that is replayed goes on counting. The other kernels have memory of their own kind, below.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/call.hpp"

namespace qccl::collectives::cuda {

inline constexpr std::uint32_t kMaxRanks = 32;  // of one communicator on GPUs
inline constexpr std::uint32_t kMaxThreadBlocks = 512;
inline constexpr std::uint32_t kRegionBytes = 32 << 10;             // for messages; a thread block uses one or several
inline constexpr std::uint32_t kMaxRing = 4;                        // tiles on their way to a thread block at a time
inline constexpr std::uint32_t kMaxReceived = 2 * (kMaxRanks - 1);  // messages of one tile that a rank receives

// What a rank tells the others when it enters a call: in slot (call number) % 2 of each.
struct alignas(16) CallHeader {
  std::uint64_t fingerprint;
  Announcement announcement;
  std::uint32_t number;  // call number + 1, written last
  std::uint32_t unused[5];
};
static_assert(sizeof(CallHeader) == 112);

// The fingerprint of a rank's call, in words that carry their flag (flagged_line.cuh): in slot (call number) % 2 of each.
struct alignas(16) FingerprintLine {
  std::uint32_t words[4];
};

// A thread block's flags and acknowledgements.
struct alignas(128) BlockFlags {
  std::uint32_t ready[kMaxRing][kMaxReceived];  // 1 + number of the tile whose message lies there
  std::uint32_t read[kMaxRanks];                // by rank: how many tiles of ours it is done with
};

// Zero at first.
struct ArenaHead {
  BlockFlags blocks[kMaxThreadBlocks];
  CallHeader headers[2][kMaxRanks];
  FingerprintLine fingerprints[2][kMaxRanks];
};

// Zero at first.
struct CallState {
  std::uint32_t calls;           // that have ended
  std::uint32_t finishedBlocks;  // of the call that runs
  std::uint32_t regionsABlock;   // of the last call
  std::uint32_t stopped;         // 1 once a thread block has given up
  std::uint32_t flaggedRounds;   // of calls of flagged_kernel.cu that have ended
  std::uint32_t unused[27];
  struct alignas(128) Block {
    std::uint32_t tiles;  // that this thread block has done in all calls
    std::uint32_t turns;  // the most tiles that any of its warps has, of all calls of oneshot_kernel.cuh
  } blocks[kMaxThreadBlocks];
};

inline constexpr std::size_t kArenaHeadBytes = (sizeof(ArenaHead) + 255) / 256 * 256;

// For flagged_kernel.cu: buffers that are used in turn, each with a part for every other rank. Zero at first.
inline constexpr std::uint32_t kFlaggedBuffers = 4;
inline constexpr std::size_t kFlaggedBufferBytes = std::size_t{1} << 20;
inline constexpr std::uint32_t kFlaggedLineBytes = 16;

// For oneshot_kernel.cuh: every byte is kAbsent at first, and whenever no message lies there. Not in host memory.
inline constexpr std::size_t kWarpSlotsBytes = std::size_t{38} << 20;
inline constexpr unsigned char kAbsent = 0x80;

inline constexpr std::size_t kFlaggedLinesOffset = kArenaHeadBytes;
inline constexpr std::size_t kRegionsOffset = kFlaggedLinesOffset + kFlaggedBuffers * kFlaggedBufferBytes;
inline constexpr std::size_t kWarpSlotsOffset = kRegionsOffset + std::size_t{kMaxThreadBlocks} * kRegionBytes;
inline constexpr std::size_t kHostArenaBytes = kWarpSlotsOffset;
inline constexpr std::size_t kArenaBytes = kWarpSlotsOffset + kWarpSlotsBytes;

// What the kernel tells the host when it gives up: page-locked host memory that the device writes.
struct FailureRecord {
  enum Kind : std::uint32_t { none = 0, timeout = 1, mismatch = 2 };
  std::uint32_t kind;  // written last
  std::int32_t peer;
  std::uint32_t call;  // number, from 0
  std::uint32_t unused;
  Announcement own;
  Announcement theirs;  // of a mismatch
};

// And the host to the kernel: not 0 ends every wait.
struct HostWords {
  std::uint32_t abort;
  FailureRecord failure;
};

}  // namespace qccl::collectives::cuda
