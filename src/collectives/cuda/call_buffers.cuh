// How the caller's buffers become messages and sums in the kernel that runs schedules (schedule_kernel.cuh), and what comes of those goes
// back: where buffers hold values of the call's type, and where they hold codes. The bits are those of TileCodec on the host.
//
// `part` is a thread's part of a tile of `chunk`, elements of the message; all threads of the thread block call a function together. Those
// that return bool say whether they encoded.
#pragma once

#include "collectives/cuda/kernel_call.hpp"
#include "collectives/cuda/wire.cuh"
#include "quant/cuda/packed_slice.cuh"

namespace qccl::collectives::cuda {

template <typename Wire, typename T>
struct ValueBuffers {
  template <bool kStochastic>
  static __device__ __forceinline__ bool encode(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const MessagePlace& at,
                                                std::uint64_t noiseKey, unsigned char* message) {
    Wire::template encodeInput<kStochastic>(part, inputAt(call, chunk), at, noiseKey, call.counts, message);
    return true;
  }

  // sum = the input's values, or sum + them.
  template <bool kAdd>
  static __device__ __forceinline__ void take(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, Sum<T>& sum) {
    RawGroup raw[kRows];
    part.load(inputAt(call, chunk), raw);
    if constexpr (kAdd) {
      addWidened<T>(raw, sum);
    } else {
      widen<T>(raw, sum);
    }
  }

  template <bool kStochastic>
  static __device__ __forceinline__ bool store(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const Sum<T>& sum,
                                               std::uint64_t) {
    RawGroup raw[kRows];
    narrow<T>(sum, raw);
    part.store(raw, outputAt(call, chunk));
    return false;
  }

  static __device__ __forceinline__ void decode(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const MessagePlace& at,
                                                const unsigned char* message) {
    Wire::decode(part, message, at, outputAt(call, chunk));
  }

 private:
  static __device__ __forceinline__ const unsigned char* inputAt(const ScheduleCall& call, const Chunk& chunk) {
    return call.input + (chunk.firstElem - call.inputFirstElem) * T::kBytes;
  }
  static __device__ __forceinline__ unsigned char* outputAt(const ScheduleCall& call, const Chunk& chunk) {
    return call.output + (chunk.firstElem - call.outputFirstElem) * T::kBytes;
  }
};

// The input is packed buffers of call.buffer, one after another; the output as well, or it is values of call.outputType. Sums are in FP32
// whatever that is, so there is one kernel for all types.
template <typename Codec>
struct PackedBuffers {
  using T = quant::F32;
  using Wire = CodedWire<Codec, T>;

  template <bool kStochastic>
  static __device__ __forceinline__ bool encode(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const MessagePlace& at,
                                                std::uint64_t, unsigned char* message) {
    const Place from = placeOf(call, chunk.firstElem - call.inputFirstElem, at.elems);
    quant::cuda::copyCodes<Codec>(from.slice.part, call.input + from.offset, from.slice.layout, part, message, at.layout);
    return false;
  }

  template <bool kAdd>
  static __device__ __forceinline__ void take(const ScheduleCall& call, const Part<T>&, const Chunk& chunk, Sum<T>& sum) {
    const auto elems = static_cast<std::uint32_t>(chunk.elems);
    const Place from = placeOf(call, chunk.firstElem - call.inputFirstElem, elems);
    Wire::template take<kAdd>(from.slice.part, call.input + from.offset, {0, elems, from.slice.layout}, sum);
  }

  template <bool kStochastic>
  static __device__ __forceinline__ bool store(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const Sum<T>& sum,
                                               std::uint64_t noiseKey) {
    if (call.outputType != qcclPacked) {
      storeValues(call, part, chunk, sum);
      return false;
    }
    const auto elems = static_cast<std::uint32_t>(chunk.elems);
    const Place to = placeOf(call, chunk.firstElem - call.outputFirstElem, elems);
    __syncthreads();  // shared memory of what was encoded before
    const MessagePlace at = {chunk.firstElem - to.slice.part.tileFirst, elems, to.slice.layout};
    Wire::template encodeSum<kStochastic>(to.slice.part, sum, at, noiseKey, call.counts, call.output + to.offset);
    return true;
  }

  static __device__ __forceinline__ void decode(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const MessagePlace& at,
                                                const unsigned char* message) {
    if (call.outputType != qcclPacked) {
      Sum<T> values;
      Wire::template take<false>(part, message, at, values);
      storeValues(call, part, chunk, values);
      return;
    }
    const Place to = placeOf(call, chunk.firstElem - call.outputFirstElem, at.elems);
    quant::cuda::copyCodes<Codec>(part, message, at.layout, to.slice.part, call.output + to.offset, to.slice.layout);
  }

 private:
  struct Place {
    std::uint64_t offset;  // bytes to the packed buffer that the slice is of
    quant::cuda::PackedSlice<T> slice;
  };

  // Of the values from `first` on, counted from the begin of the caller's buffer.
  static __device__ __forceinline__ Place placeOf(const ScheduleCall& call, std::uint64_t first, std::uint32_t elems) {
    const PackedLayout& buffer = call.buffer;
    const std::uint64_t number = first < buffer.elems ? 0 : first / buffer.elems;
    return {number * quant::cuda::bytesOf(buffer), quant::cuda::sliceOf<T>(buffer, first - number * buffer.elems, elems)};
  }

  static __device__ __forceinline__ void storeValues(const ScheduleCall& call, const Part<T>& part, const Chunk& chunk, const Sum<T>& sum) {
    const std::uint64_t first = chunk.firstElem - call.outputFirstElem;
    if (call.outputType == qcclFloat32) {
      RawGroup raw[kRows];
      narrow<T>(sum, raw);
      part.store(raw, call.output + first * sizeof(float));
    } else if (call.outputType == qcclBfloat16) {
      storeHalves<quant::Bf16>(part, sum, call.output + first * quant::Bf16::kBytes);
    } else {
      storeHalves<quant::F16>(part, sum, call.output + first * quant::F16::kBytes);
    }
  }

  // As values of 16 bits.
  template <typename Half>
  static __device__ __forceinline__ void storeHalves(const Part<T>& part, const Sum<T>& sum, unsigned char* output) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      auto* to = reinterpret_cast<std::uint16_t*>(output) + part.first(row);
#pragma unroll
      for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
        if (i < part.count(row)) to[i] = Half::narrow(sum.rows[row].values[i]);
      }
    }
  }
};

}  // namespace qccl::collectives::cuda
