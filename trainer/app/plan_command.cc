#include <cstdio>
#include <memory>

#include "activations/planned_tensors.hpp"
#include "activations/pooled_activations.hpp"
#include "activations/stage_plan.hpp"
#include "app/commands.hpp"
#include "app/flag_bounds.hpp"
#include "app/plan_drawing.hpp"
#include "app/train_options.hpp"
#include "io/atomic_file.hpp"
#include "model/activations.hpp"

namespace qccl::train {

namespace {

struct PlanOptions {
  TrainOptions train;
  PipelineShape pipeline;
  std::string svg;
  std::string json;
};

int runPlan(PlanOptions options) {
  const TrainOptions& o = options.train;
  // The vocabulary has no part in what layers save.
  const ModelConfig config = o.modelConfig.empty() ? modelFromFlags(o, 1) : ModelConfig::load(o.modelConfig);
  config.validate();
  const ActivationPlan plan = parseActivationPlan(o.activations, o.actBlock, o.actScale);
  const std::int64_t rows = o.batch * o.seq;
  const double exactBytes = static_cast<double>(rows * config.layers * Activations::savedElemsPerRow(config)) * sizeof(float);
  std::printf("a micro-batch of %lld sequences of %lld tokens, plan %s\n%s", static_cast<long long>(o.batch), static_cast<long long>(o.seq),
              plan.name.c_str(), PooledActivations::report(config, rows, plan).c_str());
  std::printf("in FP32: %.3f GiB, in bf16: %.3f GiB\n", exactBytes / (1 << 30), exactBytes / 2 / (1 << 30));
  std::vector<StagePlan> stages;
  if (options.pipeline.stages > 1 || options.pipeline.chunks > 1) {
    options.pipeline.rows = rows;
    stages = planStages(config, options.pipeline, plan);
  }
  const std::vector<PlannedTensor> tensors = plannedTensors(config, rows, plan, options.pipeline, stages);
  std::printf("\nby layer, codes and scales; error: what normally distributed values lose, relative\n%s",
              tensorTable(tensors, false).c_str());
  if (!stages.empty()) std::printf("\n%s", stageTable(stages).c_str());
  if (!options.json.empty()) {
    writeFileAtomically(options.json, tensorLines(tensors));
    std::printf("wrote %s\n", options.json.c_str());
  }
  if (!options.svg.empty()) {
    writeFileAtomically(options.svg, drawPlan(plan, config, rows, stages));
    std::printf("wrote %s\n", options.svg.c_str());
  }
  return 0;
}

}  // namespace

Command addPlanCommand(CLI::App& app) {
  const auto options = std::make_shared<PlanOptions>();
  TrainOptions& o = options->train;
  o.activations = "mixed";
  o.batch = 1;
  o.seq = 2048;
  addShapeFlags(app, o);
  app.add_option("--batch", o.batch, "Sequences of a micro-batch")->check(oneOrMore())->capture_default_str();
  app.add_option("--seq", o.seq, "Tokens of a sequence")->check(oneOrMore())->capture_default_str();
  app.add_option("--activations", o.activations, "The plan, as for `train`; of a pipeline, its first stage's")->capture_default_str();
  app.add_option("--act-block", o.actBlock, "Values that share a scale: a power of two from 32 to 4096")->capture_default_str();
  app.add_option("--act-scale", o.actScale, "Scales: float32, bfloat16 or e8m0")->capture_default_str();
  app.add_option("--stages", options->pipeline.stages, "Stages of a pipeline")->check(oneOrMore())->capture_default_str();
  app.add_option("--chunks", options->pipeline.chunks, "Parts of the model on each stage (interleaved 1F1B)")
      ->check(oneOrMore())
      ->capture_default_str();
  app.add_option("--micro-batches", options->pipeline.microBatches, "Of a step")->check(oneOrMore())->capture_default_str();
  app.add_option("--svg", options->svg, "Draw the plan, and the peaks of the stages, into this file");
  app.add_option("--json", options->json, "Write a line of JSON for each tensor into this file");
  return [options](char* const*) { return runPlan(*options); };
}

}  // namespace qccl::train
