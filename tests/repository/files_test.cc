// What holds for every file of the tree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "repository/tree.hpp"

namespace qccl::test {
namespace {

// One algorithm or concern in one file: about 400 lines is the ceiling that reviewers ask for, this is where the build says no. A table of
// data may be longer; it is named here with its reason.
constexpr int kMaxLines = 450;
constexpr std::array<const char*, 0> kLongTables = {};

TEST(Files, SourcesStayShort) {
  int seen = 0;
  for (const std::string& file : treeFiles()) {
    if (!file.starts_with("src/") || !isSource(file) || std::find(kLongTables.begin(), kLongTables.end(), file) != kLongTables.end())
      continue;
    ++seen;
    const std::string text = readTreeFile(file);
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), kMaxLines) << file << ": split it by concern";
  }
  EXPECT_GT(seen, 10) << "the tree was not read";
}

TEST(Files, NameNoFolderOfTheMachineTheyWereWrittenOn) {
  // Put together here so that this file does not find itself.
  const std::array<std::string, 5> kPlaces = {std::string("/wo") + "rk/", std::string("/tm") + "p/hf", std::string("/tm") + "p/b-",
                                              std::string("/ho") + "me/", std::string("/ro") + "ot/"};
  int seen = 0;
  for (const std::string& file : treeFiles()) {
    const bool text = isSource(file) || file.ends_with(".md") || file.ends_with(".txt") || file.ends_with(".cmake") ||
                      file.ends_with(".py") || file.ends_with(".json") || file.starts_with("scripts/") || file.starts_with(".ci/");
    if (!text) continue;
    ++seen;
    std::istringstream lines(readTreeFile(file));
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      for (const std::string& place : kPlaces) {
        // "$ROOT/x" and "framework/x" are no absolute paths: what stands before decides.
        const std::size_t at = line.find(place);
        if (at == std::string::npos) continue;
        const bool absolute = at == 0 || std::string(" \t\"'=(:,`>[").find(line[at - 1]) != std::string::npos;
        EXPECT_FALSE(absolute) << file << ":" << number << ": " << line;
      }
    }
  }
  EXPECT_GT(seen, 30) << "the tree was not read";
}

TEST(Files, HeadersIncludeOnceByPragmaOrGuard) {
  for (const std::string& file : treeFiles()) {
    if (file.ends_with(".inc.hpp")) continue;  // a body that several sources include with different macros
    if (file.ends_with(".hpp")) {
      EXPECT_THAT(readTreeFile(file), testing::HasSubstr("#pragma once")) << file;
    } else if (file.starts_with("include/qccl/") && file.ends_with(".h")) {
      EXPECT_THAT(readTreeFile(file), testing::HasSubstr("#ifndef QCCL_")) << file;
    }
  }
}

TEST(Files, EndWithOneNewlineAndHoldNoTabsOrTrailingBlanks) {
  for (const std::string& file : treeFiles()) {
    if (!isSource(file) && !file.ends_with(".py")) continue;
    const std::string text = readTreeFile(file);
    EXPECT_TRUE(text.ends_with("\n") && !text.ends_with("\n\n")) << file;
    EXPECT_EQ(text.find('\t'), std::string::npos) << file;
    EXPECT_EQ(text.find(" \n"), std::string::npos) << file;
    EXPECT_EQ(text.find('\r'), std::string::npos) << file;
  }
}

}  // namespace
}  // namespace qccl::test
