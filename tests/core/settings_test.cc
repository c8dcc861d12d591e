// The table of settings: complete, every default valid, every bad value refused with a sentence that names the variable.
#include "core/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "core/error.hpp"
#include "core/types.hpp"

extern char** environ;

namespace qccl {
namespace {

// Sets one variable for the length of a test, in an environment from which all others of qccl are gone.
class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string text = *entry;
      if (text.starts_with("QCCL_")) saved_[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
    }
    for (const auto& [name, value] : saved_) unsetenv(name.c_str());
  }
  ~SettingsTest() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
    for (const auto& [name, value] : saved_) setenv(name.c_str(), value.c_str(), 1);
  }

  void set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.insert(name);
  }

  Settings with(const std::string& name, const std::string& value) {
    set(name, value);
    const Settings settings = readSettings();
    unsetenv(name.c_str());
    return settings;
  }

  void expectRefused(const std::string& name, const std::string& value) {
    set(name, value);
    try {
      readSettings();
      ADD_FAILURE() << name << "=" << value << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidArgument);
      EXPECT_THAT(error.what(), testing::StartsWith(name + "=" + value + ": "));
    }
    unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::string> saved_;
  std::set<std::string> set_;
};

TEST_F(SettingsTest, DefaultsAreThoseOfTheTable) {
  const Settings settings = readSettings();
  EXPECT_EQ(settings.transport, "auto");
  EXPECT_EQ(settings.interfaceName, "");
  EXPECT_EQ(settings.timeoutMs, 120000);
  EXPECT_EQ(settings.logLevel, "warn");
  EXPECT_EQ(settings.kernels, "auto");
  EXPECT_EQ(settings.codec, qcclCodecNone);
  EXPECT_EQ(settings.blockElems, 256);
  EXPECT_EQ(settings.algorithm, qcclAlgoAuto);
  EXPECT_EQ(settings.rounding, qcclRoundNearest);
  EXPECT_EQ(settings.minBytes, 16384u);
  EXPECT_EQ(settings.tileBytes, 262144u);
  EXPECT_EQ(settings.tilesInFlight, 4);
  EXPECT_EQ(settings.gpuPath, "auto");
  EXPECT_EQ(settings.ncclLibrary, "");
  EXPECT_EQ(settings.ncclTileBytes, std::uint64_t{8} << 20);
  EXPECT_EQ(settings.rendezvous, "");
  EXPECT_EQ(settings.secret, "");
}

struct Row {
  const char* name;
  std::vector<std::string> good;
  std::vector<std::string> bad;
  // Whether the field that belongs to the variable is set by `good`'s values as text.
  std::function<std::string(const Settings&)> field;
};

std::string text(long long value) { return std::to_string(value); }

