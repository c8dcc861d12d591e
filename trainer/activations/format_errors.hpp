// Formats for saved tensors, tried on real ones, kind by kind: what they take, how far values are off, and gradients. Some are no formats
// of the library: they are here to show what it would gain.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "activations/captured_activations.hpp"
#include "model/llama.hpp"

namespace qccl::train {

struct TriedFormat {
  std::string name;
  int blockElems = 0;
  double bitsAValue = 0;  // with scales
  std::function<std::vector<float>(std::span<const float>)> roundTrip;
};

// In blocks of 32, 64, 128 and 256: int4, int4 with a zero point, int4 with a signed scale, fp4, int5, int6, fp8 and int8.
std::vector<TriedFormat> triedFormats(qcclScale_t scale);

// By kind.
using KindErrors = std::array<double, kSavedKinds.size()>;

// The norm of other - exact over the norm of exact.
double relativeDifference(std::span<const float> exact, std::span<const float> other);

// Norm of the error over the norm of the tensor; root mean square over layers.
KindErrors tensorErrors(const CapturedActivations& captured, const TriedFormat& format);

// Of the gradient of all parameters, with the tensors of one kind in this format and all others exact: norm of the error over the norm.
class FormatProbe {
 public:
  // `ops` and `batch` must outlive the probe.
  FormatProbe(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch);
  ~FormatProbe();
  KindErrors gradientErrors(const TriedFormat& format);

 private:
  class Keeper;
  std::vector<float> run(const TriedFormat* format, std::size_t kind);

  const TokenBatch& batch_;
  std::unique_ptr<Keeper> keeper_;
  Llama model_;
  std::vector<float> exact_;
};

// A row for each format, a column for each kind.
std::string formatTable(const std::vector<TriedFormat>& formats, const std::vector<KindErrors>& errors);

// A block's values become the nearest of 2^bits steps from its least to its largest value; that and the step in BF16, rounded outwards.
std::vector<float> roundTripWithZero(std::span<const float> values, int bits, int blockElems);

// All 2^bits codes, of which one more is negative, are used: the step, in BF16, has the sign that makes the larger side of a block the one
// with more codes, and is the least by which no value is off by more than half of it.
std::vector<float> roundTripSigned(std::span<const float> values, int bits, int blockElems);

}  // namespace qccl::train
