#include "model/parameters.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "model/random.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

TEST(Parameters, LieInTheDocumentedOrder) {
  const auto ops = makeCpuOps();
  for (const bool tied : {false, true}) {
    const ModelConfig config = test::smallModel(tied);
    Parameters parameters(config, *ops);
    std::vector<std::string> expected;
    if (!tied) expected.push_back("lm_head.weight");
    for (const char* layer : {"1", "0"}) {
      for (const char* name : {"mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.k_proj",
                               "self_attn.v_proj"}) {
        expected.push_back(std::string("model.layers.") + layer + "." + name + ".weight");
      }
    }
    expected.push_back("model.embed_tokens.weight");
    const std::size_t matrices = expected.size();
    expected.push_back("model.norm.weight");
    for (const char* layer : {"1", "0"}) {
      for (const char* name : {"post_attention_layernorm", "input_layernorm"})
        expected.push_back(std::string("model.layers.") + layer + "." + name + ".weight");
    }

    ASSERT_EQ(parameters.list().size(), expected.size());
    std::size_t end = 0, total = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const Parameter& p = parameters.list()[i];
      EXPECT_EQ(p.name, expected[i]);
      EXPECT_EQ(p.is1D, i >= matrices);
      EXPECT_EQ(p.offsetElems % 16, 0U);
      EXPECT_GE(p.offsetElems, end);
      EXPECT_LT(p.offsetElems, end + 16);
      if (i == matrices) {
        EXPECT_EQ(p.offsetElems, parameters.matrixElems());
      }
      end = p.offsetElems + p.elems;
      total += p.elems;
    }
    EXPECT_EQ(static_cast<std::int64_t>(total), config.parameterCount());
    EXPECT_GE(parameters.arenaElems(), end);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameters.values().data()) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameters.gradients().data()) % 64, 0U);
  }
}

TEST(Parameters, AreFoundByName) {
  const auto ops = makeCpuOps();
  const ModelConfig config = test::smallModel();
  const Parameters parameters(config, *ops);
  EXPECT_EQ(parameters["model.layers.0.self_attn.k_proj.weight"].shape, (std::vector<std::int64_t>{12, 24}));
  EXPECT_TRUE(parameters.has("lm_head.weight"));
  EXPECT_FALSE(Parameters(test::smallModel(true), *ops).has("lm_head.weight"));
  EXPECT_THROW(parameters["model.layers.2.mlp.up_proj.weight"], TrainError);
}

TEST(Parameters, InitializationIsNormalAndSeeded) {
  const auto ops = makeCpuOps();
  ModelConfig config = test::smallModel();
  config.hidden = 96;
  Parameters a(config, *ops), b(config, *ops);
  a.initialize(11);
  b.initialize(11);
  EXPECT_EQ(std::memcmp(a.values().data(), b.values().data(), a.values().size_bytes()), 0);
  b.initialize(12, {.stddev = 0.04, .scaleResidual = true});
  for (const Parameter& p : a.list()) {
    if (p.is1D) {
      for (const float w : a.value(p)) ASSERT_EQ(w, 1.0F);
      continue;
    }
    const auto spread = [&](const Parameters& parameters) {
      double sum = 0, square = 0;
      for (const float w : parameters.value(p)) {
        sum += static_cast<double>(w);
        square += static_cast<double>(w) * static_cast<double>(w);
      }
      const auto count = static_cast<double>(p.elems);
      EXPECT_NEAR(sum / count, 0, 6 * 0.04 / std::sqrt(count)) << p.name;
      return std::sqrt(square / count);
    };
    const double tolerance = 6 / std::sqrt(2 * static_cast<double>(p.elems));
    EXPECT_NEAR(spread(a), 0.02, 0.02 * tolerance) << p.name;
    const double scaled = p.closesResidual ? 0.04 / 2 : 0.04;  // 1 / sqrt(2 * 2 layers)
    EXPECT_NEAR(spread(b), scaled, scaled * tolerance) << p.name;
  }
}

// Vectors of the generator's authors for 10 rounds: all zero, all ones.
TEST(Random, PhiloxGivesThePublishedNumbers) {
  EXPECT_EQ(philox(0, 0, 0), 0xe169c58d6627e8d5ULL);
  EXPECT_EQ(philox(~0ULL, ~0ULL, ~0ULL), 0x41c83b0e408f276dULL);
}

TEST(Random, NormalHasTheMomentsOfTheNormalDistribution) {
  constexpr int kCount = 200000;
  double moments[5] = {};
  double most = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double x = normal(3, 5, i);
    double power = 1;
    for (double& moment : moments) {
      moment += power / kCount;
      power *= x;
    }
    most = std::max(most, std::abs(x));
  }
  EXPECT_NEAR(moments[1], 0, 0.012);
  EXPECT_NEAR(moments[2], 1, 0.016);
  EXPECT_NEAR(moments[3], 0, 0.05);
  EXPECT_NEAR(moments[4], 3, 0.12);
  EXPECT_GT(most, 4);
  EXPECT_LT(most, 7);
}

// Bits that must never change: a seed names the same model everywhere.
TEST(Random, BitsAreFixed) {
  EXPECT_EQ(uniform(1, 2, 3), static_cast<double>(philox(1, 3, 2) >> 11) / 9007199254740992.0);
  const double u0 = uniform(42, 7, 0), u1 = uniform(42, 7, 1);
  EXPECT_NEAR(normal(42, 7, 0), std::sqrt(-2 * std::log(1 - u0)) * std::cos(2 * M_PI * u1), 1e-14);
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const double a = uniform(9, 1, 2 * i), b = uniform(9, 1, 2 * i + 1);
    ASSERT_NEAR(normal(9, 1, i), std::sqrt(-2 * std::log(1 - a)) * std::cos(2 * M_PI * b), 1e-14) << i;
  }
}

}  // namespace
}  // namespace qccl::train
