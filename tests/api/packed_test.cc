// Packed buffers: stored, added to, reduced as they lie. Against the scalar codec, and against sums in double.
#include <gtest/gtest.h>
#include <qccl/packed.h>

#include <cmath>
#include <cstring>

#include "quant/noise.hpp"
#include "quant/reference.hpp"
#include "rank_threads.hpp"
#include "values.hpp"

namespace qccl::test {
namespace {

using quant::PackedFormat;

constexpr double kAdditionTolerance = 16 * 0x1p-24;

const qcclPackedFormat_t kFormats[] = {{qcclCodecInt8, qcclScaleFloat32, 256}, {qcclCodecInt5, qcclScaleBfloat16, 64},
                                       {qcclCodecInt4, qcclScaleFloat32, 32},  {qcclCodecFp8E4m3, qcclScaleFloat32, 128},
                                       {qcclCodecFp4E2m1, qcclScaleE8m0, 32},  {qcclCodecBf16, qcclScaleFloat32, 256},
                                       {qcclCodecInt6, qcclScaleFloat32, 1024}};

PackedFormat internal(const qcclPackedFormat_t& f) {
  return {static_cast<qcclCodec_t>(f.codec), static_cast<qcclScale_t>(f.scale), static_cast<std::size_t>(f.blockElems)};
}

std::string nameOf(const qcclPackedFormat_t& f) {
  return std::string(qcclEnumName(qcclEnumCodec, f.codec)) + ", scale " + qcclEnumName(qcclEnumScale, f.scale) + ", block " +
         std::to_string(f.blockElems);
}

// Bytes aligned as packed buffers must be.
class Packed {
 public:
  explicit Packed(std::size_t bytes, unsigned char fill = 0x5a) : bytes_(bytes), words_(bytes / 16 + 1) {
    std::memset(data(), fill, bytes);
  }
  unsigned char* data() { return reinterpret_cast<unsigned char*>(words_.data()); }
  const unsigned char* data() const { return reinterpret_cast<const unsigned char*>(words_.data()); }
  std::size_t bytes() const { return bytes_; }
  bool operator==(const Packed& other) const { return bytes_ == other.bytes_ && std::memcmp(data(), other.data(), bytes_) == 0; }

 private:
  struct alignas(16) Word {
    unsigned char bytes[16];
  };
  std::size_t bytes_;
  std::vector<Word> words_;
};

std::size_t bytesOf(std::size_t count, const qcclPackedFormat_t& format) {
  std::size_t bytes = 0;
  QCCL_EXPECT_OK(qcclPackedBytes(count, &format, &bytes));
  return bytes;
}

Packed quantized(const std::vector<float>& values, const qcclPackedFormat_t& format) {
  Packed packed(bytesOf(values.size(), format));
  QCCL_EXPECT_OK(qcclQuantize(values.data(), packed.data(), values.size(), qcclFloat32, &format, nullptr, nullptr));
  return packed;
}

std::vector<float> dequantized(const unsigned char* packed, std::size_t count, const qcclPackedFormat_t& format) {
  std::vector<float> values(count);
  QCCL_EXPECT_OK(qcclDequantize(packed, values.data(), count, qcclFloat32, &format, nullptr));
  return values;
}

TEST(PackedBuffers, AreWhatTheScalarCodecMakes) {
  for (const qcclPackedFormat_t& format : kFormats) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{777}, std::size_t{20011}}) {
      const std::vector<float> values = normalValues(count, 1), more = normalValues(count, 2);
      const qcclPackedRounding_t rounding = {qcclRoundStochastic, 11, 5, 1000};
      const quant::EncodeOptions options{internal(format), true, quant::noiseKey(11, 5, 0, 0), 1000, false};
      Packed packed(bytesOf(count, format)), expected(bytesOf(count, format));
      quant::EncodeCounts counts;
      QCCL_ASSERT_OK(qcclQuantize(values.data(), packed.data(), count, qcclFloat32, &format, &rounding, nullptr));
      quant::referenceEncode(qcclFloat32, values.data(), count, options, expected.data(), &counts);
      ASSERT_TRUE(packed == expected) << nameOf(format) << ", count " << count;
      QCCL_ASSERT_OK(qcclAccumulate(packed.data(), more.data(), count, qcclFloat32, &format, &rounding, nullptr));
      quant::referenceAddEncode(qcclFloat32, expected.data(), more.data(), count, options, expected.data(), &counts);
      ASSERT_TRUE(packed == expected) << nameOf(format) << ", count " << count;
    }
  }
}

