// qccl-info as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <qccl/qccl.h>

#include <nlohmann/json.hpp>

#include "support/process.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;
using testing::Not;

ProcessResult info(const std::vector<std::string>& flags, const std::map<std::string, std::string>& environment = {}) {
  std::vector<std::string> arguments = {QCCL_INFO};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return runProcess(arguments, environment);
}

TEST(QcclInfo, PrintsEverythingByDefault) {
  const ProcessResult result = info({});
  EXPECT_EQ(result.exitCode, 0) << result.err;
  for (const char* part : {"qccl " QCCL_VERSION_STRING, "transports", "inproc", "ucx", "features", "QCCL_TIMEOUT_MS", "oneshot", "twoshot",
                           "ring", "tree", "W=8"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
}

TEST(QcclInfo, ConfigShowsValuesInForceButNotTheSecret) {
  const ProcessResult result = info({"--config"}, {{"QCCL_TIMEOUT_MS", "4321"}, {"QCCL_SECRET", "abracadabra"}});
  EXPECT_EQ(result.exitCode, 0) << result.err;
  EXPECT_THAT(result.out, testing::ContainsRegex("\\* QCCL_TIMEOUT_MS +4321 +default 120000"));
  EXPECT_THAT(result.out, HasSubstr("* QCCL_SECRET"));
  EXPECT_THAT(result.out, Not(HasSubstr("abracadabra")));
  EXPECT_THAT(result.out, Not(HasSubstr("oneshot all"))) << "only the settings";
}

TEST(QcclInfo, ABadSettingIsNamed) {
  const ProcessResult result = info({"--config"}, {{"QCCL_TIMEOUT_MS", "soon"}});
  EXPECT_EQ(result.exitCode, 1);
  EXPECT_THAT(result.err, HasSubstr("QCCL_TIMEOUT_MS=soon"));
  EXPECT_EQ(result.out, "");
}

TEST(QcclInfo, MarkdownDoesNotDependOnTheEnvironment) {
  EXPECT_EQ(info({"--config-markdown"}).out, info({"--config-markdown"}, {{"QCCL_TIMEOUT_MS", "4321"}}).out);
}

TEST(QcclInfo, JsonHoldsTheTables) {
  const ProcessResult result = info({"--json"}, {{"QCCL_ALGO", "ring"}});
  ASSERT_EQ(result.exitCode, 0) << result.err;
  const nlohmann::json page = nlohmann::json::parse(result.out);
  EXPECT_EQ(page.at("version"), QCCL_VERSION_STRING);
  EXPECT_TRUE(page.at("build").is_object());
  EXPECT_TRUE(page.at("cpu").contains("features"));
  bool algoSeen = false;
  for (const nlohmann::json& setting : page.at("settings")) {
    if (setting.at("name") != "QCCL_ALGO") continue;
    algoSeen = true;
    EXPECT_EQ(setting.at("value"), "ring");
    EXPECT_EQ(setting.at("default"), "auto");
    EXPECT_EQ(setting.at("is_set"), true);
  }
  EXPECT_TRUE(algoSeen);
  std::vector<std::string> names;
  for (const nlohmann::json& row : page.at("algorithms")) {
    names.push_back(row.at("name"));
    if (row.at("name") == "nccl") continue;  // exact
    // One quantization costs half a step of max|x| / 127; nothing can be better, and rounding up or down by noise costs up to a whole one.
    EXPECT_GE(row.at("int8_bound_nearest").at("2").get<double>(), 1.0 / 254);
    EXPECT_GT(row.at("int8_bound_stochastic").at("8").get<double>(), row.at("int8_bound_nearest").at("8").get<double>());
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("oneshot", "twoshot", "ring", "tree", "hier", "nccl"));
}

TEST(QcclInfo, ShowsTheTuningTableInEffect) {
  EXPECT_THAT(info({}).out, HasSubstr("allreduce host any 2 any any quantized max asked oneshot -"));
  const TemporaryFolder folder;
  const std::string table = folder.write("table", "qccl-tuning 1\nallreduce host oneHost 3 any float32 int8 4096 none ring tree\n");
  const ProcessResult result = info({"--tuning"}, {{"QCCL_TUNING_TABLE", table}});
  EXPECT_EQ(result.exitCode, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nqccl-tuning 1\nallreduce host oneHost 3 any float32 int8 4096 none ring tree\nallreduce "));
  EXPECT_THAT(result.out, HasSubstr("\nreducescatter host any any any any quantized max asked direct -\n"));
  const ProcessResult missing = info({"--tuning"}, {{"QCCL_TUNING_TABLE", folder.path("none")}});
  EXPECT_EQ(missing.exitCode, 1);
  EXPECT_THAT(missing.err, HasSubstr("QCCL_TUNING_TABLE=" + folder.path("none")));
}

TEST(QcclInfo, UnknownFlagsAndCombinationsAreRefused) {
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--nonsense"}, {"--json", "--config"}, {"extra"}}) {
    const ProcessResult result = info(flags);
    EXPECT_EQ(result.exitCode, 2);
    EXPECT_THAT(result.err, testing::StartsWith("qccl-info: "));
  }
  EXPECT_EQ(info({"--help"}).exitCode, 0);
}

}  // namespace
}  // namespace qccl::test
