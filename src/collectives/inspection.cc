#include "collectives/inspection.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "core/types.hpp"
#include "quant/kernels.hpp"
#include "quant/noise.hpp"

namespace qccl::collectives {
namespace {

std::vector<std::size_t> chooseIndices(std::size_t elems, std::uint64_t sequence) {
  const std::size_t count = std::min(elems, kInspectedElems);
  std::vector<std::size_t> indices(count);
  for (std::size_t i = 0; i < count; ++i) {
    // Stretch i is elems / count elements long, one more while there is a remainder.
    const std::size_t length = elems / count + (i < elems % count ? 1 : 0);
    const std::size_t first = elems / count * i + std::min(i, elems % count);
    // The upper half of the product is even over 0..length-1, without a division.
    const auto product = static_cast<unsigned __int128>(quant::mix64(sequence * kInspectedElems + i)) * length;
    indices[i] = first + static_cast<std::size_t>(product >> 64);
  }
  return indices;
}

template <std::size_t kBytes>
void gatherBytes(const void* buffer, std::span<const std::size_t> indices, std::size_t firstElem, std::byte* out) {
  for (const std::size_t index : indices) {
    std::memcpy(out, static_cast<const std::byte*>(buffer) + (index - firstElem) * kBytes, kBytes);
    out += kBytes;
  }
}

// values[i] = element indices[i] - firstElem of `buffer`, in FP32.
std::vector<float> gather(const void* buffer, qcclDataType_t dtype, std::span<const std::size_t> indices, std::size_t firstElem) {
  if (indices.empty()) return {};
  std::vector<std::byte> elems(indices.size() * typeSize(dtype));
  (typeSize(dtype) == 4 ? gatherBytes<4> : gatherBytes<2>)(buffer, indices, firstElem, elems.data());  // no other types are quantized
  std::vector<float> values(indices.size());
  quant::reduceKernels(dtype, qcclSum).load(elems.data(), indices.size(), values.data());
  return values;
}

}  // namespace

Inspection::Inspection(const Call& call, std::size_t elems, std::uint64_t sequence)
    : indices_(chooseIndices(elems, sequence)), sample_(gather(call.input, call.dtype, indices_, 0)), op_(call.op) {}

Call Inspection::exactCall(const Situation& situation) {
  Call exact;
  exact.coll = qcclCollAllReduce;
  exact.input = sample_.data();
  exact.output = sample_.data();
  exact.count = sample_.size();
  exact.dtype = qcclFloat32;
  exact.op = op_;
  exact.quant = choose(exact.coll, exact.count, exact.dtype, exact.op, situation, QuantDefaults{}, false).quant;
  return exact;
}

Inspection::Outcome Inspection::compare(const Call& call, std::size_t outputFirstElem, std::size_t outputElems) const {
  const auto begin = std::lower_bound(indices_.begin(), indices_.end(), outputFirstElem);
  const auto end = std::lower_bound(begin, indices_.end(), outputFirstElem + outputElems);
  const std::vector<float> results = gather(call.output, call.dtype, {begin, end}, outputFirstElem);
  const float* exact = sample_.data() + (begin - indices_.begin());
  Outcome outcome;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!std::isfinite(exact[i]) || !std::isfinite(results[i])) continue;
    const double signal = static_cast<double>(exact[i]);
    const double error = static_cast<double>(results[i]) - signal;
    outcome.elems += 1;
    outcome.signalEnergy += signal * signal;
    outcome.noiseEnergy += error * error;
  }
  return outcome;
}

}  // namespace qccl::collectives
