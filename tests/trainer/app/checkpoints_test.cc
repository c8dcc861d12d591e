#include "app/checkpoints.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void writeSomething(const std::string& folder) { std::ofstream(folder + "/weights") << "0123456789"; }

TEST(Checkpoints, TheLatestCompleteOneCounts) {
  const test::TemporaryFolder folder;
  const Checkpoints checkpoints(folder.path("run"));
  EXPECT_FALSE(checkpoints.latest().has_value());
  checkpoints.save(9, 5, writeSomething);
  checkpoints.save(100, 5, writeSomething);
  checkpoints.save(20, 5, writeSomething);
  EXPECT_EQ(checkpoints.list().size(), 3u);
  ASSERT_EQ(checkpoints.latest()->step, 100);
  const std::string latest = checkpoints.latest()->folder;
  EXPECT_EQ(findCheckpoint(folder.path("run")), latest);

  fs::resize_file(latest + "/weights", 9);
  EXPECT_EQ(checkpoints.latest()->step, 20);
  EXPECT_THAT(test::sentenceOf([&] { findCheckpoint(latest); }), HasSubstr("is damaged"));
  fs::remove(checkpoints.latest()->folder + "/COMPLETE");
  EXPECT_EQ(checkpoints.latest()->step, 9);
}

TEST(Checkpoints, AFailedSaveLeavesTheOthersAsTheyWere) {
  const test::TemporaryFolder folder;
  const Checkpoints checkpoints(folder.path("run"));
  checkpoints.save(1, 1, writeSomething);
  EXPECT_THAT(test::sentenceOf([&] {
                checkpoints.save(2, 1, [](const std::string& path) {
                  writeSomething(path);
                  throw std::runtime_error("no room");
                });
              }),
              HasSubstr("no room"));
  EXPECT_EQ(checkpoints.latest()->step, 1);
  // The same step again takes the place of what was left behind.
  checkpoints.save(2, 1, writeSomething);
  EXPECT_EQ(checkpoints.list().size(), 1u);
  EXPECT_EQ(checkpoints.latest()->step, 2);
}

TEST(Checkpoints, OnlyTheLatestAreKept) {
  const test::TemporaryFolder folder;
  const Checkpoints checkpoints(folder.path("run"));
  for (int step = 1; step <= 5; ++step) checkpoints.save(step, 2, writeSomething);
  ASSERT_EQ(checkpoints.list().size(), 2u);
  EXPECT_EQ(checkpoints.list()[0].step, 4);
  folder.write("run/checkpoints/notes.txt", "mine");
  checkpoints.removeAll();
  EXPECT_TRUE(checkpoints.list().empty());
  EXPECT_TRUE(fs::exists(folder.path("run/checkpoints/notes.txt")));
}

TEST(Checkpoints, FoldersOfOtherSoftwareAreAccepted) {
  const test::TemporaryFolder folder;
  folder.write("model/config.json", "{}");
  EXPECT_EQ(findCheckpoint(folder.path("model")), folder.path("model"));
  EXPECT_THAT(test::sentenceOf([&] { findCheckpoint(folder.path("nothing")); }), HasSubstr("there is no checkpoint in"));
}

}  // namespace
}  // namespace qccl::train
