// One collective call as the ranks must agree on it.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "collectives/precision_map.hpp"
#include "device/stream_handle.hpp"
#include "quant/wire_format.hpp"

namespace qccl::collectives {

// What quantization a call will really use: nothing undefined, nothing impossible.
struct Quantization {
  qcclCodec_t codec = qcclCodecNone;
  qcclScale_t scale = qcclScaleFloat32;
  std::size_t blockElems = 256;
  qcclAlgo_t algorithm = qcclAlgoAuto;  // auto for collectives with one algorithm
  qcclRounding_t rounding = qcclRoundNearest;
  std::uint64_t seed = 0;
  int ranksPerHost = 0;  // of algorithm hier
  bool errorFeedback = false;
  int inspectEvery = 0;  // every so many-th quantized call of the communicator is inspected; 0: none

  // Unless codec is none.
  quant::PackedFormat format() const { return {codec, scale, blockElems}; }
};

struct Call {
  qcclColl_t coll = qcclCollAllReduce;
  const void* input = nullptr;
  void* output = nullptr;
  std::size_t count = 0;  // as the API function counts: elements of the message, or of one rank's part for reduce-scatter and all-gather
  qcclDataType_t dtype = qcclFloat32;
  qcclRedOp_t op = qcclSum;  // of allreduce, reducescatter, reduce
  int root = -1;             // of broadcast, reduce
  Quantization quant;
  PrecisionMap map;  // of allreduce; nullptr: quant.codec for every element
  // Buffers that hold codes in quant.format() and not values of dtype.
  bool inputPacked = false;
  bool outputPacked = false;
  int device = -1;                        // the GPU whose memory the buffers are; -1: the host's
  device::StreamHandle stream = nullptr;  // of a call on a GPU

  bool onDevice() const { return device >= 0; }
};

// Whether qccl has kernels for this on GPU memory: all that moves values of its types, and what reduces them by its operations. The rest is
// done by NCCL's own collectives.
bool hasDeviceKernels(qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op);

// Elements in the larger one of the caller's buffers.
std::size_t messageElems(const Call& call, int ranks);

// "allreduce(count=1000, float32, sum, codec=int8, block=256, algorithm=ring)"
std::string describe(const Call& call);

// What each rank tells its right-hand neighbour before a collective, 80 bytes, so that calls that do not fit one another are reported as
// such and not as a hang.
struct Announcement {
  std::uint32_t magic;
  std::uint32_t sequence;
  std::uint64_t count;
  std::uint64_t seed;
  std::uint64_t map;  // fingerprint
  std::int32_t coll;
  std::int32_t dtype;
  std::int32_t op;
  std::int32_t rounding;
  std::int32_t root;
  std::int32_t codec;
  std::int32_t blockElems;
  std::int32_t algorithm;
  std::int32_t ranksPerHost;
  std::int32_t inspectEvery;
  std::int32_t scale;
  std::int32_t flags;  // kInputPacked ...

  bool operator==(const Announcement&) const = default;
};
static_assert(sizeof(Announcement) == 80);

Announcement announce(const Call& call, std::uint64_t sequence);
std::string describe(const Announcement& announcement);

// The same for equal announcements; for different ones different but for one in 2^64.
std::uint64_t fingerprint(const Announcement& announcement);

// Throws Error(qcclInvalidUsage) naming both calls if rank `peer`'s differs from ours.
void checkAnnouncement(const Announcement& own, int rank, const Announcement& theirs, int peer);

}  // namespace qccl::collectives
