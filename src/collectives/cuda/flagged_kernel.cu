// Exact oneshot all-reduce of small messages: every rank sends its values to all, each adds those of all ranks in rank order, in FP32. The
// bits are those of schedule_kernel.cuh with oneshotSchedule(), and of the host.
//
// Words carry their flag (flagged_line.cuh), the number of the round: the least time that a message can take, for twice its bytes. A thread
// sends and receives a line a round, and sends that of the next round before it waits. Lines lie in kFlaggedBuffers buffers of each rank,
// which rounds use in turn; nothing is acknowledged.
//
// What a thread overwrites in round r is of round r - 4 or before, and every peer's thread has read it. From the third round of a call on,
// the peer's line of round r - 2 has come: the peer is in this call, so those before have ended there, and it sent that line after it had
// read round r - 4. In the first two rounds, the call before has ended here: the peer is in it or beyond, so all calls before that have
// ended there, and of its own rounds the one overwritten is the last but two at the latest, while the line of the last has come. So in
// calls of several rounds all threads take part in each, whether they have a line or not, and all ranks have as many threads.
#include "collectives/cuda/call_frame.cuh"
#include "collectives/cuda/wire.cuh"

namespace qccl::collectives::cuda {
namespace {

constexpr std::uint32_t kFlaggedThreads = kFlaggedDataThreads + 32;  // a warp for what ranks tell one another beside

template <typename T>
struct LineValues {
  static constexpr std::uint32_t kElems = 8 / static_cast<std::uint32_t>(T::kBytes);
  float values[kElems];

  // `exists`: how many of the line's values there are.
  static __device__ __forceinline__ FlaggedLine lineOf(const unsigned char* p, std::uint32_t exists) {
    FlaggedLine line = {};
    if (exists == kElems && reinterpret_cast<std::uintptr_t>(p) % 8 == 0) {
      const uint2 both = *reinterpret_cast<const uint2*>(p);
      line.words[0] = both.x, line.words[1] = both.y;
      return line;
    }
    const auto* elems = reinterpret_cast<const typename T::Bits*>(p);
#pragma unroll
    for (std::uint32_t i = 0; i < kElems; ++i) {
      if (i < exists) line.words[i * T::kBytes / 4] |= static_cast<std::uint32_t>(elems[i]) << (i * T::kBytes % 4 * 8);
    }
    return line;
  }

  static __device__ __forceinline__ typename T::Bits bitsOf(const FlaggedLine& line, std::uint32_t i) {
    return static_cast<typename T::Bits>(line.words[i * T::kBytes / 4] >> (i * T::kBytes % 4 * 8));
  }

  template <bool kAdd>
  __device__ __forceinline__ void take(const FlaggedLine& line) {
#pragma unroll
    for (std::uint32_t i = 0; i < kElems; ++i) {
      const float value = T::widen(bitsOf(line, i));
      values[i] = kAdd ? addLikeHost(values[i], value) : value;
    }
  }

  __device__ __forceinline__ void store(unsigned char* p, std::uint32_t exists) const {
    FlaggedLine line = {};
#pragma unroll
    for (std::uint32_t i = 0; i < kElems; ++i)
      line.words[i * T::kBytes / 4] |= static_cast<std::uint32_t>(T::narrow(values[i])) << (i * T::kBytes % 4 * 8);
    if (exists == kElems && reinterpret_cast<std::uintptr_t>(p) % 8 == 0) {
      *reinterpret_cast<uint2*>(p) = make_uint2(line.words[0], line.words[1]);
      return;
    }
    auto* elems = reinterpret_cast<typename T::Bits*>(p);
#pragma unroll
    for (std::uint32_t i = 0; i < kElems; ++i) {
      if (i < exists) elems[i] = bitsOf(line, i);
    }
  }
};

template <typename T>
class FlaggedRun {
 public:
  __device__ __forceinline__ explicit FlaggedRun(const FlaggedCall& call)
      : call_(call),
        own_(*call.state),
        number_(own_.calls),
        firstRound_(own_.flaggedRounds),
        lines_(static_cast<std::uint32_t>((call.elems + kElems - 1) / kElems)),
        rounds_((lines_ + threads() - 1) / threads()) {}

  __device__ __forceinline__ void run() {
    if (threadIdx.x < kFlaggedDataThreads) {
      reduceLines();
    } else if (blockIdx.x == 0) {
      exchangeFingerprints(call_, number_);
    }
    __syncthreads();
    if (threadIdx.x == 0) finish();
  }

 private:
  static constexpr std::uint32_t kElems = LineValues<T>::kElems;

