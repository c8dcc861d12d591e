// Arithmetic of the exact path: every type and operation against an expectation that shares no code with it. Integers are reckoned in 128
// bits and cut; short floats are widened by ldexp on their fields and rounded back by a search over all patterns.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/float_formats.hpp"
#include "quant/kernels.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
__extension__ typedef __int128 Wide;

bool isFloating(qcclDataType_t dtype) { return dtype >= qcclFloat16; }

struct ShortFormat {
  int exponentBits;
  int mantissaBits;
  bool hasInfinity;
};

ShortFormat shortFormat(qcclDataType_t dtype) {
  switch (dtype) {
    case qcclFloat16:
      return {5, 10, true};
    case qcclBfloat16:
      return {8, 7, true};
    case qcclFloat8e4m3:
      return {4, 3, false};
    default:
      return {5, 2, true};
  }
}

double shortValue(const ShortFormat& format, std::uint64_t pattern) {
  const int bits = format.exponentBits + format.mantissaBits;
  const bool negative = (pattern >> bits) & 1;
  const std::uint64_t magnitude = pattern & ((std::uint64_t{1} << bits) - 1);
  const std::uint64_t infinity = ((std::uint64_t{1} << format.exponentBits) - 1) << format.mantissaBits;
  double value = 0.0;
  if (format.hasInfinity ? magnitude > infinity : magnitude == (std::uint64_t{1} << bits) - 1) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (format.hasInfinity && magnitude == infinity) {
    value = std::numeric_limits<double>::infinity();
  } else {
    const int exponent = static_cast<int>(magnitude >> format.mantissaBits);
    const double fraction = std::ldexp(static_cast<double>(magnitude & ((1u << format.mantissaBits) - 1)), -format.mantissaBits);
    const int bias = (1 << (format.exponentBits - 1)) - 1;
    value = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias);
  }
  return negative ? -value : value;
}

// Bits of an element as an integer, whatever its type.
std::uint64_t bitsAt(const unsigned char* data, std::size_t typeBytes, std::size_t i) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, data + i * typeBytes, typeBytes);
  return bits;
}

Wide integerAt(qcclDataType_t dtype, std::uint64_t bits) {
  switch (dtype) {
    case qcclInt8:
      return static_cast<std::int8_t>(bits);
    case qcclUint8:
      return static_cast<std::uint8_t>(bits);
    case qcclInt32:
      return static_cast<std::int32_t>(bits);
    case qcclUint32:
      return static_cast<std::uint32_t>(bits);
    case qcclInt64:
      return static_cast<std::int64_t>(bits);
    default:
      return static_cast<Wide>(bits);
  }
}

double floatingAt(qcclDataType_t dtype, std::uint64_t bits) {
  if (dtype == qcclFloat32) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (dtype == qcclFloat64) return std::bit_cast<double>(bits);
  return shortValue(shortFormat(dtype), bits);
}

Wide wrap(qcclDataType_t dtype, Wide x) { return integerAt(dtype, static_cast<std::uint64_t>(x)); }

template <typename F>
F combine(qcclRedOp_t op, F a, F x) {
  if (op == qcclProd) return a * x;
  if (op == qcclMax || op == qcclMin) {
    if (std::isnan(a) || std::isnan(x)) return std::numeric_limits<F>::quiet_NaN();
    return op == qcclMax ? (a < x ? x : a) : (x < a ? x : a);
  }
  return a + x;
}

// Whether `actual` is `exact` rounded to nearest even: no neighbour is nearer, and of two equally near it is the even one.
bool isRounded(qcclDataType_t dtype, std::uint64_t actual, float exact) {
  const ShortFormat format = shortFormat(dtype);
  const int bits = format.exponentBits + format.mantissaBits;
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  const double value = shortValue(format, actual);
  if (std::isnan(exact)) return std::isnan(value);
  if (((actual >> bits) & 1) != (std::signbit(exact) ? 1u : 0u)) return false;
  const std::uint64_t magnitude = actual & mask;
  // The value that a pattern would have if exponents went on, for what lies just beyond the range.
  const ShortFormat unbounded = {format.exponentBits + 1, format.mantissaBits, true};
  const int biasShift = 1 << (format.exponentBits - 1);  // bias of the wider exponent less that of the narrow one
  const auto reach = [&](std::uint64_t m) {
    const std::uint64_t exponent = m >> format.mantissaBits;
    if (exponent == 0) return shortValue(format, m);
    return shortValue(unbounded, m + (static_cast<std::uint64_t>(biasShift) << format.mantissaBits));
  };
  const double target = std::fabs(static_cast<double>(exact));
  const std::uint64_t firstBeyond = format.hasInfinity ? ((std::uint64_t{1} << format.exponentBits) - 1) << format.mantissaBits : mask;
  if (magnitude > firstBeyond) return false;
  const double at = reach(magnitude);
  if (magnitude < firstBeyond) {
    const double up = reach(magnitude + 1);
    if (target > at && (up - target < target - at || (up - target == target - at && magnitude % 2 == 1))) return false;
  }
  if (magnitude > 0 && target < at) {
    const double down = reach(magnitude - 1);
    if (target - down < at - target || (target - down == at - target && magnitude % 2 == 1)) return false;
  }
  return magnitude == firstBeyond || target <= reach(magnitude + 1);
}

