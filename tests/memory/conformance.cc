#include "memory/conformance.hpp"

#include <gmock/gmock.h>

#include <cstdint>

#include "core/error.hpp"
#include "memory/best_fit_pool.hpp"
#include "memory/limit_adaptor.hpp"
#include "memory/logging_adaptor.hpp"
#include "memory/planned_pool.hpp"
#include "memory/statistics_adaptor.hpp"
#include "support/sentence.hpp"

namespace qccl::memory::test {

using qccl::test::sentenceOf;
using testing::AllOf;
using testing::HasSubstr;

Ledger suiteLedger() {
  Ledger ledger;
  for (const char* layer : {"0", "1", "2"}) {
    ledger.add({strCat("layers.", layer, ".x"), 3000, formatOfBits(8)});
    ledger.add({strCat("layers.", layer, ".rstd"), 10, formatOfBits(32)});
    ledger.add({strCat("layers.", layer, ".gate"), 10001, formatOfBits(5)});
  }
  return ledger;
}

namespace {

std::unique_ptr<Pool> planned(MemorySpace& space) {
  return std::make_unique<PlannedPool>("acts", PoolPlan(suiteLedger(), {kInFlight, kScratchBytes}), space);
}

std::unique_ptr<Pool> bestFit(MemorySpace& space) { return std::make_unique<BestFitPool>("acts", space, std::size_t{1} << 20); }

// All adaptors around a pool.
std::unique_ptr<Pool> adapted(std::unique_ptr<Pool> pool) {
  pool = std::make_unique<LimitAdaptor>(std::move(pool), std::size_t{1} << 30);
  pool = std::make_unique<StatisticsAdaptor>(std::move(pool));
  return std::make_unique<LoggingAdaptor>(std::move(pool), [](const std::string&) {});
}

unsigned char valueOf(std::uint64_t microBatch, std::size_t tensor) { return static_cast<unsigned char>(1 + microBatch * 37 + tensor * 5); }

}  // namespace

std::vector<PoolKind> poolKinds() {
  return {{"Planned", planned},
          {"BestFit", bestFit},
          {"AdaptedPlanned", [](MemorySpace& space) { return adapted(planned(space)); }},
          {"AdaptedBestFit", [](MemorySpace& space) { return adapted(bestFit(space)); }}};
}

std::string caseName(const testing::TestParamInfo<std::tuple<PoolKind, MachineKind>>& info) {
  return strCat(std::get<0>(info.param).name, std::get<1>(info.param).name);
}

void PoolConformance::SetUp() {
  machine_ = std::get<1>(GetParam()).make();
  if (!machine_->whyNot().empty()) GTEST_SKIP() << machine_->whyNot();
  pool_ = std::get<0>(GetParam()).make(machine_->space());
}

Place PoolConformance::save(std::uint64_t microBatch, std::size_t tensor, StreamHandle stream) {
  const LedgerEntry& entry = ledger_.entries()[tensor];
  const Place place = pool_->save({microBatch, entry.tensor.name}, entry.bytes, stream);
  EXPECT_EQ(place.bytes, entry.bytes);
  machine_->fill(place.codes, valueOf(microBatch, tensor), place.bytes.codes, stream);
  if (place.scales != nullptr) machine_->fill(place.scales, valueOf(microBatch, tensor + 1), place.bytes.scales, stream);
  return place;
}

void PoolConformance::restore(std::uint64_t microBatch, std::size_t tensor, StreamHandle stream) {
  const Place place = pool_->restore({microBatch, ledger_.entries()[tensor].tensor.name}, stream);
  machine_->expectFilled(place.codes, valueOf(microBatch, tensor), place.bytes.codes, stream);
  if (place.scales != nullptr) machine_->expectFilled(place.scales, valueOf(microBatch, tensor + 1), place.bytes.scales, stream);
}

void PoolConformance::forward(std::uint64_t microBatch, StreamHandle stream) {
  for (std::size_t i = 0; i < ledger_.entries().size(); ++i) save(microBatch, i, stream);
}

void PoolConformance::backward(std::uint64_t microBatch, StreamHandle stream) {
  for (std::size_t i = ledger_.entries().size(); i-- > 0;) restore(microBatch, i, stream);
}

TEST_P(PoolConformance, PlacesAreAlignedAndApart) {
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> ranges;
  const auto add = [&](const void* memory, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    EXPECT_EQ(begin % kPlaceAlign, 0u);
    for (const auto& [otherBegin, otherEnd] : ranges) EXPECT_TRUE(begin + bytes <= otherBegin || otherEnd <= begin);
    ranges.emplace_back(begin, begin + bytes);
  };
  for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) {
    for (std::size_t i = 0; i < ledger_.entries().size(); ++i) {
      const Place place = save(microBatch, i, machine_->stream());
      add(place.codes, place.bytes.codes);
      EXPECT_EQ(place.scales == nullptr, place.bytes.scales == 0);
      if (place.scales != nullptr) add(place.scales, place.bytes.scales);
    }
  }
  for (const char* name : {"first", "second"}) add(pool_->allocate(name, kScratchBytes, machine_->stream()), kScratchBytes);
}

