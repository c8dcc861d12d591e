#include "activations/stage_plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "activations/sensitivity.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

std::uint64_t bytesOf(const std::vector<KindBits>& layers, const ModelConfig& config, std::int64_t rows, const ActivationPlan& like) {
  std::uint64_t bytes = 0;
  for (const KindBits& bits : layers) {
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) bytes += storedBytes(rows * savedWidth(kind, config), bits[kind], like);
  }
  return bytes;
}

// For tensors that may have more bits, what each width costs and adds. `fixedBytes`: of the others.
std::vector<Sensitivity> choicesOf(const std::vector<KindBits>& layers, const ModelConfig& config, std::int64_t rows,
                                   const ActivationPlan& first, std::uint64_t* fixedBytes) {
  std::vector<Sensitivity> items;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      const std::int64_t elems = rows * savedWidth(kind, config);
      if (layers[layer][kind] >= 16) {
        *fixedBytes += storedBytes(elems, layers[layer][kind], first);
        continue;
      }
      Sensitivity item{layer, kind, {}};
      for (const int bits : kPlannedBits) {
        if (bits < layers[layer][kind]) continue;
        item.choices.push_back({bits, storedBytes(elems, bits, first), static_cast<double>(elems) * std::exp2(-2 * bits)});
      }
      items.push_back(std::move(item));
    }
  }
  return items;
}

double averageBits(const std::vector<KindBits>& layers, const ModelConfig& config) {
  double bits = 0, values = 0;
  for (const KindBits& each : layers) {
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      const auto width = static_cast<double>(savedWidth(kind, config));
      bits += width * each[kind];
      values += width;
    }
  }
  return bits / values;
}

}  // namespace

std::int64_t chunksInFlight(const PipelineShape& p, std::int64_t stage) {
  const std::int64_t ahead = p.chunks == 1 ? p.stages - stage - 1 : 2 * (p.stages - stage - 1) + (p.chunks - 1) * p.stages;
  return std::min(ahead + 1, p.microBatches * p.chunks);
}

std::vector<StagePlan> planStages(const ModelConfig& config, const PipelineShape& pipeline, const ActivationPlan& first) {
  if (pipeline.stages < 1 || pipeline.chunks < 1 || pipeline.microBatches < 1 || pipeline.rows < 1) {
    failTrain("a pipeline needs at least one stage, chunk, micro-batch and token");
  }
  const bool tooMany = pipeline.stages > config.layers || pipeline.chunks > config.layers / pipeline.stages;
  if (tooMany || config.layers % (pipeline.stages * pipeline.chunks) != 0) {
    failTrain(config.layers, " layers cannot be shared out evenly to ", pipeline.stages, " stages of ", pipeline.chunks, " chunks");
  }
  const std::vector<KindBits> alike(static_cast<std::size_t>(config.layers / (pipeline.stages * pipeline.chunks)), first.bits);
  const std::uint64_t firstBytes = bytesOf(alike, config, pipeline.rows, first);
  const std::uint64_t peak = static_cast<std::uint64_t>(chunksInFlight(pipeline, 0)) * firstBytes;
  std::vector<StagePlan> stages;
  for (std::int64_t s = 0; s < pipeline.stages; ++s) {
    StagePlan stage;
    stage.inFlight = chunksInFlight(pipeline, s);
    stage.byLayer = alike;
    if (s > 0) {
      std::uint64_t fixedBytes = 0;
      const std::vector<Sensitivity> items = choicesOf(alike, config, pipeline.rows, first, &fixedBytes);
      const std::uint64_t budget = peak / static_cast<std::uint64_t>(stage.inFlight) - fixedBytes;
      for (const TensorBits& tensor : allocate(items, budget)) stage.byLayer[tensor.layer][tensor.kind] = tensor.bits;
    }
    stage.chunkBytes = bytesOf(stage.byLayer, config, pipeline.rows, first);
    stage.peakBytes = static_cast<std::uint64_t>(stage.inFlight) * stage.chunkBytes;
    stage.bitsAValue = averageBits(stage.byLayer, config);
    stages.push_back(std::move(stage));
  }
  return stages;
}

std::string stageTable(const std::vector<StagePlan>& stages) {
  std::string text = "stage  in flight   bits a value   a chunk, MB    peak, MB   of the first\n";
  char line[128];
  for (std::size_t s = 0; s < stages.size(); ++s) {
    std::snprintf(line, sizeof(line), "%5zu %10lld %14.2f %13.2f %11.2f %13.3f\n", s, static_cast<long long>(stages[s].inFlight),
                  stages[s].bitsAValue, static_cast<double>(stages[s].chunkBytes) / 1e6, static_cast<double>(stages[s].peakBytes) / 1e6,
                  static_cast<double>(stages[s].peakBytes) / static_cast<double>(stages.front().peakBytes));
    text += line;
  }
  return text;
}

}  // namespace qccl::train
