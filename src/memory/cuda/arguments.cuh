// What the host knows of a call, as the kernels' arguments.
#pragma once

#include "core/types.hpp"
#include "memory/cuda/rmsnorm_backward.cuh"
#include "memory/cuda/swiglu.cuh"
#include "memory/fused.hpp"

namespace qccl::memory::cuda {

// What codecs without scales are worked on in: any block will do.
inline constexpr std::size_t kUnscaledBlockElems = 128;

inline quant::PackedFormat packedFormat(const TensorFormat& format) {
  const bool scaled = format.codec != qcclCodecNone && format.codec != qcclCodecBf16;
  return {format.codec, format.scale, scaled ? format.blockElems : kUnscaledBlockElems};
}

inline StoredTensor storedTensor(const Place& place, std::size_t elems, const TensorFormat& format) {
  StoredTensor tensor = {static_cast<unsigned char*>(place.codes), static_cast<unsigned char*>(place.scales),
                         layoutOf(elems, packedFormat(format))};
  if (format.codec == qcclCodecNone) {  // one section of values
    const std::size_t perFrame = quant::frameElems(kUnscaledBlockElems), size = typeSize(format.exactType);
    const auto whole = static_cast<std::uint32_t>(perFrame * size), last = static_cast<std::uint32_t>(elems % perFrame * size);
    tensor.layout.whole = {0, whole, whole};
    tensor.layout.last = {0, last, last};
    tensor.layout.scaleBytes = 0;
    tensor.layout.lastScalesBytes = 0;
  }
  return tensor;
}

inline const unsigned char* bytesAt(const void* p) { return static_cast<const unsigned char*>(p); }
inline unsigned char* bytesAt(void* p) { return static_cast<unsigned char*>(p); }

inline NormForwardArguments argumentsOf(const RmsNormForward& call) {
  return {bytesAt(call.x),
          bytesAt(call.weight),
          bytesAt(call.output),
          call.rstd,
          call.epsilon,
          static_cast<std::uint32_t>(call.rows),
          static_cast<std::uint32_t>(call.cols),
          storedTensor(call.xhat, call.rows * call.cols, call.format)};
}

inline NormBackwardArguments argumentsOf(const RmsNormBackward& call) {
  return {bytesAt(call.dOutput),
          bytesAt(call.weight),
          call.rstd,
          bytesAt(call.dX),
          bytesAt(call.output),
          call.scratch,
          call.scratch + kStrips * call.cols,
          static_cast<std::uint32_t>(call.rows),
          static_cast<std::uint32_t>(call.cols),
          storedTensor(call.xhat, call.rows * call.cols, call.format)};
}

inline SwigluForwardArguments argumentsOf(const SwigluForward& call) {
  return {bytesAt(call.gate), bytesAt(call.up), bytesAt(call.product), storedTensor(call.gatePlace, call.elems, call.gateFormat),
          storedTensor(call.upPlace, call.elems, call.upFormat)};
}

inline SwigluBackwardArguments argumentsOf(const SwigluBackward& call) {
  return {bytesAt(call.dProduct),
          bytesAt(call.dGate),
          bytesAt(call.dUp),
          bytesAt(call.product),
          storedTensor(call.gatePlace, call.elems, call.gateFormat),
          storedTensor(call.upPlace, call.elems, call.upFormat)};
}

}  // namespace qccl::memory::cuda