// What every row takes, refuses and sets. A new setting without a line here fails EveryRowIsTested.
const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"QCCL_TRANSPORT",
       {"auto", "inproc", "ucx"},
       {"", "tcp", "UCX", "ucx ", "inproc|ucx"},
       [](const Settings& s) { return s.transport; }},
      {"QCCL_INTERFACE", {"", "eth0", "10.0.0.1"}, {}, [](const Settings& s) { return s.interfaceName; }},
      {"QCCL_TIMEOUT_MS",
       {"1", "86400000", "5000"},
       {"", "0", "-1", "86400001", "5s", "1e3", " 5", "99999999999999999999"},
       [](const Settings& s) { return text(s.timeoutMs); }},
      {"QCCL_TUNING_TABLE", {"", "my.tuning", "/etc/qccl.tuning"}, {}, [](const Settings& s) { return s.tuningTable; }},
      {"QCCL_RENDEZVOUS",
       {"", "dir:/shared/x", "tcp://host:1234"},
       {"dir:relative", "host:1234", "/path", "udp://x:1"},
       [](const Settings& s) { return s.rendezvous; }},
      {"QCCL_SECRET", {"", "any text = at all"}, {}, [](const Settings& s) { return s.secret; }},
      {"QCCL_LOG", {"none", "warn", "info", "debug"}, {"", "all", "2"}, [](const Settings& s) { return s.logLevel; }},
      {"QCCL_CODEC",
       {"none", "int8", "int6", "int5", "int4", "fp8e4m3", "fp8e5m2", "fp4e2m1", "bf16"},
       {"", "int7", "INT8", "1"},
       [](const Settings& s) { return enumName(qcclEnumCodec, s.codec); }},
      {"QCCL_SCALE",
       {"float32", "bfloat16", "e8m0"},
       {"", "float16", "E8M0", "2"},
       [](const Settings& s) { return enumName(qcclEnumScale, s.scale); }},
      {"QCCL_BLOCK",
       {"32", "64", "128", "256", "512", "1024", "2048", "4096"},
       {"", "0", "31", "16", "8192", "-256", "256 ", "0x100", "100"},
       [](const Settings& s) { return text(s.blockElems); }},
      {"QCCL_ALGO",
       {"auto", "oneshot", "twoshot", "ring", "tree", "hier", "nccl"},
       {"", "Ring", "star", "3"},
       [](const Settings& s) {
         return std::vector<std::string>{"auto", "oneshot", "twoshot", "ring", "tree", "hier", "nccl"}.at(
             static_cast<std::size_t>(s.algorithm));
       }},
      {"QCCL_RANKS_PER_HOST", {"0", "1", "2048"}, {"", "-1", "2049", "all"}, [](const Settings& s) { return text(s.ranksPerHost); }},
      {"QCCL_ROUNDING",
       {"nearest", "stochastic"},
       {"", "up", "0"},
       [](const Settings& s) { return s.rounding == 0 ? "nearest" : "stochastic"; }},
      {"QCCL_ERROR_FEEDBACK", {"0", "1"}, {"", "yes", "2"}, [](const Settings& s) { return std::string(s.errorFeedback ? "1" : "0"); }},
      {"QCCL_MIN_BYTES",
       {"0", "1", "1099511627776"},
       {"", "-1", "2T", "1025G", "K", "1.5K", "1KB"},
       [](const Settings& s) { return text(static_cast<long long>(s.minBytes)); }},
      {"QCCL_MIN_SNR_DB",
       {"0", "36", "38.5", "200"},
       {"", "-1", "201", "40dB", "nan", "inf", "1e3"},
       [](const Settings& s) { return strCat(s.minSnrDb); }},
      {"QCCL_INSPECT_EVERY", {"0", "1", "1000000"}, {"", "-1", "1000001", "all"}, [](const Settings& s) { return text(s.inspectEvery); }},
      {"QCCL_TILE_BYTES",
       {"4096", "65536", "67108864"},
       {"", "0", "4095", "65M", "x"},
       [](const Settings& s) { return text(static_cast<long long>(s.tileBytes)); }},
      {"QCCL_TILES_IN_FLIGHT", {"1", "64"}, {"", "0", "65", "four", "-1"}, [](const Settings& s) { return text(s.tilesInFlight); }},
      {"QCCL_THREAD_BLOCKS", {"0", "1024"}, {"", "-1", "1025", "all"}, [](const Settings& s) { return text(s.threadBlocks); }},
      {"QCCL_NCCL_LIBRARY", {"", "libnccl.so.2", "/opt/nccl/libnccl.so"}, {}, [](const Settings& s) { return s.ncclLibrary; }},
      {"QCCL_NCCL_TILE_BYTES",
       {"4096", "8388608", "1073741824"},
       {"", "0", "4095", "2G", "x"},
       [](const Settings& s) { return text(static_cast<long long>(s.ncclTileBytes)); }},
      {"QCCL_GPU_PATH", {"auto", "peer", "host", "nccl"}, {"", "Peer", "ucx"}, [](const Settings& s) { return s.gpuPath; }},
      {"QCCL_KERNELS", {"auto", "baseline", "avx2", "avx512"}, {"", "sse2", "avx512f"}, [](const Settings& s) { return s.kernels; }},
  };
  return table;
}

