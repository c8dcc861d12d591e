#include "model/cpu/blas.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "formula.hpp"
#include "model/error.hpp"

namespace qccl::train::blas {
namespace {

TEST(Blas, GemmOfAllTranspositionsIsTheDefinition) {
  constexpr std::int64_t kM = 5, kN = 7, kK = 11;
  for (const Transpose ta : {Transpose::kNo, Transpose::kYes}) {
    for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
      const std::int64_t lda = (ta == Transpose::kYes ? kM : kK) + 2, ldb = (tb == Transpose::kYes ? kK : kN) + 3, ldc = kN + 1;
      std::vector<float> a(200), b(200), c(100, 0.5F);
      for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = formula::u("a", i) - 0.5F;
        b[i] = formula::u("b", i) - 0.5F;
      }
      gemm(ta, tb, kM, kN, kK, 2.0F, a.data(), lda, b.data(), ldb, 3.0F, c.data(), ldc);
      for (std::int64_t i = 0; i < kM; ++i) {
        for (std::int64_t j = 0; j < kN; ++j) {
          double sum = 1.5;
          for (std::int64_t k = 0; k < kK; ++k) {
            const float x = a[static_cast<std::size_t>(ta == Transpose::kYes ? k * lda + i : i * lda + k)];
            const float y = b[static_cast<std::size_t>(tb == Transpose::kYes ? j * ldb + k : k * ldb + j)];
            sum += 2.0 * static_cast<double>(x) * static_cast<double>(y);
          }
          EXPECT_NEAR(c[static_cast<std::size_t>(i * ldc + j)], sum, 1e-5);
        }
        EXPECT_EQ(c[static_cast<std::size_t>(i * ldc + kN)], 0.5F) << "the gap between rows was written";
      }
    }
  }
}

TEST(Blas, RefusesExtentsBeyondItsIntegers) {
  EXPECT_THROW(gemm(Transpose::kNo, Transpose::kNo, std::int64_t{1} << 31, 1, 1, 1, nullptr, 1, nullptr, 1, 0, nullptr, 1), TrainError);
}

}  // namespace
}  // namespace qccl::train::blas