// Patterns of one type: mostly moderate values, so that sums mean something, and every special one.
std::uint64_t drawBits(qcclDataType_t dtype, std::mt19937_64& random) {
  const std::uint64_t any = random();
  if (!isFloating(dtype) || random() % 8 == 0) return any;
  const double x = std::normal_distribution<double>()(random) * std::ldexp(1.0, static_cast<int>(random() % 9) - 4);
  switch (dtype) {
    case qcclFloat32:
      return bitsOf(static_cast<float>(x));
    case qcclFloat64:
      return std::bit_cast<std::uint64_t>(x);
    case qcclFloat16:
      return toFloat16(static_cast<float>(x));
    case qcclBfloat16:
      return toBfloat16(static_cast<float>(x));
    case qcclFloat8e4m3:
      return Float8E4m3::fromFloat(static_cast<float>(x));
    default:
      return Float8E5m2::fromFloat(static_cast<float>(x));
  }
}

struct Case {
  qcclDataType_t dtype;
  qcclRedOp_t op;
  std::string isa;
};

// Of every instruction set that this processor has.
std::vector<Case> allCases() {
  std::vector<Case> cases;
  for (const char* isa : {"avx512", "avx2", "baseline"}) {
    if (reduceKernels(isa, qcclFloat32, qcclSum) == nullptr) continue;
    for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
      for (int op = 0; op < qcclNumOps; ++op) cases.push_back({static_cast<qcclDataType_t>(dtype), static_cast<qcclRedOp_t>(op), isa});
    }
  }
  return cases;
}

class Reduce : public testing::TestWithParam<Case> {
 protected:
  // Reduces `inputs` (of `elems` elements each, as bytes) with the kernels, all pointers of values `offset` bytes off alignment.
  std::unique_ptr<GuardedBuffer> reduce(const std::vector<std::vector<unsigned char>>& inputs, std::size_t elems, std::size_t offset) {
    const ReduceKernels& kernels = *reduceKernels(GetParam().isa, GetParam().dtype, GetParam().op);
    GuardedBuffer accumulator(elems * kernels.accumulatorBytes, kernels.accumulatorBytes);
    for (std::size_t r = 0; r < inputs.size(); ++r) {
      GuardedBuffer x(inputs[r].size(), offset);
      if (!inputs[r].empty()) std::memcpy(x.data(), inputs[r].data(), inputs[r].size());
      (r == 0 ? kernels.load : kernels.accumulate)(x.data(), elems, accumulator.data());
    }
    if (GetParam().op == qcclAvg) kernels.divide(accumulator.data(), elems, static_cast<int>(inputs.size()));
    auto out = std::make_unique<GuardedBuffer>(elems * kernels.typeBytes, offset);
    kernels.store(accumulator.data(), elems, out->data());
    EXPECT_TRUE(accumulator.intact() && out->intact());
    return out;
  }

