#include "memory/traces.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "common/api.hpp"
#include "core/error.hpp"

namespace qccl::memory {
namespace {

using bench::ToolError;
using Kind = TraceEvent::Kind;

struct NamedShape {
  const char* name;
  LlamaShape shape;
};
const NamedShape kShapes[] = {{"smollm2-135m", {30, 0, 576, 1536, 9, 3, 64}},
                              {"llama-3.2-1b", {16, 0, 2048, 8192, 32, 8, 64}},
                              {"llama-2-7b", {32, 0, 4096, 11008, 32, 32, 128}},
                              {"llama-3-8b", {32, 0, 4096, 14336, 32, 8, 128}}};

// Writes allocations and frees with numbers of their own.
class Eager {
 public:
  std::uint64_t allocate(std::string name, std::size_t bytes) {
    events.push_back({Kind::allocate, next_, std::move(name), {bytes, 0}, 0});
    return next_++;
  }
  void free(std::uint64_t number) { events.push_back({Kind::free, number, "", {}, 0}); }

  std::vector<TraceEvent> events;

 private:
  std::uint64_t next_ = 0;
};

// What a layer leaves for its backward, in the order of saving.
using Saved = std::vector<std::pair<std::uint64_t, std::size_t>>;

// bf16 all over; FP32 statistics.
Saved eagerForward(Eager& run, const LlamaShape& s, std::size_t tokens) {
  const std::size_t hidden = 2 * s.hidden * tokens, query = 2 * s.heads * s.headDim * tokens, kv = 2 * s.kvHeads * s.headDim * tokens;
  const std::size_t ffn = 2 * s.ffn * tokens;
  Saved saved;
  const auto keep = [&](const char* name, std::size_t bytes) { saved.emplace_back(run.allocate(name, bytes), bytes); };
  const auto norm = [&] {
    const auto squares = run.allocate("squares", 2 * hidden);
    keep("rstd", 4 * tokens);
    run.free(squares);
    keep("norm", hidden);
  };
  norm();
  const auto q = run.allocate("q", query), k = run.allocate("k", kv);
  keep("v", kv);
  keep("q_rotated", query);
  run.free(q);
  keep("k_rotated", kv);
  run.free(k);
  keep("o", query);
  keep("lse", 4 * s.heads * tokens);
  const auto projected = run.allocate("projected", hidden);
  keep("x2", hidden);
  run.free(projected);
  norm();
  keep("gate", ffn);
  keep("up", ffn);
  keep("silu", ffn);
  keep("product", ffn);
  const auto down = run.allocate("down", hidden);
  keep("x_next", hidden);
  run.free(down);
  return saved;
}

// A gradient of each saved tensor, and the one of the tensor after it until then.
void eagerBackward(Eager& run, const Saved& saved) {
  std::optional<std::uint64_t> incoming;
  for (auto tensor = saved.rbegin(); tensor != saved.rend(); ++tensor) {
    const std::uint64_t gradient = run.allocate("gradient", tensor->second);
    if (incoming) run.free(*incoming);
    incoming = gradient;
    run.free(tensor->first);
  }
  run.free(*incoming);
}

}  // namespace

LlamaShape llamaShape(const std::string& name) {
  for (const NamedShape& known : kShapes) {
    if (known.name == name) return known.shape;
  }
  std::string names;
  for (const std::string& known : llamaShapeNames()) names += (names.empty() ? "" : ", ") + known;
  throw ToolError("--shape " + name + ": unknown; allowed: " + names);
}

std::vector<std::string> llamaShapeNames() {
  std::vector<std::string> names;
  for (const NamedShape& known : kShapes) names.emplace_back(known.name);
  return names;
}

Ledger stageLedger(const TraceShape& shape) {
  LlamaShape stage = llamaShape(shape.name);
  stage.layers = (stage.layers + shape.stages - 1) / shape.stages;
  return llamaLedger(stage, 1, shape.seqLen, {formatOfBits(8), formatOfBits(shape.bits)});
}

PlanOptions stageOptions(const TraceShape& shape, const Ledger& ledger) { return {shape.stages, ledger.totals().largestElems * 2}; }

std::vector<TraceEvent> pipelineStep(const TraceShape& shape) {
  const Ledger ledger = stageLedger(shape);
  const auto& entries = ledger.entries();
  std::vector<TraceEvent> events;
  std::uint64_t nextScratch = 0;
  const auto forward = [&](std::uint64_t microBatch) {
    for (const LedgerEntry& entry : entries) events.push_back({Kind::save, microBatch, entry.tensor.name, entry.bytes, 0});
  };
  const auto backward = [&](std::uint64_t microBatch) {
    std::optional<std::uint64_t> computing;  // the half that is computed with while the next is filled
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      events.push_back({Kind::allocate, nextScratch, "scratch", {2 * entry->tensor.elems, 0}, 0});
      events.push_back({Kind::restore, microBatch, entry->tensor.name, {}, 0});
      if (computing) events.push_back({Kind::free, *computing, "", {}, 0});
      computing = nextScratch++;
    }
    events.push_back({Kind::free, *computing, "", {}, 0});
  };
  const std::size_t ahead = std::min(shape.stages, shape.microBatches);
  for (std::uint64_t microBatch = 0; microBatch < ahead; ++microBatch) forward(microBatch);
  for (std::uint64_t microBatch = 0; microBatch < shape.microBatches; ++microBatch) {
    backward(microBatch);
    if (microBatch + ahead < shape.microBatches) forward(microBatch + ahead);
  }
  return events;
}

