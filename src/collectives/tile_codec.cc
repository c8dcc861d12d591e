#include "collectives/tile_codec.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives {

using quant::alignUp;
using quant::CodecKernels;
using quant::codecKernels;
using quant::kSectionAlign;
using quant::packedBytes;

TileCodec::TileCodec(const Call& call) : call_(call), reduce_(&quant::reduceKernels(call.dtype, call.op)) {
  QCCL_CHECK(exact() || codecKernels(qcclCodecInt8, call.dtype) != nullptr);
}

template <typename Use>
void TileCodec::forEachPiece(const Chunk& part, Use use) const {
  if (call_.map == nullptr) {
    if (part.elems > 0) use(Piece{part.firstElem, part.elems, call_.quant.codec, 0, 0, 0});
    return;
  }
  std::size_t wireOffset = 0, residualOffset = 0;
  const std::size_t block = call_.quant.blockElems;
  collectives::forEachPiece(*call_.map, part.firstElem, part.elems, block, [&](std::size_t first, std::size_t elems, qcclCodec_t codec) {
    use(Piece{first, elems, codec, first - part.firstElem, wireOffset, residualOffset});
    if (codec == qcclCodecNone) {
      wireOffset += alignUp(elems * typeBytes(), kSectionAlign);
    } else {
      wireOffset += packedBytes(elems, format(codec));
      residualOffset += packedBytes(elems, quant::residualFormat(block));
    }
  });
}

std::size_t TileCodec::wireBytes(const Chunk& part) const {
  if (exact()) return part.elems * typeBytes();
  std::size_t bytes = 0;
  forEachPiece(part, [&](const Piece& piece) {
    const bool raw = piece.codec == qcclCodecNone;
    bytes = piece.wireOffset + (raw ? alignUp(piece.elems * typeBytes(), kSectionAlign) : packedBytes(piece.elems, format(piece.codec)));
  });
  return bytes;
}

std::size_t TileCodec::residualBytes(const Chunk& part) const {
  std::size_t bytes = 0;
  forEachPiece(part, [&](const Piece& piece) {
    if (piece.codec == qcclCodecNone) return;
    bytes = piece.residualOffset + packedBytes(piece.elems, quant::residualFormat(call_.quant.blockElems));
  });
  return bytes;
}

// In the parts of a reduce-scatter or all-gather each rank's values are a packed buffer of their own.
std::size_t TileCodec::bytesBefore(std::size_t elems, bool packed) const {
  if (!packed) return elems * typeBytes();
  const bool perRank = call_.coll != qcclCollAllReduce;
  const std::size_t buffers = perRank && elems > 0 ? elems / call_.count : 0;
  return buffers * packedBytes(call_.count, call_.quant.format()) + packedBytes(elems - buffers * call_.count, call_.quant.format());
}

void TileCodec::encode(qcclDataType_t dtype, const std::byte* values, std::size_t valueBytes, const Chunk& part, const Encoding& encoding,
                       std::byte* wire) const {
  forEachPiece(part, [&](const Piece& piece) {
    const std::byte* from = values + piece.elemOffset * valueBytes;
    std::byte* to = wire + piece.wireOffset;
    if (piece.codec == qcclCodecNone) {
      const std::size_t bytes = piece.elems * typeBytes();
      if (valueBytes == typeBytes()) {
        std::memcpy(to, from, bytes);
      } else {
        reduce_->store(from, piece.elems, to);
      }
      std::memset(to + bytes, 0, alignUp(bytes, kSectionAlign) - bytes);
      return;
    }
    const quant::EncodeOptions options{format(piece.codec), encoding.stochastic, encoding.noiseKey, piece.firstElem, true};
    const CodecKernels& kernels = *codecKernels(piece.codec, dtype);
    if (encoding.residual == nullptr) {
      kernels.encode(from, piece.elems, options, to, encoding.counts);
    } else {
      kernels.encodeFeedback(from, piece.elems, options, encoding.residual + piece.residualOffset, to, encoding.counts);
    }
  });
}

void TileCodec::encodeInput(const std::byte* input, const Chunk& part, const Encoding& encoding, std::byte* wire) const {
  if (exact()) {
    std::memcpy(wire, input, part.elems * typeBytes());
  } else {
    encode(call_.dtype, input, typeBytes(), part, encoding, wire);
  }
}

void TileCodec::encodeSum(const std::byte* sum, const Chunk& part, const Encoding& encoding, std::byte* wire) const {
  if (exact()) {
    reduce_->store(sum, part.elems, wire);
  } else {
    encode(qcclFloat32, sum, accumulatorBytes(), part, encoding, wire);
  }
}

void TileCodec::loadInput(const std::byte* input, const Chunk& part, std::byte* sum) const {
  if (call_.inputPacked) {
    loadWire(input, part, sum);
  } else {
    reduce_->load(input, part.elems, sum);
  }
}

void TileCodec::addInput(const std::byte* input, const Chunk& part, std::byte* sum) const {
  if (call_.inputPacked) {
    addWire(input, part, sum);
  } else {
    reduce_->accumulate(input, part.elems, sum);
  }
}

void TileCodec::loadWire(const std::byte* wire, const Chunk& part, std::byte* sum) const {
  forEachPiece(part, [&](const Piece& piece) {
    const std::byte* from = wire + piece.wireOffset;
    std::byte* to = sum + piece.elemOffset * accumulatorBytes();
    if (piece.codec == qcclCodecNone) {
      reduce_->load(from, piece.elems, to);
    } else {
      codecKernels(piece.codec, qcclFloat32)->decode(from, piece.elems, format(piece.codec), to);
    }
  });
}

void TileCodec::addWire(const std::byte* wire, const Chunk& part, std::byte* sum) const {
  forEachPiece(part, [&](const Piece& piece) {
    const std::byte* from = wire + piece.wireOffset;
    std::byte* to = sum + piece.elemOffset * accumulatorBytes();
    if (piece.codec == qcclCodecNone) {
      reduce_->accumulate(from, piece.elems, to);
    } else {
      codecKernels(piece.codec, qcclFloat32)->decodeAdd(from, piece.elems, format(piece.codec), reinterpret_cast<float*>(to));
    }
  });
}

void TileCodec::storeSum(const std::byte* sum, const Chunk& part, const Encoding& encoding, std::byte* output) const {
  if (call_.outputPacked) {
    encodeSum(sum, part, encoding, output);
  } else {
    reduce_->store(sum, part.elems, output);
  }
}

void TileCodec::decode(const std::byte* wire, const Chunk& part, std::byte* output) const {
  if (outputIsWire()) {
    if (wire != output) std::memmove(output, wire, wireBytes(part));
    return;
  }
  forEachPiece(part, [&](const Piece& piece) {
    const std::byte* from = wire + piece.wireOffset;
    std::byte* to = output + piece.elemOffset * typeBytes();
    if (piece.codec == qcclCodecNone) {
      std::memcpy(to, from, piece.elems * typeBytes());
    } else {
      codecKernels(piece.codec, call_.dtype)->decode(from, piece.elems, format(piece.codec), to);
    }
  });
}

}  // namespace qccl::collectives