TEST(PackedBuffers, OfZeroBytesHoldZeros) {
  for (const qcclPackedFormat_t& format : kFormats) {
    const std::vector<float> values = normalValues(5000, 3);
    Packed sum(bytesOf(values.size(), format), 0);
    for (const float x : dequantized(sum.data(), values.size(), format)) ASSERT_EQ(x, 0.0f);
    QCCL_ASSERT_OK(qcclAccumulate(sum.data(), values.data(), values.size(), qcclFloat32, &format, nullptr, nullptr));
    EXPECT_TRUE(sum == quantized(values, format)) << nameOf(format);
  }
}

TEST(PackedBuffers, RefuseWhatTheyCannotHold) {
  const qcclPackedFormat_t good = QCCL_PACKED_FORMAT_INITIALIZER;
  Packed packed(1000);
  float x[4] = {1, 2, 3, 4};
  const auto refused = [&](const void* src, void* dst, std::size_t count, qcclDataType_t dtype, qcclPackedFormat_t format,
                           const std::string& word) {
    EXPECT_EQ(qcclQuantize(src, dst, count, dtype, &format, nullptr, nullptr), qcclInvalidArgument);
    EXPECT_NE(std::string(qcclGetLastError(nullptr)).find(word), std::string::npos) << qcclGetLastError(nullptr);
  };
  refused(x, packed.data(), 4, qcclInt32, good, "int32");
  refused(x, packed.data(), 4, qcclPacked, good, "unknown");
  refused(x, packed.data() + 4, 4, qcclFloat32, good, "aligned");
  refused(nullptr, packed.data(), 4, qcclFloat32, good, "src is NULL");
  refused(x, packed.data(), 4, qcclFloat32, {qcclCodecNone, 0, 256}, "codec");
  refused(x, packed.data(), 4, qcclFloat32, {qcclCodecInt8, 9, 256}, "scale");
  refused(x, packed.data(), 4, qcclFloat32, {qcclCodecInt8, 0, 100}, "blockElems");
  refused(x, packed.data(), SIZE_MAX, qcclFloat32, good, "count");
  const qcclPackedRounding_t rounding = {7, 0, 0, 0};
  EXPECT_EQ(qcclQuantize(x, packed.data(), 4, qcclFloat32, &good, &rounding, nullptr), qcclInvalidArgument);
}

struct Setting {
  std::string transport;
  int size;
};

class PackedCollectives : public testing::TestWithParam<Setting> {
 protected:
  int size() const { return GetParam().size; }
  RankThreads makeRanks() const { return RankThreads(GetParam().transport, size()); }
};

// |result - sum of the decoded inputs| against the algorithm's bound; `extra` more quantizations of the result.
void expectSum(const std::vector<std::vector<float>>& inputs, const std::vector<float>& result, double factor, std::size_t block,
               double divisor) {
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::size_t first = i / block * block, last = std::min(result.size(), first + block);
    double exact = 0, magnitudes = 0;
    for (const auto& input : inputs) {
      double most = 0;
      for (std::size_t k = first; k < last; ++k) most = std::max(most, std::fabs(static_cast<double>(input[k])));
      magnitudes += most;
      exact += static_cast<double>(input[i]);
    }
    ASSERT_LE(std::fabs(static_cast<double>(result[i]) - exact / divisor), (factor + kAdditionTolerance) * magnitudes / divisor) << i;
  }
}

double boundOf(int algorithm, const qcclPackedFormat_t& format, int rounding, int size, bool oneMore) {
  double factor = 0, once = 0;
  QCCL_EXPECT_OK(qcclGetErrorBound(static_cast<qcclAlgo_t>(algorithm), static_cast<qcclCodec_t>(format.codec),
                                   static_cast<qcclScale_t>(format.scale), static_cast<qcclRounding_t>(rounding), size, &factor));
  QCCL_EXPECT_OK(qcclGetErrorBound(qcclAlgoOneshot, static_cast<qcclCodec_t>(format.codec), static_cast<qcclScale_t>(format.scale),
                                   static_cast<qcclRounding_t>(rounding), 2, &once));
  return oneMore ? (1 + factor) * (1 + once) - 1 : factor;
}

