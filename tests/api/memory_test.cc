// The C API of ledgers and pools: what it adds to the classes behind it, which have tests of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <qccl/memory.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "support/temporary_folder.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string lastError() { return qcclGetLastError(nullptr); }

qcclSavedTensor_t tensor(const char* name, std::size_t elems, int codec = qcclCodecInt8) {
  return {name, elems, {codec, qcclScaleFloat32, 256}, qcclFloat32};
}

class MemoryApi : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(qcclLedgerCreate(&ledger_), qcclSuccess);
    for (const auto& saved : {tensor("l.x", 1000), tensor("l.y", 300, qcclCodecInt4), tensor("l.rstd", 7, qcclCodecNone)}) {
      ASSERT_EQ(qcclLedgerAdd(ledger_, &saved), qcclSuccess) << lastError();
    }
    config_.name = "acts";
    config_.ledger = ledger_;
    config_.microBatchesInFlight = 2;
    config_.scratchBytes = 4000;
  }
  void TearDown() override {
    EXPECT_EQ(qcclPoolDestroy(pool_), qcclSuccess) << lastError();
    EXPECT_EQ(qcclLedgerDestroy(ledger_), qcclSuccess) << lastError();
  }
  void create() { ASSERT_EQ(qcclPoolCreate(&pool_, &config_), qcclSuccess) << lastError(); }

  qcclLedger_t ledger_ = nullptr;
  qcclPool_t pool_ = nullptr;
  qcclPoolConfig_t config_ = QCCL_POOL_CONFIG_INITIALIZER;
  qcclPlace_t place_{};
};

TEST_F(MemoryApi, SizesTogetherAreThePackedBuffer) {
  for (const int codec : {qcclCodecInt8, qcclCodecInt5, qcclCodecFp4E2m1, qcclCodecBf16}) {
    const qcclSavedTensor_t saved = tensor(nullptr, 12345, codec);
    std::size_t codes = 0, scales = 0, packed = 0;
    ASSERT_EQ(qcclTensorBytes(&saved, &codes, &scales), qcclSuccess);
    ASSERT_EQ(qcclPackedBytes(saved.elems, &saved.format, &packed), qcclSuccess);
    EXPECT_EQ(codes + scales, packed);
  }
}

TEST_F(MemoryApi, LedgersTellWhatIsInThem) {
  qcclLedgerTotals_t totals;
  ASSERT_EQ(qcclLedgerGetTotals(ledger_, &totals), qcclSuccess);
  EXPECT_EQ(totals.tensors, 3u);
  EXPECT_EQ(totals.elems, 1307u);
  EXPECT_EQ(totals.codeBytes, 1008u + 160 + 28);
  EXPECT_EQ(totals.scaleBytes, 16u + 16);
  EXPECT_EQ(totals.largestElems, 1000u);
  const qcclPackedFormat_t int6 = {qcclCodecInt6, qcclScaleBfloat16, 64};
  ASSERT_EQ(qcclLedgerSetFormat(ledger_, "y", &int6, qcclFloat32), qcclSuccess);
  qcclSavedTensor_t saved;
  ASSERT_EQ(qcclLedgerGetTensor(ledger_, 1, &saved), qcclSuccess);
  EXPECT_STREQ(saved.name, "l.y");
  EXPECT_EQ(std::memcmp(&saved.format, &int6, sizeof int6), 0);
  EXPECT_EQ(qcclLedgerGetTensor(ledger_, 3, &saved), qcclInvalidArgument);
  const char* text = nullptr;
  ASSERT_EQ(qcclLedgerGetReport(ledger_, qcclReportJson, &text), qcclSuccess);
  EXPECT_EQ(nlohmann::json::parse(text).at("tensors")[1].at("format"), "int6/64/bfloat16");
  ASSERT_EQ(qcclLedgerGetReport(ledger_, qcclReportTable, &text), qcclSuccess);
  EXPECT_THAT(text, HasSubstr("one micro-batch: "));
}

