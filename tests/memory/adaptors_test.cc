// What stands around a pool: the limit, the statistics, the log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.hpp"
#include "memory/best_fit_pool.hpp"
#include "memory/limit_adaptor.hpp"
#include "memory/logging_adaptor.hpp"
#include "memory/statistics_adaptor.hpp"
#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using qccl::test::sentenceOf;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Adaptors : public testing::Test {
 protected:
  std::unique_ptr<Pool> pool() { return std::make_unique<BestFitPool>("acts", *space_, 1 << 16); }

  std::unique_ptr<MemorySpace> space_ = hostMemory();
};

TEST_F(Adaptors, LimitIsOnWhatIsInUse) {
  LimitAdaptor limited(pool(), 1000);
  void* a = limited.allocate("a", 600, nullptr);
  limited.save({0, "t"}, {300, 100}, nullptr);
  EXPECT_THAT(sentenceOf([&] { limited.allocate("b", 1, nullptr); }),
              AllOf(HasSubstr("pool acts: 1 bytes for b"), HasSubstr("limit of 1000 bytes by 1"), HasSubstr("1000 are in use")));
  EXPECT_THAT(sentenceOf([&] { limited.save({7, "u"}, {100, 50}, nullptr); }), HasSubstr("150 bytes for u of micro-batch 7 would"));
  limited.free(a, nullptr);
  EXPECT_NO_THROW(limited.allocate("b", 600, nullptr));
}

TEST_F(Adaptors, StatisticsKnowWhoHeldThePeak) {
  StatisticsAdaptor counted(pool());
  counted.save({0, "layers.0.q"}, {100, 10}, nullptr);
  counted.save({0, "layers.1.q"}, {100, 10}, nullptr);
  counted.save({0, "layers.1.gate"}, {1000, 0}, nullptr);
  void* scratch = counted.allocate("scratch", 500, nullptr);  // the peak: 1720
  counted.free(scratch, nullptr);
  counted.peek({0, "layers.0.q"}, nullptr);
  counted.restore({0, "layers.1.gate"}, nullptr);
  scratch = counted.allocate("scratch", 900, nullptr);  // the name's own peak, not that of all
  EXPECT_THROW(counted.restore({9, "layers.0.q"}, nullptr), Error);
  EXPECT_THROW(counted.peek({0, "layers.1.gate"}, nullptr), Error);

  const PoolStatistics all = counted.statistics();
  EXPECT_EQ(all.saves, 3u);
  EXPECT_EQ(all.restores, 1u);
  EXPECT_EQ(all.allocations, 2u);
  EXPECT_EQ(all.frees, 1u);
  EXPECT_EQ(all.refusals, 2u);
  EXPECT_EQ(all.usedBytes, 220u + 900);
  EXPECT_EQ(all.peakBytes, 1720u);
  EXPECT_EQ(all.peakReservedBytes, std::size_t{1} << 16);

  EXPECT_THAT(counted.table(), AllOf(HasSubstr("pool acts"), testing::ContainsRegex("gate +1 +1 +0 +1,000 +1,000"),
                                     testing::ContainsRegex("scratch +1 +2 +900 +900 +500"),
                                     testing::ContainsRegex("q +2 +2 +220 +220 +220"), testing::ContainsRegex("all +4 +5 +1,120 +1,720")));
  const nlohmann::json json = nlohmann::json::parse(counted.json());
  EXPECT_EQ(json.at("peakBytes"), 1720);
  ASSERT_EQ(json.at("names").size(), 4u);
  EXPECT_EQ(json.at("names")[3],
            (nlohmann::json{{"name", "scratch"}, {"times", 2}, {"usedBytes", 900}, {"peakBytes", 900}, {"atPeakBytes", 500}}));

  counted.discard(0);
  EXPECT_EQ(counted.statistics().usedBytes, 900u);
  EXPECT_EQ(counted.statistics().discards, 1u);
  counted.resetPeaks();
  EXPECT_EQ(counted.statistics().peakBytes, 900u);
  EXPECT_THAT(counted.table(), testing::ContainsRegex("scratch +1 +2 +900 +900 +900"));
}

TEST_F(Adaptors, TheLogIsATraceWithItsRefusals) {
  std::vector<std::string> lines;
  LoggingAdaptor logged(pool(), [&](const std::string& line) { lines.push_back(line); });
  logged.save({3, "a b"}, {100, 10}, nullptr);
  logged.peek({3, "a b"}, nullptr);
  void* scratch = logged.allocate("s", 7, nullptr);
  void* more = logged.allocate("s", 8, nullptr);
  logged.free(more, nullptr);
  logged.free(scratch, nullptr);
  EXPECT_THROW(logged.free(scratch, nullptr), Error);
  logged.restore({3, "a b"}, nullptr);
  logged.discard(3);
  EXPECT_THAT(lines, ElementsAre("save 3 a_b 100 10 0", "peek 3 a_b 0", "allocate 0 s 7 0", "allocate 1 s 8 0", "free 1 0", "free 0 0",
                                 AllOf(testing::StartsWith("# refused: free 2 0: pool acts: s at"), HasSubstr("freed already")),
                                 "restore 3 a_b 0", "discard 3"));
}

}  // namespace
}  // namespace qccl::memory
