// The fused operators on host memory: against formulas in double precision, against operators and saving one after another, and what they
// refuse. GPUs are then compared with the host byte by byte (cuda/activations_test.cc).
#include <gmock/gmock.h>

#include <cmath>

#include "api/fused_cases.hpp"
#include "quant/formats.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

constexpr qcclPackedFormat_t kExact = {qcclCodecNone, 0, 0};

std::vector<float> floats(const Bytes& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

FusedCase exactCase(std::size_t rows, std::size_t cols) {
  FusedCase c;
  c.format = c.second = kExact;
  c.rows = rows;
  c.cols = cols;
  c.hostile = false;
  return c;
}

std::vector<FusedCase> shapes() { return {exactCase(1, 1), exactCase(3, 7), exactCase(5, 1000), exactCase(1030, 36), exactCase(2, 20011)}; }

// A sum of n rounded terms of a tree of depth log2 n is off by less than this share of the sum of their magnitudes.
constexpr double kSumError = 32 * 0x1p-24;

TEST(Fused, TheNormIsThatOfDoublePrecision) {
  for (const FusedCase& c : shapes()) {
    SCOPED_TRACE(nameOf(c));
    HostMachine machine;
    const Left left = runNorm(machine, c);
    const std::vector<float> x = floats(c.values(c.elems(), 0)), weight = floats(c.values(c.cols, 1)),
                             dOutput = floats(c.values(c.elems(), 2));
    const std::vector<float> xhat = floats(leftOf(left, "xhat codes")), rstd = floats(leftOf(left, "rstd codes")),
                             output = floats(leftOf(left, "output")), dX = floats(leftOf(left, "dX")),
                             again = floats(leftOf(left, "output again")), dWeight = floats(leftOf(left, "dWeight")),
                             dWeightBefore = floats(normalBytes(qcclFloat32, c.cols, c.seed));
    std::vector<double> weightSums(c.cols, 0), weightMagnitudes(c.cols, 0);
    for (std::size_t row = 0; row < c.rows; ++row) {
      const auto at = [&](std::size_t col) { return row * c.cols + col; };
      double squares = 0;
      for (std::size_t col = 0; col < c.cols; ++col) squares += static_cast<double>(x[at(col)]) * x[at(col)];
      const double exactRstd = 1 / std::sqrt(squares / static_cast<double>(c.cols) + 1e-5);
      ASSERT_NEAR(rstd[row], exactRstd, kSumError * exactRstd);
      double dot = 0, dotMagnitude = 0;
      for (std::size_t col = 0; col < c.cols; ++col) {
        const double term = static_cast<double>(dOutput[at(col)]) * weight[col] * (x[at(col)] * exactRstd);
        dot += term;
        dotMagnitude += std::abs(term);
      }
      for (std::size_t col = 0; col < c.cols; ++col) {
        const double exactXhat = x[at(col)] * exactRstd, g = static_cast<double>(dOutput[at(col)]) * weight[col];
        ASSERT_NEAR(xhat[at(col)], exactXhat, kSumError * std::abs(exactXhat));
        ASSERT_NEAR(output[at(col)], exactXhat * weight[col], kSumError * std::abs(exactXhat * weight[col]));
        ASSERT_EQ(again[at(col)], output[at(col)]);
        const double n = static_cast<double>(c.cols);
        const double size = exactRstd * (std::abs(g) + std::abs(exactXhat) * dotMagnitude / n);
        ASSERT_NEAR(dX[at(col)], exactRstd * (g - exactXhat * dot / n), kSumError * size);
        weightSums[col] += dOutput[at(col)] * exactXhat;
        weightMagnitudes[col] += std::abs(dOutput[at(col)] * exactXhat);
      }
    }
    for (std::size_t col = 0; col < c.cols; ++col) {
      const double magnitude = weightMagnitudes[col] + std::abs(dWeightBefore[col]);
      ASSERT_NEAR(dWeight[col], dWeightBefore[col] + weightSums[col], kSumError * magnitude);
    }
  }
}

TEST(Fused, SwigluIsThatOfDoublePrecision) {
  constexpr double kError = 16 * 0x1p-24;
  for (const FusedCase& c : shapes()) {
    SCOPED_TRACE(nameOf(c));
    HostMachine machine;
    const Left left = runSwiglu(machine, c);
    const std::vector<float> gate = floats(c.values(c.elems(), 0)), up = floats(c.values(c.elems(), 1)), d = floats(c.values(c.elems(), 2));
    const std::vector<float> product = floats(leftOf(left, "product")), again = floats(leftOf(left, "product again")),
                             dGate = floats(leftOf(left, "dGate")), dUp = floats(leftOf(left, "dUp"));
    for (std::size_t i = 0; i < c.elems(); ++i) {
      const double g = gate[i], s = 1 / (1 + std::exp(-g)), exact = g * s * up[i];
      ASSERT_NEAR(product[i], exact, kError * std::abs(exact));
      ASSERT_EQ(again[i], product[i]);
      ASSERT_NEAR(dUp[i], d[i] * g * s, kError * std::abs(d[i] * g * s));
      // Where 1 + g (1 - s) is near 0 its terms cancel.
      const double slope = d[i] * up[i] * s, size = std::abs(slope) * (1 + std::abs(g));
      ASSERT_NEAR(dGate[i], slope * (1 + g * (1 - s)), kError * size);
    }
  }
}

// The values that were saved, as qcclActivationSave keeps them.
Left savedAlone(const char* name, const FusedCase& c, const qcclPackedFormat_t& format, qcclDataType_t dtype, const Bytes& values) {
  HostMachine machine;
  const qcclSavedTensor_t tensor{name, c.elems(), format, dtype};
  CasePool<HostMachine> pool(machine, {tensor}, true);
  Left left;
  QCCL_EXPECT_OK(qcclActivationSave(pool.get(), 1, &tensor, values.data(), dtype, nullptr));
  pool.collect(name, &left);
  return left;
}

std::vector<qcclPackedFormat_t> allFormats(std::size_t block) {
  std::vector<qcclPackedFormat_t> all;
  for (const quant::PackedFormat& f : quant::formats(block)) all.push_back({f.codec, f.scale, static_cast<int>(f.blockElems)});
  return all;
}

void expectPart(const Left& whole, const Left& part) {
  for (const auto& one : part) expectSame({one}, {{one.first, leftOf(whole, one.first)}});
}

TEST(Fused, CodesAreThoseOfSavingTheSameValues) {
  unsigned seed = 1;
  for (const qcclPackedFormat_t& format : allFormats(64)) {
    for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
      FusedCase c = exactCase(6, 100);
      c.dtype = dtype;
      c.seed = ++seed;
      HostMachine machine;
      FusedCase coded = c;
      coded.format = coded.second = format;
      SCOPED_TRACE(nameOf(coded));
      const Left swiglu = runSwiglu(machine, coded);
      expectPart(swiglu, savedAlone("gate", c, format, dtype, c.values(c.elems(), 0)));
      expectPart(swiglu, savedAlone("up", c, format, dtype, c.values(c.elems(), 1)));
      // xhat in FP32, of the same values in FP32.
      if (dtype != qcclFloat32) continue;
      expectPart(runNorm(machine, coded), savedAlone("xhat", c, format, qcclFloat32, leftOf(runNorm(machine, c), "xhat codes")));
    }
  }
}