TEST_F(MemoryApi, ALlamaIsAddedByItsShape) {
  qcclLlamaShape_t shape = QCCL_LLAMA_SHAPE_INITIALIZER;
  shape.layers = 32;
  shape.hidden = 4096;
  shape.ffn = 14336;
  shape.heads = 32;
  shape.kvHeads = 8;
  shape.headDim = 128;
  shape.seqLen = 8192;
  shape.rest = {qcclCodecInt4, qcclScaleBfloat16, 128};
  qcclLedger_t ledger = nullptr;
  ASSERT_EQ(qcclLedgerCreate(&ledger), qcclSuccess);
  ASSERT_EQ(qcclLedgerAddLlama(ledger, &shape), qcclSuccess) << lastError();
  qcclLedgerTotals_t totals;
  ASSERT_EQ(qcclLedgerGetTotals(ledger, &totals), qcclSuccess);
  EXPECT_EQ(totals.codeBytes + totals.scaleBytes, std::size_t{10240 * 2 + 19008 + 136} * 32 * 8192);
  EXPECT_EQ(qcclLedgerAddLlama(ledger, &shape), qcclInvalidArgument) << "the same names again";
  EXPECT_THAT(lastError(), HasSubstr("layers.0.xhat1 already"));
  qcclLedgerTotals_t after;
  ASSERT_EQ(qcclLedgerGetTotals(ledger, &after), qcclSuccess);
  EXPECT_EQ(after.tensors, totals.tensors);
  shape.rest.codec = qcclCodecNone;
  EXPECT_EQ(qcclLedgerAddLlama(ledger, &shape), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("shape->rest.codec is none"));
  EXPECT_EQ(qcclLedgerDestroy(ledger), qcclSuccess);
}

TEST_F(MemoryApi, APoolIsExplainedMadeAndUsed) {
  std::uint64_t total = 0;
  const char* text = nullptr;
  ASSERT_EQ(qcclPoolExplain(&config_, &total, qcclReportTable, &text), qcclSuccess) << lastError();
  EXPECT_EQ(total, 2u * (1024 + 256 + 256 + 256 + 256) + 2u * 4096);
  EXPECT_THAT(text, HasSubstr("planned: 12,288 bytes"));
  create();
  for (std::uint64_t microBatch = 0; microBatch < 2; ++microBatch) {
    for (std::size_t i = 0; i < 3; ++i) {
      qcclSavedTensor_t saved;
      ASSERT_EQ(qcclLedgerGetTensor(ledger_, i, &saved), qcclSuccess);
      ASSERT_EQ(qcclPoolSave(pool_, microBatch, &saved, nullptr, &place_), qcclSuccess) << lastError();
      std::memset(place_.codes, static_cast<int>(10 * microBatch + i), place_.codeBytes);
    }
  }
  ASSERT_EQ(qcclPoolPeek(pool_, 1, "l.y", nullptr, &place_), qcclSuccess);
  EXPECT_EQ(*static_cast<unsigned char*>(place_.codes), 11);
  ASSERT_EQ(qcclPoolRestore(pool_, 0, "l.rstd", nullptr, &place_), qcclSuccess);
  EXPECT_EQ(place_.codeBytes, 28u);
  EXPECT_EQ(place_.scales, nullptr);
  EXPECT_EQ(qcclPoolDiscard(pool_, 0), qcclSuccess);
  void* scratch = nullptr;
  ASSERT_EQ(qcclPoolAllocate(pool_, "scratch", 4000, nullptr, &scratch), qcclSuccess);
  ASSERT_EQ(qcclPoolFree(pool_, scratch, nullptr), qcclSuccess);

  qcclPoolStats_t stats{};
  EXPECT_EQ(qcclPoolGetStats(pool_, &stats), qcclInvalidArgument);
  stats.size = sizeof stats;
  ASSERT_EQ(qcclPoolGetStats(pool_, &stats), qcclSuccess);
  EXPECT_EQ(stats.saves, 6u);
  EXPECT_EQ(stats.restores, 1u);
  EXPECT_EQ(stats.discards, 1u);
  EXPECT_EQ(stats.allocations + stats.frees, 2u);
  EXPECT_EQ(stats.usedBytes, 1228u);
  EXPECT_EQ(stats.peakBytes, 1228u + 4000);
  EXPECT_EQ(stats.reservedBytes, total);
  ASSERT_EQ(qcclPoolGetReport(pool_, qcclReportJson, &text), qcclSuccess);
  EXPECT_EQ(nlohmann::json::parse(text).at("pool"), "acts");
  ASSERT_EQ(qcclPoolResetPeaks(pool_), qcclSuccess);
  ASSERT_EQ(qcclPoolGetStats(pool_, &stats), qcclSuccess);
  EXPECT_EQ(stats.peakBytes, stats.usedBytes);
}

