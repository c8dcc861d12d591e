// How the values of one call become wire messages and sums: the quant kernels of the call's codec, data type and operation behind one set
// of names, so that the executor is written once.
#pragma once

#include <cstring>

#include "collectives/call.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/kernels.hpp"

namespace qccl::collectives {

class TileCodec {
 public:
  explicit TileCodec(const Call& call)
      : reduce_(&quant::reduceKernels(call.dtype, call.op)),
        codec_(call.quant.codec == qcclCodecNone ? nullptr : quant::codecKernels(call.quant.codec, call.dtype)),
        sumCodec_(quant::codecKernels(call.quant.codec, qcclFloat32)),
        format_(call.quant.format()) {
    QCCL_CHECK(call.quant.codec == qcclCodecNone || codec_ != nullptr);
  }

  bool exact() const { return codec_ == nullptr; }
  std::size_t typeBytes() const { return reduce_->typeBytes; }
  std::size_t accumulatorBytes() const { return reduce_->accumulatorBytes; }

  std::size_t wireBytes(std::size_t elems) const { return exact() ? elems * typeBytes() : quant::packedBytes(elems, format_); }

  void encodeInput(const void* x, std::size_t elems, const quant::EncodeOptions& options, void* wire, quant::EncodeCounts* counts) const {
    if (exact()) {
      std::memcpy(wire, x, elems * typeBytes());
    } else {
      codec_->encode(x, elems, options, wire, counts);
    }
  }

  void encodeSum(const void* sum, std::size_t elems, const quant::EncodeOptions& options, void* wire, quant::EncodeCounts* counts) const {
    if (exact()) {
      reduce_->store(sum, elems, wire);
    } else {
      sumCodec_->encode(sum, elems, options, wire, counts);
    }
  }

  void loadInput(const void* x, std::size_t elems, void* sum) const { reduce_->load(x, elems, sum); }
  void addInput(const void* x, std::size_t elems, void* sum) const { reduce_->accumulate(x, elems, sum); }

  void loadWire(const void* wire, std::size_t elems, void* sum) const {
    if (exact()) {
      reduce_->load(wire, elems, sum);
    } else {
      sumCodec_->decode(wire, elems, format_, sum);
    }
  }

  void addWire(const void* wire, std::size_t elems, void* sum) const {
    if (exact()) {
      reduce_->accumulate(wire, elems, sum);
    } else {
      codec_->decodeAdd(wire, elems, format_, static_cast<float*>(sum));
    }
  }

  void divide(void* sum, std::size_t elems, int by) const { reduce_->divide(sum, elems, by); }
  void storeSum(const void* sum, std::size_t elems, void* out) const { reduce_->store(sum, elems, out); }

  void decode(const void* wire, std::size_t elems, void* out) const {
    if (exact()) {
      if (wire != out) std::memmove(out, wire, elems * typeBytes());
    } else {
      codec_->decode(wire, elems, format_, out);
    }
  }

 private:
  const quant::ReduceKernels* reduce_;
  const quant::CodecKernels* codec_;     // of the data type; nullptr: exact
  const quant::CodecKernels* sumCodec_;  // of FP32
  quant::PackedFormat format_;
};

}  // namespace qccl::collectives
