// qccl-numerics: how precise quantized all-reduces are, by algorithm, ranks, codec, block, rounding and data.
#include <qccl/packed.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "common/api.hpp"
#include "common/run_tool.hpp"
#include "numerics/all_reduce.hpp"
#include "numerics/options.hpp"
#include "numerics/outliers.hpp"
#include "numerics/report.hpp"
#include "numerics/tables.hpp"

namespace qccl::bench::numerics {
namespace {

const CapturedStep& stepOf(const std::vector<CapturedStep>& steps, std::int64_t step) {
  return *std::find_if(steps.begin(), steps.end(), [step](const CapturedStep& captured) { return captured.step == step; });
}

// Makes inputs, and keeps the last one: cases with the same input follow one another.
class Inputs {
 public:
  Inputs(const Options& options, const std::vector<CapturedStep>& steps) : options_(options), steps_(steps) {}

  const Input& of(const Case& c, std::size_t repetition) {
    const bool drawn = c.data != DataKind::gradients;
    const Key key{c.data, c.signs, c.dtype, c.step, repetition, drawn ? c.ranks : 0};
    if (input_ && key_ == key) return *input_;
    input_.reset();
    // Spread over an octave: precision with power-of-two scales depends on the size of the values.
    const float size = std::exp2(static_cast<float>(repetition) / static_cast<float>(options_.repetitions));
    input_ = drawn ? std::make_unique<Input>(c.data, c.signs, c.ranks, options_.elems, options_.seed + repetition, size)
                   : std::make_unique<Input>(stepOf(steps_, c.step), c.signs);
    if (c.dtype == qcclBfloat16) input_->roundToBfloat16();
    key_ = key;
    return *input_;
  }

 private:
  using Key = std::tuple<DataKind, Signs, qcclDataType_t, std::int64_t, std::size_t, int>;

  const Options& options_;
  const std::vector<CapturedStep>& steps_;
  std::unique_ptr<Input> input_;
  Key key_;
};

double bytesPerValue(const Case& c, std::size_t elems) {
  if (c.codec == qcclCodecNone) return static_cast<double>(qcclTypeSize(c.dtype));
  const qcclPackedFormat_t format{c.codec, c.scale, c.blockElems};
  std::size_t bytes = 0;
  check(qcclPackedBytes(elems, &format, &bytes), "qcclPackedBytes");
  return static_cast<double>(bytes) / static_cast<double>(elems);
}

// The repetitions of drawn data are other draws of other sizes; captured data is what it is, and only stochastic rounding gives other
// results.
void runCases(const Options& options, const std::vector<CapturedStep>& steps, Report& report) {
  Communicators comms;
  Inputs inputs(options, steps);
  const std::vector<Case> cases = casesOf(options, steps);
  const auto sameInput = [](const Case& a, const Case& b) {
    return std::tie(a.table, a.data, a.signs, a.dtype, a.step, a.ranks) == std::tie(b.table, b.data, b.signs, b.dtype, b.step, b.ranks);
  };
  for (auto first = cases.begin(); first != cases.end();) {
    const auto last = std::find_if_not(first, cases.end(), [&](const Case& c) { return sameInput(c, *first); });
    const std::size_t repetitions = first->data == DataKind::gradients ? 1 : options.repetitions;
    std::vector<std::vector<Measure>> measures(static_cast<std::size_t>(last - first));
    std::size_t elems = 0;
    for (std::size_t repetition = 0; repetition < repetitions; ++repetition) {
      const Input& input = inputs.of(*first, repetition);
      elems = input.elems();
      for (auto c = first; c != last; ++c)
        measures[static_cast<std::size_t>(c - first)].push_back(run(*c, input, options.seed + repetition, comms));
    }
    for (auto c = first; c != last; ++c) {
      Result result = summarize(measures[static_cast<std::size_t>(c - first)]);
      result.elems = elems;
      result.bytesPerValue = bytesPerValue(*c, elems);
      result.predictedSnrDb = explain(*c, elems, comms).predictedSnrDb;
      report.add(*c, result);
    }
    first = last;
  }
}

void runOutliers(const Options& options, const std::vector<CapturedStep>& steps, Report& report) {
  if (!wants(options, "outliers")) return;
  const std::vector<OutlierCase> cases = outlierCases(options.codecs);
  const auto measure = [&](const Input& input, DataKind data, std::int64_t step) {
    const std::vector<float> values(input.row(0).begin(), input.row(0).end());
    for (const OutlierCase& c : cases) report.add(data, step, values.size(), measureOutliers(c, values));
  };
  for (const DataKind data : {DataKind::normal, DataKind::heavy})
    measure(Input(data, Signs::independent, 1, options.elems, options.seed), data, 0);
  for (const CapturedStep& step : steps) {
    const CapturedStep ofOneRank{step.step, {step.paths.front()}};
    measure(Input(ofOneRank, Signs::independent), DataKind::gradients, step.step);
  }
}

int runAll(const Options& options) {
  const std::vector<CapturedStep> steps = options.gradients.empty() ? std::vector<CapturedStep>() : findGradients(options.gradients);
  Report report(options);
  runCases(options, steps, report);
  runOutliers(options, steps, report);
  return 0;
}

}  // namespace
}  // namespace qccl::bench::numerics

int main(int argc, char** argv) {
  return qccl::bench::runTool("qccl-numerics", [&] {
    const auto options = qccl::bench::numerics::parseOptions(argc, argv);
    return options ? qccl::bench::numerics::runAll(*options) : 0;
  });
}
