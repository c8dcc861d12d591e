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

  static std::size_t normBackward(const RmsNormBackward& call, StreamHandle stream) {
    const AnyNormArguments args = {argumentsOf(call), call.format.codec};
    anyNormMeansKernel<T><<<static_cast<unsigned>(call.rows), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
    const dim3 grid(static_cast<unsigned>(quant::divideUp(call.cols, kThreads)), static_cast<unsigned>(kStrips));
    anyNormBackwardKernel<T><<<grid, kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
    return kStrips;
  }

  static constexpr AnyCodecKernels kTable = {swigluProduct, swigluBackward, normStatistics, normBackward};
};

struct StripArguments {
  const float* strips;
  float* dWeight;
  std::uint32_t cols;
};

constexpr std::uint32_t kStripWarps = 16;

// A column for each lane, kStripsOfWarp neighbouring rows of sums for each warp.
template <std::uint32_t kStripsOfWarp>
__global__ void __launch_bounds__(kWarpThreads* kStripWarps) sumStripsKernel(const __grid_constant__ StripArguments args) {
  __shared__ float warps[kStripWarps][kWarpThreads];
  const std::uint32_t lane = threadIdx.x % kWarpThreads, warp = threadIdx.x / kWarpThreads;
  const std::uint32_t col = blockIdx.x * kWarpThreads + lane;
  float sums[kStripsOfWarp] = {};
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();  // the strips are there
#endif
  if (col < args.cols) {
    const float* strip = args.strips + std::uint64_t{warp} * kStripsOfWarp * args.cols + col;
#pragma unroll
    for (std::uint32_t i = 0; i < kStripsOfWarp; ++i) sums[i] = strip[std::uint64_t{i} * args.cols];
  }
#pragma unroll
  for (std::uint32_t count = kStripsOfWarp / 2; count > 0; count /= 2) {
#pragma unroll
    for (std::uint32_t i = 0; i < count; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
  }
  warps[warp][lane] = sums[0];
  __syncthreads();
  if (warp > 0 || col >= args.cols) return;
#pragma unroll
  for (std::uint32_t count = kStripWarps / 2; count > 0; count /= 2) {
#pragma unroll
    for (std::uint32_t i = 0; i < count; ++i) warps[i][lane] = warps[2 * i][lane] + warps[2 * i + 1][lane];
  }
  args.dWeight[col] = withOneNan(args.dWeight[col] + warps[0][lane]);
}

// Whether the kernel's code for the current GPU waits by itself for what was enqueued before it.
template <typename Kernel>
bool canComeEarly(Kernel* kernel) {
  cudaFuncAttributes attributes;
  QCCL_CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
  return attributes.ptxVersion >= 90;
}

}  // namespace

void sumStrips(const RmsNormBackward& call, std::size_t sums, StreamHandle stream) {
  const StripArguments args = {call.scratch, call.dWeight, static_cast<std::uint32_t>(call.cols)};
  const auto blocks = static_cast<unsigned>(quant::divideUp(call.cols, kWarpThreads));
  static_assert(kMaxStripsOfBlock == 4);
  QCCL_CHECK(sums == kStrips || sums == kStrips / 2 || sums == kStrips / 4);
  const auto kernel = sums == kStrips       ? sumStripsKernel<kStrips / kStripWarps>
                      : sums == kStrips / 2 ? sumStripsKernel<kStrips / kStripWarps / 2>
                                            : sumStripsKernel<kStrips / kStripWarps / 4>;
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = kWarpThreads * kStripWarps;
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = canComeEarly(kernel) ? 1 : 0;
  QCCL_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, args));
}

const AnyCodecKernels& anyCodecKernels(qcclDataType_t dtype) {
  if (dtype == qcclFloat32) return AnyLaunch<F32>::kTable;
  return dtype == qcclBfloat16 ? AnyLaunch<Bf16>::kTable : AnyLaunch<F16>::kTable;
}

}  // namespace qccl::memory::cuda