  void expectElement(const std::vector<std::vector<unsigned char>>& inputs, const unsigned char* out, std::size_t i) {
    const auto& [dtype, op, isa] = GetParam();
    const std::size_t typeBytes = typeSize(dtype);
    const std::uint64_t actual = bitsAt(out, typeBytes, i);
    if (!isFloating(dtype)) {
      Wide expected = integerAt(dtype, bitsAt(inputs[0].data(), typeBytes, i));
      for (std::size_t r = 1; r < inputs.size(); ++r) {
        const Wide x = integerAt(dtype, bitsAt(inputs[r].data(), typeBytes, i));
        if (op == qcclMax) expected = x > expected ? x : expected;
        if (op == qcclMin) expected = x < expected ? x : expected;
        if (op == qcclSum || op == qcclAvg) expected = wrap(dtype, expected + x);
        // Cut before multiplying: the low 64 bits of a product need only the low 64 bits of the factors.
        if (op == qcclProd) expected = wrap(dtype, static_cast<Wide>(static_cast<std::uint64_t>(expected) * static_cast<std::uint64_t>(x)));
      }
      if (op == qcclAvg) expected = expected / static_cast<Wide>(inputs.size());  // toward zero
      ASSERT_EQ(static_cast<std::int64_t>(integerAt(dtype, actual)), static_cast<std::int64_t>(expected)) << "element " << i;
    } else if (dtype == qcclFloat64) {
      double expected = floatingAt(dtype, bitsAt(inputs[0].data(), typeBytes, i));
      for (std::size_t r = 1; r < inputs.size(); ++r)
        expected = combine(op, expected, floatingAt(dtype, bitsAt(inputs[r].data(), typeBytes, i)));
      if (op == qcclAvg) expected /= static_cast<double>(inputs.size());
      expectSameNumber(floatingAt(dtype, actual), expected, i);
    } else {
      auto expected = static_cast<float>(floatingAt(dtype, bitsAt(inputs[0].data(), typeBytes, i)));
      for (std::size_t r = 1; r < inputs.size(); ++r) {
        expected = combine(op, expected, static_cast<float>(floatingAt(dtype, bitsAt(inputs[r].data(), typeBytes, i))));
      }
      if (op == qcclAvg) expected /= static_cast<float>(inputs.size());
      if (dtype == qcclFloat32) {
        expectSameNumber(floatingAt(dtype, actual), static_cast<double>(expected), i);
      } else {
        ASSERT_TRUE(isRounded(dtype, actual, expected)) << "element " << i << ": " << expected << " became pattern " << std::hex << actual;
      }
    }
  }

 private:
  static void expectSameNumber(double actual, double expected, std::size_t i) {
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << "element " << i;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(actual), std::bit_cast<std::uint64_t>(expected)) << "element " << i;
    }
  }
};

