// pool-bench as it is run: every allocator is measured, and what must be true of the bytes is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/process.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

ProcessResult bench(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {QCCL_POOL_BENCH, "--shape", "smollm2-135m", "--seq", "256", "--runs", "2", "--eager-steps", "1"});
  return runProcess(flags);
}

std::map<std::string, nlohmann::json> rowsOf(const std::string& lines) {
  std::map<std::string, nlohmann::json> rows;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    rows[row.at("trace").get<std::string>() + " " + row.at("allocator").get<std::string>()] = row;
  }
  return rows;
}

TEST(PoolBench, MeasuresEveryAllocatorOnTheSameTraces) {
  const ProcessResult result = bench({"--json", "-"});
  ASSERT_EQ(result.exitCode, 0) << result.err;
  auto rows = rowsOf(result.out);
  for (const char* name :
       {"1f1b planned", "1f1b best-fit", "1f1b caching", "1f1b malloc", "eager best-fit", "eager caching", "eager malloc"}) {
    ASSERT_TRUE(rows.count(name)) << name;
    const nlohmann::json& row = rows[name];
    EXPECT_EQ(row.at("shape"), "smollm2-135m");
    EXPECT_EQ(row.at("seq"), 256);
    EXPECT_GT(row.at("ns_per_op").get<double>(), 0) << row;
    EXPECT_EQ(row.at("peak_used_bytes"), rows[row.at("trace") == "1f1b" ? "1f1b planned" : "eager best-fit"].at("peak_used_bytes")) << row;
    EXPECT_GE(row.at("peak_reserved_bytes"), row.at("peak_used_bytes")) << row;
  }
  EXPECT_EQ(rows.size(), 7u);
  EXPECT_LT(rows["1f1b planned"].at("peak_reserved_bytes"), rows["1f1b caching"].at("peak_reserved_bytes"));
}

TEST(PoolBench, ReplaysTracesFromFiles) {
  const TemporaryFolder folder;
  const std::string path = folder.path("trace");
  ASSERT_EQ(bench({"--write-trace", path}).exitCode, 0);
  const ProcessResult result = bench({"--trace", path});
  EXPECT_EQ(result.exitCode, 0) << result.err;
  EXPECT_THAT(result.out, testing::AllOf(HasSubstr("best-fit"), HasSubstr("caching"), HasSubstr("malloc")));

  // A file does not say what was trained, so the lines do not either.
  const std::map<std::string, nlohmann::json> rows = rowsOf(bench({"--trace", path, "--json", "-"}).out);
  ASSERT_EQ(rows.count(path + " best-fit"), 1u);
  for (const char* key : {"shape", "seq", "stages", "micro_batches"}) EXPECT_FALSE(rows.at(path + " best-fit").contains(key)) << key;
}

TEST(PoolBench, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& trace) {
    const ProcessResult result = bench({"--trace", folder.write("trace", trace)});
    EXPECT_NE(result.exitCode, 0);
    return result.err;
  };
  EXPECT_THAT(refusal("save 0 a 10 0 0\n"), HasSubstr("does not give back"));
  EXPECT_THAT(refusal("restore 0 a 0\n"), HasSubstr("restores what it has not saved: restore 0 a 0"));
  EXPECT_THAT(refusal("free 3 0\n"), HasSubstr("frees what it has not allocated"));
  EXPECT_THAT(refusal("fetch 3 0\n"), HasSubstr("line 1 of the trace: no call is named fetch"));
  EXPECT_THAT(runProcess({QCCL_POOL_BENCH, "--shape", "gpt"}).err, HasSubstr("--shape gpt: unknown; allowed: smollm2-135m"));
  EXPECT_THAT(bench({"--trace", folder.path("none")}).err, HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace qccl::test
