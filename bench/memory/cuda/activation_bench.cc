// activation-bench: what saving activations and the fused operators cost on a GPU, beside the GPU's own copy of as many bytes in the same
// run; and what a step's saved activations take of a GPU's memory, measured there.
//
//   activation-bench [operators|plans] [--rows 8192] [--cols 4096] [--ffn 14336] [--layers 32] [--codec int4] [--json FILE]
//
// The shapes are those of Llama-3-8B at 8192 tokens. Bytes are those that an operator reads plus those that it writes, each once, without
// its scratch; times are medians by the GPU's clock.
#include "memory/cuda/activation_bench.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <random>

#include "common/command_line.hpp"
#include "common/run_tool.hpp"
#include "core/types.hpp"
#include "device/cuda/devices.hpp"
#include "quant/reference.hpp"

namespace qccl::memory {

device::cuda::DeviceBuffer normalValues(std::size_t elems, qcclDataType_t dtype, unsigned seed, device::StreamHandle stream) {
  device::cuda::DeviceBuffer buffer(elems * typeSize(dtype));
  std::vector<unsigned char> part(std::min(buffer.bytes(), std::size_t{4} << 20));
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < part.size() / typeSize(dtype); ++i) quant::storeElem(dtype, part.data(), i, normal(random));
  for (std::size_t at = 0; at < buffer.bytes(); at += part.size()) {
    device::cuda::copyAsync(buffer.data() + at, at == 0 ? part.data() : buffer.data(), std::min(part.size(), buffer.bytes() - at), stream);
  }
  return buffer;
}

PlannedOnGpu::PlannedOnGpu(qcclLedger_t ledger, std::size_t microBatchesInFlight) {
  qcclPoolConfig_t config = QCCL_POOL_CONFIG_INITIALIZER;
  config.name = "bench";
  config.ledger = ledger;
  config.memory = qcclMemoryCuda;
  config.microBatchesInFlight = microBatchesInFlight;
  bench::check(qcclPoolCreate(&pool_, &config), "qcclPoolCreate");
}

namespace {

using bench::ToolError;

bool parse(int argc, char** argv, BenchOptions* options, std::string* part) {
  CLI::App app("What saving activations and the fused operators cost on a GPU.", "activation-bench");
  app.add_option("part", *part, "operators, plans or all")->capture_default_str()->check(CLI::IsMember({"operators", "plans", "all"}));
  app.add_option("--rows", options->rows, "Tokens")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  app.add_option("--cols", options->cols, "Columns of norms")->capture_default_str()->check(CLI::Range(1, 1 << 19));
  app.add_option("--ffn", options->ffn, "Columns of SwiGLU")->capture_default_str()->check(CLI::Range(1, 1 << 19));
  app.add_option("--layers", options->layers, "Of the step")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--turns", options->turns, "Measurements of each operator")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--block", options->blockElems, "Values that share a scale")->capture_default_str()->check(CLI::Range(32, 4096));
  app.add_option("--dtype", options->dtypes, "Of values: bfloat16, float32, float16")
      ->capture_default_str()
      ->check(CLI::IsMember({"bfloat16", "float32", "float16"}));
  app.add_option("--codec", options->codecs, "Of saved tensors; none: as they are")
      ->capture_default_str()
      ->check(CLI::IsMember(bench::enumNames(qcclEnumCodec, qcclNumCodecs)));
  app.add_option("--scale", options->scales, "Of saved tensors")
      ->capture_default_str()
      ->check(CLI::IsMember(bench::enumNames(qcclEnumScale, qcclNumScales)));
  app.add_option("--plan", options->plans, "mixed: attention in 8 bits, the rest in 4; int4; bf16; full: bf16 and nothing recomputed")
      ->capture_default_str()
      ->check(CLI::IsMember({"mixed", "int4", "bf16", "full"}));
  app.add_option("--json", options->jsonPath, "Also write JSON lines to this file");
  return bench::parseCommandLine(app, argc, argv);
}

int runParts(const BenchOptions& options, const std::string& part) {
  if (const std::string whyNot = device::cuda::whyNoDevice(); !whyNot.empty()) throw ToolError(whyNot);
  fmt::print("{}, {} rows, {} columns, {} of SwiGLU, blocks of {}\n\n", device::cuda::deviceInfo(0).name, options.rows, options.cols,
             options.ffn, options.blockElems);
  std::vector<nlohmann::json> lines;
  const auto add = [&](std::vector<nlohmann::json> more) { lines.insert(lines.end(), more.begin(), more.end()); };
  if (part != "plans") add(benchOperators(options));
  if (part != "operators") add(benchPlans(options));
  if (options.jsonPath.empty()) return 0;
  std::ofstream out(options.jsonPath);
  for (const nlohmann::json& line : lines) out << line.dump() << '\n';
  if (!out.flush()) throw ToolError("--json " + options.jsonPath + ": cannot be written");
  return 0;
}

}  // namespace
}  // namespace qccl::memory

int main(int argc, char** argv) {
  return qccl::bench::runTool("activation-bench", [&] {
    qccl::memory::BenchOptions options;
    std::string part = "all";
    return qccl::memory::parse(argc, argv, &options, &part) ? qccl::memory::runParts(options, part) : 0;
  });
}