TEST_F(MemoryApi, MisuseHasItsCodeAndItsSentence) {
  create();
  const qcclSavedTensor_t y = tensor("l.y", 300, qcclCodecInt4);
  EXPECT_EQ(qcclPoolSave(pool_, 4, &y, nullptr, &place_), qcclInvalidUsage);
  EXPECT_THAT(lastError(), HasSubstr("pool acts: l.y of micro-batch 4 is saved out of order"));
  EXPECT_EQ(place_.codes, nullptr);
  EXPECT_EQ(qcclPoolRestore(pool_, 4, "l.y", nullptr, &place_), qcclInvalidUsage);
  EXPECT_EQ(qcclPoolPeek(pool_, 4, nullptr, nullptr, &place_), qcclInvalidArgument);
  const qcclSavedTensor_t larger = tensor("l.x", 1100);
  EXPECT_EQ(qcclPoolSave(pool_, 4, &larger, nullptr, &place_), qcclInvalidUsage);
  EXPECT_THAT(lastError(), HasSubstr("exceeds the plan"));
  const qcclSavedTensor_t x = tensor("l.x", 1000);
  EXPECT_EQ(qcclPoolSave(pool_, 4, &x, &place_, &place_), qcclInvalidArgument) << "a stream for host memory";
  EXPECT_THAT(lastError(), HasSubstr("pool acts: l.x of micro-batch 4: the stream must be NULL"));
  EXPECT_EQ(qcclPoolFree(pool_, &place_, nullptr), qcclInvalidUsage);
  EXPECT_EQ(qcclPoolSave(nullptr, 4, &x, nullptr, &place_), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("the pool is NULL"));
  const qcclPool_t stale = pool_;
  ASSERT_EQ(qcclPoolDestroy(pool_), qcclSuccess);
  pool_ = nullptr;
  EXPECT_EQ(qcclPoolSave(stale, 4, &x, nullptr, &place_), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("was destroyed"));
  EXPECT_EQ(qcclPoolDestroy(stale), qcclInvalidArgument);
}

TEST_F(MemoryApi, APlanThatDoesNotFitIsRefused) {
  config_.limitBytes = 12000;
  EXPECT_EQ(qcclPoolCreate(&pool_, &config_), qcclInvalidArgument);
  EXPECT_EQ(pool_, nullptr);
  EXPECT_THAT(lastError(), AllOf(HasSubstr("pool acts: the plan needs 12,288 bytes"), HasSubstr("288 bytes more than its limit of 12,000"),
                                 HasSubstr("Cheapest change that fits: bits of x 8 -> 6"), HasSubstr("micro-batches in flight 2 -> 1")));
}

