#include "collectives/communicator.hpp"

#include <algorithm>
#include <cstring>

#include "collectives/algorithm_table.hpp"
#include "collectives/inspection.hpp"
#include "collectives/noise_model.hpp"
#include "core/backoff.hpp"
#include "core/log.hpp"
#include "core/types.hpp"
#include "quant/kernels.hpp"

namespace qccl::collectives {
namespace {

void countExecution(const ExecutionCounts& counts, qcclStats_t* stats) {
  stats->wireBytes += counts.wireBytes;
  stats->exactWireBytes += counts.exactWireBytes;
  stats->nonFiniteBlocks += counts.nonFiniteBlocks;
  stats->encodedBlocks += counts.encodedBlocks;
  stats->sampledElems += counts.sampledElems;
  stats->saturatedElems += counts.saturatedElems;
  stats->flushedElems += counts.flushedElems;
}

}  // namespace

// One call at a time: two threads inside one communicator are a defect of the caller that must not become a wrong result.
class Communicator::Exclusive {
 public:
  explicit Exclusive(Communicator& comm) : comm_(comm) {
    if (comm_.busy_.exchange(true)) {
      fail(qcclInvalidUsage, "two threads call into communicator ", comm.name(), " (rank ", comm.rank(),
           ") at the same time; use one thread, or a communicator for each");
    }
  }
  ~Exclusive() { comm_.busy_.store(false); }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;

