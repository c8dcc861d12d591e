// Saved activations through the C API: what comes back is what qcclDequantize makes of qcclQuantize's codes, and mistakes lose nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <qccl/activations.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string lastError() { return qcclGetLastError(nullptr); }

std::vector<float> normalValues(std::size_t elems, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> values(elems);
  for (float& value : values) value = normal(random);
  return values;
}

// A pool for some tensors, two micro-batches in flight.
class Activations : public testing::Test {
 protected:
  void make(const std::vector<qcclSavedTensor_t>& tensors) {
    ASSERT_EQ(qcclLedgerCreate(&ledger_), qcclSuccess);
    for (const qcclSavedTensor_t& tensor : tensors) ASSERT_EQ(qcclLedgerAdd(ledger_, &tensor), qcclSuccess) << lastError();
    qcclPoolConfig_t config = QCCL_POOL_CONFIG_INITIALIZER;
    config.name = "acts";
    config.ledger = ledger_;
    config.microBatchesInFlight = 2;
    ASSERT_EQ(qcclPoolCreate(&pool_, &config), qcclSuccess) << lastError();
  }
  void TearDown() override {
    EXPECT_EQ(qcclPoolDestroy(pool_), qcclSuccess);
    EXPECT_EQ(qcclLedgerDestroy(ledger_), qcclSuccess);
  }

  qcclResult_t save(const qcclSavedTensor_t& tensor, const std::vector<float>& values, std::uint64_t microBatch = 0) {
    return qcclActivationSave(pool_, microBatch, &tensor, values.data(), qcclFloat32, nullptr);
  }
  qcclResult_t restore(const qcclSavedTensor_t& tensor, std::vector<float>* values, std::uint64_t microBatch = 0) {
    return qcclActivationRestore(pool_, microBatch, &tensor, values->data(), qcclFloat32, nullptr);
  }

  qcclLedger_t ledger_ = nullptr;
  qcclPool_t pool_ = nullptr;
};

// What a packed buffer of this format gives back.
std::vector<float> throughPacked(const qcclSavedTensor_t& tensor, const std::vector<float>& values) {
  std::size_t bytes = 0;
  EXPECT_EQ(qcclPackedBytes(values.size(), &tensor.format, &bytes), qcclSuccess);
  std::vector<std::uint64_t> packed(bytes / 8 + 4);
  auto* aligned = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(packed.data()) + 15) / 16 * 16);
  std::vector<float> result(values.size());
  EXPECT_EQ(qcclQuantize(values.data(), aligned, values.size(), qcclFloat32, &tensor.format, nullptr, nullptr), qcclSuccess);
  EXPECT_EQ(qcclDequantize(aligned, result.data(), values.size(), qcclFloat32, &tensor.format, nullptr), qcclSuccess);
  return result;
}

TEST_F(Activations, ComeBackAsFromAPackedBuffer) {
  std::vector<qcclSavedTensor_t> tensors;
  std::vector<std::string> names;
  names.reserve(500);
  for (const int codec : {qcclCodecInt4, qcclCodecInt5, qcclCodecInt6, qcclCodecInt8, qcclCodecFp8E4m3, qcclCodecFp4E2m1, qcclCodecBf16}) {
    for (const int blockElems : {32, 128, 4096}) {
      for (const int scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
        for (const std::size_t elems : {1, 33, 2048, 70001}) {
          names.push_back("t." + std::to_string(names.size()));
          tensors.push_back({names.back().c_str(), elems, {codec, scale, blockElems}, qcclFloat32});
        }
      }
    }
  }
  make(tensors);
  for (const std::uint64_t microBatch : {7, 8}) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      ASSERT_EQ(save(tensors[i], normalValues(tensors[i].elems, i + microBatch), microBatch), qcclSuccess) << lastError();
    }
  }
  for (const std::uint64_t microBatch : {7, 8}) {
    for (std::size_t i = tensors.size(); i-- > 0;) {
      std::vector<float> values(tensors[i].elems);
      ASSERT_EQ(restore(tensors[i], &values, microBatch), qcclSuccess) << lastError();
      EXPECT_EQ(values, throughPacked(tensors[i], normalValues(tensors[i].elems, i + microBatch))) << names[i];
    }
  }
}

