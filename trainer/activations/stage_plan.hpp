// Bits for the stages of a pipeline: later stages hold fewer micro-batches between forward and backward, so they can keep more bits of each
// in the memory that the first stage needs.
//
// With 1F1B over P stages, each with `chunks` parts of the model (1: not interleaved), stage s (0, 1, ...) runs ahead by
//   chunks = 1:  P - s - 1
//   otherwise:   2 (P - s - 1) + (chunks - 1) P
// chunks and then has one more in flight, but never more than there are micro-batches times chunks. With P = 4, 2 chunks and 8
// micro-batches that is 11, 9, 7, 5.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "model/config.hpp"

namespace qccl::train {

struct PipelineShape {
  std::int64_t stages = 1;
  std::int64_t chunks = 1;  // of each stage
  std::int64_t microBatches = 1;
  std::int64_t rows = 0;  // tokens of a micro-batch
};

struct StagePlan {
  std::int64_t inFlight = 0;      // chunks
  std::vector<KindBits> byLayer;  // of a chunk's layers
  std::uint64_t chunkBytes = 0;   // codes and scales of one
  std::uint64_t peakBytes = 0;    // of those in flight
  double bitsAValue = 0;          // on average, without scales
};

std::int64_t chunksInFlight(const PipelineShape& pipeline, std::int64_t stage);

// The first stage keeps `first` in every layer. Each other stage keeps, of the kinds that `first` has in less than 16 bits, more bits where
// they fit: exactly the allocation of least error (a value's error falls by 4 with each bit) whose peak is not above the first stage's.
// Throws TrainError if the layers cannot be shared out evenly.
std::vector<StagePlan> planStages(const ModelConfig& config, const PipelineShape& pipeline, const ActivationPlan& first);

// A row for each stage.
std::string stageTable(const std::vector<StagePlan>& stages);

}  // namespace qccl::train
