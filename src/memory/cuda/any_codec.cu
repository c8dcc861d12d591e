#include "memory/cuda/any_codec.cuh"
#include "memory/cuda/launch.cuh"

namespace qccl::memory::cuda {
namespace {

template <typename T>
struct AnyLaunch {
  static void swigluProduct(const SwigluForward& call, StreamHandle stream) {
    swigluProductKernel<T><<<tilesOf<T>(call.elems), kThreads, 0, stream>>>(argumentsOf(call));
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static void swigluBackward(const SwigluBackward& call, StreamHandle stream) {
    const AnySwigluArguments args = {argumentsOf(call), call.gateFormat.codec, call.upFormat.codec};
    const std::uint64_t blocks = quant::divideUp(call.elems, kThreads);
    QCCL_CHECK(blocks <= 0x7fffffffu);  // 2^39 values
    anySwigluBackwardKernel<T><<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static void normStatistics(const RmsNormForward& call, StreamHandle stream) {
    normStatisticsKernel<T><<<static_cast<unsigned>(call.rows), kThreads, 0, stream>>>(argumentsOf(call));
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static void normBackward(const RmsNormBackward& call, StreamHandle stream) {
    const AnyNormArguments args = {argumentsOf(call), call.format.codec};
    anyNormMeansKernel<T><<<static_cast<unsigned>(call.rows), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
    const dim3 grid(static_cast<unsigned>(quant::divideUp(call.cols, kThreads)), static_cast<unsigned>(kStrips));
    anyNormBackwardKernel<T><<<grid, kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static constexpr AnyCodecKernels kTable = {swigluProduct, swigluBackward, normStatistics, normBackward};
};

constexpr std::uint32_t kStripGroups = static_cast<std::uint32_t>(kStrips / kStripGroup);

struct StripArguments {
  const float* strips;
  float* dWeight;
  std::uint32_t cols;
};

// A column for each lane, a group of strips for each warp.
__global__ void __launch_bounds__(kWarpThreads* kStripGroups) sumStripsKernel(const __grid_constant__ StripArguments args) {
  __shared__ float groups[kStripGroups][kWarpThreads];
  const std::uint32_t lane = threadIdx.x % kWarpThreads, group = threadIdx.x / kWarpThreads;
  const std::uint32_t col = blockIdx.x * kWarpThreads + lane;
  float sum = 0.0f;
  if (col < args.cols) {
    const float* strip = args.strips + std::uint64_t{group} * kStripGroup * args.cols + col;
#pragma unroll
    for (std::size_t i = 0; i < kStripGroup; ++i) sum += strip[i * args.cols];
  }
  groups[group][lane] = sum;
  __syncthreads();
  if (group > 0 || col >= args.cols) return;
#pragma unroll
  for (std::uint32_t count = kStripGroups; count > 1; count /= 2) {
#pragma unroll
    for (std::uint32_t i = 0; i < count / 2; ++i) groups[i][lane] = groups[2 * i][lane] + groups[2 * i + 1][lane];
  }
  args.dWeight[col] = withOneNan(args.dWeight[col] + groups[0][lane]);
}

}  // namespace

void sumStrips(const RmsNormBackward& call, StreamHandle stream) {
  const StripArguments args = {call.scratch, call.dWeight, static_cast<std::uint32_t>(call.cols)};
  const auto blocks = static_cast<unsigned>(quant::divideUp(call.cols, kWarpThreads));
  sumStripsKernel<<<blocks, kWarpThreads * kStripGroups, 0, stream>>>(args);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

const AnyCodecKernels& anyCodecKernels(qcclDataType_t dtype) {
  if (dtype == qcclFloat32) return AnyLaunch<F32>::kTable;
  return dtype == qcclBfloat16 ? AnyLaunch<Bf16>::kTable : AnyLaunch<F16>::kTable;
}

}  // namespace qccl::memory::cuda