TEST_F(Activations, WithoutACodecAllBitsComeBack) {
  const qcclSavedTensor_t tensor{"lse", 1000, {qcclCodecNone, 0, 0}, qcclFloat32};
  make({tensor});
  std::vector<float> values = normalValues(1000, 1);
  values[3] = NAN;
  values[4] = -INFINITY;
  ASSERT_EQ(save(tensor, values), qcclSuccess) << lastError();
  std::vector<float> result(1000);
  ASSERT_EQ(restore(tensor, &result), qcclSuccess) << lastError();
  EXPECT_EQ(std::memcmp(values.data(), result.data(), 4000), 0);
}

TEST_F(Activations, ReadInBetweenStaySaved) {
  const qcclSavedTensor_t first{"l.x", 1000, {qcclCodecInt4, qcclScaleBfloat16, 128}, 0}, second{"l.y", 500, {qcclCodecInt8, 0, 256}, 0};
  make({first, second});
  const std::vector<float> x = normalValues(1000, 1), y = normalValues(500, 2);
  ASSERT_EQ(save(first, x), qcclSuccess) << lastError();
  ASSERT_EQ(save(second, y), qcclSuccess) << lastError();
  const auto read = [&](const qcclSavedTensor_t& tensor, std::vector<float>* values) {
    values->assign(tensor.elems, 0);
    return qcclActivationRead(pool_, 0, &tensor, values->data(), qcclFloat32, nullptr);
  };
  std::vector<float> result;
  for (int time = 0; time < 2; ++time) {  // the first saved before the last, and each twice
    ASSERT_EQ(read(first, &result), qcclSuccess) << lastError();
    EXPECT_EQ(result, throughPacked(first, x));
    ASSERT_EQ(read(second, &result), qcclSuccess) << lastError();
    EXPECT_EQ(result, throughPacked(second, y));
  }
  qcclSavedTensor_t wrong = first;
  wrong.elems = 400;
  EXPECT_EQ(read(wrong, &result), qcclInvalidArgument);
  EXPECT_THAT(lastError(), AllOf(HasSubstr("qcclActivationRead"), HasSubstr("pass the tensor as it was saved")));

  result.resize(500);
  ASSERT_EQ(restore(second, &result), qcclSuccess) << lastError();
  EXPECT_EQ(read(second, &result), qcclInvalidUsage) << "after restoring";
  ASSERT_EQ(qcclPoolDiscard(pool_, 0), qcclSuccess) << lastError();
  EXPECT_EQ(read(first, &result), qcclInvalidUsage) << "after discarding";
}

// What is said about scales does not matter where there are none.
TEST_F(Activations, Bf16NeedsNoBlock) {
  const qcclSavedTensor_t tensor{"x", 1000, {qcclCodecBf16, 0, 0}, 0};
  make({tensor});
  const std::vector<float> values = normalValues(1000, 1);
  ASSERT_EQ(save(tensor, values), qcclSuccess) << lastError();
  std::vector<float> result(1000);
  ASSERT_EQ(restore(tensor, &result), qcclSuccess) << lastError();
  EXPECT_EQ(result, throughPacked({"x", 1000, {qcclCodecBf16, 0, 256}, 0}, values));
}

