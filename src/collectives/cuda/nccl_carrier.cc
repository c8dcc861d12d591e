#include "collectives/cuda/nccl_carrier.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "collectives/tile_codec.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "device/cuda/check.cuh"
#include "quant/noise.hpp"

namespace qccl::collectives::cuda {

namespace {

static_assert(sizeof(DeviceCounts) == sizeof(quant::EncodeCounts));

// For one value, and again for its message.
constexpr std::size_t kScratchRoom = 1024;

}  // namespace

class NcclCarrier::Run {
 public:
  Run(NcclCarrier& carrier, const DeviceExecution& execution, std::uint64_t sequence, bool captured)
      : carrier_(carrier),
        execution_(execution),
        call_(execution.call),
        prepared_(carrier.prepared_),
        codec_(call_),
        sequence_(sequence),
        lane_(captured ? carrier.captured_ : carrier.eager_),
        forks_(captured || prepared_.tiles.tiles > 1),
        stream_(call_.stream),
        wire_(forks_ ? lane_.wire : stream_) {}

  void run(const std::optional<Mark>& mark) {
    if (mark) {
      order(stream_, lane_.made, wire_);  // the stream of messages joins the capture
      mark->marker.begin(mark->which, wire_);
    }
    for (const Turn& turn : prepared_.turns) take(turn);
    if (mark) {
      mark->marker.end(mark->which, wire_);
      order(wire_, lane_.made, stream_);
    }
  }

 private:
  bool exact() const { return prepared_.codec == nullptr; }

  // What is enqueued on `to` from now on comes behind all on `from`.
  static void order(StreamHandle from, EventHandle event, StreamHandle to) {
    QCCL_CUDA_CHECK(cudaEventRecord(event, from));
    QCCL_CUDA_CHECK(cudaStreamWaitEvent(to, event, 0));
  }

  const Round& roundOf(std::uint32_t number) const { return prepared_.plan->rounds[number]; }

  Chunk partOf(int chunk, std::uint32_t tile) const { return prepared_.tiles.part(execution_.partition.chunk(chunk), tile); }

  bool hasMessages(std::uint32_t tile, std::uint32_t round) const {
    const std::vector<RoundMessage>& messages = roundOf(round).messages;
    return std::any_of(messages.begin(), messages.end(), [&](const RoundMessage& m) { return partOf(m.chunk, tile).elems > 0; });
  }

  void take(const Turn& turn) {
    const EventHandle travelled = lane_.travelled[turn.tile % prepared_.tiles.sets];
    if (forks_ && turn.round > 0 && hasMessages(turn.tile, turn.round - 1)) QCCL_CUDA_CHECK(cudaStreamWaitEvent(stream_, travelled, 0));
    const Round& round = roundOf(turn.round);
    for (const RoundTask& task : round.before) perform(task, turn.tile);
    if (hasMessages(turn.tile, turn.round)) {
      if (forks_) order(stream_, lane_.made, wire_);
      exchange(round, turn.tile);
      if (forks_) QCCL_CUDA_CHECK(cudaEventRecord(travelled, wire_));
    }
    for (const RoundTask& task : round.during) perform(task, turn.tile);
  }

  void exchange(const Round& round, std::uint32_t tile) {
    // Where the input travels as it is, it does not lie where an all-gather in place needs it.
    if (round.gather && !(codec_.inputIsWire() && round.gather->ofInput)) return gather(round.gather->firstSlot, tile);
    carrier_.comm_.group([&] {
      for (const RoundMessage& message : round.messages) {
        const Chunk part = partOf(message.chunk, tile);
        if (part.elems == 0) continue;
        unsigned char* const at = slotAt(message.slot, part, tile);
        const std::size_t bytes = codec_.wireBytes(part);
        message.isSend ? carrier_.comm_.send(at, bytes, message.peer, wire_) : carrier_.comm_.receive(at, bytes, message.peer, wire_);
      }
    });
  }

  // Whole slots, since parts must be equally long on all ranks: messages of some may be shorter or empty.
  void gather(int firstSlot, std::uint32_t tile) {
    const std::size_t bytes = prepared_.tiles.slotBytesOf(tile);
    unsigned char* const parts = stagingAt(firstSlot, tile);
    carrier_.comm_.allGather(parts + static_cast<std::size_t>(carrier_.rank_) * bytes, parts, bytes, qcclInt8, wire_);
  }

  void perform(const RoundTask& task, std::uint32_t tile) {
    const Chunk part = partOf(task.chunk, tile);
    if (part.elems == 0) return;
    switch (task.kind) {
      case RoundTask::Kind::encode:
        encode(task, part, tile);
        break;
      case RoundTask::Kind::sum:
        sum(task, part, tile);
        break;
      case RoundTask::Kind::decode:
        decode(task, part, tile);
        break;
    }
  }