TEST_P(PoolConformance, KeepsWhatIsSavedUnder1F1B) {
  const StreamHandle stream = machine_->stream();
  for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) forward(microBatch, stream);
  for (std::uint64_t done = 0; done < 8; ++done) {
    backward(done, stream);
    forward(done + kInFlight, stream);
  }
  for (std::uint64_t microBatch = 8; microBatch < 8 + kInFlight; ++microBatch) backward(microBatch, stream);
  EXPECT_EQ(pool_->usage().usedBytes, 0u);
}

TEST_P(PoolConformance, KeepsWhatIsSavedWhenAllForwardsComeFirst) {
  for (int step = 0; step < 3; ++step) {
    for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) forward(microBatch, machine_->stream());
    for (std::uint64_t microBatch = kInFlight; microBatch-- > 0;) backward(microBatch, machine_->stream());
  }
  EXPECT_EQ(pool_->usage().usedBytes, 0u);
}

TEST_P(PoolConformance, ForwardAndBackwardMayHaveStreamsOfTheirOwn) {
  for (std::uint64_t microBatch = 0; microBatch < 6; ++microBatch) {
    forward(microBatch, microBatch % 2 == 0 ? machine_->stream() : machine_->otherStream());
    backward(microBatch, microBatch % 3 == 0 ? machine_->stream() : machine_->otherStream());
  }
}

TEST_P(PoolConformance, ATensorMayBeSmallerThanPlanned) {
  const Place place = pool_->save({0, "layers.0.x"}, {100, 16}, machine_->stream());
  EXPECT_EQ(place.bytes, (TensorBytes{100, 16}));
  EXPECT_EQ(pool_->usage().usedBytes, 116u);
  EXPECT_EQ(pool_->restore({0, "layers.0.x"}, machine_->stream()).bytes, (TensorBytes{100, 16}));
}

TEST_P(PoolConformance, PeekingReadsAndKeeps) {
  const StreamHandle stream = machine_->stream();
  for (std::size_t i = 0; i < 3; ++i) save(7, i, stream);
  const Place place = pool_->peek({7, "layers.0.x"}, machine_->otherStream());
  machine_->expectFilled(place.codes, valueOf(7, 0), place.bytes.codes, machine_->otherStream());
  for (std::size_t i = 3; i < ledger_.entries().size(); ++i) save(7, i, stream);
  backward(7, stream);
  forward(8, stream);  // over what the other stream read
}

TEST_P(PoolConformance, DiscardingGivesEverythingUp) {
  for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) forward(microBatch, machine_->stream());
  restore(1, ledger_.entries().size() - 1, machine_->stream());
  EXPECT_EQ(pool_->saved(1).size(), ledger_.entries().size() - 1);
  for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) pool_->discard(microBatch);
  pool_->discard(99);
  EXPECT_TRUE(pool_->saved(1).empty());
  EXPECT_EQ(pool_->usage().usedBytes, 0u);
  for (std::uint64_t microBatch = 0; microBatch < kInFlight; ++microBatch) forward(microBatch, machine_->otherStream());
}

