#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "app/log_reader.hpp"
#include "app/run_log.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

LogRecord step(int number, double loss) { return {{"kind", "step"}, {"step", number}, {"loss", loss}}; }

TEST(RunLog, AppendsWholeLines) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("log.jsonl");
  {
    RunLog log(path);
    log.append(step(1, 2.5));
    log.append({{"kind", "eval"}, {"step", 1}, {"val_loss", std::nan("")}, {"name", "\xff"}});
  }
  RunLog(path).append(step(2, 2.25));
  EXPECT_EQ(test::readFile(path),
            "{\"kind\":\"step\",\"step\":1,\"loss\":2.5}\n{\"kind\":\"eval\",\"step\":1,\"val_loss\":null,\"name\":\"\xef\xbf\xbd\"}\n"
            "{\"kind\":\"step\",\"step\":2,\"loss\":2.25}\n");
}

TEST(RunLog, ATornLineSpoilsNoOther) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("log.jsonl", "{\"kind\":\"step\",\"step\":1,\"loss\":2.5}\n{\"kind\":\"step\",\"st");
  RunLog(path).append(step(2, 2.25));
  const RunCurves curves = readRunLog(path);
  EXPECT_THAT(curves.trainLoss, ElementsAre(Pair(1, 2.5), Pair(2, 2.25)));
  EXPECT_EQ(curves.damagedLines, 1u);
}

TEST(RunLog, AResumedRunReplacesWhatItDoesAgain) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("log.jsonl");
  RunLog log(path);
  log.append({{"kind", "config"}, {"run", "first"}, {"start_step", 0}});
  for (int i = 1; i <= 5; ++i) log.append(step(i, 10 - i));
  log.append({{"kind", "eval"}, {"step", 4}, {"val_loss", 6.5}});
  log.append({{"kind", "config"}, {"run", "second"}, {"start_step", 2}});
  log.append(step(3, 1.0));
  log.append({{"kind", "done"}, {"step", 3}});
  const RunCurves curves = readRunLog(path);
  EXPECT_EQ(curves.name, "second");
  EXPECT_THAT(curves.trainLoss, ElementsAre(Pair(1, 9), Pair(2, 8), Pair(3, 1.0)));
  EXPECT_TRUE(curves.valLoss.empty());
  EXPECT_EQ(curves.damagedLines, 0u);
}

TEST(RunLog, WhatIsNoLogIsASentence) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::sentenceOf([&] { readRunLog(folder.path("none")); }), HasSubstr("cannot read the log"));
  EXPECT_THAT(test::sentenceOf([&] { readRunLog(folder.path()); }), HasSubstr("cannot read the log"));
  EXPECT_THAT(test::sentenceOf([&] { readRunLog(folder.write("a", "hello\n[1,2]\n{\"kind\":5}\n")); }), HasSubstr("holds no step"));
  EXPECT_THAT(test::sentenceOf([&] { RunLog log(folder.path("no/log")); }), HasSubstr("cannot write the log"));
}

}  // namespace
}  // namespace qccl::train
