// Parity with LlamaForCausalLM: loss, logits and every gradient against values that scripts/make_golden.py wrote. QCCL_GOLDEN_DIR in the
// environment names another folder of such files (golden_live makes one and runs this program again).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "formula.hpp"
#include "io/safetensors.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/llama.hpp"

namespace qccl::train {
namespace {

// FP32 against FP32 with another order of sums; the reference itself is this far from exact arithmetic.
constexpr double kLossRelative = 1e-5;
constexpr double kLogitsAbsolute = 1e-4;
constexpr double kGradientCosine = 0.9999;
constexpr double kGradientRelative = 1e-4;

std::filesystem::path goldenFolder() {
  const char* folder = std::getenv("QCCL_GOLDEN_DIR");
  return folder != nullptr ? folder : QCCL_GOLDEN_DIR;
}

std::vector<std::string> goldenCases() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(goldenFolder(), error)) {
    if (entry.path().extension() == ".safetensors") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<float> read(const SafetensorsFile& file, const std::string& name) {
  std::vector<float> values(file.info(name).elems);
  file.readF32(name, values);
  return values;
}

void expectClose(std::span<const float> ours, std::span<const float> theirs, const std::string& name) {
  ASSERT_EQ(ours.size(), theirs.size()) << name;
  double dot = 0, squareOurs = 0, squareTheirs = 0, squareError = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double a = static_cast<double>(ours[i]), b = static_cast<double>(theirs[i]);
    dot += a * b;
    squareOurs += a * a;
    squareTheirs += b * b;
    squareError += (a - b) * (a - b);
  }
  ASSERT_GT(squareTheirs, 0) << name << " has no gradient in the reference";
  EXPECT_GT(dot / std::sqrt(squareOurs * squareTheirs), kGradientCosine) << name;
  EXPECT_LE(std::sqrt(squareError / squareTheirs), kGradientRelative) << name;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LossLogitsAndGradientsAreThoseOfTransformers) {
  const SafetensorsFile file((goldenFolder() / (GetParam() + ".safetensors")).string());
  const ModelConfig config = ModelConfig::fromJson(file.metadata().at("config"));
  const formula::Batch batch = formula::batch(config.vocab, std::stoll(file.metadata().at("batch")), std::stoll(file.metadata().at("seq")));

  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  formula::fill(model.parameters());

  std::vector<float> logits(batch.tokens.size() * static_cast<std::size_t>(config.vocab));
  model.logits(batch.tokens, batch.batch, batch.seqLen, logits);
  const std::vector<float> goldenLogits = read(file, "logits");
  ASSERT_EQ(logits.size(), goldenLogits.size());
  double worst = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) worst = std::max(worst, static_cast<double>(std::abs(logits[i] - goldenLogits[i])));
  EXPECT_LE(worst, kLogitsAbsolute);
  RecordProperty("worst_logit_error", std::to_string(worst));

  const double loss = static_cast<double>(model.forward(batch.tokens, batch.targets, batch.batch, batch.seqLen));
  const double goldenLoss = static_cast<double>(read(file, "loss").at(0));
  EXPECT_NEAR(loss, goldenLoss, kLossRelative * goldenLoss);

  model.backward(1.0F);
  for (const Parameter& p : model.parameters().list()) expectClose(model.parameters().gradient(p), read(file, "grad." + p.name), p.name);
  EXPECT_EQ(file.tensors().size(), model.parameters().list().size() + 2) << "the reference has tensors that the model lacks";
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(goldenCases()), [](const auto& p) { return p.param; });

TEST(GoldenFiles, AreThere) { EXPECT_GE(goldenCases().size(), 6U) << "in " << goldenFolder(); }

}  // namespace
}  // namespace qccl::train
