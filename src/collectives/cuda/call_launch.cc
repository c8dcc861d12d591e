#include "collectives/cuda/call_launch.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives::cuda {
namespace {

std::uint32_t alignedSlot(std::size_t bytes) { return static_cast<std::uint32_t>(quant::alignUp(bytes, 128)); }

bool isStochastic(const Call& call) { return call.quant.codec != qcclCodecNone && call.quant.rounding == qcclRoundStochastic; }

// The most rounds of flagged_kernel.cu that a call may take, on thread blocks for which there is place. In memory of the host, which moves
// what a message takes twice much slower, one.
constexpr std::uint32_t kFlaggedMostRounds = 2;

bool isOneshot(const Call& call) { return call.coll == qcclCollAllReduce && call.quant.algorithm == qcclAlgoOneshot; }

// All thread blocks of all ranks on a GPU must fit at the same time: they wait for one another. The same number on every rank.
std::uint32_t threadBlocksOf(const GpuShare& gpu, const CallLaunch& launch, std::uint64_t most) {
  const int resident = gpu.residentBlocks(launch.function, launch.threads, launch.sharedBytes);
  const int onDevice = std::max(resident * gpu.multiprocessors / gpu.ranksPerDevice, 1);
  auto blocks = static_cast<std::uint32_t>(std::min<std::uint64_t>({static_cast<std::uint64_t>(onDevice), kMaxThreadBlocks, most}));
  if (gpu.threadBlocks > 0) blocks = std::min(blocks, static_cast<std::uint32_t>(gpu.threadBlocks));
  return std::max(blocks, 1u);
}

void layOutTails(const Partition& partition, std::uint32_t tileElems, const quant::PackedFormat& format, ScheduleCall* call) {
  int tails = 0;
  for (int i = 0; i < partition.chunks(); ++i) {
    const std::size_t elems = partition.chunk(i).elems % tileElems;
    int tail = 0;
    while (tail < tails && call->tails[tail].elems != elems) ++tail;
    QCCL_CHECK(tail < kMaxTails);
    if (tail == tails) call->tails[tails++] = quant::cuda::layoutOf(elems, format);
    call->tailOf[i] = static_cast<std::uint8_t>(tail);
  }
}

// As many tiles as fit into one region, but two at least.
void layOutRing(ScheduleCall* call) {
  const std::uint32_t tileBytes = call->slotBytes * call->receivedSlots;
  call->ring = std::min(std::max(std::bit_floor(kRegionBytes / tileBytes), 2u), kMaxRing);
  call->regionsABlock = static_cast<std::uint32_t>(quant::divideUp(std::size_t{call->ring} * tileBytes, kRegionBytes));
}

CallLaunch scheduleLaunch(const DeviceExecution& execution, const DeviceCall& common, const GpuShare& gpu, const DevicePlan& plan) {
  const Call& call = execution.call;
  const bool stochastic = isStochastic(call);
  const CallKernel kernel =
      call.inputPacked ? packedKernel(call.quant.codec, stochastic) : scheduleKernel(call.quant.codec, call.dtype, stochastic);
  ScheduleCall result{};
  static_cast<DeviceCall&>(result) = common;
  result.inputFirstElem = execution.inputFirstElem;
  result.outputFirstElem = execution.outputFirstElem;
  for (int i = 0; i < execution.partition.chunks(); ++i) result.chunks[i] = execution.partition.chunk(i);
  result.tiles = static_cast<std::uint32_t>(quant::divideUp(execution.partition.maxChunkElems(), kernel.tileElems));
  std::size_t messageBytes = kernel.tileElems * typeSize(call.dtype);
  if (call.quant.codec != qcclCodecNone) {
    const quant::PackedFormat format = call.quant.format();
    result.layout = quant::cuda::layoutOf(kernel.tileElems, format);
    layOutTails(execution.partition, kernel.tileElems, format, &result);
    messageBytes = quant::packedBytes(kernel.tileElems, format);
    if (call.inputPacked) result.buffer = quant::cuda::layoutOf(call.count, format);
  }
  result.outputType = call.outputPacked ? qcclPacked : call.dtype;
  result.slotBytes = alignedSlot(messageBytes);
  result.receivedSlots = plan.receivedSlots;
  layOutRing(&result);
  // In host memory what is read slows what is written, so that going ahead with writing gains nothing.
  result.lookahead = result.ring >= 2 && plan.firstWait > 0 && !gpu.inHostMemory ? 1 : 0;
  result.senders = plan.senders;
  result.receivers = plan.receivers;
  result.steps = static_cast<std::uint32_t>(plan.steps.size());
  result.firstWait = plan.firstWait;
  std::copy(plan.steps.begin(), plan.steps.end(), result.step);
  CallLaunch launch{kernel.function, 0, kernel.threads, kSharedBuffers * result.slotBytes, {}};
  launch.threadBlocks = threadBlocksOf(gpu, launch, std::min(result.tiles, kMaxThreadBlocks / result.regionsABlock));
  launch.call = result;
  return launch;
}

// False if there is no such kernel for the codec or its blocks, or no place for messages of that many ranks, or if the kernel would look
// for messages, over and over, in host memory.
bool makeOneshotLaunch(const Call& call, const DeviceCall& common, const GpuShare& gpu, CallLaunch* launch) {
  if (gpu.inHostMemory) return false;
  const Quantization& quant = call.quant;
  const bool stochastic = isStochastic(call);
  const bool usual = common.ranks == 2 && !stochastic && quant.scale == qcclScaleFloat32 && quant.blockElems == 256;
  const CallKernel kernel = oneshotKernel(quant.codec, call.dtype, stochastic, usual);
  const std::size_t warpBytes = std::size_t{kOneshotSlots} * (common.ranks - 1) * kOneshotSlotBytes;
  OneshotCall result{};
  static_cast<DeviceCall&>(result) = common;
  result.warps = static_cast<std::uint32_t>(
      std::min<std::size_t>(kWarpSlotsBytes / warpBytes / static_cast<std::size_t>(gpu.multiprocessors), kOneshotMaxWarps));
  if (kernel.function == nullptr || quant.blockElems > kOneshotMaxBlockElems || result.warps < 2) return false;
  result.elems = call.count;
  result.tiles = static_cast<std::uint32_t>(quant::divideUp(call.count, kernel.tileElems));
  result.blockShift = quant::cuda::log2Of(quant.blockElems);
  result.scale = quant.scale;
  *launch = {kernel.function, 0, result.warps * 32, 0, {}};
  // Where several thread blocks fit on a multiprocessor, there are slots for one all the same.
  launch->threadBlocks = threadBlocksOf(gpu, *launch, std::min(result.tiles, static_cast<std::uint32_t>(gpu.multiprocessors)));
  QCCL_CHECK(launch->threadBlocks * result.warps * warpBytes <= kWarpSlotsBytes);
  launch->call = result;
  return true;
}

// False if the message is so long that it takes less time without flags in it.
bool makeFlaggedLaunch(const Call& call, const DeviceCall& common, const GpuShare& gpu, CallLaunch* launch) {
  const std::uint64_t lines = quant::divideUp(call.count * typeSize(call.dtype), kFlaggedLineBytes / 2);
  FlaggedCall result{};
  static_cast<DeviceCall&>(result) = common;
  result.elems = call.count;
  const std::uint64_t blocks = kFlaggedBufferBytes / kFlaggedLineBytes / std::max(common.ranks - 1, 1u) / kFlaggedDataThreads;
  result.linesARank = static_cast<std::uint32_t>(blocks * kFlaggedDataThreads);
  if (lines > (gpu.inHostMemory ? 1 : kFlaggedMostRounds) * result.linesARank) return false;
  const CallKernel kernel = flaggedKernel(call.dtype);
  *launch = {kernel.function, 0, kernel.threads, 0, {}};
  launch->threadBlocks = threadBlocksOf(gpu, *launch, std::min(blocks, quant::divideUp(lines, kFlaggedDataThreads)));
  launch->call = result;
  return true;
}

}  // namespace