TEST_P(PackedCollectives, AllReduceIsWithinTheBoundAndTheSameOnEveryRank) {
  const RankThreads ranks = makeRanks();
  const auto n = static_cast<std::size_t>(size());
  for (const qcclPackedFormat_t& format : kFormats) {
    for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
      const std::size_t counts[] = {1, 777, 20011};
      const std::size_t count = counts[(static_cast<std::size_t>(algorithm) + format.blockElems) % 3];
      const int rounding = (algorithm + format.codec) % 2;
      const qcclRedOp_t op = algorithm % 2 == 0 ? qcclSum : qcclAvg;
      SCOPED_TRACE(nameOf(format) + ", " + qcclEnumName(qcclEnumAlgo, algorithm) + ", count " + std::to_string(count));
      std::vector<std::vector<float>> inputs(n), values(n);
      std::vector<Packed> results(n, Packed(0));
      ranks.run([&](int rank, qcclComm_t comm) {
        const auto r = static_cast<std::size_t>(rank);
        Packed packed = quantized(normalValues(count, 10 + rank), format);
        inputs[r] = dequantized(packed.data(), count, format);
        values[r].resize(count);
        qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
        quant.algorithm = algorithm;
        quant.rounding = rounding;
        quant.ranksPerHost = 1;
        QCCL_ASSERT_OK(qcclAllReduceQuantized(packed.data(), values[r].data(), count, qcclFloat32, op, &format, &quant, comm, nullptr));
        quant.rounding = qcclRoundNearest;  // so that the second call, with noise of its own, can be compared
        QCCL_ASSERT_OK(qcclAllReduceQuantized(packed.data(), packed.data(), count, qcclPacked, op, &format, &quant, comm, nullptr));
        results[r] = packed;
      });
      if (HasFatalFailure()) return;
      for (std::size_t r = 1; r < n; ++r) {
        ASSERT_EQ(values[r], values[0]) << "rank " << r;
        ASSERT_TRUE(results[r] == results[0]) << "rank " << r;
      }
      const double divisor = op == qcclAvg ? static_cast<double>(n) : 1.0;
      const auto block = static_cast<std::size_t>(format.blockElems);
      const bool sumIsCodedOnceMore = algorithm == qcclAlgoOneshot && n > 1;
      expectSum(inputs, values[0], boundOf(algorithm, format, rounding, size(), false), block, divisor);
      expectSum(inputs, dequantized(results[0].data(), count, format),
                boundOf(algorithm, format, qcclRoundNearest, size(), sumIsCodedOnceMore), block, divisor);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(PackedCollectives, WhatStaysPackedIsWhatIsDecodedOtherwise) {
  const RankThreads ranks = makeRanks();
  constexpr std::size_t kCount = 70001;  // several tiles
  for (const qcclPackedFormat_t& format : {kFormats[0], kFormats[1]}) {
    for (const int algorithm : {qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree, qcclAlgoHier}) {
      ranks.run([&](int rank, qcclComm_t comm) {
        const Packed input = quantized(normalValues(kCount, rank), format);
        Packed packed(input.bytes());
        std::vector<float> values(kCount);
        qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
        quant.algorithm = algorithm;
        quant.ranksPerHost = 1;
        QCCL_ASSERT_OK(qcclAllReduceQuantized(input.data(), values.data(), kCount, qcclFloat32, qcclSum, &format, &quant, comm, nullptr));
        QCCL_ASSERT_OK(qcclAllReduceQuantized(input.data(), packed.data(), kCount, qcclPacked, qcclSum, &format, &quant, comm, nullptr));
        EXPECT_EQ(dequantized(packed.data(), kCount, format), values) << nameOf(format) << ", " << qcclEnumName(qcclEnumAlgo, algorithm);
      });
    }
  }
}

TEST_P(PackedCollectives, ReduceScatterAndAllGatherTakeAndGivePackedParts) {
  const RankThreads ranks = makeRanks();
  const auto n = static_cast<std::size_t>(size());
  constexpr std::size_t kCount = 5003;
  for (const qcclPackedFormat_t& format : kFormats) {
    for (const int algorithm : {qcclAlgoAuto, qcclAlgoRing}) {
      SCOPED_TRACE(nameOf(format) + ", " + qcclEnumName(qcclEnumAlgo, algorithm));
      const std::size_t partBytes = bytesOf(kCount, format);
      std::vector<std::vector<std::vector<float>>> inputs(n, std::vector<std::vector<float>>(n));  // by part, by rank
      std::vector<std::vector<float>> sums(n);
      std::vector<Packed> gathered(n, Packed(0));
      ranks.run([&](int rank, qcclComm_t comm) {
        const auto r = static_cast<std::size_t>(rank);
        Packed input(n * partBytes), part(partBytes), all(n * partBytes);
        for (std::size_t p = 0; p < n; ++p) {
          const Packed one = quantized(normalValues(kCount, static_cast<int>(100 * r + p)), format);
          std::memcpy(input.data() + p * partBytes, one.data(), partBytes);
          inputs[p][r] = dequantized(one.data(), kCount, format);
        }
        qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
        quant.algorithm = algorithm;
        QCCL_ASSERT_OK(qcclReduceScatterQuantized(input.data(), part.data(), kCount, qcclPacked, qcclSum, &format, &quant, comm, nullptr));
        sums[r] = dequantized(part.data(), kCount, format);
        QCCL_ASSERT_OK(qcclAllGatherQuantized(part.data(), all.data(), kCount, qcclPacked, &format, comm, nullptr));
        gathered[r] = all;
        std::vector<float> values(n * kCount);
        QCCL_ASSERT_OK(qcclAllGatherQuantized(part.data(), values.data(), kCount, qcclFloat32, &format, comm, nullptr));
        for (std::size_t p = 0; p < n; ++p) {
          const std::vector<float> expected = dequantized(all.data() + p * partBytes, kCount, format);
          ASSERT_EQ(std::memcmp(values.data() + p * kCount, expected.data(), kCount * sizeof(float)), 0);
        }
      });
      if (HasFatalFailure()) return;
      for (std::size_t r = 0; r < n; ++r) {
        ASSERT_TRUE(gathered[r] == gathered[0]);
        ASSERT_EQ(dequantized(gathered[0].data() + r * partBytes, kCount, format), sums[r]);
        const double once = boundOf(qcclAlgoOneshot, format, qcclRoundNearest, 2, false);
        const double factor = n == 1 ? 0 : std::pow(1 + once, algorithm == qcclAlgoRing ? size() : 1) - 1;
        expectSum(inputs[r], sums[r], factor, static_cast<std::size_t>(format.blockElems), 1.0);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(PackedCollectives, RefuseWhatDoesNotFit) {
  if (size() > 2) return;  // refused before anything is sent: once is enough
  const RankThreads ranks = makeRanks();
  Packed packed(4096);
  const qcclPackedFormat_t format = QCCL_PACKED_FORMAT_INITIALIZER;
  const auto code = [&](qcclDataType_t recvtype, qcclRedOp_t op, void* out) {
    return qcclAllReduceQuantized(packed.data(), out, 100, recvtype, op, &format, nullptr, ranks.comm(0), nullptr);
  };
  EXPECT_EQ(code(qcclInt32, qcclSum, packed.data()), qcclInvalidArgument);
  EXPECT_EQ(code(qcclFloat64, qcclSum, packed.data()), qcclInvalidArgument);
  EXPECT_EQ(code(qcclPacked, qcclMax, packed.data()), qcclInvalidArgument);
  EXPECT_EQ(code(qcclPacked, qcclSum, packed.data() + 8), qcclInvalidArgument);
  EXPECT_EQ(code(qcclPacked, qcclSum, nullptr), qcclInvalidArgument);
}

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const int size : {1, 2, 3, 5}) all.push_back({"inproc", size});
  for (const int size : {2, 4}) all.push_back({"ucx", size});
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, PackedCollectives, testing::ValuesIn(settings()), [](const testing::TestParamInfo<Setting>& row) {
  return row.param.transport + "_W" + std::to_string(row.param.size);
});

}  // namespace
}  // namespace qccl::test