TEST_P(Reduce, GivesWhatTheOperationMeans) {
  std::mt19937_64 random(41 + static_cast<unsigned>(GetParam().dtype) * 8 + static_cast<unsigned>(GetParam().op));
  const std::size_t typeBytes = typeSize(GetParam().dtype);
  for (const std::size_t ranks : {1, 2, 3, 8}) {
    for (const std::size_t elems : {0, 1, 2, 7, 64, 501}) {
      for (const std::size_t offset : {std::size_t{0}, typeBytes, std::size_t{1}}) {
        std::vector<std::vector<unsigned char>> inputs(ranks, std::vector<unsigned char>(elems * typeBytes));
        for (auto& input : inputs) {
          for (std::size_t i = 0; i < elems; ++i) {
            const std::uint64_t bits = drawBits(GetParam().dtype, random);
            std::memcpy(input.data() + i * typeBytes, &bits, typeBytes);
          }
        }
        const auto out = reduce(inputs, elems, offset);
        for (std::size_t i = 0; i < elems; ++i) {
          expectElement(inputs, out->data(), i);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// combine is load, accumulate and store in one, wherever its result goes.
TEST_P(Reduce, CombinesApartAndInPlace) {
  const ReduceKernels& kernels = *reduceKernels(GetParam().isa, GetParam().dtype, GetParam().op);
  if (!kernels.accumulatorIsType) return;  // sums of this type have a type of their own: nothing to combine
  std::mt19937_64 random(7);
  const std::size_t typeBytes = kernels.typeBytes;
  for (const std::size_t elems : {0, 1, 7, 64, 501}) {
    for (const std::size_t offset : {std::size_t{0}, typeBytes}) {
      GuardedBuffer a(elems * typeBytes, offset), x(elems * typeBytes), out(elems * typeBytes, 2 * offset), sum(elems * typeBytes, 0);
      for (std::size_t i = 0; i < elems; ++i) {
        // Numbers only: which payload comes out of two NaNs is left open.
        const std::uint64_t bits[] = {random() % 100, random() % 100};
        std::memcpy(a.data() + i * typeBytes, &bits[0], typeBytes);
        std::memcpy(x.data() + i * typeBytes, &bits[1], typeBytes);
      }
      kernels.load(a.data(), elems, sum.data());
      kernels.accumulate(x.data(), elems, sum.data());
      const auto isSum = [&](const GuardedBuffer& buffer) {
        return buffer.intact() && std::equal(buffer.data(), buffer.data() + buffer.bytes(), sum.data());
      };
      kernels.combine(a.data(), x.data(), elems, out.data());
      EXPECT_TRUE(isSum(out)) << elems << " apart";
      GuardedBuffer second(x.bytes());
      std::copy(x.data(), x.data() + x.bytes(), second.data());
      kernels.combine(a.data(), second.data(), elems, second.data());
      EXPECT_TRUE(isSum(second)) << elems << " over the second operand";
      kernels.combine(a.data(), x.data(), elems, a.data());
      EXPECT_TRUE(isSum(a)) << elems << " over the first operand";
    }
  }
}

// The ends of the range, every pair: integers wrap, floats overflow, NaN wins on either side.
TEST_P(Reduce, AtTheEndsOfTheRange) {
  const std::size_t typeBytes = typeSize(GetParam().dtype);
  const std::uint64_t top = std::uint64_t{1} << (8 * typeBytes - 1);
  std::vector<std::uint64_t> ends = {0, 1, 2, 3, top - 1, top - 2, top, top + 1, top + 2, ~std::uint64_t{0}, ~std::uint64_t{0} - 1};
  if (isFloating(GetParam().dtype)) {
    for (int exponent = 0; exponent < static_cast<int>(8 * typeBytes) - 1; ++exponent) ends.push_back(top - (std::uint64_t{1} << exponent));
  }
  std::vector<std::vector<unsigned char>> inputs(2);
  for (const std::uint64_t a : ends) {
    for (const std::uint64_t b : ends) {
      for (int r = 0; r < 2; ++r) {
        const std::uint64_t bits = r == 0 ? a : b;
        const auto* bytes = reinterpret_cast<const unsigned char*>(&bits);
        inputs[static_cast<std::size_t>(r)].insert(inputs[static_cast<std::size_t>(r)].end(), bytes, bytes + typeBytes);
      }
    }
  }
  const std::size_t elems = ends.size() * ends.size();
  const auto out = reduce(inputs, elems, typeBytes);
  for (std::size_t i = 0; i < elems; ++i) {
    expectElement(inputs, out->data(), i);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, Reduce, testing::ValuesIn(allCases()), [](const testing::TestParamInfo<Case>& row) {
  return row.param.isa + "_" + enumName(qcclEnumDataType, row.param.dtype) + "_" + enumName(qcclEnumRedOp, row.param.op);
});

TEST(ReduceAvg, OfInt8OverMoreRanksThanItsRange) {
  const ReduceKernels& kernels = reduceKernels(qcclInt8, qcclAvg);
  for (int ranks = 1; ranks <= 300; ++ranks) {
    std::int8_t sums[256];
    for (int i = 0; i < 256; ++i) sums[i] = static_cast<std::int8_t>(i - 128);
    kernels.divide(sums, 256, ranks);
    for (int i = 0; i < 256; ++i) ASSERT_EQ(sums[i], (i - 128) / ranks) << ranks << " ranks";
  }
}

TEST(ReduceAvg, OfUnsignedDoesNotTurnSigned) {
  std::uint32_t small = 0xfffffff0u;
  reduceKernels(qcclUint32, qcclAvg).divide(&small, 1, 3);
  EXPECT_EQ(small, 0xfffffff0u / 3u);
  std::uint64_t large = ~std::uint64_t{0};
  reduceKernels(qcclUint64, qcclAvg).divide(&large, 1, 3);
  EXPECT_EQ(large, ~std::uint64_t{0} / 3u);
}

TEST(ReduceTable, SaysWhatItsRowsHold) {
  for (const Case& c : allCases()) {
    const ReduceKernels& kernels = *reduceKernels(c.isa, c.dtype, c.op);
    EXPECT_EQ(kernels.typeBytes, typeSize(c.dtype));
    const bool isShort = c.dtype == qcclFloat16 || c.dtype == qcclBfloat16 || c.dtype == qcclFloat8e4m3 || c.dtype == qcclFloat8e5m2;
    EXPECT_EQ(kernels.accumulatorBytes, isShort ? 4 : typeSize(c.dtype));
    EXPECT_EQ(kernels.accumulatorIsType, !isShort);
    EXPECT_EQ(kernels.combine != nullptr, !isShort);
  }
}

TEST(ReduceTable, RefusesWhatIsNoTypeOrOperation) {
  EXPECT_THROW(reduceKernels(qcclNumTypes, qcclSum), Error);
  EXPECT_THROW(reduceKernels(qcclFloat32, qcclNumOps), Error);
}

}  // namespace
}  // namespace qccl::quant