TEST_F(MemoryApi, BadConfigurationsAreNamed) {
  config_.memory = 7;
  EXPECT_EQ(qcclPoolCreate(&pool_, &config_), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("config->memory = 7"));
  config_.memory = qcclMemoryCuda;
  config_.device = 99;
  EXPECT_EQ(qcclPoolCreate(&pool_, &config_), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("no pool in the memory of GPU 99"));
  config_.size = 0;
  EXPECT_EQ(qcclPoolCreate(&pool_, &config_), qcclInvalidArgument);
  EXPECT_THAT(lastError(), HasSubstr("QCCL_POOL_CONFIG_INITIALIZER"));
  config_ = QCCL_POOL_CONFIG_INITIALIZER;
  config_.tracePath = "/nowhere/at/all";
  EXPECT_EQ(qcclPoolCreate(&pool_, &config_), qcclSystemError);
  EXPECT_THAT(lastError(), HasSubstr("/nowhere/at/all"));
}

TEST_F(MemoryApi, WithoutAPlanAnythingGoes) {
  config_ = QCCL_POOL_CONFIG_INITIALIZER;
  config_.segmentBytes = 1 << 20;
  config_.limitBytes = 100000;
  create();
  const qcclSavedTensor_t odd = tensor("nobody.planned.this", 777);
  ASSERT_EQ(qcclPoolSave(pool_, 0, &odd, nullptr, &place_), qcclSuccess) << lastError();
  std::vector<void*> memory(5);
  for (void*& piece : memory) ASSERT_EQ(qcclPoolAllocate(pool_, "weights", 10000, nullptr, &piece), qcclSuccess);
  void* more = nullptr;
  EXPECT_EQ(qcclPoolAllocate(pool_, "too much", 60000, nullptr, &more), qcclInvalidUsage);
  EXPECT_THAT(lastError(), AllOf(HasSubstr("60000 bytes for too much"), HasSubstr("limit of 100000")));
  for (void* piece : memory) ASSERT_EQ(qcclPoolFree(pool_, piece, nullptr), qcclSuccess);
  ASSERT_EQ(qcclPoolRestore(pool_, 0, odd.name, nullptr, &place_), qcclSuccess);
}

TEST_F(MemoryApi, WritesATrace) {
  const TemporaryFolder folder;
  const std::string path = folder.path("trace");
  config_.tracePath = path.c_str();
  create();
  const qcclSavedTensor_t x = tensor("l.x", 1000);
  ASSERT_EQ(qcclPoolSave(pool_, 4, &x, nullptr, &place_), qcclSuccess);
  ASSERT_EQ(qcclPoolRestore(pool_, 4, "l.x", nullptr, &place_), qcclSuccess);
  ASSERT_EQ(qcclPoolDestroy(pool_), qcclSuccess);
  pool_ = nullptr;
  EXPECT_EQ(readFile(path), "save 4 l.x 1008 16 0\nrestore 4 l.x 0\n");
}

TEST_F(MemoryApi, APoolMayBeUsedByManyThreads) {
  config_ = QCCL_POOL_CONFIG_INITIALIZER;
  create();
  std::vector<std::thread> threads;
  for (std::uint64_t number = 0; number < 4; ++number) {
    threads.emplace_back([this, number] {
      const qcclSavedTensor_t x = tensor("x", 5000);
      for (int i = 0; i < 300; ++i) {
        qcclPlace_t place;
        ASSERT_EQ(qcclPoolSave(pool_, number, &x, nullptr, &place), qcclSuccess) << lastError();
        std::memset(place.codes, static_cast<int>(number), place.codeBytes);
        void* memory = nullptr;
        ASSERT_EQ(qcclPoolAllocate(pool_, "m", 700, nullptr, &memory), qcclSuccess);
        ASSERT_EQ(static_cast<unsigned char*>(place.codes)[place.codeBytes - 1], number);
        ASSERT_EQ(qcclPoolFree(pool_, memory, nullptr), qcclSuccess);
        ASSERT_EQ(qcclPoolRestore(pool_, number, "x", nullptr, &place), qcclSuccess);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace qccl::test