  void encode(const RoundTask& task, const Chunk& part, std::uint32_t tile) {
    if (codec_.inputIsWire()) return;  // the slot is the input
    const quant::EncodeOptions options{call_.quant.format(), stochastic(), noiseKey(task), part.firstElem, true};
    prepared_.codec->encode(inputAt(part), part.elems, options, slotAt(task.slot, part, tile), counts(), stream_);
  }

  void decode(const RoundTask& task, const Chunk& part, std::uint32_t tile) {
    const unsigned char* from = slotAt(task.slot, part, tile);
    unsigned char* to = outputAt(part);
    if (!codec_.outputIsWire()) {
      prepared_.codec->decode(from, part.elems, call_.quant.format(), to, stream_);
    } else if (from != to) {
      device::cuda::copyAsync(to, from, codec_.wireBytes(part), stream_);
    }
  }

  void sum(const RoundTask& task, const Chunk& part, std::uint32_t tile) {
    SumCall sum{};
    QCCL_CHECK(task.operands.size() <= kMaxOperands);
    for (const int operand : task.operands) {
      const bool isInput = operand == kInputOperand || isInputSlot(operand);
      if (isInput && !call_.inputPacked) sum.areValues[sum.count / 32] |= 1u << (sum.count % 32);
      sum.operands[sum.count++] = isInput ? inputAt(part) : slotAt(operand, part, tile);
    }
    if (task.divide && call_.op == qcclAvg) sum.divideBy = static_cast<std::uint32_t>(carrier_.size_);
    sum.elems = part.elems;
    sum.firstElem = part.firstElem;
    if (!exact()) sum.layout = quant::cuda::layoutOf(part.elems, call_.quant.format());
    if (task.slot >= 0) {
      sum.message = slotAt(task.slot, part, tile);
    } else if (call_.outputPacked) {
      sum.message = outputAt(part);
    }
    if (!call_.outputPacked && (task.slot < 0 || task.decodeToo)) sum.output = outputAt(part);
    sum.noiseKey = noiseKey(task);
    sum.counts = counts();
    void* arguments[] = {&sum};
    const auto blocks = static_cast<unsigned>(quant::divideUp(part.elems, prepared_.sum.tileElems));
    QCCL_CUDA_CHECK(cudaLaunchKernel(prepared_.sum.function, dim3(blocks), dim3(kSumThreads), arguments, 0, stream_));
    if (call_.outputPacked && task.decodeToo) decode(task, part, tile);
  }

  bool stochastic() const { return !exact() && call_.quant.rounding == qcclRoundStochastic; }

  std::uint64_t noiseKey(const RoundTask& task) const {
    if (!stochastic()) return 0;
    // Every rank that stores the sum must store the same codes.
    if (task.slot < 0) return quant::noiseKey(call_.quant.seed, sequence_, kEveryRank, 0);
    return quant::noiseKey(call_.quant.seed, sequence_, static_cast<std::uint64_t>(carrier_.rank_), static_cast<std::uint64_t>(task.step));
  }

  quant::EncodeCounts* counts() const { return reinterpret_cast<quant::EncodeCounts*>(carrier_.counts_.data()); }

  // Filled from the input, and the input is there in the form that travels.
  bool isInputSlot(int slot) const { return codec_.inputIsWire() && prepared_.plan->inputSlots[static_cast<std::size_t>(slot)]; }

  unsigned char* slotAt(int slot, const Chunk& part, std::uint32_t tile) const {
    // Only ever read: nothing is encoded there.
    if (isInputSlot(slot)) return const_cast<unsigned char*>(inputAt(part));
    return stagingAt(slot, tile);
  }
  unsigned char* stagingAt(int slot, std::uint32_t tile) const {
    return carrier_.staging_.data() + prepared_.tiles.slotOffsetBytes(slot, tile, prepared_.plan->mostSlots);
  }

  const unsigned char* inputAt(const Chunk& part) const {
    return static_cast<const unsigned char*>(call_.input) +
           codec_.bytesBefore(part.firstElem - execution_.inputFirstElem, call_.inputPacked);
  }
  unsigned char* outputAt(const Chunk& part) const {
    return static_cast<unsigned char*>(call_.output) + codec_.bytesBefore(part.firstElem - execution_.outputFirstElem, call_.outputPacked);
  }