std::vector<TraceEvent> eagerSteps(const TraceShape& shape, std::size_t steps, unsigned seed) {
  const LlamaShape model = llamaShape(shape.name);
  const std::size_t layers = (model.layers + shape.stages - 1) / shape.stages;
  std::mt19937 random(seed);
  Eager run;
  for (std::size_t microBatch = 0; microBatch < steps * shape.microBatches; ++microBatch) {
    const std::size_t tokens = shape.seqLen / 2 + random() % (shape.seqLen - shape.seqLen / 2) + 1;
    std::vector<Saved> saved;
    for (std::size_t layer = 0; layer < layers; ++layer) saved.push_back(eagerForward(run, model, tokens));
    for (; !saved.empty(); saved.pop_back()) eagerBackward(run, saved.back());
  }
  return std::move(run.events);
}

FlatTrace flattened(const std::vector<TraceEvent>& events) {
  struct Piece {
    std::size_t slot, bytes;
  };
  FlatTrace flat;
  std::vector<std::size_t> freeSlots;
  std::size_t used = 0;
  const auto allocate = [&](std::size_t bytes, std::size_t stream) {
    if (freeSlots.empty()) freeSlots.push_back(flat.slots++);
    const Piece piece{freeSlots.back(), bytes};
    freeSlots.pop_back();
    flat.ops.push_back({true, piece.slot, bytes, stream});
    flat.streams = std::max(flat.streams, stream + 1);
    flat.peakBytes = std::max(flat.peakBytes, used += bytes);
    return piece;
  };
  const auto free = [&](const Piece& piece, std::size_t stream) {
    flat.ops.push_back({false, piece.slot, 0, stream});
    flat.streams = std::max(flat.streams, stream + 1);
    used -= piece.bytes;
    freeSlots.push_back(piece.slot);
  };

  std::map<std::pair<std::uint64_t, std::string>, std::vector<Piece>> saved;
  std::map<std::uint64_t, Piece> allocated;
  for (const TraceEvent& event : events) {
    const auto wrong = [&](const char* what) { return ToolError("the trace " + std::string(what) + ": " + formatEvent(event)); };
    if (event.kind == Kind::save) {
      auto& pieces = saved[{event.number, event.name}];
      if (!pieces.empty()) throw wrong("saves a tensor twice");
      pieces.push_back(allocate(event.bytes.codes, event.stream));
      if (event.bytes.scales > 0) pieces.push_back(allocate(event.bytes.scales, event.stream));
    } else if (event.kind == Kind::restore) {
      const auto found = saved.find({event.number, event.name});
      if (found == saved.end()) throw wrong("restores what it has not saved");
      for (const Piece& piece : found->second) free(piece, event.stream);
      saved.erase(found);
    } else if (event.kind == Kind::discard) {
      for (auto tensor = saved.lower_bound({event.number, ""}); tensor != saved.end() && tensor->first.first == event.number;) {
        for (const Piece& piece : tensor->second) free(piece, 0);
        tensor = saved.erase(tensor);
      }
    } else if (event.kind == Kind::allocate) {
      if (!allocated.emplace(event.number, allocate(event.bytes.codes, event.stream)).second) throw wrong("allocates a number twice");
    } else if (event.kind == Kind::free) {
      const auto found = allocated.find(event.number);
      if (found == allocated.end()) throw wrong("frees what it has not allocated");
      free(found->second, event.stream);
      allocated.erase(found);
    }
  }
  if (!saved.empty() || !allocated.empty()) throw ToolError("the trace does not give back all that it takes; record whole steps");
  return flat;
}

}  // namespace qccl::memory