TEST_P(PoolConformance, UsageAndNamesAreWhatWasAskedFor) {
  EXPECT_EQ(pool_->name(), "acts");
  EXPECT_EQ(pool_->usage().usedBytes, 0u);
  forward(4, machine_->stream());
  const LedgerTotals totals = ledger_.totals();
  EXPECT_EQ(pool_->usage().usedBytes, totals.bytes.total());
  void* scratch = pool_->allocate("scratch", 10, machine_->stream());
  EXPECT_EQ(pool_->usage().usedBytes, totals.bytes.total() + 10);
  EXPECT_GE(pool_->usage().reservedBytes, pool_->usage().usedBytes);
  const std::vector<Named> saved = pool_->saved(4);
  ASSERT_EQ(saved.size(), ledger_.entries().size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(saved[i].name, ledger_.entries()[i].tensor.name);
    EXPECT_EQ(saved[i].bytes, ledger_.entries()[i].bytes.total());
  }
  const Named freed = pool_->free(scratch, machine_->stream());
  EXPECT_EQ(freed.name, "scratch");
  EXPECT_EQ(freed.bytes, 10u);
}

TEST_P(PoolConformance, ScratchIsReusedInStreamOrder) {
  for (int i = 0; i < 6; ++i) {
    const StreamHandle stream = i % 2 == 0 ? machine_->stream() : machine_->otherStream();
    void* a = pool_->allocate("a", kScratchBytes, stream);
    void* b = pool_->allocate("b", 1, stream);
    EXPECT_NE(a, b);
    machine_->fill(a, static_cast<unsigned char>(i + 1), kScratchBytes, stream);
    machine_->expectFilled(a, static_cast<unsigned char>(i + 1), kScratchBytes, stream);
    pool_->free(a, stream);
    pool_->free(b, stream);
  }
}

TEST_P(PoolConformance, MisuseIsAnErrorWithTheNameAndChangesNothing) {
  const StreamHandle stream = machine_->stream();
  const auto codeOf = [](const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return qcclSuccess;
  };
  forward(1, stream);
  const Place saved = pool_->peek({1, "layers.0.x"}, stream);
  void* scratch = pool_->allocate("dequantized", 64, stream);
  pool_->free(scratch, stream);
  const std::size_t used = pool_->usage().usedBytes;
  const std::vector<std::pair<std::function<void()>, testing::Matcher<std::string>>> misuses = {
      {[&] {
         pool_->save({1, "layers.0.gate"}, {1, 0}, stream);
       },
       AllOf(HasSubstr("layers.0.gate of micro-batch 1"), HasSubstr("saved already"))},
      {[&] {
         pool_->restore({2, "layers.0.x"}, stream);
       },
       AllOf(HasSubstr("layers.0.x of micro-batch 2"), HasSubstr("nothing of this micro-batch"))},
      {[&] {
         pool_->restore({1, "nobody"}, stream);
       },
       AllOf(HasSubstr("nobody of micro-batch 1"), HasSubstr("cannot be restored"))},
      {[&] {
         pool_->peek({1, "nobody"}, stream);
       },
       AllOf(HasSubstr("nobody of micro-batch 1"), HasSubstr("cannot be read"))},
      {[&] { pool_->allocate("nothing", 0, stream); }, HasSubstr("nothing")},
      {[&] { pool_->free(scratch, stream); }, AllOf(HasSubstr("dequantized"), HasSubstr("freed already"))},
      {[&] { pool_->free(saved.codes, stream); }, HasSubstr("pool acts")},
      {[&] { pool_->free(nullptr, stream); }, HasSubstr("pool acts")}};
  for (const auto& [misuse, expected] : misuses) {
    EXPECT_THAT(sentenceOf(misuse), AllOf(testing::StartsWith("pool acts: "), expected));
    EXPECT_EQ(codeOf(misuse), qcclInvalidUsage);
    EXPECT_EQ(pool_->usage().usedBytes, used);
  }
  backward(1, stream);
  EXPECT_THAT(sentenceOf([&] { pool_->restore({1, "layers.0.x"}, stream); }), HasSubstr("layers.0.x of micro-batch 1"));
  EXPECT_THAT(sentenceOf([&] { pool_->peek({1, "layers.0.x"}, stream); }), HasSubstr("layers.0.x of micro-batch 1"));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PoolConformance);

}  // namespace qccl::memory::test
