#include "activations/gradient_comparison.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "model/activations.hpp"

namespace qccl::train {
namespace {

// "self_attn.q_proj.weight" of "model.layers.3.self_attn.q_proj.weight".
std::string kindOf(const std::string& name) {
  const std::string prefix = "model.layers.";
  if (name.rfind(prefix, 0) != 0) return name;
  return name.substr(name.find('.', prefix.size()) + 1);
}

struct Sums {
  double difference = 0, exact = 0, other = 0, product = 0;

  void add(const Sums& sums) {
    difference += sums.difference;
    exact += sums.exact;
    other += sums.other;
    product += sums.product;
  }
  GradientError error(const std::string& kind) const {
    return {kind, exact > 0 ? std::sqrt(difference / exact) : 0, exact > 0 && other > 0 ? product / std::sqrt(exact * other) : 1};
  }
};

Sums compare(const float* exact, const float* other, std::size_t elems) {
  Sums sums;
  for (std::size_t i = 0; i < elems; ++i) {
    const double a = exact[i], b = other[i];
    sums.difference += (a - b) * (a - b);
    sums.exact += a * a;
    sums.other += b * b;
    sums.product += a * b;
  }
  return sums;
}

std::vector<GradientError> errorsOf(const GradientProbe& probe) {
  std::vector<std::pair<std::string, Sums>> kinds;
  Sums all;
  for (const Parameter& parameter : probe.parameters().list()) {
    const std::string kind = kindOf(parameter.name);
    auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) { return each.first == kind; });
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {kind, {}});
    const Sums sums = compare(probe.exactGradients().data() + parameter.offsetElems, probe.gradients().data() + parameter.offsetElems,
                              static_cast<std::size_t>(parameter.elems));
    found->second.add(sums);
    all.add(sums);
  }
  std::vector<GradientError> errors;
  for (const auto& [kind, sums] : kinds) errors.push_back(sums.error(kind));
  errors.push_back(all.error("all"));
  return errors;
}

}  // namespace

std::vector<PlanComparison> comparePlans(GradientProbe& probe, const std::vector<ActivationPlan>& plans) {
  const ModelConfig& config = probe.config();
  const std::size_t exactBytes =
      static_cast<std::size_t>(probe.rows() * config.layers * Activations::savedElemsPerRow(config)) * sizeof(float);
  std::vector<PlanComparison> result;
  for (const ActivationPlan& plan : plans) {
    const float loss = probe.run(plan);
    const bool sameLoss = std::bit_cast<std::uint32_t>(loss) == std::bit_cast<std::uint32_t>(probe.exactLoss());
    result.push_back({plan, sameLoss, probe.keptBytes(), exactBytes, errorsOf(probe)});
  }
  return result;
}

std::string comparisonTable(const std::vector<PlanComparison>& comparisons) {
  std::string text;
  std::size_t width = 20;
  for (const PlanComparison& each : comparisons) width = std::max(width, each.plan.name.size() + 2);
  const auto row = [&](const std::string& name, const auto& value) {
    text += name + std::string(34 - std::min<std::size_t>(name.size(), 34), ' ');
    for (const PlanComparison& each : comparisons) {
      const std::string cell = value(each);
      text += std::string(width - std::min(cell.size(), width), ' ') + cell;
    }
    text += '\n';
  };
  const auto number = [](const char* format, auto... values) {
    char buffer[64];
    std::snprintf(buffer, sizeof(buffer), format, values...);
    return std::string(buffer);
  };
  row("plan", [](const PlanComparison& c) { return c.plan.name; });
  row("loss", [](const PlanComparison& c) { return std::string(c.sameLoss ? "same bits" : "DIFFERS"); });
  row("saved, MB (of FP32)", [&](const PlanComparison& c) {
    return number("%.2f (%.3f)", static_cast<double>(c.savedBytes) / 1e6,
                  static_cast<double>(c.savedBytes) / static_cast<double>(c.exactBytes));
  });
  if (comparisons.empty()) return text;
  text += "relative error and 1 - cosine of gradients\n";
  for (std::size_t i = 0; i < comparisons.front().errors.size(); ++i) {
    row(comparisons.front().errors[i].kind,
        [&](const PlanComparison& c) { return number("%.4f %9.1e", c.errors[i].relative, 1 - c.errors[i].cosine); });
  }
  return text;
}

}  // namespace qccl::train