TEST(Fused, TheNormIsTheSameInPlace) {
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    FusedCase c;
    c.dtype = dtype;
    c.format = {qcclCodecInt4, qcclScaleBfloat16, 128};
    c.rows = 7;
    c.cols = 640;
    FusedCase inPlace = c;
    inPlace.inPlace = true;
    HostMachine machine;
    expectSame(runNorm(machine, c), runNorm(machine, inPlace));
  }
}

// Of values that bfloat16 holds, codes and statistics are those of float32: xhat is not rounded before it is saved.
TEST(Fused, TheNormIsSavedBeforeItIsRounded) {
  FusedCase narrow = exactCase(4, 256), wide = narrow;
  narrow.dtype = qcclBfloat16;
  narrow.format = wide.format = {qcclCodecInt8, qcclScaleBfloat16, 128};
  const Bytes x = narrow.values(narrow.elems(), 0);
  std::vector<float> widened(narrow.elems());
  for (std::size_t i = 0; i < widened.size(); ++i) {
    const auto bits = static_cast<std::uint32_t>(static_cast<unsigned char>(x[2 * i])) << 16 |
                      static_cast<std::uint32_t>(static_cast<unsigned char>(x[2 * i + 1])) << 24;
    std::memcpy(&widened[i], &bits, 4);
  }
  HostMachine machine;
  const auto run = [&](const FusedCase& c, const void* values) {
    const qcclSavedTensor_t xhat = c.tensor("xhat", c.format), rstd{"rstd", c.rows, kExact, qcclFloat32};
    CasePool<HostMachine> pool(machine, {xhat, rstd}, true);
    const Bytes weight = c.values(c.cols, 1);
    Bytes output = c.nothing(c.elems());
    Left left;
    QCCL_EXPECT_OK(qcclRmsNormForward(pool.get(), 1, &xhat, &rstd, values, weight.data(), 1e-6f, output.data(), c.dtype, nullptr));
    pool.collect("xhat", &left);
    pool.collect("rstd", &left);
    return left;
  };
  expectSame(run(wide, widened.data()), run(narrow, x.data()));
}

TEST(Fused, ANanStaysInItsRowAndIsOneNan) {
  FusedCase c = exactCase(3, 64);
  HostMachine machine;
  std::vector<float> x(c.elems(), 1.0f), weight(c.cols, 2.0f), output(c.elems());
  x[70] = -std::nanf("123");
  const qcclSavedTensor_t xhat = c.tensor("xhat", {qcclCodecInt4, qcclScaleBfloat16, 32}), rstd{"rstd", 3, kExact, qcclFloat32};
  CasePool<HostMachine> pool(machine, {xhat, rstd}, true);
  QCCL_ASSERT_OK(qcclRmsNormForward(pool.get(), 1, &xhat, &rstd, x.data(), weight.data(), 0.0f, output.data(), qcclFloat32, nullptr));
  for (std::size_t i = 0; i < output.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &output[i], 4);
    EXPECT_EQ(bits, i / 64 == 1 ? 0x7fffffffu : 0x40000000u) << i;
  }
}

