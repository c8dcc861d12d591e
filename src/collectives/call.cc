#include "collectives/call.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/noise.hpp"
#include "quant/wire_format.hpp"

namespace qccl::collectives {
namespace {

// "qcc" and the version of the wire format: ranks with another one are refused before they exchange data.
constexpr std::uint32_t kMagic = 0x71636300u | quant::kWireFormatVersion;
static_assert(quant::kWireFormatVersion < 256);

// Announcement.flags
constexpr std::int32_t kErrorFeedback = 1;
constexpr std::int32_t kInputPacked = 2;
constexpr std::int32_t kOutputPacked = 4;

bool reduces(int coll) { return coll == qcclCollAllReduce || coll == qcclCollReduceScatter || coll == qcclCollReduce; }

std::string nameOf(qcclEnum_t kind, int value) {
  const char* name = enumName(kind, value);
  return name != nullptr ? name : strCat("unknown(", value, ")");
}

}  // namespace

std::string describe(const Announcement& a) {
  std::string text = strCat(nameOf(qcclEnumColl, a.coll), "(count=", a.count, ", ", nameOf(qcclEnumDataType, a.dtype));
  if (reduces(a.coll)) text += ", " + nameOf(qcclEnumRedOp, a.op);
  if (a.root >= 0) text += strCat(", root=", a.root);
  if (a.codec != qcclCodecNone) {
    text +=
        strCat(", codec=", nameOf(qcclEnumCodec, a.codec), ", block=", a.blockElems, ", rounding=", nameOf(qcclEnumRounding, a.rounding));
    if (a.scale != qcclScaleFloat32) text += ", scale=" + nameOf(qcclEnumScale, a.scale);
    if (a.rounding == qcclRoundStochastic) text += strCat(", seed=", a.seed);
    if ((a.flags & kErrorFeedback) != 0) text += ", error feedback";
    if ((a.flags & kInputPacked) != 0) text += ", packed input";
    if ((a.flags & kOutputPacked) != 0) text += ", packed output";
    if (a.inspectEvery > 0) text += strCat(", inspected every ", a.inspectEvery);
  }
  if (a.map != 0) text += strCat(", precision map #", a.map % 10000);
  if (a.algorithm != qcclAlgoAuto) text += strCat(", algorithm=", nameOf(qcclEnumAlgo, a.algorithm));
  if (a.ranksPerHost > 0) text += strCat(", ranks per host=", a.ranksPerHost);
  return text + ")";
}

Announcement announce(const Call& call, std::uint64_t sequence) {
  const bool quantized = call.quant.codec != qcclCodecNone || call.map != nullptr;
  Announcement a{};
  a.magic = kMagic;
  a.sequence = static_cast<std::uint32_t>(sequence);
  a.count = call.count;
  a.coll = call.coll;
  a.dtype = call.dtype;
  a.op = reduces(call.coll) ? static_cast<std::int32_t>(call.op) : 0;
  a.root = call.root;
  a.codec = call.quant.codec;
  a.blockElems = quantized ? static_cast<std::int32_t>(call.quant.blockElems) : 0;
  a.scale = quantized ? static_cast<std::int32_t>(call.quant.scale) : 0;
  a.algorithm = call.quant.algorithm;
  a.rounding = quantized ? static_cast<std::int32_t>(call.quant.rounding) : 0;
  a.seed = quantized && call.quant.rounding == qcclRoundStochastic ? call.quant.seed : 0;
  a.ranksPerHost = call.quant.algorithm == qcclAlgoHier ? call.quant.ranksPerHost : 0;
  a.map = fingerprint(call.map);
  a.flags = (quantized && call.quant.errorFeedback ? kErrorFeedback : 0) | (call.inputPacked ? kInputPacked : 0) |
            (call.outputPacked ? kOutputPacked : 0);
  a.inspectEvery = quantized ? call.quant.inspectEvery : 0;
  return a;
}

std::uint64_t fingerprint(const Announcement& announcement) {
  std::uint64_t words[sizeof(Announcement) / 8];
  std::memcpy(words, &announcement, sizeof(announcement));
  std::uint64_t hash = 0;
  for (const std::uint64_t word : words) hash = quant::mix64(hash + 0x9e3779b97f4a7c15u + word);
  return hash;
}

bool hasDeviceKernels(qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op) {
  const bool reduces = coll == qcclCollAllReduce || coll == qcclCollReduceScatter || coll == qcclCollReduce;
  return isQuantizable(dtype) && (!reduces || isQuantizable(op));
}

std::size_t messageElems(const Call& call, int ranks) {
  const bool perRank = call.coll == qcclCollReduceScatter || call.coll == qcclCollAllGather;
  return perRank ? call.count * static_cast<std::size_t>(ranks) : call.count;
}

std::string describe(const Call& call) { return describe(announce(call, 0)); }

void checkAnnouncement(const Announcement& own, int rank, const Announcement& theirs, int peer) {
  if (own == theirs) return;
  if (theirs.magic != kMagic) {
    fail(qcclInvalidUsage, "rank ", peer, " speaks another version of qccl's wire format; use the same library on all ranks");
  }
  fail(qcclInvalidUsage, "the ranks' calls differ: rank ", rank, " called ", describe(own), " as #", own.sequence,
       " of the communicator, rank ", peer, " called ", describe(theirs), " as #", theirs.sequence,
       "; all ranks must make the same calls in the same order");
}

}  // namespace qccl::collectives