TEST_F(SettingsTest, EveryRowIsTested) {
  std::set<std::string> inTable;
  for (const SettingRow& row : settingTable()) EXPECT_TRUE(inTable.insert(row.name).second) << row.name << " stands twice";
  std::set<std::string> tested;
  for (const Row& row : rows()) tested.insert(row.name);
  EXPECT_EQ(tested, inTable);
}

TEST_F(SettingsTest, EveryRowIsDocumented) {
  const std::set<std::string> types = {"integer", "number", "bytes", "enum", "string", "boolean"};
  for (const SettingRow& row : settingTable()) {
    EXPECT_THAT(row.name, testing::MatchesRegex("QCCL_[A-Z_]+"));
    EXPECT_TRUE(types.contains(row.type)) << row.name;
    EXPECT_STRNE(row.doc, "") << row.name;
    EXPECT_STRNE(row.allowed, "") << row.name;
    if (std::string(row.type) == "enum") {
      EXPECT_THAT("|" + std::string(row.allowed) + "|", testing::HasSubstr("|" + std::string(row.defaultValue) + "|")) << row.name;
    }
    if (std::string(row.type) == "bytes") {
      EXPECT_STREQ(row.unit, "bytes") << row.name;
    }
  }
}

TEST_F(SettingsTest, GoodValuesSetTheFieldOfTheirRow) {
  for (const Row& row : rows()) {
    for (const std::string& value : row.good) EXPECT_EQ(row.field(with(row.name, value)), value) << row.name;
  }
}

TEST_F(SettingsTest, BadValuesAreRefusedByName) {
  for (const Row& row : rows()) {
    for (const std::string& value : row.bad) expectRefused(row.name, value);
  }
}

TEST_F(SettingsTest, AreReadAnewEachTime) {
  EXPECT_EQ(with("QCCL_BLOCK", "512").blockElems, 512);
  EXPECT_EQ(readSettings().blockElems, 256);
}

TEST_F(SettingsTest, SizesTakeUnits) {
  EXPECT_EQ(with("QCCL_MIN_BYTES", "64K").minBytes, 65536u);
  EXPECT_EQ(with("QCCL_TILE_BYTES", "1M").tileBytes, 1048576u);
}

TEST_F(SettingsTest, MisspeltVariablesAreFound) {
  EXPECT_THAT(unknownSettings(), testing::IsEmpty());
  set("QCCL_BLOKC", "64");
  set("QCCL_BLOCK", "64");
  set("QCCL_LAUNCH_RANK", "0");  // set by the launcher
  EXPECT_THAT(unknownSettings(), testing::ElementsAre("QCCL_BLOKC"));
}

TEST(ParseBytes, TakesPlainNumbersAndPowersOf1024) {
  EXPECT_EQ(parseBytes("X", "0"), 0u);
  EXPECT_EQ(parseBytes("X", "123"), 123u);
  EXPECT_EQ(parseBytes("X", "1k"), 1024u);
  EXPECT_EQ(parseBytes("X", "64K"), 65536u);
  EXPECT_EQ(parseBytes("X", "3m"), 3u << 20);
  EXPECT_EQ(parseBytes("X", "1M"), 1u << 20);
  EXPECT_EQ(parseBytes("X", "2g"), std::uint64_t{2} << 30);
  EXPECT_EQ(parseBytes("X", "1024G"), std::uint64_t{1} << 40);
}

TEST(ParseBytes, RefusesTheRestByName) {
  for (const char* bad : {"", "K", "KK", "1KB", "1.5M", "-1", "+1", " 1", "1 ", "0x10", "1e3", "1T", "1025G", "18446744073709551616",
                          "99999999999999999999G", "16777216G"}) {
    try {
      parseBytes("--min", bad);
      ADD_FAILURE() << bad << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidArgument);
      EXPECT_THAT(error.what(), testing::StartsWith(std::string("--min=") + bad + ": "));
    }
  }
}

}  // namespace
}  // namespace qccl