  NcclCarrier& carrier_;
  const DeviceExecution& execution_;
  const Call& call_;
  const Prepared& prepared_;
  const TileCodec codec_;
  const std::uint64_t sequence_;
  Lane& lane_;
  const bool forks_;  // messages travel on a stream of their own
  const StreamHandle stream_;
  const StreamHandle wire_;
};

NcclCarrier::NcclCarrier(transport::NcclComm& comm, int rank, int size, std::size_t tileBytes)
    : comm_(comm), rank_(rank), size_(size), tileBytes_(tileBytes), counts_(sizeof(quant::EncodeCounts)), scratch_(2 * kScratchRoom) {
  device::cuda::Stream stream;
  device::cuda::fillAsync(counts_.data(), 0, counts_.bytes(), stream.handle());
  device::cuda::fillAsync(scratch_.data(), 0, scratch_.bytes(), stream.handle());
  stream.synchronize();
  makeLane(&eager_);
  makeLane(&captured_);
}

NcclCarrier::~NcclCarrier() {
  for (const Lane* lane : {&eager_, &captured_}) {
    (void)cudaStreamDestroy(lane->wire);
    (void)cudaEventDestroy(lane->made);
    for (const EventHandle event : lane->travelled) (void)cudaEventDestroy(event);
  }
  if (!abandoned_) return;
  // To free memory would wait for what runs.
  new device::cuda::DeviceBuffer(std::move(staging_));
  new device::cuda::DeviceBuffer(std::move(counts_));
}

void NcclCarrier::makeLane(Lane* lane) {
  // Before the kernels of others where both could start: the wire is what a call waits for.
  int least = 0;
  int greatest = 0;
  QCCL_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  QCCL_CUDA_CHECK(cudaStreamCreateWithPriority(&lane->wire, cudaStreamNonBlocking, greatest));
  QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&lane->made, cudaEventDisableTiming));
  for (std::size_t i = 0; i < kMostRoundSets; ++i) {
    lane->travelled.push_back(nullptr);
    QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&lane->travelled.back(), cudaEventDisableTiming));
  }
}

void NcclCarrier::run(const DeviceExecution& execution, std::uint64_t sequence, const std::optional<Mark>& mark) {
  prepare(execution);
  Run(*this, execution, sequence, mark.has_value()).run(mark);
}

void NcclCarrier::prepare(const DeviceExecution& execution) {
  const Call& call = execution.call;
  const Announcement what = announce(call, 0);
  if (prepared_.plan != nullptr && what == prepared_.what) return;
  prepared_.plan = nullptr;  // whatever throws below
  const RoundPlan& plan = planOf(execution);
  prepared_.what = what;
  prepared_.tiles = makeRoundTiles(call, execution.partition, plan, size_, tileBytes_);
  prepared_.turns = makeTurns(prepared_.tiles, plan.rounds.size());
  const bool exact = call.quant.codec == qcclCodecNone;
  prepared_.codec = exact ? nullptr : quant::cuda::codecKernels(call.quant.codec, call.dtype);
  prepared_.sum = sumKernel(call.quant.codec, call.dtype, !exact && call.quant.rounding == qcclRoundStochastic);
  QCCL_CHECK(prepared_.sum.function != nullptr && (exact || prepared_.codec != nullptr));
  if (staging_.bytes() == 0) staging_ = device::cuda::DeviceBuffer(kRoundStagingBytes);
  load(call);
  prepared_.plan = &plan;
}

const RoundPlan& NcclCarrier::planOf(const DeviceExecution& execution) {
  const Call& call = execution.call;
  const std::tuple key{call.coll, call.quant.algorithm, call.root, call.quant.ranksPerHost};
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  if (size_ > static_cast<int>(kMaxOperands)) {
    fail(qcclInvalidArgument, enumName(qcclEnumColl, call.coll), " by qccl's own algorithms over NCCL is for at most ", kMaxOperands,
         " ranks, and there are ", size_, "; use algorithm nccl with codec none");
  }
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < size_; ++rank) schedules.push_back(execution.scheduleOf(rank));
  return plans_.emplace(key, makeRoundPlan(schedules, rank_)).first->second;
}

// CUDA loads a kernel when it is first used, and may wait for what runs to do so: best before messages that other ranks wait for.
void NcclCarrier::load(const Call& call) {
  const bool stochastic = call.quant.codec != qcclCodecNone && call.quant.rounding == qcclRoundStochastic;
  if (!loaded_.insert({call.quant.codec, call.dtype, stochastic}).second) return;
  cudaFuncAttributes attributes;
  QCCL_CUDA_CHECK(cudaFuncGetAttributes(&attributes, prepared_.sum.function));
  if (prepared_.codec == nullptr) return;
  device::cuda::Stream stream;
  const quant::PackedFormat format = call.quant.format();
  QCCL_CHECK(quant::packedBytes(1, format) <= kScratchRoom);
  unsigned char* const message = scratch_.data() + kScratchRoom;
  prepared_.codec->encode(scratch_.data(), 1, {format, stochastic, 0, 0, false}, message, nullptr, stream.handle());
  prepared_.codec->decode(message, 1, format, scratch_.data(), stream.handle());
}

DeviceCounts NcclCarrier::counts() {
  DeviceCounts counts;
  device::cuda::Stream stream;  // does not wait for the caller's streams
  device::cuda::copyAsync(&counts, counts_.data(), sizeof(counts), stream.handle());
  stream.synchronize();
  return counts;
}

}  // namespace qccl::collectives::cuda