TEST_F(Activations, MistakesAreNamedAndLoseNothing) {
  const qcclSavedTensor_t first{"l.x", 1000, {qcclCodecInt4, qcclScaleBfloat16, 128}, 0}, second{"l.y", 500, {qcclCodecInt8, 0, 256}, 0};
  make({first, second});
  const std::vector<float> x = normalValues(1000, 1), y = normalValues(500, 2);
  EXPECT_EQ(save(second, y), qcclInvalidUsage);
  int notAStream = 0;
  EXPECT_EQ(qcclActivationSave(pool_, 0, &first, x.data(), qcclFloat32, &notAStream), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("pool acts: l.x of micro-batch 0: the stream must be NULL"));
  ASSERT_EQ(save(first, x), qcclSuccess) << lastError();
  ASSERT_EQ(save(second, y), qcclSuccess) << lastError();
  std::vector<float> result(1000);
  EXPECT_EQ(restore(first, &result), qcclInvalidUsage);
  EXPECT_THAT(lastError(), AllOf(HasSubstr("acts"), HasSubstr("l.x")));

  qcclSavedTensor_t wrong = second;
  wrong.elems = 400;
  EXPECT_EQ(restore(wrong, &result), qcclInvalidArgument);
  EXPECT_THAT(lastError(),
              AllOf(HasSubstr(": l.y of micro-batch 0 was saved as"), HasSubstr(": pool "), HasSubstr("pass the tensor as it was saved")));
  wrong = second;
  wrong.format.codec = qcclCodecFp8E4m3;  // of as many bytes
  EXPECT_EQ(restore(wrong, &result), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("was saved as 500 values of int8/256/float32, not as 500 of fp8e4m3/256/float32"));
  EXPECT_EQ(qcclActivationRestore(pool_, 0, &second, result.data(), qcclFloat64, nullptr), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("values of float64 cannot be kept as int8/256/float32"));
  EXPECT_EQ(qcclActivationRestore(pool_, 0, &second, nullptr, qcclFloat32, nullptr), qcclInvalidArgument);
  EXPECT_EQ(qcclActivationRestore(pool_, 0, &second, result.data(), qcclFloat32, &notAStream), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("pool acts: l.y of micro-batch 0: the stream must be NULL"));

  std::vector<float> back(500);
  ASSERT_EQ(restore(second, &back), qcclSuccess) << lastError();
  EXPECT_EQ(back, throughPacked(second, y));
  EXPECT_EQ(restore(second, &back), qcclInvalidUsage) << "twice";
  ASSERT_EQ(restore(first, &result), qcclSuccess) << lastError();
  EXPECT_EQ(result, throughPacked(first, x));
}

TEST_F(Activations, RefusalsAreCounted) {
  const qcclSavedTensor_t tensor{"l.x", 1000, {qcclCodecInt4, qcclScaleBfloat16, 128}, 0};
  make({tensor});
  const auto refusals = [&] {
    qcclPoolStats_t stats{};
    stats.size = sizeof stats;
    EXPECT_EQ(qcclPoolGetStats(pool_, &stats), qcclSuccess) << lastError();
    return stats.refusals;
  };
  std::vector<float> values = normalValues(1000, 1);
  ASSERT_EQ(save(tensor, values), qcclSuccess) << lastError();
  ASSERT_EQ(restore(tensor, &values), qcclSuccess) << lastError();
  EXPECT_EQ(refusals(), 0u);
  EXPECT_EQ(restore(tensor, &values), qcclInvalidUsage) << "for the second time";
  EXPECT_EQ(refusals(), 1u);
  EXPECT_EQ(qcclActivationRead(pool_, 0, &tensor, values.data(), qcclFloat32, nullptr), qcclInvalidUsage);
  EXPECT_EQ(refusals(), 2u);
  EXPECT_EQ(qcclActivationRead(pool_, 0, &tensor, nullptr, qcclFloat32, nullptr), qcclInvalidArgument);
  EXPECT_EQ(refusals(), 2u) << "the pool was not asked";
}

TEST(AllocateBits, TakesTheLeastErrorThatFits) {
  const qcclBitChoice_t sensitive[] = {{4, 100, 8}, {8, 200, 1}}, robust[] = {{4, 100, 2}, {8, 200, 0.5}};
  const qcclBitItem_t items[] = {{"q", sensitive, 2}, {"gate", robust, 2}};
  std::size_t choice[2];
  std::uint64_t bytes = 0;
  double error = 0;
  ASSERT_EQ(qcclAllocateBits(items, 2, 300, choice, &bytes, &error), qcclSuccess) << lastError();
  EXPECT_EQ(choice[0], 1u);
  EXPECT_EQ(choice[1], 0u);
  EXPECT_EQ(bytes, 300u);
  EXPECT_EQ(error, 3);
  EXPECT_EQ(qcclAllocateBits(items, 2, 199, choice, nullptr, nullptr), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("200 bytes are needed; raise the budget by 1 bytes"));
}

}  // namespace
}  // namespace qccl::test