CallLaunch makeLaunch(const DeviceExecution& execution, const DeviceCall& common, const GpuShare& gpu,
                      const std::function<const DevicePlan&()>& plan) {
  const Call& call = execution.call;
  CallLaunch launch;
  if (isOneshot(call) && call.count > 0 && !call.inputPacked) {
    if (call.quant.codec == qcclCodecNone) {
      if (makeFlaggedLaunch(call, common, gpu, &launch)) return launch;
    } else if (makeOneshotLaunch(call, common, gpu, &launch)) {
      return launch;
    }
  }
  return scheduleLaunch(execution, common, gpu, plan());
}

void setBuffers(CallLaunch* launch, const void* input, void* output) {
  DeviceCall& arguments = launch->arguments();
  arguments.input = static_cast<const unsigned char*>(input);
  arguments.output = static_cast<unsigned char*>(output);
  if (auto* oneshot = std::get_if<OneshotCall>(&launch->call)) {
    oneshot->aligned = (reinterpret_cast<std::uintptr_t>(input) | reinterpret_cast<std::uintptr_t>(output)) % 16 == 0;
  }
}

void forEachKernel(const std::function<void(const CallKernel&)>& use) {
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    use(flaggedKernel(dtype));
    for (int codec = qcclCodecNone; codec < qcclNumCodecs; ++codec) {
      for (const bool stochastic : {false, true}) {
        use(scheduleKernel(static_cast<qcclCodec_t>(codec), dtype, stochastic));
        use(oneshotKernel(static_cast<qcclCodec_t>(codec), dtype, stochastic, false));
        if (dtype == qcclFloat32) use(packedKernel(static_cast<qcclCodec_t>(codec), stochastic));
      }
      use(oneshotKernel(static_cast<qcclCodec_t>(codec), dtype, false, true));
    }
  }
}

}  // namespace qccl::collectives::cuda