class FusedRefusals : public testing::Test {
 protected:
  const qcclSavedTensor_t xhat_{"l.xhat", 128, {qcclCodecInt4, qcclScaleBfloat16, 32}, 0}, rstd_{"l.rstd", 4, kExact, qcclFloat32};
  HostMachine machine_;
  CasePool<HostMachine> pool_{machine_, {xhat_, rstd_}, true};
  std::vector<float> values_ = std::vector<float>(128, 1.0f), weight_ = std::vector<float>(32, 1.0f), output_ = std::vector<float>(128);

  qcclResult_t forward(const qcclSavedTensor_t& xhat, const qcclSavedTensor_t& rstd, const void* x, qcclDataType_t dtype, void* stream) {
    return qcclRmsNormForward(pool_.get(), 1, &xhat, &rstd, x, weight_.data(), 1e-5f, output_.data(), dtype, stream);
  }
  void expectRefused(qcclResult_t result, const char* sentence) {
    EXPECT_EQ(result, qcclInvalidArgument);
    EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr(sentence));
  }
};

TEST_F(FusedRefusals, NameWhatIsWrongAndChangeNothing) {
  qcclSavedTensor_t wrong = rstd_;
  wrong.elems = 5;
  expectRefused(forward(xhat_, wrong, values_.data(), qcclFloat32, nullptr), "l.xhat has 128 elements, which are not 5 rows");
  wrong = rstd_;
  wrong.format = {qcclCodecInt8, qcclScaleFloat32, 128};
  expectRefused(forward(xhat_, wrong, values_.data(), qcclFloat32, nullptr), "statistics are kept with codec none in float32");
  expectRefused(forward(xhat_, rstd_, values_.data(), qcclFloat64, nullptr), "float64 is not one of float32, bfloat16 and float16");
  expectRefused(forward(xhat_, rstd_, nullptr, qcclFloat32, nullptr), "x is NULL");
  int notAStream = 0;
  expectRefused(forward(xhat_, rstd_, values_.data(), qcclFloat32, &notAStream), "l.xhat of micro-batch 1: the stream must be NULL");
  qcclSavedTensor_t long1{"l.xhat", 1 << 20, {qcclCodecInt4, qcclScaleBfloat16, 32}, 0}, one{"l.rstd", 1, kExact, qcclFloat32};
  expectRefused(forward(long1, one, values_.data(), qcclFloat32, nullptr), "1 rows and 1048576 columns");
  std::size_t bytes = 0;
  EXPECT_EQ(qcclRmsNormScratchBytes(0, 4, &bytes), qcclInvalidArgument);
  EXPECT_EQ(qcclRmsNormScratchBytes(4, 4, nullptr), qcclInvalidArgument);
  // All of that has changed nothing.
  EXPECT_EQ(forward(xhat_, rstd_, values_.data(), qcclFloat32, nullptr), qcclSuccess) << qcclGetLastError(nullptr);

  alignas(16) char scratch[64];
  wrong = xhat_;
  wrong.elems = 64;
  const auto backward = [&](const qcclSavedTensor_t& xhat, void* memory) {
    return qcclRmsNormBackward(pool_.get(), 1, &xhat, &rstd_, values_.data(), weight_.data(), output_.data(), weight_.data(), nullptr,
                               memory, qcclFloat32, nullptr);
  };
  expectRefused(backward(wrong, scratch), "l.xhat of micro-batch 1 was saved as");
  expectRefused(backward(xhat_, scratch + 4), "scratch is not aligned to 16 bytes");
  qcclPlace_t place{};
  EXPECT_EQ(qcclPoolRestore(pool_.get(), 1, "l.rstd", nullptr, &place), qcclSuccess) << "it is still there";
}

TEST_F(FusedRefusals, SwigluTakesTwoOfOneSize) {
  const qcclSavedTensor_t gate{"gate", 128, {qcclCodecInt4, qcclScaleBfloat16, 32}, 0},
      up{"up", 64, {qcclCodecInt4, qcclScaleBfloat16, 32}, 0};
  expectRefused(qcclSwigluForward(pool_.get(), 1, &gate, &up, values_.data(), values_.data(), output_.data(), qcclFloat32, nullptr),
                "gate has 128 elements, up 64; gate and up have as many");
  const qcclSavedTensor_t exact{"up", 128, kExact, qcclFloat32};
  expectRefused(qcclSwigluForward(pool_.get(), 1, &gate, &exact, values_.data(), values_.data(), output_.data(), qcclBfloat16, nullptr),
                "use one type for both");
}

}  // namespace
}  // namespace qccl::test
