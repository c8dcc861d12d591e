// The conformance suite over inproc, ranks as threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "conformance.hpp"
#include "core/error.hpp"
#include "rank_threads.hpp"
#include "transport/host_identity.hpp"
#include "transport/inproc/inproc_hub.hpp"

namespace qccl::test {
namespace {

using transport::Membership;

class InprocConformance : public testing::TestWithParam<std::tuple<Scenario, int>> {};

TEST_P(InprocConformance, Holds) {
  const auto& [scenario, size] = GetParam();
  constexpr int kCommunicators = 2;
  std::vector<std::vector<Membership>> members;
  for (int i = 0; i < kCommunicators; ++i) members.push_back(transport::connectInproc(size));
  const auto complaints = runRankThreads(size, [&](int rank) {
    std::size_t next = 0;
    scenario.run([&] { return std::move(members.at(next++)[static_cast<std::size_t>(rank)]); });
  });
  EXPECT_THAT(complaints, testing::Each(""));
}

INSTANTIATE_TEST_SUITE_P(Inproc, InprocConformance, testing::Combine(testing::ValuesIn(conformanceScenarios()), testing::Values(2, 3, 5)),
                         [](const auto& each) { return strCat(std::get<0>(each.param).name, "_", std::get<1>(each.param), "Ranks"); });

TEST(Inproc, OneRankJoinsAndLeaves) {
  std::vector<Membership> members = transport::connectInproc(1);
  findScenario("JoinAndLeave")->run([&] { return std::move(members[0]); });
}

TEST(Inproc, AllRanksAreOnOneHost) {
  for (const Membership& member : transport::connectInproc(3)) EXPECT_THAT(member.hosts, testing::ElementsAre(0, 0, 0));
}

TEST(Hosts, AreNumberedInOrderOfAppearance) {
  EXPECT_THAT(transport::numberHosts({"b", "a", "b", "c", "a"}), testing::ElementsAre(0, 1, 0, 2, 1));
  EXPECT_EQ(transport::thisHost(), transport::thisHost());
  EXPECT_NE(transport::thisHost(), "");
}

TEST(Inproc, RefusesNoRanks) {
  EXPECT_THROW(transport::connectInproc(0), Error);
  EXPECT_THROW(transport::connectInproc(-1), Error);
}

// Small messages are the hub's after send(): the sender is done at once and may reuse its buffer.
TEST(Inproc, SmallSendsCompleteAtOnceAndLargeOnesWait) {
  std::vector<Membership> members = transport::connectInproc(2);
  std::vector<char> data(transport::kInprocEagerBytes + 1, 'a');
  const auto small = members[0].transport->send(1, 1, data.data(), transport::kInprocEagerBytes);
  EXPECT_TRUE(small->poll());
  const auto large = members[0].transport->send(1, 2, data.data(), transport::kInprocEagerBytes + 1);
  EXPECT_FALSE(large->poll());
  std::vector<char> first(transport::kInprocEagerBytes);
  data[0] = 'b';  // after the small one was sent
  EXPECT_TRUE(members[1].transport->recv(0, 1, first.data(), first.size())->poll());
  EXPECT_EQ(first[0], 'a');
  std::vector<char> second(data.size());
  EXPECT_TRUE(members[1].transport->recv(0, 2, second.data(), second.size())->poll());
  EXPECT_EQ(second[0], 'b');
  EXPECT_TRUE(large->poll());
}

TEST(Inproc, RequestsMayOutliveTheTransport) {
  std::vector<Membership> members = transport::connectInproc(2);
  std::vector<char> data(100000, 'x');
  auto send = members[0].transport->send(1, 1, data.data(), data.size());
  auto receive = members[1].transport->recv(0, 2, data.data(), data.size());
  members.clear();
  EXPECT_FALSE(send->poll());
  EXPECT_FALSE(receive->poll());
}

}  // namespace
}  // namespace qccl::test
