#include "collectives/tuning_agreement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "core/error.hpp"
#include "support/temporary_folder.hpp"
#include "transport/membership.hpp"

namespace qccl::collectives {
namespace {

using testing::HasSubstr;

struct Outcome {
  std::shared_ptr<const TuningTable> table;
  std::string refusal;
};

// Every rank with a table of its own.
std::vector<Outcome> agreed(const std::vector<std::string>& paths) {
  std::vector<transport::Membership> memberships = transport::connectInproc(static_cast<int>(paths.size()));
  std::vector<Outcome> outcomes(paths.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < paths.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        outcomes[rank].table = agreeOnTuning(*memberships[rank].control, paths[rank], Deadline::in(std::chrono::milliseconds(20000)));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), qcclInvalidArgument);
        outcomes[rank].refusal = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

TEST(TuningAgreement, AllRanksHaveRankZerosTable) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("table",
                                        "qccl-tuning 1\n"
                                        "allreduce host any 3 any any int8 max asked ring -\n"
                                        "allreduce host any 4 any any int8 max asked tree -\n");
  for (const Outcome& outcome : agreed({path, "", "/nonexistent"})) {
    ASSERT_NE(outcome.table, nullptr) << outcome.refusal;
    const std::vector<TuningRow>& rows = outcome.table->rows();
    EXPECT_EQ(rows.front().algorithm, qcclAlgoRing);
    EXPECT_FALSE(rows.front().builtIn);
    EXPECT_TRUE(rows[1].builtIn) << "rows for other numbers of ranks are not sent";
    EXPECT_EQ(formatTuning(rows), formatTuning(agreed({path, path, path}).front().table->rows()));
  }
  for (const Outcome& outcome : agreed({"", path, path})) {
    ASSERT_NE(outcome.table, nullptr) << outcome.refusal;
    EXPECT_TRUE(outcome.table->rows().front().builtIn);
  }
}

TEST(TuningAgreement, RankZerosBadTableIsRefusedOnAllRanks) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("table", "qccl-tuning 1\nallreduce host\n");
  for (const Outcome& outcome : agreed({path, "", ""})) {
    EXPECT_THAT(outcome.refusal, HasSubstr("rank 0 has no tuning table: " + path + ":2: 2 columns; write these 11"));
  }
}

}  // namespace
}  // namespace qccl::collectives
