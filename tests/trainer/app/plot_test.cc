#include "app/plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/gnuplot.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<RunCurves> twoRuns() {
  RunCurves first, second;
  first.name = "exact";
  second.name = "int8";
  for (int step = 1; step <= 100; ++step) {
    first.trainLoss[step] = 5.0 / step + 2;
    second.trainLoss[step] = 5.0 / step + 2.01;
  }
  for (int step = 20; step <= 100; step += 20) {
    first.valLoss[step] = 5.0 / step + 2.1;
    second.valLoss[step] = (5.0 / step + 2.1) * 1.005;
  }
  return {first, second};
}

bool haveGnuplot() {
  try {
    runGnuplot("");
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

TEST(Plot, TheGapIsInPercentOfTheFirstRun) {
  const std::string script = plotScript(twoRuns(), "x.png", {});
  const std::size_t block = script.find("$gap1 <<");
  ASSERT_NE(block, std::string::npos);
  EXPECT_THAT(script.substr(block, 100), HasSubstr("\n20 0.5"));
  EXPECT_THAT(plotScript({twoRuns()[0]}, "x.png", {}), Not(HasSubstr("multiplot")));
}

TEST(Plot, NamesCannotLeaveTheirQuotes) {
  EXPECT_EQ(gnuplotQuoted("it's\n`id`"), "'it''s `id`'");
  auto runs = twoRuns();
  runs[1].name = "'; system('touch /tmp/qccl-should-not-exist'); plot '";
  const std::string script = plotScript(runs, "x.png", {});
  EXPECT_THAT(script, Not(HasSubstr("'; system('touch")));
  EXPECT_THAT(script, HasSubstr("'''; system(''touch"));
}

TEST(Plot, WritesAPicture) {
  if (!haveGnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  auto runs = twoRuns();
  runs[1].name = "int8 'quoted' \"twice\" {/Symbol a} $(id) \\ \xc3\xa4";
  plotRuns(runs, folder.path("it's.png"), {.title = "Title with 'quotes'"});
  EXPECT_EQ(test::readFile(folder.path("it's.png")).substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  // One run without validation, too.
  runs.resize(1);
  runs[0].valLoss.clear();
  plotRuns(runs, folder.path("one.png"), {});
  EXPECT_GT(std::filesystem::file_size(folder.path("one.png")), 1000u);
}

TEST(Plot, FailuresAreSentences) {
  if (!haveGnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::sentenceOf([&] { plotRuns(twoRuns(), folder.path("no/x.png"), {}); }), HasSubstr("gnuplot"));
  EXPECT_THAT(test::sentenceOf([&] { runGnuplot("this is not gnuplot\n"); }), HasSubstr("gnuplot failed: "));
  // More than a pipe holds, to a gnuplot that has ended already.
  EXPECT_THAT(test::sentenceOf([&] { runGnuplot("nonsense\n" + std::string(1 << 20, '#') + "\n"); }), HasSubstr("gnuplot failed: "));
}

TEST(Plot, AMissingGnuplotIsASentence) {
  const test::TemporaryFolder folder;
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", folder.path().c_str(), 1);
  const std::string sentence = test::sentenceOf([&] { runGnuplot(""); });
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(sentence, HasSubstr("gnuplot was not found; install it"));
}

}  // namespace
}  // namespace qccl::train
