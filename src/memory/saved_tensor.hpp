// How a saved tensor is kept, and what that takes: codes in one place, scales in another.
//
// A quantized tensor is kept as the sections of the wire format (quant/wire_format.hpp), taken apart: its code area holds the planes of
// frame 0, of frame 1, ..., each padded to 16 bytes as in a packed buffer, and its scale area the scales of frame 0, of frame 1, ...,
// padded alike. So both areas together are exactly as long as the packed buffer, frame f begins at f times a constant in either, and
// scales of whole frames lie without a gap. Apart, because codes are read in long aligned runs and scales are few: a kernel streams the one
// and keeps the other in the cache, and the small scales do not break the alignment of the large codes.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace qccl::memory {

// The most elements of one tensor, so that no size overflows.
inline constexpr std::size_t kMaxElems = SIZE_MAX >> 8;

struct TensorFormat {
  qcclCodec_t codec = qcclCodecNone;       // none: values as they are, of exactType
  qcclDataType_t exactType = qcclFloat32;  // with codec none only
  qcclScale_t scale = qcclScaleFloat32;    // with a codec that has scales
  std::size_t blockElems = 256;            // the same
  bool operator==(const TensorFormat&) const = default;
};

// What bytes are when they are read again.
struct TensorContent {
  std::size_t elems = 0;
  TensorFormat format;
  bool operator==(const TensorContent&) const = default;
};

struct TensorBytes {
  std::size_t codes = 0;
  std::size_t scales = 0;
  TensorContent content = {};  // of one tensor; nothing where these are sums or offsets
  std::size_t total() const { return codes + scales; }
  bool operator==(const TensorBytes&) const = default;
};

struct SavedTensor {
  std::string name;  // unique in a ledger: "layers.0.gate". What stands behind the last dot is its kind, which tensors of all layers share
  std::size_t elems = 0;
  TensorFormat format;
};

// 4, 5, 6, 8: integers of so many bits with a scale per block; 16: bf16; 32: float32 as it is. Throws Error(qcclInvalidArgument) for
// others.
TensorFormat formatOfBits(int bits, std::size_t blockElems = 256, qcclScale_t scale = qcclScaleFloat32);

// Bits of a code, without its share of a scale.
std::size_t bitsOf(const TensorFormat& format);

// "int4/128/bfloat16", "bf16", "float32".
std::string formatName(const TensorFormat& format);

// Throws Error(qcclInvalidArgument) that begins with `what` and names the field that is wrong.
void checkFormat(std::string_view what, const TensorFormat& format);

// Exact bytes, before any alignment by a pool. elems <= kMaxElems.
TensorBytes storedBytes(std::size_t elems, const TensorFormat& format);

// "gate" of "layers.0.gate"; the name itself if it has no dot.
std::string_view kindOf(std::string_view name);

}  // namespace qccl::memory
