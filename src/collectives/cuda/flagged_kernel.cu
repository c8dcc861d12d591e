// Exact oneshot all-reduce of small messages: every rank sends its values to all, each adds those of all ranks in rank order, in FP32. The
// bits are those of schedule_kernel.cuh with oneshotSchedule(), and of the host.
//
// Words carry their flag (flagged_line.cuh), the number of the call: the least time that a message can take, for twice its bytes. They lie
// in two buffers of each rank that calls use in turn; nothing is acknowledged. When a rank writes into the buffer of the call before the
// last, its last call has ended, with words of every rank in it; so every rank has ended the one before, and has read what is overwritten.
#include "collectives/cuda/call_frame.cuh"
#include "collectives/cuda/wire.cuh"

namespace qccl::collectives::cuda {
namespace {

constexpr std::uint32_t kDataThreads = 512;
constexpr std::uint32_t kFlaggedThreads = kDataThreads + 32;  // a warp for what ranks tell one another beside

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
      : call_(call), own_(*call.state), number_(own_.calls), flaggedCalls_(own_.flaggedCalls) {}

  __device__ __forceinline__ void run() {
    if (threadIdx.x < kDataThreads) {
      reduceLines();
    } else if (blockIdx.x == 0) {
      exchangeFingerprints(call_, number_);
    }
    __syncthreads();
    if (threadIdx.x == 0) finish();
  }

 private:
  // Line `line` of what rank `from` sends to rank `to` in this call.
  __device__ __forceinline__ unsigned char* lineAt(std::uint32_t to, std::uint32_t from, std::uint32_t line) const {
    return call_.arenas[to] + kFlaggedLinesOffset + (flaggedCalls_ % 2) * kFlaggedLinesBytes +
           (std::size_t{from} * call_.linesARank + line) * 16;
  }
  __device__ __forceinline__ std::uint32_t flag() const { return flaggedCalls_ % 0xffffffffu + 1; }  // never what memory is at first

  __device__ __forceinline__ bool await(std::uint32_t from, std::uint32_t line, FlaggedLine* result) const {
    const unsigned char* at = lineAt(call_.rank, from, line);
    return result->load(at, flag()) || spinUntil(call_, from, [&] { return result->load(at, flag()); });
  }

  __device__ __forceinline__ void reduceLines() const {
    constexpr std::uint32_t kElems = LineValues<T>::kElems;
    const auto lines = static_cast<std::uint32_t>((call_.elems + kElems - 1) / kElems);
    for (std::uint32_t i = blockIdx.x * kDataThreads + threadIdx.x; i < lines; i += gridDim.x * kDataThreads) {
      if (!reduce(i)) return;
    }
  }

  __device__ __forceinline__ bool reduce(std::uint32_t i) const {
    const std::uint64_t first = std::uint64_t{i} * LineValues<T>::kElems;
    const std::uint64_t left = call_.elems - first;
    const std::uint32_t exists = left < LineValues<T>::kElems ? static_cast<std::uint32_t>(left) : LineValues<T>::kElems;
    const FlaggedLine mine = LineValues<T>::lineOf(call_.input + first * T::kBytes, exists);
    for (std::uint32_t k = 1; k < call_.ranks; ++k) {
      const std::uint32_t peer = (call_.rank + k) % call_.ranks;
      mine.store(lineAt(peer, call_.rank, i), flag());
    }
    LineValues<T> sum;
    for (std::uint32_t rank = 0; rank < call_.ranks; ++rank) {
      FlaggedLine line = mine;
      if (rank != call_.rank && !await(rank, i, &line)) return false;
      if (rank == 0) {
        sum.template take<false>(line);
      } else {
        sum.template take<true>(line);
      }
    }
    if (call_.divide) {
      for (float& value : sum.values) value = divideLikeHost(value, call_.ranks);
    }
    sum.store(call_.output + first * T::kBytes, exists);
    return true;
  }

  __device__ __forceinline__ void finish() {
    if (leave(call_, number_)) own_.flaggedCalls = flaggedCalls_ + 1;
  }

  const FlaggedCall& call_;
  CallState& own_;
  const std::uint32_t number_;        // of this call, from 0
  const std::uint32_t flaggedCalls_;  // that were like this one
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
