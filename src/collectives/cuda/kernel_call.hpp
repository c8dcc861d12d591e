// What one collective call is for the kernel: its arguments, by value, so that a captured graph owns them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/cuda/arena.hpp"
#include "collectives/partition.hpp"
#include "collectives/schedule.hpp"
#include "quant/cuda/packed_layout.hpp"
#include "quant/kernels.hpp"

namespace qccl::collectives::cuda {

inline constexpr int kMaxSteps = 256;
inline constexpr unsigned kScheduleThreads = 256;  // of a thread block

// Of oneshot_kernel.cuh: the most values of a lane in its warp's tile, and how many of a warp's messages have place at a time.
inline constexpr std::uint32_t kOneshotMostLaneElems = 32;
inline constexpr std::uint32_t kOneshotSlots = 8;
inline constexpr std::uint32_t kOneshotSlotBytes = 32 * kOneshotMostLaneElems + 128;  // codes and scales
inline constexpr std::uint32_t kOneshotMaxWarps = 32;
inline constexpr std::uint32_t kOneshotThreads = kOneshotMaxWarps * 32;
inline constexpr std::uint32_t kOneshotMaxBlockElems = 32 * kOneshotMostLaneElems;

// A step of a schedule (schedule.hpp) for one rank's kernel. A slot that the rank fills itself is in shared memory, one that a peer fills
// in its arena.
struct DeviceStep {
  StepKind kind;
  bool received;             // of the slot that the step reads
  std::uint8_t peer;         // of send and recv
  std::uint16_t chunk;       // all but divide
  std::uint16_t slot;        // a received slot's number among those of the tile
  std::uint16_t remoteSlot;  // send: the number of the slot that the peer receives into
};

// Chunks are equally many blocks or one more, and the last one may end in a shorter one.
inline constexpr int kMaxTails = 3;

// What every kernel is told.
struct DeviceCall {
  unsigned char* arenas[kMaxRanks];  // by rank
  CallState* state;
  HostWords* host;
  quant::EncodeCounts* counts;
  const unsigned char* input;
  unsigned char* output;
  std::uint64_t fingerprint;
  Announcement announcement;
  std::uint64_t timeoutNs;
  std::uint64_t seed;
  std::uint32_t rank;
  std::uint32_t ranks;
  bool divide;
};

// Of schedule_kernel.cuh.
struct ScheduleCall : DeviceCall {
  std::uint64_t inputFirstElem;   // element of the message at which the input buffer begins
  std::uint64_t outputFirstElem;  // and the output buffer
  std::uint32_t tiles;

  // Unless exact: how messages are laid out, of a whole tile and of what is left of each chunk for its last tile.
  quant::cuda::PackedLayout layout;
  quant::cuda::PackedLayout tails[kMaxTails];
  std::uint8_t tailOf[kMaxRanks];  // by chunk

  // Of calls on packed buffers: how one of them is laid out, and what the output holds, qcclPacked or values of that type.
  quant::cuda::PackedLayout buffer;
  qcclDataType_t outputType;

  std::uint32_t regionsABlock;
  std::uint32_t slotBytes;      // of a message
  std::uint32_t receivedSlots;  // of a tile; every rank lays out as many
  std::uint32_t ring;
  std::uint32_t lookahead;  // 1: a tile's first steps run before the last ones of the tile before
  std::uint32_t senders;    // bit mask of ranks whose messages are read
  std::uint32_t receivers;  // and of those that messages are sent to

  std::uint32_t steps;
  std::uint32_t firstWait;  // the first step that is not encodeInput or send
  DeviceStep step[kMaxSteps];
  Chunk chunks[kMaxRanks];
};
static_assert(sizeof(ScheduleCall) <= 4096);  // what every driver takes

// Of oneshot_kernel.cuh.
struct OneshotCall : DeviceCall {
  std::uint64_t elems;
  std::uint32_t tiles;
  std::uint32_t warps;  // of a thread block: the same in all calls of a communicator, or slots would change owners
  std::uint32_t blockShift;
  qcclScale_t scale;
  bool aligned;  // both buffers, to 16 bytes
};

// Of flagged_kernel.cu: a thread has a line a round.
inline constexpr std::uint32_t kFlaggedDataThreads = 512;  // of a thread block

struct FlaggedCall : DeviceCall {
  std::uint64_t elems;
  std::uint32_t linesARank;  // what a buffer has place for, of each sending rank; no less than there are threads
};

// Shared memory of a thread block: two buffers for a message of a tile's first steps, one for the others.
inline constexpr std::uint32_t kSharedBuffers = 3;

// For one data type, nearest or stochastic.
struct CallKernel {
  const void* function;
  std::uint32_t tileElems;
  std::uint32_t threads;  // of a thread block
};

// Of a codec, for one data type: nearest, stochastic.
struct CodecKernels {
  CallKernel schedule[2];
  CallKernel packed[2];     // the same on packed buffers, whatever the result's type: with float32, which sums are in
  CallKernel sum[2];        // sum_kernel.hpp
  CallKernel oneshot[2];    // of codecs of a byte
  CallKernel usualOneshot;  // between two ranks, nearest, scales in FP32 of 256 values each
};

// The kernels for a codec (or none) and a type among float32, bfloat16, float16; function nullptr for others.
CallKernel scheduleKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic);
CallKernel packedKernel(qcclCodec_t codec, bool stochastic);  // for schedules on packed buffers
CallKernel sumKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic);
CallKernel oneshotKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic, bool usual);
CallKernel flaggedKernel(qcclDataType_t dtype);

}  // namespace qccl::collectives::cuda
