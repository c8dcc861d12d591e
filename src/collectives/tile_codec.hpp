// How the values of one call become wire messages and sums: the quant kernels of its codecs, data type and operation behind one set of
// names, so that the executor is written once.
//
// A buffer of the call holds values of its data type or, for packed calls, codes in the format that travels. Where a buffer already has the
// form in which a part travels, nothing is converted: it is sent and received as it lies.
#pragma once

#include "collectives/call.hpp"
#include "collectives/partition.hpp"
#include "quant/kernels.hpp"

namespace qccl::collectives {

class TileCodec {
 public:
  explicit TileCodec(const Call& call);

  // Neither codes nor ranges: everything travels as it is.
  bool exact() const { return call_.quant.codec == qcclCodecNone && call_.map == nullptr; }
  bool inputIsWire() const { return exact() || call_.inputPacked; }
  bool outputIsWire() const { return exact() || call_.outputPacked; }
  std::size_t typeBytes() const { return reduce_->typeBytes; }
  std::size_t accumulatorBytes() const { return reduce_->accumulatorBytes; }

  // Bytes of a part in each form. `part` counts elements from the start of the message.
  std::size_t wireBytes(const Chunk& part) const;
  std::size_t residualBytes(const Chunk& part) const;
  std::size_t outputBytes(const Chunk& part) const { return outputIsWire() ? wireBytes(part) : part.elems * typeBytes(); }

  // Bytes of a caller's buffer before the element `elems`, counted from its begin.
  std::size_t bytesBefore(std::size_t elems, bool packed) const;

  // What is encoded; `residual` (residualBytes) takes part where it is not nullptr.
  struct Encoding {
    bool stochastic;
    std::uint64_t noiseKey;
    std::byte* residual;
    quant::EncodeCounts* counts;
  };
  void encodeInput(const std::byte* input, const Chunk& part, const Encoding& encoding, std::byte* wire) const;
  void encodeSum(const std::byte* sum, const Chunk& part, const Encoding& encoding, std::byte* wire) const;

  void loadInput(const std::byte* input, const Chunk& part, std::byte* sum) const;
  void addInput(const std::byte* input, const Chunk& part, std::byte* sum) const;
  void loadWire(const std::byte* wire, const Chunk& part, std::byte* sum) const;
  void addWire(const std::byte* wire, const Chunk& part, std::byte* sum) const;

  // Whether operands, sums and results all have the same form, so that a sum may lie anywhere and begin as its first operand.
  bool sumsAnywhere() const { return exact() && reduce_->accumulatorIsType; }
  // out = sum op operand, where sumsAnywhere(); out may be either.
  void combine(const std::byte* sum, const std::byte* operand, std::size_t elems, std::byte* out) const {
    reduce_->combine(sum, operand, elems, out);
  }

  void divide(std::byte* sum, std::size_t elems, int by) const { reduce_->divide(sum, elems, by); }
  void storeSum(const std::byte* sum, const Chunk& part, const Encoding& encoding, std::byte* output) const;
  void decode(const std::byte* wire, const Chunk& part, std::byte* output) const;

 private:
  // A run of elements with one codec: where it lies in the part, in its wire message and in its residual.
  struct Piece {
    std::size_t firstElem;  // of the message
    std::size_t elems;
    qcclCodec_t codec;
    std::size_t elemOffset;
    std::size_t wireOffset;
    std::size_t residualOffset;
  };
  template <typename Use>
  void forEachPiece(const Chunk& part, Use use) const;

  quant::PackedFormat format(qcclCodec_t codec) const { return {codec, call_.quant.scale, call_.quant.blockElems}; }
  void encode(qcclDataType_t dtype, const std::byte* values, std::size_t valueBytes, const Chunk& part, const Encoding& encoding,
              std::byte* wire) const;

  const Call& call_;
  const quant::ReduceKernels* reduce_;
};

}  // namespace qccl::collectives
