// The parts of qccl-perf that judge the library must themselves be right: formats, data, expectations. A verification that cannot fail is
// worth nothing, so results are spoilt on purpose here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/api.hpp"
#include "perf/collective.hpp"
#include "perf/input_data.hpp"
#include "perf/memory.hpp"
#include "perf/number_formats.hpp"
#include "perf/options.hpp"
#include "perf/timing.hpp"
#include "perf/verify.hpp"

namespace qccl::bench {
namespace {

template <typename Code>
Code encoded(double value, qcclDataType_t dtype) {
  Code code{};
  encodeElements(std::vector<double>{value}, dtype, &code);
  return code;
}

TEST(NumberFormats, KnownCodes) {
  EXPECT_EQ(encoded<std::uint16_t>(1.0, qcclFloat16), 0x3c00);
  EXPECT_EQ(encoded<std::uint16_t>(-2.0, qcclFloat16), 0xc000);
  EXPECT_EQ(encoded<std::uint16_t>(65504.0, qcclFloat16), 0x7bff);
  EXPECT_EQ(encoded<std::uint16_t>(65520.0, qcclFloat16), 0x7c00) << "half way beyond the largest: infinity";
  EXPECT_EQ(encoded<std::uint16_t>(0x1p-24, qcclFloat16), 0x0001) << "smallest subnormal";
  EXPECT_EQ(encoded<std::uint16_t>(0x1p-25, qcclFloat16), 0x0000) << "half of it: tie to even";
  EXPECT_EQ(encoded<std::uint16_t>(0x1.8p-24, qcclFloat16), 0x0002) << "tie to even";
  EXPECT_EQ(encoded<std::uint16_t>(1.0, qcclBfloat16), 0x3f80);
  EXPECT_EQ(encoded<std::uint16_t>(1.0 + 0x1p-8, qcclBfloat16), 0x3f80) << "tie to even";
  EXPECT_EQ(encoded<std::uint16_t>(1.0 + 0x1.8p-7, qcclBfloat16), 0x3f82) << "tie to even";
  EXPECT_EQ(encoded<std::uint8_t>(448.0, qcclFloat8e4m3), 0x7e);
  EXPECT_EQ(encoded<std::uint8_t>(0x1p-9, qcclFloat8e4m3), 0x01);
  EXPECT_EQ(encoded<std::uint8_t>(57344.0, qcclFloat8e5m2), 0x7b);
  EXPECT_EQ(encoded<std::uint8_t>(-0x1p-16, qcclFloat8e5m2), 0x81);
  EXPECT_EQ(encoded<std::int8_t>(-128, qcclInt8), -128);
  EXPECT_EQ(encoded<std::uint64_t>(12345678901.0, qcclUint64), 12345678901u);
}

TEST(NumberFormats, EveryCodeOfTheSmallFormatsComesBack) {
  for (const qcclDataType_t dtype : {qcclFloat16, qcclBfloat16, qcclFloat8e4m3, qcclFloat8e5m2}) {
    const bool wide = qcclTypeSize(dtype) == 2;
    for (std::uint32_t code = 0; code < (wide ? 65536u : 256u); ++code) {
      std::vector<double> value(1);
      const auto narrowCode = static_cast<std::uint8_t>(code);
      const auto wideCode = static_cast<std::uint16_t>(code);
      decodeElements(wide ? static_cast<const void*>(&wideCode) : &narrowCode, 0, dtype, value);
      if (std::isnan(value[0])) continue;
      EXPECT_EQ(wide ? encoded<std::uint16_t>(value[0], dtype) : encoded<std::uint8_t>(value[0], dtype), code)
          << qcclEnumName(qcclEnumDataType, dtype);
    }
  }
}

TEST(NumberFormats, PrecisionIsThatOfTheType) {
  EXPECT_EQ(precisionOf(qcclFloat32).unitRoundoff, 0x1p-24);
  EXPECT_EQ(precisionOf(qcclBfloat16).unitRoundoff, 0x1p-8);
  EXPECT_EQ(precisionOf(qcclFloat16).largest, 65504);
  EXPECT_EQ(precisionOf(qcclBfloat16).largest, std::ldexp(255.0, 120));
  EXPECT_EQ(precisionOf(qcclFloat8e4m3).largest, 448);
  EXPECT_EQ(precisionOf(qcclFloat8e5m2).largest, 57344);
  EXPECT_EQ(precisionOf(qcclFloat16).smallestHalfStep, 0x1p-25);
  EXPECT_EQ(precisionOf(qcclInt8).largest, 127);
  EXPECT_FALSE(isFloating(qcclUint32));
}

TEST(InputData, IsAFunctionOfSeedRankAndElement) {
  Options options;
  const InputData data(options, 3);
  std::vector<double> whole(1000);
  std::vector<double> part(10);
  data.values(1, 0, whole);
  data.values(1, 333, part);
  EXPECT_EQ(part, std::vector<double>(whole.begin() + 333, whole.begin() + 343)) << "a tile is the same wherever it starts";
  std::vector<double> other(1000);
  data.values(2, 0, other);
  EXPECT_NE(whole, other);
  options.seed = 2;
  InputData(options, 3).values(1, 0, other);
  EXPECT_NE(whole, other);
}

TEST(InputData, FilledBuffersHoldTheValues) {
  for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
    for (const DataKind kind : {DataKind::normal, DataKind::uniform, DataKind::heavy, DataKind::integers}) {
      Options options;
      options.dtype = static_cast<qcclDataType_t>(dtype);
      options.data = kind;
      const InputData data(options, 4);
      std::vector<std::uint64_t> buffer(40000);
      data.fill(3, buffer.size(), buffer.data());
      std::vector<double> read(buffer.size());
      decodeElements(buffer.data(), 0, options.dtype, read);
      std::vector<double> said(buffer.size());
      data.values(3, 0, said);
      EXPECT_EQ(read, said) << qcclEnumName(qcclEnumDataType, dtype) << " " << dataKindName(kind);
      if (kind != DataKind::integers) continue;
      EXPECT_TRUE(data.isExact());
      double largest = 0;
      for (const double value : said) largest = std::max(largest, std::fabs(value));
      EXPECT_GE(largest, 1);
      EXPECT_LE(4 * largest, std::min(precisionOf(options.dtype).largest, std::ldexp(1.0, precisionOf(options.dtype).significandBits)));
    }
  }
}

TEST(InputData, NormalDataIsNormal) {
  const InputData data(Options{}, 1);
  std::vector<double> values(200000);
  data.values(0, 0, values);
  double sum = 0;
  double squares = 0;
  int beyondTwo = 0;
  for (const double v : values) {
    sum += v;
    squares += v * v;
    beyondTwo += std::fabs(v) > 2 ? 1 : 0;
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.02);
  EXPECT_NEAR(beyondTwo / n, 0.0455, 0.003);
}

// An all-reduce over two ranks, worked out here instead of by the library.
struct Summed {
  Options options;
  Shape shape;
  std::vector<float> result;
  qcclPlan_t plan{};

