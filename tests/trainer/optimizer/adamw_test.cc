#include "optimizer/adamw.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/error.hpp"
#include "tiny_model.hpp"

namespace qccl::train {
namespace {

void setGradients(Parameters& parameters, int step) {
  for (const Parameter& p : parameters.list()) {
    const auto g = parameters.gradient(p);
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = static_cast<float>(std::sin(static_cast<double>(i + p.offsetElems) * 0.7 + step));
  }
}

// The definition in double, element by element.
TEST(AdamW, FollowsTheFormulas) {
  TinyModel model;
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-6, .weightDecay = 0.2};
  model.parameters.initialize(1, {.stddev = 0.5});
  AdamW optimizer(model.parameters, options);
  const std::size_t size = model.parameters.arenaElems();
  std::vector<double> w(model.parameters.values().begin(), model.parameters.values().end()), m(size), v(size);
  for (int t = 1; t <= 7; ++t) {
    setGradients(model.parameters, t);
    const double lr = 0.05 / t, gradScale = 0.5;
    for (const Parameter& p : model.parameters.list()) {
      for (std::size_t i = p.offsetElems; i < p.offsetElems + p.elems; ++i) {
        const double g = static_cast<double>(model.parameters.gradients()[i]) * gradScale;
        m[i] = options.beta1 * m[i] + (1 - options.beta1) * g;
        v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g;
        const double first = m[i] / (1 - std::pow(options.beta1, t)), second = v[i] / (1 - std::pow(options.beta2, t));
        w[i] -= lr * (p.is1D ? 0 : options.weightDecay) * w[i] + lr * first / (std::sqrt(second) + options.eps);
      }
    }
    optimizer.step(model.parameters, lr, gradScale);
    for (std::size_t i = 0; i < size; ++i)
      ASSERT_NEAR(static_cast<double>(model.parameters.values()[i]), w[i], 2e-6) << "step " << t << " element " << i;
  }
  EXPECT_EQ(optimizer.steps(), 7);
}

// Closed form: the first step moves every weight by lr * sign(g), whatever g's size.
TEST(AdamW, FirstStepIsTheSignOfTheGradient) {
  for (const float size : {1e-6F, 1.0F, 1e6F}) {
    TinyModel model;
    AdamW optimizer(model.parameters, {.eps = 1e-12, .weightDecay = 0});
    for (const Parameter& p : model.parameters.list()) {
      const auto g = model.parameters.gradient(p);
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = i % 2 == 0 ? size : -size;
    }
    optimizer.step(model.parameters, 0.01);
    for (const Parameter& p : model.parameters.list()) {
      const auto w = model.parameters.value(p);
      for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], i % 2 == 0 ? -0.01F : 0.01F, 1e-7F) << p.name;
    }
  }
}

// Closed form: without gradients a matrix shrinks by 1 - lr * decay a step, a vector stays.
TEST(AdamW, DecaysMatricesOnly) {
  TinyModel model;
  AdamW optimizer(model.parameters, {.weightDecay = 0.5});
  for (const Parameter& p : model.parameters.list()) {
    for (float& w : model.parameters.value(p)) w = 3.0F;
  }
  for (int i = 0; i < 10; ++i) optimizer.step(model.parameters, 0.1);
  for (const Parameter& p : model.parameters.list()) {
    for (const float w : model.parameters.value(p)) EXPECT_NEAR(w, p.is1D ? 3.0 : 3.0 * std::pow(0.95, 10), 1e-5) << p.name;
  }
}

TEST(AdamW, LeavesTheGapsOfTheArenaAtZero) {
  TinyModel model;
  AdamW optimizer(model.parameters, {});
  model.parameters.initialize(1);
  setGradients(model.parameters, 1);
  optimizer.step(model.parameters, 0.1);
  std::vector<bool> used(model.parameters.arenaElems());
  for (const Parameter& p : model.parameters.list()) std::fill_n(used.begin() + static_cast<std::ptrdiff_t>(p.offsetElems), p.elems, true);
  EXPECT_NE(std::count(used.begin(), used.end(), false), 0);
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) {
      ASSERT_EQ(model.parameters.values()[i], 0.0F);
    }
  }
}

TEST(AdamW, RefusesBadOptions) {
  TinyModel model;
  EXPECT_THROW(AdamW(model.parameters, {.beta1 = 1}), TrainError);
  EXPECT_THROW(AdamW(model.parameters, {.beta2 = -0.1}), TrainError);
  EXPECT_THROW(AdamW(model.parameters, {.eps = 0}), TrainError);
  EXPECT_THROW(AdamW(model.parameters, {.weightDecay = -1}), TrainError);
}

}  // namespace
}  // namespace qccl::train