 private:
  Communicator& comm_;
};

Communicator::Communicator(transport::Membership membership, CommunicatorOptions options)
    : rank_(membership.control->rank()),
      size_(membership.control->size()),
      options_(std::move(options)),
      membership_(std::move(membership)),
      layout_(layoutOf(membership_.hosts)),
      sendNumbers_(static_cast<std::size_t>(size_)),
      recvNumbers_(static_cast<std::size_t>(size_)),
      deviceOptions_{options_.name,    options_.executor.timeout, options_.threadBlocks,
                     options_.gpuPath, options_.ncclLibrary,      options_.ncclTileBytes} {
  QCCL_CHECK(size_ <= kMaxRanks && layout_.size == size_);
}

Call Communicator::prepare(Call call, const qcclQuantConfig_t* config) const { return prepareFor(std::move(call), config, true); }

Call Communicator::prepareFor(Call call, const qcclQuantConfig_t* config, bool values) const {
  const char* name = enumName(qcclEnumColl, call.coll);
  const std::size_t elemBytes = typeSize(call.dtype);
  if (elemBytes == 0) fail(qcclInvalidArgument, name, ": data type ", static_cast<int>(call.dtype), " is unknown; see qcclDataType_t");
  const bool reduces = call.coll == qcclCollAllReduce || call.coll == qcclCollReduceScatter || call.coll == qcclCollReduce;
  if (reduces && enumName(qcclEnumRedOp, call.op) == nullptr) {
    fail(qcclInvalidArgument, name, ": operation ", static_cast<int>(call.op), " is unknown; use one of ", enumNames(qcclEnumRedOp));
  }
  const bool rooted = call.coll == qcclCollBroadcast || call.coll == qcclCollReduce;
  if (rooted && (call.root < 0 || call.root >= size_)) {
    fail(qcclInvalidArgument, name, ": root ", call.root, " is not a rank of this communicator; use 0 to ", size_ - 1);
  }
  const std::size_t limit = (SIZE_MAX >> 1) / elemBytes / static_cast<std::size_t>(size_);
  if (call.count > limit)
    fail(qcclInvalidArgument, name, ": a count of ", call.count, " elements does not fit into memory; was a negative number passed?");
  const bool readsInput = call.coll != qcclCollBroadcast || rank_ == call.root;
  const bool writesOutput = call.coll != qcclCollReduce || rank_ == call.root;
  if (call.count > 0 && readsInput && call.input == nullptr) fail(qcclInvalidArgument, name, ": sendbuff is NULL; pass a host buffer");
  if (call.count > 0 && writesOutput && call.output == nullptr) fail(qcclInvalidArgument, name, ": recvbuff is NULL; pass a host buffer");

  call.quant = chooseFor(call, config, values, false).quant;
  if (call.onDevice()) {
    call.quant.inspectEvery = 0;  // nothing of the values comes to the host
    requireDeviceCall(call, deviceOptions_);
  }
  return call;
}

Call Communicator::prepareMapped(Call call, const qcclPrecisionRange_t* ranges, std::size_t numRanges,
                                 const qcclQuantConfig_t* config) const {
  call = prepareFor(call, config, false);
  if (!isQuantizable(call.dtype) || !isQuantizable(call.op)) {
    fail(qcclInvalidArgument, "a precision map is for sums and averages of float32, bfloat16 and float16, not for ",
         enumName(qcclEnumRedOp, call.op), " of ", enumName(qcclEnumDataType, call.dtype));
  }
  if (numRanges > 0 && ranges == nullptr) fail(qcclInvalidArgument, "ranges is NULL, but ", numRanges, " ranges were announced");
  call.map = makePrecisionMap(call.count, ranges, numRanges, call.quant.codec);
  // One codec for all elements is the call with that codec; no element, the call as it is.
  if (call.map->size() <= 1) {
    if (!call.map->empty()) call.quant.codec = call.map->front().codec;
    call.map = nullptr;
  }
  if (call.onDevice()) requireDeviceCall(call, deviceOptions_);
  return call;
}

Call Communicator::preparePacked(Call call, const quant::PackedFormat& format, const qcclQuantConfig_t* config) const {
  if (call.outputPacked) call.dtype = qcclFloat32;  // what sums are held in
  if (!isQuantizable(call.dtype)) {
    const char* name = enumName(qcclEnumDataType, call.dtype);
    fail(qcclInvalidArgument, "packed values can be received packed, or as float32, bfloat16 or float16, not as ",
         name != nullptr ? name : "an unknown type");
  }
  qcclQuantConfig_t own = QCCL_QUANT_CONFIG_INITIALIZER;
  if (config != nullptr) own = knownFields(*config);
  own.codec = format.codec;
  own.scale = format.scale;
  own.blockElems = static_cast<int>(format.blockElems);
  own.minBytes = 0;
  own.inspectEvery = 0;
  if (call.coll == qcclCollAllGather) own.codec = QCCL_UNDEF_INT;  // chooses nothing, and may not be asked for a codec
  call = prepareFor(call, &own, false);
  call.quant.codec = format.codec;
  call.quant.scale = format.scale;
  call.quant.blockElems = format.blockElems;
  if (call.coll == qcclCollAllGather) call.quant.rounding = qcclRoundNearest;
  return call;
}

Choice Communicator::chooseFor(const Call& call, const qcclQuantConfig_t* config, bool values, bool explains) const {
  const QuantDefaults wanted = config != nullptr ? resolve(*config, options_.quant) : options_.quant;
  const bool requested = config != nullptr && config->codec != QCCL_UNDEF_INT && config->codec != qcclCodecNone;
  Situation where = situation(call.onDevice());
  where.mayReplaceCodec = values;
  return choose(call.coll, call.count, call.dtype, call.op, where, wanted, requested, explains);
}

RankLayout Communicator::layoutFor(const Call& call) const { return {size_, call.quant.ranksPerHost}; }

Schedule Communicator::scheduleFor(const Call& call, int rank) const {
  switch (call.coll) {
    case qcclCollAllReduce:
      return algorithmRow(call.quant.algorithm).schedule(rank, layoutFor(call));
    case qcclCollReduceScatter:
      return call.quant.algorithm == qcclAlgoRing ? reduceScatterRingSchedule(rank, size_) : reduceScatterDirectSchedule(rank, size_);
    case qcclCollAllGather:
      return allGatherSchedule(rank, size_);
    case qcclCollBroadcast:
      return broadcastSchedule(rank, size_, call.root);
    case qcclCollReduce:
      return reduceSchedule(rank, size_, call.root);
    default:
      break;
  }
  fail(qcclInternalError, "defect in qccl: no schedule for collective ", static_cast<int>(call.coll));
}

Partition Communicator::partitionFor(const Call& call) const {
  switch (call.coll) {
    case qcclCollReduceScatter:
    case qcclCollAllGather:
      return Partition::fixed(call.count, size_);
    case qcclCollAllReduce: {
      // On the exact path chunks are cut at multiples of 64 elements, which keeps every type's chunks aligned to cache lines.
      const std::size_t blockElems = call.quant.codec == qcclCodecNone && call.map == nullptr ? 64 : call.quant.blockElems;
      return Partition::even(call.count, algorithmRow(call.quant.algorithm).chunks(layoutFor(call)), blockElems,
                             call.inputPacked || call.outputPacked);
    }
    default:
      return Partition::even(call.count, 1, 64);
  }
}

qcclPlan_t Communicator::explain(const Call& call, const qcclQuantConfig_t* config) const {
  if (call.coll != qcclCollAllReduce && call.coll != qcclCollReduceScatter) {
    fail(qcclInvalidArgument, "qcclCommExplain: only allreduce and reducescatter have choices; the other collectives are always exact");
  }
  const Choice choice = chooseFor(call, config, true, true);
  Call chosen = call;
  chosen.quant = choice.quant;
  qcclPlan_t plan{};
  plan.algorithm = choice.quant.algorithm;
  plan.codec = choice.quant.codec;
  plan.blockElems = choice.quant.codec == qcclCodecNone ? 0 : static_cast<int>(choice.quant.blockElems);
  if (size_ > 1) {
    const PlannedBytes bytes = plannedBytes(chosen);
    plan.wireBytes = bytes.wire;
    plan.exactWireBytes = bytes.exact;
    // The direct reduce-scatter quantizes once; that by ring at each of its size - 1 hops.
    int quantizations = 1;
    if (call.coll == qcclCollAllReduce) quantizations = algorithmRow(choice.quant.algorithm).quantizations(layoutFor(chosen));
    if (call.coll == qcclCollReduceScatter && choice.quant.algorithm == qcclAlgoRing) quantizations = size_ - 1;
    plan.errorBound = errorBoundFactor(quantizations, choice.quant);
  }
  plan.predictedSnrDb = predictedSnrDb(call.coll, choice.quant, layoutFor(chosen));
  std::snprintf(plan.reason, sizeof(plan.reason), "%s", choice.reason.c_str());
  return plan;
}

Communicator::PlannedBytes Communicator::plannedBytes(const Call& call) const {
  const Schedule schedule = scheduleFor(call, rank_);
  const Partition partition = partitionFor(call);
  Call exact = call;
  exact.quant.codec = qcclCodecNone;
  return {scheduledWireBytes(schedule, partition, call), scheduledWireBytes(schedule, partition, exact)};
}

Communicator::FirstElems Communicator::firstElems(const Call& call) const {
  const std::size_t own = static_cast<std::size_t>(rank_) * call.count;
  return {call.coll == qcclCollAllGather ? own : 0, call.coll == qcclCollReduceScatter ? own : 0};
}

qcclStats_t Communicator::statisticsOf(const Call& call) const {
  qcclStats_t stats = noStatistics();
  stats.calls = 1;
  stats.elems = call.coll == qcclCollReduceScatter ? messageElems(call, size_) : call.count;
  return stats;
}

// One rank: every collective is a copy (Avg over one rank divides by one).
void Communicator::copyOwn(const Call& call) {
  if (call.inputPacked) {
    const quant::PackedFormat format = call.quant.format();
    if (!call.outputPacked) {
      quant::codecKernels(call.quant.codec, call.dtype)->decode(call.input, call.count, format, call.output);
    } else if (call.count > 0 && call.input != call.output) {
      std::memmove(call.output, call.input, quant::packedBytes(call.count, format));
    }
    return;
  }
  if (call.count > 0 && call.input != call.output) std::memmove(call.output, call.input, call.count * typeSize(call.dtype));
}

template <typename Describe, typename Body>
void Communicator::guarded(Describe what, Body body) {
  const Exclusive exclusive(*this);
  std::string reason;
  if (const qcclResult_t code = asyncError(&reason); code != qcclSuccess) throw Error(code, reason);
  try {
    body();
  } catch (const Error& error) {
    if (aborted_) throw Error(qcclInvalidUsage, strCat(what(), " ended because this rank aborted communicator ", name()));
    if (!membership_.control->failed()) membership_.control->fail({error.code(), rank_, error.what()});
    log(LogLevel::warn, "rank ", rank_, " of ", name(), ": ", error.what());
    throw;
  } catch (const std::exception& error) {
    // Out of memory, say: the others must not wait for this rank.
    membership_.control->fail({qcclSystemError, rank_, strCat("rank ", rank_, " failed in ", what(), ": ", error.what())});
    throw;
  }
}

ExecutionCounts Communicator::executeCall(const Call& call, std::uint64_t sequence, bool ofInspection) {
  const Schedule schedule = scheduleFor(call, rank_);
  const Partition partition = partitionFor(call);
  const FirstElems first = firstElems(call);
  const Execution execution{call,         schedule, partition,    first.input,
                            first.output, sequence, ofInspection, call.quant.errorFeedback ? &feedback_ : nullptr};
  return execute(execution, options_.executor, *membership_.transport, *membership_.control, staging_);
}

void Communicator::run(const Call& call) {
  const auto what = [&] { return describe(call); };
  guarded(what, [&] {
    if (call.onDevice()) {
      runOnDevice(call);
      return;
    }
    const std::uint64_t sequence = ++sequence_;
    qcclStats_t stats = statisticsOf(call);
    if (size_ == 1) {
      copyOwn(call);
    } else if (call.quant.codec == qcclCodecNone && call.map == nullptr) {
      countExecution(executeCall(call, sequence, false), &stats);
    } else {
      runQuantized(call, sequence, &stats);
    }
    statistics_.add(stats);
  });
}

void Communicator::runQuantized(const Call& call, std::uint64_t sequence, qcclStats_t* stats) {
  ++quantizedCalls_;
  stats->quantizedCalls = 1;
  stats->quantizedElems = stats->elems;
  const int every = call.quant.inspectEvery;
  if (every == 0 || quantizedCalls_ % static_cast<std::uint64_t>(every) != 0) {
    countExecution(executeCall(call, sequence, false), stats);
    return;
  }
  Inspection inspection(call, messageElems(call, size_), sequence);
  countExecution(executeCall(call, sequence, false), stats);
  const Call exact = inspection.exactCall({layout_, options_.tuning});
  stats->wireBytes += executeCall(exact, sequence, true).wireBytes;
  const bool ownPart = call.coll == qcclCollReduceScatter;
  const Inspection::Outcome outcome = inspection.compare(call, ownPart ? static_cast<std::size_t>(rank_) * call.count : 0, call.count);
  stats->inspectedCalls = 1;
  stats->inspectedElems = outcome.elems;
  stats->signalEnergy = outcome.signalEnergy;
  stats->noiseEnergy = outcome.noiseEnergy;
}

void Communicator::resetFeedback() {
  const Exclusive exclusive(*this);
  feedback_.clear();
}

void Communicator::checkPointToPoint(const PointToPoint& operation) const {
  const char* name = operation.isSend ? "send" : "recv";
  if (operation.peer < 0 || operation.peer >= size_) {
    fail(qcclInvalidArgument, name, ": peer ", operation.peer, " is not a rank of this communicator; use 0 to ", size_ - 1);
  }
  if (operation.bytes > 0 && operation.buffer == nullptr) fail(qcclInvalidArgument, name, ": the buffer is NULL; pass a host buffer");
  if (operation.onDevice() && size_ > 1) requireDeviceExchange(name, deviceOptions_);
}

void Communicator::runPointToPoint(std::span<const PointToPoint> operations) {
  const auto what = [] { return "a group of sends and receives"; };
  guarded(what, [&] {
    const bool onDevice = std::any_of(operations.begin(), operations.end(), [](const PointToPoint& p) { return p.onDevice(); });
    onDevice ? exchangeOnDevice(operations) : exchange(operations);
    qcclStats_t stats = noStatistics();
    stats.calls = operations.size();
    for (const PointToPoint& operation : operations) {
      if (operation.isSend && operation.peer != rank_) stats.wireBytes += operation.bytes;
    }
    stats.exactWireBytes = stats.wireBytes;
    statistics_.add(stats);
  });
}

void Communicator::exchange(std::span<const PointToPoint> operations) {
  struct Pending {
    std::unique_ptr<transport::Request> request;
    int peer;
  };
  std::vector<Pending> pending;
  std::vector<const PointToPoint*> ownSends, ownRecvs;
  // Receives first, so that they are there when messages arrive.
  for (const bool sends : {false, true}) {
    for (const PointToPoint& operation : operations) {
      if (operation.isSend != sends) continue;
      if (operation.peer == rank_) {
        (sends ? ownSends : ownRecvs).push_back(&operation);
        continue;
      }
      const auto peer = static_cast<std::size_t>(operation.peer);
      const transport::Tag tag = pointToPointTag(sends ? sendNumbers_[peer]++ : recvNumbers_[peer]++);
      transport::Transport& transport = *membership_.transport;
      pending.push_back({sends ? transport.send(operation.peer, tag, operation.buffer, operation.bytes)
                               : transport.recv(operation.peer, tag, operation.buffer, operation.bytes),
                         operation.peer});
    }
  }
  if (ownSends.size() != ownRecvs.size()) {
    fail(qcclInvalidUsage, "rank ", rank_, " has ", ownSends.size(), " sends and ", ownRecvs.size(),
         " receives with itself in one group; each needs its partner there");
  }
  for (std::size_t i = 0; i < ownSends.size(); ++i) {
    if (ownSends[i]->bytes != ownRecvs[i]->bytes) {
      fail(qcclInvalidUsage, "rank ", rank_, " sends ", ownSends[i]->bytes, " bytes to itself but receives ", ownRecvs[i]->bytes);
    }
    if (ownSends[i]->bytes > 0) std::memmove(ownRecvs[i]->buffer, ownSends[i]->buffer, ownSends[i]->bytes);
  }

  Deadline deadline = Deadline::in(options_.executor.timeout);
  Backoff backoff;
  while (!pending.empty()) {
    const std::size_t finished = std::erase_if(pending, [](Pending& p) { return p.request->poll(); });
    if (finished > 0) {
      backoff.reset();
      deadline = Deadline::in(options_.executor.timeout);
      continue;
    }
    membership_.control->throwIfFailed();
    if (deadline.passed()) {
      fail(qcclTimeout, "rank ", rank_, " waited ", options_.executor.timeout.count(), " ms for rank ", pending.front().peer, " in ",
           operations.size() == 1 ? "a send or receive" : "a group of sends and receives",
           "; the matching call was not made there, or that rank hangs or cannot be reached (QCCL_TIMEOUT_MS sets the bound)");
    }
    backoff.pause();
  }
}

void Communicator::leave() {
  const Exclusive exclusive(*this);
  const bool failed = asyncError(nullptr) != qcclSuccess;  // then the GPU may be lost as well
  log(LogLevel::info, "rank ", rank_, " of ", name(), " leaves after ", describe(failed ? statistics_.total() : totalStatistics()));
  if (failed) return;
  if (deviceCalls_) deviceCalls_->leave();
  membership_.transport->flush();
  membership_.control->leave(Deadline::in(options_.executor.timeout));
}

void Communicator::abort() noexcept {
  aborted_ = true;
  try {
    membership_.control->fail({qcclRemoteError, rank_, strCat("rank ", rank_, " aborted communicator ", name())});
  } catch (...) {
    // No memory for the sentence: this rank stops all the same, and the others see its end.
  }
}

qcclResult_t Communicator::asyncError(std::string* what) const {
  if (!membership_.control->failed()) return qcclSuccess;
  const transport::Failure failure = membership_.control->failure();
  if (what != nullptr) *what = failure.what;
  return failure.code;
}

}  // namespace qccl::collectives
