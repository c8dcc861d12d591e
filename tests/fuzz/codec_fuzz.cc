// Packed buffers come from other processes: whatever their bytes are, no kernel may read or write outside its buffers or do what C++ leaves
// undefined, and all instruction sets must make the same of them as the oracle.
//
// An input is seven bytes that choose codec, scale, block, type, length and options, then the bytes of the buffers, repeated as often as is
// needed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/types.hpp"
#include "fuzz/fuzz_check.hpp"
#include "quant/kernels.hpp"
#include "quant/reference.hpp"

namespace qccl::quant {
namespace {

using test::fuzzCheck;

constexpr std::size_t kHeaderBytes = 7;

// Exactly as large as is said, so that the address sanitizer sees the first byte beyond; filled with `bytes` from `offset` on, repeated.
class ExactBuffer {
 public:
  ExactBuffer(std::size_t size, const std::uint8_t* bytes, std::size_t count, std::size_t offset)
      : size_(size), data_(new unsigned char[size]) {
    for (std::size_t i = 0; i < size; ++i) data_[i] = count == 0 ? 0 : bytes[(offset + i) % count];
  }
  ExactBuffer(const ExactBuffer& other) : size_(other.size_), data_(new unsigned char[other.size_]) {
    std::copy_n(other.data_.get(), size_, data_.get());
  }
  unsigned char* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }
  bool operator==(const ExactBuffer& other) const { return std::equal(data(), data() + size_, other.data(), other.data() + other.size_); }

 private:
  std::size_t size_;
  std::unique_ptr<unsigned char[]> data_;
};

struct Case {
  qcclDataType_t dtype;
  std::size_t elems;
  EncodeOptions options;
};

Case caseOf(const std::uint8_t* bytes) {
  constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};
  Case chosen;
  const auto codec = static_cast<qcclCodec_t>(qcclCodecInt8 + bytes[0] % (qcclNumCodecs - 1));
  const auto scale = static_cast<qcclScale_t>(bytes[1] % qcclNumScales);
  chosen.options.format = {codec, scale, kMinBlockElems << bytes[2] % 8};
  chosen.dtype = kTypes[bytes[3] % 3];
  const unsigned flags = bytes[6];
  // Short buffers as often as those of several frames.
  chosen.elems = static_cast<std::size_t>(bytes[4] << 8 | bytes[5]) >> (3 + flags / 32);
  chosen.options.stochastic = flags % 2 == 1;
  chosen.options.countLosses = flags / 2 % 2 == 1;
  chosen.options.noiseKey = bytes[0] * std::uint64_t{0x9e3779b9};
  chosen.options.firstElemIndex = flags / 4 % 8 * chosen.options.format.blockElems;
  return chosen;
}

// Which of a NaN's payloads comes out of arithmetic is left open.
bool sameValues(qcclDataType_t dtype, const ExactBuffer& a, const ExactBuffer& b, std::size_t elems) {
  for (std::size_t i = 0; i < elems; ++i) {
    const float x = loadElem(dtype, a.data(), i);
    const float y = loadElem(dtype, b.data(), i);
    if (std::isnan(x) != std::isnan(y)) return false;
    if (!std::isnan(x) && std::memcmp(&x, &y, sizeof(x)) != 0) return false;
  }
  return true;
}

// Packed buffers of the codec bf16 are values.
bool samePacked(const PackedFormat& format, const ExactBuffer& a, const ExactBuffer& b, std::size_t elems) {
  return format.codec == qcclCodecBf16 ? sameValues(qcclBfloat16, a, b, elems) : a == b;
}

bool sameCounts(const EncodeCounts& a, const EncodeCounts& b) {
  return a.blocks == b.blocks && a.nonFiniteBlocks == b.nonFiniteBlocks && a.sampledElems == b.sampledElems && a.saturated == b.saturated &&
         a.flushed == b.flushed;
}

void check(const Case& chosen, const std::uint8_t* bytes, std::size_t count) {
  const auto& [dtype, elems, options] = chosen;
  const PackedFormat& format = options.format;
  const ExactBuffer packed(packedBytes(elems, format), bytes, count, 0);
  const ExactBuffer residual(packedBytes(elems, residualFormat(format.blockElems)), bytes, count, 1);
  const ExactBuffer values(elems * typeSize(dtype), bytes, count, 2);
  const ExactBuffer sums(elems * sizeof(float), bytes, count, 3);

  const ExactBuffer decoded(values), summed(sums), updated(packed), carried(packed), rest(residual);
  EncodeCounts updateCounts, carryCounts;
  referenceDecode(dtype, packed.data(), elems, format, decoded.data());
  referenceDecodeAdd(packed.data(), elems, format, summed.floats());
  referenceAddEncode(dtype, packed.data(), values.data(), elems, options, updated.data(), &updateCounts);
  referenceEncodeFeedback(dtype, values.data(), elems, options, rest.data(), carried.data(), &carryCounts);

  for (const char* isa : {"avx512", "avx2", "baseline"}) {
    const CodecKernels* kernels = codecKernels(isa, format.codec, dtype);
    if (kernels == nullptr) continue;
    const ExactBuffer out(values), sum(sums), update(packed), carry(packed), left(residual);
    EncodeCounts counts;
    kernels->decode(packed.data(), elems, format, out.data());
    fuzzCheck(sameValues(dtype, out, decoded, elems), "decode differs from the oracle");
    kernels->decodeAdd(packed.data(), elems, format, sum.floats());
    fuzzCheck(sameValues(qcclFloat32, sum, summed, elems), "decodeAdd differs from the oracle");
    kernels->addEncode(update.data(), values.data(), elems, options, update.data(), &counts);
    fuzzCheck(samePacked(format, update, updated, elems) && sameCounts(counts, updateCounts), "addEncode differs from the oracle");
    counts = {};
    kernels->encodeFeedback(values.data(), elems, options, left.data(), carry.data(), &counts);
    fuzzCheck(samePacked(format, carry, carried, elems) && sameCounts(counts, carryCounts), "encodeFeedback differs from the oracle");
    fuzzCheck(left == rest, "the residual of encodeFeedback differs from the oracle's");
  }
}

}  // namespace
}  // namespace qccl::quant

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < qccl::quant::kHeaderBytes) return 0;
  qccl::quant::check(qccl::quant::caseOf(data), data + qccl::quant::kHeaderBytes, size - qccl::quant::kHeaderBytes);
  return 0;
}