  static __device__ __forceinline__ std::uint32_t threads() { return gridDim.x * kFlaggedDataThreads; }
  static __device__ __forceinline__ std::uint32_t thread() { return blockIdx.x * kFlaggedDataThreads + threadIdx.x; }

  // Where this thread's line lies that rank `from` sends to rank `to` in a round of this call.
  __device__ __forceinline__ unsigned char* lineAt(std::uint32_t to, std::uint32_t from, std::uint32_t round) const {
    const std::uint32_t sender = from < to ? from : from - 1;  // none sends to itself
    return call_.arenas[to] + kFlaggedLinesOffset + (firstRound_ + round) % kFlaggedBuffers * kFlaggedBufferBytes +
           (std::size_t{sender} * call_.linesARank + thread()) * kFlaggedLineBytes;
  }
  __device__ __forceinline__ std::uint32_t flag(std::uint32_t round) const {
    return (firstRound_ + round) % 0xffffffffu + 1;  // never what memory is at first
  }

  __device__ __forceinline__ std::uint64_t firstElem(std::uint32_t round) const {
    return (std::uint64_t{round} * threads() + thread()) * kElems;
  }
  // How many of its line's values there are.
  __device__ __forceinline__ std::uint32_t elemsIn(std::uint32_t round) const {
    const std::uint64_t first = firstElem(round);
    return first >= call_.elems ? 0 : static_cast<std::uint32_t>(min(call_.elems - first, std::uint64_t{kElems}));
  }

  __device__ __forceinline__ bool await(std::uint32_t from, std::uint32_t round, FlaggedLine* result) const {
    const unsigned char* at = lineAt(call_.rank, from, round);
    return result->load(at, flag(round)) || spinUntil(call_, from, [&] { return result->load(at, flag(round)); });
  }

  __device__ __forceinline__ void reduceLines() const {
    if (rounds_ == 1 && thread() >= lines_) return;
    FlaggedLine mine = send(0);
    for (std::uint32_t round = 0; round < rounds_; ++round) {
      FlaggedLine next = {};
      if (round + 1 < rounds_) next = send(round + 1);
      if (!reduce(round, mine)) return;
      mine = next;
    }
  }

  __device__ __forceinline__ FlaggedLine send(std::uint32_t round) const {
    const FlaggedLine line = LineValues<T>::lineOf(call_.input + firstElem(round) * T::kBytes, elemsIn(round));
    for (std::uint32_t k = 1; k < call_.ranks; ++k) {
      const std::uint32_t peer = (call_.rank + k) % call_.ranks;
      line.store(lineAt(peer, call_.rank, round), flag(round));
    }
    return line;
  }

  __device__ __forceinline__ bool reduce(std::uint32_t round, const FlaggedLine& mine) const {
    LineValues<T> sum;
    for (std::uint32_t rank = 0; rank < call_.ranks; ++rank) {
      FlaggedLine line = mine;
      if (rank != call_.rank && !await(rank, round, &line)) return false;
      if (rank == 0) {
        sum.template take<false>(line);
      } else {
        sum.template take<true>(line);
      }
    }
    if (call_.divide) {
      for (float& value : sum.values) value = divideLikeHost(value, call_.ranks);
    }
    sum.store(call_.output + firstElem(round) * T::kBytes, elemsIn(round));
    return true;
  }

  __device__ __forceinline__ void finish() {
    if (leave(call_, number_)) own_.flaggedRounds = firstRound_ + rounds_;
  }

  const FlaggedCall& call_;
  CallState& own_;
  const std::uint32_t number_;      // of this call, from 0
  const std::uint32_t firstRound_;  // of this call, among those of all
  const std::uint32_t lines_;
  const std::uint32_t rounds_;
};

template <typename T>
__global__ void __launch_bounds__(kFlaggedThreads, 1) flaggedKernelOf(const __grid_constant__ FlaggedCall call) {
  FlaggedRun<T>(call).run();
}

}  // namespace

CallKernel flaggedKernel(qcclDataType_t dtype) {
  const void* kernel = nullptr;
  if (dtype == qcclFloat32) kernel = reinterpret_cast<const void*>(flaggedKernelOf<quant::F32>);
  if (dtype == qcclBfloat16) kernel = reinterpret_cast<const void*>(flaggedKernelOf<quant::Bf16>);
  if (dtype == qcclFloat16) kernel = reinterpret_cast<const void*>(flaggedKernelOf<quant::F16>);
  return {kernel, 0, kFlaggedThreads};
}

}  // namespace qccl::collectives::cuda
