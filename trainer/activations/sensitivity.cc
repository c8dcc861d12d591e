#include "activations/sensitivity.hpp"

#include <cmath>
#include <cstdio>

#include "model/error.hpp"

namespace qccl::train {
namespace {

// How much finer the steps of a code of so many bits are than those of one of 4, squared.
double finer(int bits) {
  const double steps = std::exp2(bits - 1) - 1;
  return (steps / 7) * (steps / 7);
}

ActivationPlan allExact(const ModelConfig& config, const ActivationPlan& like) {
  ActivationPlan plan = like;
  KindBits exact;
  exact.fill(32);
  plan.byLayer.assign(static_cast<std::size_t>(config.layers), exact);
  return plan;
}

double errorWith(GradientProbe& probe, ActivationPlan plan, std::size_t layer, std::size_t kind, int bits) {
  plan.byLayer[layer][kind] = bits;
  plan.recomputesStatistics = losesBitsOfQOrK(plan);
  (void)probe.run(plan);
  return probe.squaredError();
}

}  // namespace

std::uint64_t storedBytes(std::int64_t elems, int bits, const ActivationPlan& like) {
  if (bits == 32) return static_cast<std::uint64_t>(elems) * sizeof(float);
  const qcclPackedFormat_t format = formatOfBits(bits, like);
  std::size_t bytes = 0;
  if (qcclPackedBytes(static_cast<std::size_t>(elems), &format, &bytes) != qcclSuccess) failTrain(qcclGetLastError(nullptr));
  return bytes;
}

std::vector<Sensitivity> measureSensitivities(GradientProbe& probe, std::int64_t rows, const ActivationPlan& like) {
  const ModelConfig& config = probe.config();
  const ActivationPlan exact = allExact(config, like);
  std::vector<Sensitivity> result;
  for (std::size_t layer = 0; layer < exact.byLayer.size(); ++layer) {
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      const double in4 = errorWith(probe, exact, layer, kind, 4), in16 = errorWith(probe, exact, layer, kind, 16);
      Sensitivity each{layer, kind, {}};
      for (const int bits : kPlannedBits) {
        each.choices.push_back({bits, storedBytes(rows * savedWidth(kind, config), bits, like), bits == 16 ? in16 : in4 / finer(bits)});
      }
      result.push_back(std::move(each));
    }
  }
  return result;
}

std::vector<TensorBits> allocate(const std::vector<Sensitivity>& tensors, std::uint64_t budgetBytes, std::uint64_t* bytes, double* error) {
  std::vector<std::string> names;
  for (const Sensitivity& each : tensors) names.push_back("layers." + std::to_string(each.layer) + '.' + kSavedKinds[each.kind]);
  std::vector<qcclBitItem_t> items;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    items.push_back({names[i].c_str(), tensors[i].choices.data(), tensors[i].choices.size()});
  std::vector<std::size_t> choice(items.size());
  if (qcclAllocateBits(items.data(), items.size(), budgetBytes, choice.data(), bytes, error) != qcclSuccess) {
    failTrain("saved activations: ", qcclGetLastError(nullptr));
  }
  std::vector<TensorBits> result;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    result.push_back({tensors[i].layer, tensors[i].kind, tensors[i].choices[choice[i]].bits});
  return result;
}

void requireBudget(const ModelConfig& config, std::int64_t rows, std::uint64_t budgetBytes, const ActivationPlan& like) {
  std::uint64_t layer = 0;
  for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) layer += storedBytes(rows * savedWidth(kind, config), 4, like);
  const std::uint64_t least = layer * static_cast<std::uint64_t>(config.layers);
  if (least > budgetBytes) {
    failTrain("--act-budget ", budgetBytes, " is too small: with 4 bits for every tensor a micro-batch of ", rows, " tokens takes ", least,
              " bytes");
  }
}

SolvedPlan solvePlan(const std::vector<Sensitivity>& sensitivities, const ModelConfig& config, std::uint64_t budgetBytes,
                     const ActivationPlan& like) {
  SolvedPlan solved;
  solved.plan = allExact(config, like);
  solved.plan.name = "auto";
  for (const TensorBits& tensor : allocate(sensitivities, budgetBytes, &solved.bytes, &solved.predictedError)) {
    solved.plan.byLayer[tensor.layer][tensor.kind] = tensor.bits;
  }
  solved.plan.recomputesStatistics = losesBitsOfQOrK(solved.plan);
  return solved;
}

std::string planTable(const SolvedPlan& solved) {
  std::string text = "bits       ";
  char cell[96];
  for (const char* kind : kSavedKinds) {
    std::snprintf(cell, sizeof(cell), "%7s", kind);
    text += cell;
  }
  text += '\n';
  for (std::size_t layer = 0; layer < solved.plan.byLayer.size(); ++layer) {
    std::snprintf(cell, sizeof(cell), "layer %-5zu", layer);
    text += cell;
    for (const int bits : solved.plan.byLayer[layer]) {
      std::snprintf(cell, sizeof(cell), "%7d", bits);
      text += cell;
    }
    text += '\n';
  }
  std::snprintf(cell, sizeof(cell), "%.3f MB, predicted relative error of the gradient %.4f\n", static_cast<double>(solved.bytes) / 1e6,
                std::sqrt(solved.predictedError));
  return text + cell;
}

}  // namespace qccl::train
