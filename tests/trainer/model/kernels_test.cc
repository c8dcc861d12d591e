// The loops of each instruction set: against double arithmetic, and against each other bit for bit.
#include "model/cpu/simd/kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "formula.hpp"

namespace qccl::train::simd {
namespace {

// Lengths around the vector's, and odd ones.
const std::int64_t kLengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 37, 64, 99, 128, 1000};

std::vector<float> values(const char* name, std::int64_t count, float width) {
  std::vector<float> v(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = width * (2 * formula::u(name, i) - 1);
  return v;
}

double d(float x) { return static_cast<double>(x); }

class KernelSet : public testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& k = *GetParam();
};

TEST_P(KernelSet, ExponentialIsExactToTwoParts) {
  double worst = 0;
  for (float x = -87.2F; x < 88.2F; x += 0.0137F) {
    float row[1] = {x};
    k.expScaled(row, 1, 0.0F, 1.0F);
    worst = std::max(worst, std::abs(d(row[0]) / std::exp(d(x)) - 1));
  }
  EXPECT_LT(worst, 2e-7);
  const auto at = [&](float x) {
    float row[16];
    for (float& element : row) element = x;
    k.expScaled(row, 16, 0.0F, 1.0F);
    return row[9];
  };
  EXPECT_EQ(at(0.0F), 1.0F);
  EXPECT_LT(at(-1000.0F), 2e-38F);
  EXPECT_LT(at(-std::numeric_limits<float>::infinity()), 2e-38F);
  EXPECT_TRUE(std::isfinite(at(1000.0F)));
  EXPECT_GT(at(1000.0F), 1e38F);
  EXPECT_TRUE(std::isnan(at(std::numeric_limits<float>::quiet_NaN())));
}

TEST_P(KernelSet, DotScaleAndAdd) {
  for (const std::int64_t n : kLengths) {
    const std::vector<float> a = values("a", n, 2), b = values("b", n, 2);
    double expected = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      expected += d(a[i]) * d(b[i]);
      size += std::abs(d(a[i]) * d(b[i]));
    }
    EXPECT_NEAR(d(k.dot(a.data(), b.data(), n)), expected, 1e-6 * size) << n;
    std::vector<float> scaled = a, added = b;
    k.scale(scaled.data(), 3.0F, n);
    k.add(a.data(), added.data(), n);
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(scaled[i], a[i] * 3.0F);
      EXPECT_EQ(added[i], a[i] + b[i]);
    }
  }
}

TEST_P(KernelSet, SoftmaxRowAndItsBackward) {
  for (const std::int64_t valid : kLengths) {
    const std::int64_t cols = valid + 5;
    const std::vector<float> scores = values("scores", cols, 8), dp = values("dp", cols, 1);
    std::vector<float> row = scores;
    float total = 0;
    const float most = k.softmaxRow(row.data(), valid, cols, &total);
    double expectedTotal = 0;
    EXPECT_EQ(most, *std::max_element(scores.begin(), scores.begin() + valid));
    for (std::int64_t i = 0; i < cols; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double expected = i < valid ? std::exp(d(scores[at]) - d(most)) : 0;
      expectedTotal += expected;
      EXPECT_NEAR(d(row[at]), expected, 1e-6 * expected);
    }
    EXPECT_NEAR(d(total), expectedTotal, 1e-6 * expectedTotal);

    std::vector<float> p = scores, ds = dp;
    const float lse = most + std::log(total);
    k.softmaxBackwardRow(p.data(), ds.data(), valid, cols, lse, 0.25F, 0.5F);
    for (std::int64_t i = 0; i < cols; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double probability = i < valid ? std::exp(d(scores[at]) - d(lse)) : 0;
      EXPECT_NEAR(d(p[at]), probability, 2e-6 * probability);
      EXPECT_NEAR(d(ds[at]), i < valid ? probability * (d(dp[at]) - 0.25) * 0.5 : 0, 3e-6 * probability);
    }
  }
}

TEST_P(KernelSet, ExpSumOfARow) {
  for (const std::int64_t n : kLengths) {
    const std::vector<float> row = values("logits", n, 10);
    double expected = 0;
    for (const float x : row) expected += std::exp(d(x));
    float maximum = 0;
    const float total = k.expSum(row.data(), n, &maximum);
    EXPECT_EQ(maximum, *std::max_element(row.begin(), row.end()));
    EXPECT_NEAR(std::log(d(total)) + d(maximum), std::log(expected), 1e-6) << n;
  }
}

TEST_P(KernelSet, SwigluAndItsBackward) {
  for (const std::int64_t n : kLengths) {
    const std::vector<float> gate = values("gate", n, 12), up = values("up", n, 3), dOut = values("dOut", n, 1);
    std::vector<float> out(gate.size()), dGate(gate.size()), dUp(gate.size());
    k.swigluForward(gate.data(), up.data(), n, out.data());
    k.swigluBackward(gate.data(), up.data(), dOut.data(), n, dGate.data(), dUp.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const double g = d(gate[i]), s = 1 / (1 + std::exp(-g));
      EXPECT_NEAR(d(out[i]), g * s * d(up[i]), 1e-5);
      EXPECT_NEAR(d(dUp[i]), d(dOut[i]) * g * s, 1e-5);
      EXPECT_NEAR(d(dGate[i]), d(dOut[i]) * d(up[i]) * s * (1 + g * (1 - s)), 1e-5);
    }
  }
}

