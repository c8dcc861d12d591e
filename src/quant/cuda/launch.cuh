// The functions of CodecKernels for one codec and one data type: launches. Included by one source file for each codec.
#pragma once

#include "core/error.hpp"
#include "device/cuda/check.cuh"
#include "quant/cuda/decode.cuh"
#include "quant/cuda/encode.cuh"
#include "quant/cuda/kernels.hpp"

namespace qccl::quant::cuda {

template <typename Codec, typename T>
struct Launch {
  static void encode(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts,
                     StreamHandle stream) {
    EncodeArguments args = argumentsOf(x, elems, options, packed, counts);
    launchEncode<Addend::none>(args, options.stochastic, stream);
  }

  static void decode(const void* packed, std::size_t elems, const PackedFormat& format, void* out, StreamHandle stream) {
    launchDecode<T, false>(packed, elems, format, out, stream);
  }

  static void decodeAdd(const void* packed, std::size_t elems, const PackedFormat& format, float* sum, StreamHandle stream) {
    launchDecode<F32, true>(packed, elems, format, sum, stream);
  }

  static void addEncode(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                        EncodeCounts* counts, StreamHandle stream) {
    EncodeArguments args = argumentsOf(x, elems, options, packed, counts);
    args.packedIn = static_cast<const unsigned char*>(packedIn);
    launchEncode<Addend::codes>(args, options.stochastic, stream);
  }

  static void encodeFeedback(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed,
                             EncodeCounts* counts, StreamHandle stream) {
    EncodeArguments args = argumentsOf(x, elems, options, packed, counts);
    args.residual = static_cast<unsigned char*>(residual);
    args.residualLayout = layoutOf(elems, residualFormat(options.format.blockElems));
    launchEncode<Addend::residual>(args, options.stochastic, stream);
  }

 private:
  static EncodeArguments argumentsOf(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts) {
    QCCL_CHECK(options.format.codec == Codec::kId);
    EncodeArguments args = {};
    args.x = static_cast<const unsigned char*>(x);
    args.packed = static_cast<unsigned char*>(packed);
    args.layout = layoutOf(elems, options.format);
    args.noiseKey = options.noiseKey;
    args.firstElemIndex = options.firstElemIndex;
    args.countLosses = options.countLosses;
    args.counts = counts;
    return args;
  }

  template <typename Values>
  static unsigned tilesOf(std::uint64_t elems) {
    const std::uint64_t tiles = divideUp(elems, kTileElems<Values>);
    QCCL_CHECK(tiles <= 0x7fffffffu);  // 2^43 values
    return static_cast<unsigned>(tiles);
  }

  template <Addend kAddend>
  static void launchEncode(const EncodeArguments& args, bool stochastic, StreamHandle stream) {
    if (args.layout.elems == 0) return;
    const unsigned tiles = tilesOf<T>(args.layout.elems);
    if (stochastic) {
      encodeKernel<Codec, T, kAddend, true><<<tiles, kThreads, 0, stream>>>(args);
    } else {
      encodeKernel<Codec, T, kAddend, false><<<tiles, kThreads, 0, stream>>>(args);
    }
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  template <typename Out, bool kAdd>
  static void launchDecode(const void* packed, std::size_t elems, const PackedFormat& format, void* out, StreamHandle stream) {
    QCCL_CHECK(format.codec == Codec::kId);
    if (elems == 0) return;
    const DecodeArguments args = {static_cast<const unsigned char*>(packed), static_cast<unsigned char*>(out), layoutOf(elems, format)};
    decodeKernel<Codec, Out, kAdd><<<tilesOf<Out>(elems), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
  }
};

template <typename Codec, typename T>
constexpr CodecKernels kernelsOf() {
  using Functions = Launch<Codec, T>;
  return {Functions::encode, Functions::decode, Functions::decodeAdd, Functions::addEncode, Functions::encodeFeedback};
}

}  // namespace qccl::quant::cuda

// The row of kernels.cc: FP32, BF16, FP16. Declared first, because a constant has internal linkage otherwise.
#define QCCL_CUDA_CODEC(name, ...)                                                                                             \
  namespace qccl::quant::cuda {                                                                                                \
  extern const CodecKernels name[3];                                                                                           \
  const CodecKernels name[3] = {kernelsOf<__VA_ARGS__, F32>(), kernelsOf<__VA_ARGS__, Bf16>(), kernelsOf<__VA_ARGS__, F16>()}; \
  }
