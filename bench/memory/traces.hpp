// Traces of training steps, made from shapes: what pool-bench replays.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "memory/llama_ledger.hpp"
#include "memory/pool_plan.hpp"
#include "memory/trace.hpp"

namespace qccl::memory {

struct TraceShape {
  std::string name = "llama-3.2-1b";
  std::size_t seqLen = 2048;
  std::size_t stages = 4;        // of the pipeline; the trace is of the first, which has the most in flight
  std::size_t microBatches = 8;  // a step
  int bits = 4;                  // of what is not attention, which has 8
};

// Throws ToolError if no shape has the name.
LlamaShape llamaShape(const std::string& name);
std::vector<std::string> llamaShapeNames();

// What one stage of the pipeline saves.
Ledger stageLedger(const TraceShape& shape);
PlanOptions stageOptions(const TraceShape& shape, const Ledger& ledger);

// One step under 1F1B: every tensor of the ledger saved in each forward and restored in each backward, through a double-buffered scratch.
std::vector<TraceEvent> pipelineStep(const TraceShape& shape);

// Steps of the same model as an eager framework runs them, without a plan: temporaries come and go between what is saved, nothing is
// recomputed or quantized, and every micro-batch has a sequence length of its own, from half of seqLen to all of it. The same for a seed.
std::vector<TraceEvent> eagerSteps(const TraceShape& shape, std::size_t steps, unsigned seed);

// A trace as allocations and frees alone, for allocators that know nothing of tensors.
struct FlatOp {
  bool isAllocate = false;
  std::size_t slot = 0;   // of a table of pointers, used again after the free
  std::size_t bytes = 0;  // of an allocation
  std::size_t stream = 0;
};
struct FlatTrace {
  std::vector<FlatOp> ops;
  std::size_t slots = 0;
  std::size_t streams = 1;
  std::size_t peakBytes = 0;  // asked for at a time
};
// Throws ToolError if the trace restores or frees what it has not saved or allocated, or does not give everything back.
FlatTrace flattened(const std::vector<TraceEvent>& events);

}  // namespace qccl::memory