  explicit Summed(DataKind kind, std::size_t elems = 50000) {
    options.data = kind;
    shape = shapeOf(qcclCollAllReduce, elems * 4, qcclFloat32, 2);
    const InputData data(options, 2);
    std::vector<double> a(elems);
    std::vector<double> b(elems);
    data.values(0, 0, a);
    data.values(1, 0, b);
    for (std::size_t i = 0; i < elems; ++i) result.push_back(static_cast<float>(a[i] + b[i]));
    plan.codec = qcclCodecNone;
  }

  ErrorSums check(int rank) const { return checkResult(options, shape, InputData(options, 2), plan, result.data(), rank, 2); }
  std::uint64_t numWrong() const { return check(0).numWrong + check(1).numWrong; }
};

TEST(Verify, RightSumsPass) {
  for (const DataKind kind : {DataKind::normal, DataKind::heavy, DataKind::integers}) {
    const Summed summed(kind);
    EXPECT_EQ(summed.numWrong(), 0u) << dataKindName(kind);
    EXPECT_LE(summed.check(0).maxOverBound, 1.0);
  }
}

TEST(Verify, EveryElementIsCheckedBySomeRank) {
  const Summed right(DataKind::normal);
  for (const std::size_t spoilt : {std::size_t{0}, std::size_t{16383}, std::size_t{16384}, std::size_t{32768}, right.result.size() - 1}) {
    Summed wrong = right;
    wrong.result[spoilt] += 1e-3f;
    EXPECT_EQ(wrong.numWrong(), 1u) << spoilt;
  }
}

TEST(Verify, ExactDataMustComeOutToTheBit) {
  Summed summed(DataKind::integers);
  summed.result[7] = std::nextafter(summed.result[7], 1e9f);
  EXPECT_EQ(summed.numWrong(), 1u);
}

TEST(Verify, NotANumberIsWrong) {
  Summed summed(DataKind::normal);
  summed.result[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(summed.numWrong(), 1u);
}

// With a codec the bound of an element is the factor times the sum over ranks of its block's largest magnitude.
TEST(Verify, QuantizedResultsMayErrByTheBoundAndNoMore) {
  Summed right(DataKind::normal);
  right.plan.codec = qcclCodecInt8;
  right.plan.blockElems = 64;
  right.plan.errorBound = 1.0 / 254;
  EXPECT_EQ(right.numWrong(), 0u);
  const std::size_t element = 64 * 300 + 13;
  double largest = 0;
  for (int rank = 0; rank < 2; ++rank) {
    std::vector<double> block(64);
    InputData(right.options, 2).values(rank, 64 * 300, block);
    double ofRank = 0;
    for (const double v : block) ofRank = std::max(ofRank, std::fabs(v));
    largest += ofRank;
  }
  Summed within = right;
  within.result[element] += static_cast<float>(0.99 * largest / 254);
  EXPECT_EQ(within.numWrong(), 0u);
  const double ratio = std::max(within.check(0).maxOverBound, within.check(1).maxOverBound);
  EXPECT_NEAR(ratio, 0.99, 0.001);
  Summed beyond = right;
  beyond.result[element] += static_cast<float>(1.01 * largest / 254);
  EXPECT_EQ(beyond.numWrong(), 1u);
}

TEST(Verify, HashesSeeEveryByte) {
  std::vector<char> bytes(37, 'x');
  const std::uint64_t whole = hashBytes(bytes.data(), bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::vector<char> changed = bytes;
    changed[i] ^= 1;
    EXPECT_NE(hashBytes(changed.data(), changed.size()), whole) << i;
  }
  EXPECT_NE(hashBytes(bytes.data(), 36), whole);
}

TEST(Collective, ShapesAndBusFactorsAreThoseOfNcclTests) {
  const Shape all = shapeOf(qcclCollAllReduce, 1000, qcclFloat32, 4);
  EXPECT_EQ(all.count, 250u);
  const Shape scatter = shapeOf(qcclCollReduceScatter, 1000, qcclFloat32, 4);
  EXPECT_EQ(scatter.count, 62u);
  EXPECT_EQ(scatter.sendElems, 248u);
  EXPECT_EQ(scatter.recvElems, 62u);
  EXPECT_EQ(scatter.inPlaceRecvOffset(qcclCollReduceScatter, 3), 186u);
  const Shape gather = shapeOf(qcclCollAllGather, 3, qcclFloat32, 4);
  EXPECT_EQ(gather.count, 1u) << "at least one element a rank";
  EXPECT_EQ(gather.recvElems, 4u);
  EXPECT_DOUBLE_EQ(busFactor(qcclCollAllReduce, 4), 1.5);
  EXPECT_DOUBLE_EQ(busFactor(qcclCollAllGather, 4), 0.75);
  EXPECT_DOUBLE_EQ(busFactor(qcclCollBroadcast, 4), 1.0);
}

TEST(Timing, InPlaceSumsAreRestoredBeforeTheyOverflow) {
  Options options;
  EXPECT_LE(callsBetweenRefills(options, 2), 120u);
  EXPECT_GE(callsBetweenRefills(options, 2), 100u);
  options.dtype = qcclFloat16;
  EXPECT_LE(callsBetweenRefills(options, 2), 5u);
  EXPECT_GE(callsBetweenRefills(options, 64), 1u);
  options.op = qcclAvg;
  EXPECT_GT(callsBetweenRefills(options, 2), 1000000u);
}

TEST(Memory, OnTheHostASampleIsOneCallAndResultsAreReadWhereTheyLie) {
  const std::unique_ptr<Memory> memory = makeMemory(Options{}, 0);
  EXPECT_EQ(memory->stream(), nullptr);
  EXPECT_EQ(memory->callsPerSample(1000), 1u);
  EXPECT_FALSE(memory->startsTogether());
  char* const from = memory->allocate(4);
  char* const to = memory->allocate(4);
  memory->write(from, 4, [](void* bytes) { std::memcpy(bytes, "abc", 4); });
  memory->fill(to, 'x', 4);
  memory->copy(to, from, 2);
  EXPECT_EQ(memory->read(to, 4), to);
  EXPECT_EQ(std::string(to, 4), "abxx");
  int calls = 0;
  EXPECT_GE(memory
                ->sampler(
                    3, [&] { ++calls; }, nullptr)
                ->run(),
            0);
  EXPECT_EQ(calls, 3);
}

TEST(Memory, AnotherWaitIsLongerThanTheLibrarysOwn) { EXPECT_GT(waitLimit(), std::chrono::seconds(10)); }

TEST(Options, SizesGoFromFirstToLast) {
  Options options;
  options.minBytes = 1024;
  options.maxBytes = 65536;
  EXPECT_THAT(options.sizes(), testing::ElementsAre(1024, 4096, 16384, 65536));
  options.maxBytes = 65535;
  EXPECT_THAT(options.sizes(), testing::ElementsAre(1024, 4096, 16384));
}

TEST(Options, SizesAreParsedOrRefused) {
  EXPECT_EQ(parseSize("--min", "12"), 12u);
  EXPECT_EQ(parseSize("--min", "64K"), 65536u);
  EXPECT_EQ(parseSize("--min", "2m"), 2u << 20);
  EXPECT_EQ(parseSize("--min", "1G"), 1u << 30);
  for (const char* bad : {"", "K", "-1", "1.5M", "1KB", "2000000G", "99999999999999999999"})
    EXPECT_THROW(parseSize("--min", bad), ToolError) << bad;
}

}  // namespace
}  // namespace qccl::bench
