// pool-bench: what a pool costs and wastes on traces of training steps, beside other allocators.
//
//   pool-bench [--shape llama-3.2-1b] [--seq 2048] [--stages 4] [--micro-batches 8] [--memory cuda] [--trace FILE] [--json FILE]
//
// Traces: `1f1b`, one step of the first pipeline stage whose saved activations are quantized; `eager`, steps of the same model without a
// plan, with sequences of different lengths; or a file that a pool wrote (qcclPoolConfig_t.tracePath). No memory is touched: on the host
// what is reserved is address space.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/api.hpp"
#include "common/command_line.hpp"
#include "common/run_tool.hpp"
#include "memory/planned_pool.hpp"
#include "memory/replay.hpp"

namespace qccl::memory {
namespace {

using bench::ToolError;

struct Options {
  TraceShape shape;
  std::size_t eagerSteps = 4;
  unsigned seed = 1;
  std::size_t segmentMiB = 64;
  int runs = 21;
  std::string memory = "host";
  int device = 0;
  std::string tracePath, jsonPath, writePath;
};

bool parse(int argc, char** argv, Options* options) {
  CLI::App app("Replays traces of training steps on qccl's pools and on other allocators.", "pool-bench");
  app.add_option("--shape", options->shape.name, bench::joined(llamaShapeNames()))->capture_default_str();
  app.add_option("--seq", options->shape.seqLen, "Tokens of a micro-batch")->capture_default_str()->check(CLI::Range(16, 1 << 20));
  app.add_option("--stages", options->shape.stages, "Stages of the pipeline: so many micro-batches are in flight on the first")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--micro-batches", options->shape.microBatches, "A step")->capture_default_str()->check(CLI::Range(1, 4096));
  app.add_option("--bits", options->shape.bits, "Of saved activations but attention's")
      ->capture_default_str()
      ->check(CLI::IsMember({4, 5, 6, 8, 16}));
  app.add_option("--eager-steps", options->eagerSteps, "Steps of the trace without a plan")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app.add_option("--seed", options->seed, "Of its sequence lengths")->capture_default_str();
  app.add_option("--segment-mib", options->segmentMiB, "What the best-fit pool takes from the system at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--runs", options->runs, "Timed runs of each trace; the first is told apart")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_option("--memory", options->memory, "host or cuda")->capture_default_str()->check(CLI::IsMember({"host", "cuda"}));
  app.add_option("--device", options->device, "GPU")->capture_default_str();
  app.add_option("--trace", options->tracePath, "Replay this file instead");
  app.add_option("--write-trace", options->writePath, "Write the 1f1b trace to this file and end");
  app.add_option("--json", options->jsonPath, "Also write JSON lines to this file; -: to standard output instead of the table");
  return bench::parseCommandLine(app, argc, argv);
}

struct Work {
  std::string name;
  std::vector<TraceEvent> events;
  bool planned = false;  // it follows the plan of its shape
};

std::vector<Work> workOf(const Options& options) {
  if (!options.tracePath.empty()) {
    std::ifstream in(options.tracePath);
    if (!in) throw ToolError("--trace " + options.tracePath + ": cannot be read");
    return {{options.tracePath, readTrace(in), false}};
  }
  return {{"1f1b", pipelineStep(options.shape), true}, {"eager", eagerSteps(options.shape, options.eagerSteps, options.seed), false}};
}

// The device that a trace runs on, with as many streams as it has.
class Machine {
 public:
  Machine(const Options& options, std::size_t streams) {
    if (options.memory == "cuda") {
      space_ = cudaMemory(options.device);
      gpu_ = gpuStreams(options.device, streams);
      device_.streams = gpu_->handles();
      device_.synchronize = [this] { gpu_->synchronize(); };
    } else {
      space_ = hostMemory();
      device_.streams.assign(streams, nullptr);
    }
    device_.space = space_.get();
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  const Device& device() const { return device_; }

 private:
  std::unique_ptr<MemorySpace> space_;
  std::unique_ptr<GpuStreams> gpu_;
  Device device_;
};

// One allocator after another, each gone before the next, so that they do not take memory from one another.
std::vector<Measurement> measureAll(const Work& work, const Options& options) {
  const FlatTrace flat = flattened(work.events);
  const Machine machine(options, flat.streams);
  MemorySpace& space = *machine.device().space;
  std::vector<Measurement> results;
  const auto add = [&](const char* allocator, Measurement measured) {
    measured.trace = work.name;
    measured.allocator = allocator;
    results.push_back(std::move(measured));
  };
  if (work.planned) {
    const Ledger ledger = stageLedger(options.shape);
    PlannedPool pool("bench", PoolPlan(ledger, stageOptions(options.shape, ledger)), space);
    add("planned", replay(work.events, pool, machine.device(), options.runs));
  }
  const auto run = [&](const char* name, std::unique_ptr<Allocator> allocator) {
    if (allocator != nullptr) add(name, replay(flat, *allocator, machine.device(), options.runs));
  };
  run("best-fit", bestFitAllocator(space, options.segmentMiB << 20));
  run("caching", cachingAllocator(space));
  if (options.memory == "cuda") {
    run("cudaMallocAsync", cudaAsyncAllocator(options.device));
  } else {
    run("malloc", mallocAllocator());
  }
  return results;
}

nlohmann::json jsonOf(const Measurement& m, const Options& options) {
  nlohmann::json row = {{"trace", m.trace},
                        {"allocator", m.allocator},
                        {"memory", options.memory},
                        {"ops", m.ops},
                        {"first_run_ns_per_op", m.firstNanoseconds},
                        {"ns_per_op", m.nanoseconds},
                        {"peak_used_bytes", m.usedBytes},
                        {"peak_reserved_bytes", m.reservedBytes},
                        {"fragmentation", m.fragmentation()}};
  if (!options.tracePath.empty()) return row;  // a file does not say what was trained
  row["shape"] = options.shape.name;
  row["seq"] = options.shape.seqLen;
  row["stages"] = options.shape.stages;
  row["micro_batches"] = options.shape.microBatches;
  return row;
}

void print(const std::vector<Measurement>& results) {
  fmt::print("{:<8} {:<16} {:>8} {:>12} {:>12} {:>16} {:>16} {:>14}\n", "trace", "allocator", "ops", "ns/op first", "ns/op", "peak used B",
             "peak reserved B", "fragmentation");
  for (const Measurement& m : results) {
    fmt::print("{:<8} {:<16} {:>8} {:>12.0f} {:>12.0f} {:>16} {:>16} {:>12.2f} %\n", m.trace, m.allocator, m.ops, m.firstNanoseconds,
               m.nanoseconds, m.usedBytes, m.reservedBytes, 100 * m.fragmentation());
  }
}

int runAll(const Options& options) {
  if (!options.writePath.empty()) {
    std::ofstream out(options.writePath);
    for (const TraceEvent& event : pipelineStep(options.shape)) out << formatEvent(event) << '\n';
    if (!out.flush()) throw ToolError("--write-trace " + options.writePath + ": cannot be written");
    return 0;
  }
  std::vector<Measurement> results;
  for (const Work& work : workOf(options)) {
    for (Measurement& measured : measureAll(work, options)) results.push_back(std::move(measured));
  }
  if (options.jsonPath != "-") print(results);
  if (options.jsonPath.empty()) return 0;
  std::ofstream file;
  if (options.jsonPath != "-") file.open(options.jsonPath);
  std::ostream& out = options.jsonPath == "-" ? std::cout : file;
  for (const Measurement& m : results) out << jsonOf(m, options).dump() << '\n';
  if (!out.flush()) throw ToolError("--json " + options.jsonPath + ": cannot be written");
  return 0;
}

}  // namespace
}  // namespace qccl::memory

int main(int argc, char** argv) {
  return qccl::bench::runTool("pool-bench", [&] {
    qccl::memory::Options options;
    return qccl::memory::parse(argc, argv, &options) ? qccl::memory::runAll(options) : 0;
  });
}