TEST_P(KernelSet, RmsNormAndItsBackward) {
  constexpr std::int64_t kRows = 3;
  for (const std::int64_t n : kLengths) {
    const std::vector<float> x = values("x", kRows * n, 2), w = values("w", n, 1), dy = values("dy", kRows * n, 1);
    std::vector<float> xhat(x.size()), y(x.size()), again(x.size()), rstd(kRows), dx(x.size(), 1.0F), dw(w.size(), 2.0F);
    k.rmsNormForward(x.data(), w.data(), 1e-5F, kRows, n, xhat.data(), rstd.data(), y.data());
    k.rmsNormScale(xhat.data(), w.data(), kRows, n, again.data());
    k.rmsNormBackward(dy.data(), xhat.data(), rstd.data(), w.data(), kRows, n, dx.data(), dw.data());
    EXPECT_EQ(std::memcmp(y.data(), again.data(), y.size() * sizeof(float)), 0);
    std::vector<double> expectedDw(w.size(), 2.0);
    for (std::int64_t r = 0; r < kRows; ++r) {
      double squares = 0, products = 0;
      const auto at = [&](std::int64_t i) { return static_cast<std::size_t>(r * n + i); };
      for (std::int64_t i = 0; i < n; ++i) squares += d(x[at(i)]) * d(x[at(i)]);
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      for (std::int64_t i = 0; i < n; ++i) products += d(dy[at(i)]) * d(w[static_cast<std::size_t>(i)]) * d(x[at(i)]) * inverse;
      for (std::int64_t i = 0; i < n; ++i) {
        const double hat = d(x[at(i)]) * inverse, weight = d(w[static_cast<std::size_t>(i)]);
        EXPECT_NEAR(d(y[at(i)]), hat * weight, 3e-6);
        EXPECT_NEAR(d(dx[at(i)]), 1 + inverse * (d(dy[at(i)]) * weight - hat * products / static_cast<double>(n)), 1e-5 * (1 + inverse))
            << n;
        expectedDw[static_cast<std::size_t>(i)] += d(dy[at(i)]) * hat;
      }
    }
    for (std::size_t i = 0; i < dw.size(); ++i) EXPECT_NEAR(d(dw[i]), expectedDw[i], 1e-5);
  }
}

TEST_P(KernelSet, RopeTurnsAndTurnsBack) {
  for (const std::int64_t half : kLengths) {
    constexpr std::int64_t kHeads = 3;
    const std::vector<float> before = values("rope", kHeads * 2 * half, 1), angle = values("angle", half, 3);
    std::vector<float> cosine(angle.size()), sine(angle.size());
    for (std::size_t i = 0; i < angle.size(); ++i) {
      cosine[i] = std::cos(angle[i]);
      sine[i] = std::sin(angle[i]);
    }
    std::vector<float> row = before;
    k.ropeRow(row.data(), cosine.data(), sine.data(), kHeads, half, 1.0F);
    for (std::int64_t h = 0; h < kHeads; ++h) {
      for (std::int64_t i = 0; i < half; ++i) {
        const auto low = static_cast<std::size_t>(h * 2 * half + i), high = low + static_cast<std::size_t>(half),
                   a = static_cast<std::size_t>(i);
        EXPECT_NEAR(d(row[low]), d(before[low]) * d(cosine[a]) - d(before[high]) * d(sine[a]), 1e-6);
        EXPECT_NEAR(d(row[high]), d(before[high]) * d(cosine[a]) + d(before[low]) * d(sine[a]), 1e-6);
      }
    }
    k.ropeRow(row.data(), cosine.data(), sine.data(), kHeads, half, -1.0F);
    for (std::size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(row[i], before[i], 1e-6);
  }
}

// Everything that a set computes, in one list.
std::vector<float> fingerprint(const Kernels& k) {
  std::vector<float> all;
  const auto keep = [&](const std::vector<float>& v) { all.insert(all.end(), v.begin(), v.end()); };
  for (const std::int64_t n : kLengths) {
    const std::vector<float> a = values("a", 2 * n, 4), b = values("b", 2 * n, 4), c = values("c", 2 * n, 4);
    std::vector<float> x = a, y = b, z = c, w(2), t(2 * static_cast<std::size_t>(n));
    all.push_back(k.dot(a.data(), b.data(), n));
    all.push_back(k.expSum(a.data(), n, &w[0]));
    all.push_back(k.softmaxRow(x.data(), n, 2 * n, &w[1]));
    k.softmaxBackwardRow(y.data(), z.data(), n, 2 * n, 1.5F, 0.3F, 0.7F);
    for (const auto* v : {&x, &y, &z, &w}) keep(*v);
    x = a;
    y = b;
    z = c;
    k.rmsNormForward(a.data(), b.data(), 1e-5F, 2, n, x.data(), w.data(), t.data());
    k.rmsNormBackward(c.data(), x.data(), w.data(), b.data(), 2, n, y.data(), z.data());
    for (const auto* v : {&x, &y, &z, &w, &t}) keep(*v);
    k.swigluForward(a.data(), b.data(), n, x.data());
    k.swigluBackward(a.data(), b.data(), c.data(), n, y.data(), z.data());
    k.ropeRow(t.data(), a.data(), b.data(), 1, n, 1.0F);
    for (const auto* v : {&x, &y, &z, &t}) keep(*v);
  }
  return all;
}

TEST_P(KernelSet, GivesTheBitsOfTheBaseSet) {
  const std::vector<float> base = fingerprint(*allKernels().front()), here = fingerprint(k);
  ASSERT_EQ(base.size(), here.size());
  EXPECT_EQ(std::memcmp(base.data(), here.data(), base.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelSet, testing::ValuesIn(allKernels()), [](const auto& p) { return std::string(p.param->name); });

TEST(Kernels, TheWidestSetIsUsed) { EXPECT_EQ(&kernels(), allKernels().back()); }

}  // namespace
}  // namespace qccl::train::simd
