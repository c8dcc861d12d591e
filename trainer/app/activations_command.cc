#include <cstdio>
#include <memory>

#include "activations/error_bounds.hpp"
#include "activations/format_errors.hpp"
#include "activations/gradient_comparison.hpp"
#include "activations/paper_bounds.hpp"
#include "activations/planned_tensors.hpp"
#include "activations/sensitivity.hpp"
#include "app/checkpoint_model.hpp"
#include "app/checkpoints.hpp"
#include "app/commands.hpp"
#include "app/flag_bounds.hpp"
#include "app/plan_drawing.hpp"
#include "io/atomic_file.hpp"
#include "io/checkpoint.hpp"

namespace qccl::train {

namespace {

struct ActivationsOptions {
  std::string checkpoint;
  std::string data;
  std::vector<std::string> plans = {"bf16", "agoq", "mixed", "int8", "int4"};
  int block = 128;
  std::string scale = "bfloat16";
  std::uint64_t budgetBytes = 0;  // 0: no plan is solved for
  std::string svg;
  std::int64_t batch = 8;
  std::int64_t seq = 0;
  bool bounds = false;
  bool formats = false;
  int threads = 0;
};

// What the formats of each plan do to derivatives, against what they may do.
void printBounds(const CapturedActivations& captured, const Parameters& weights, const std::vector<ActivationPlan>& plans) {
  for (const ActivationPlan& plan : plans) {
    std::printf("\nplan %s: changes of derivatives, root mean squares\n%s", plan.name.c_str(),
                boundTable(measureBounds(captured, weights, plan)).c_str());
    std::printf("the paper's bounds for RMSNorm\n%s", paperTable(measurePaperBounds(captured, weights, plan)).c_str());
  }
}

// Of each format that might do: the errors of tensors, and of gradients.
void printFormats(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch, qcclScale_t scale) {
  const CapturedActivations captured = captureActivations(weights, config, ops, batch);
  FormatProbe probe(weights, config, ops, batch);
  const std::vector<TriedFormat> formats = triedFormats(scale);
  std::vector<KindErrors> tensors, gradients;
  for (const TriedFormat& format : formats) {
    tensors.push_back(tensorErrors(captured, format));
    gradients.push_back(probe.gradientErrors(format));
  }
  std::printf("\nrelative error of the tensors, root mean square over layers\n%s", formatTable(formats, tensors).c_str());
  std::printf("\nrelative error of the gradient with the tensors of one kind so, and all others exact\n%s",
              formatTable(formats, gradients).c_str());
}

int runActivations(const ActivationsOptions& options) {
  const std::string folder = findCheckpoint(options.checkpoint);
  const TokenFile file(options.data + "/val.bin");
  const ModelConfig config = loadConfigFor(folder, file);
  const std::int64_t seq = options.seq > 0 ? options.seq : config.maxSeq;
  const TokenBatch batch = firstWindows(file, options.batch, seq);
  std::vector<ActivationPlan> plans;
  for (const std::string& plan : options.plans) plans.push_back(parseActivationPlan(plan, options.block, options.scale));
  const auto ops = makeOps(options.threads);
  Parameters weights(config, *ops);
  loadModel(folder, weights);
  std::printf("checkpoint %s, %lld sequences of %lld tokens, blocks of %d, scales %s\n", folder.c_str(),
              static_cast<long long>(batch.sequences), static_cast<long long>(seq), options.block, options.scale.c_str());
  if (options.bounds) {
    printBounds(captureActivations(weights, config, *ops, batch), weights, plans);
    return 0;
  }
  if (options.formats) {
    printFormats(weights, config, *ops, batch, parseActivationPlan("exact", options.block, options.scale).scale);
    return 0;
  }
  GradientProbe probe(weights, config, *ops, batch);
  if (options.budgetBytes > 0) {
    const ActivationPlan like = parseActivationPlan("exact", options.block, options.scale);
    const std::vector<Sensitivity> measured = measureSensitivities(probe, probe.rows(), like);
    const SolvedPlan solved = solvePlan(measured, config, options.budgetBytes, like);
    std::printf("plan auto, of at most %llu bytes\n%s\n", static_cast<unsigned long long>(options.budgetBytes), planTable(solved).c_str());
    std::printf("by layer, codes and scales; error: of the gradient by such tensors alone, predicted\n%s\n",
                tensorTable(plannedTensors(config, probe.rows(), solved, measured), true).c_str());
    plans.push_back(solved.plan);
    if (!options.svg.empty()) {
      writeFileAtomically(options.svg, drawPlan(solved.plan, config, probe.rows()));
      std::printf("wrote %s\n\n", options.svg.c_str());
    }
  }
  std::fputs(comparisonTable(comparePlans(probe, plans)).c_str(), stdout);
  return 0;
}

}  // namespace

Command addActivationsCommand(CLI::App& app) {
  const auto options = std::make_shared<ActivationsOptions>();
  app.add_option("--checkpoint", options->checkpoint, "A checkpoint's folder, or a run's folder (its latest checkpoint)")->required();
  app.add_option("--data", options->data, "Folder made by `qccl-train prepare`; its val.bin is used")->required();
  app.add_option("--plan", options->plans, "Plans to compare, as for `train --activations`")->delimiter(' ')->capture_default_str();
  auto* budget = app.add_option("--act-budget", options->budgetBytes,
                                "Solve for the plan of least error whose codes and scales of the batch take at most so many bytes (6MiB)")
                     ->transform(CLI::AsSizeValue(false));
  app.add_option("--act-block", options->block, "Values that share a scale: a power of two from 32 to 4096")->capture_default_str();
  app.add_option("--act-scale", options->scale, "Scales: float32, bfloat16 or e8m0")->capture_default_str();
  app.add_option("--svg", options->svg, "Draw the plan that is solved for into this file")->needs(budget);
  auto* formats = app.add_flag("--formats", options->formats,
                               "Instead: what each kind of tensor, and with it the gradient, loses in int4, int4 with zero points and with "
                               "signed scales, fp4, int5, int6, fp8 and int8, in blocks of 32 to 256")
                      ->excludes(budget);
  app.add_flag(
         "--bounds", options->bounds,
         "Instead: how far each layer's derivatives of RMSNorm, SwiGLU and softmax are from the exact ones, beside what is proved about it")
      ->excludes(budget)
      ->excludes(formats);
  app.add_option("--batch", options->batch, "Sequences of the batch")->check(oneOrMore())->capture_default_str();
  app.add_option("--seq", options->seq, "Tokens of a sequence; 0: the model's positions")->check(zeroOrMore())->capture_default_str();
  app.add_option("--threads", options->threads, "Threads of the matrix products; 0: all processors")
      ->check(zeroOrMore())
      ->capture_default_str();
  return [options](char* const*) { return runActivations(*options); };
}

}  // namespace qccl::train
