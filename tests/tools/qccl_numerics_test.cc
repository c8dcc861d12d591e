// qccl-numerics as it is run: its tables hold what they must, and what must be true of the numbers is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "support/process.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

constexpr double kToleranceDb = 0.3;  // of a small sample

ProcessResult runNumerics(std::vector<std::string> flags) {
  flags.insert(flags.begin(), QCCL_NUMERICS);
  return runProcess(flags, {{"QCCL_TIMEOUT_MS", "40000"}}, std::chrono::seconds(90));
}

std::vector<nlohmann::json> linesOf(const std::vector<std::string>& flags) {
  const ProcessResult result = runNumerics(flags);
  EXPECT_EQ(result.exitCode, 0) << result.err;
  std::vector<nlohmann::json> lines;
  std::istringstream out(result.out);
  for (std::string line; std::getline(out, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

const nlohmann::json& rowOf(const std::vector<nlohmann::json>& lines, const nlohmann::json& wanted) {
  for (const nlohmann::json& line : lines) {
    bool same = true;
    for (const auto& [key, value] : wanted.items()) same = same && line.at(key) == value;
    if (same) return line;
  }
  throw std::runtime_error("no row " + wanted.dump());
}

TEST(Numerics, AlgorithmsAreAsPreciseAsPredictedAndWithinTheirBounds) {
  const auto lines = linesOf({"--tables", "algorithms", "--ranks", "2,8", "--elems", "32768", "--reps", "2", "--json", "-"});
  // Eight codecs by four algorithms (hier needs hosts) at W = 2, by five at 8, and two exact rings each.
  ASSERT_EQ(lines.size(), 8u * 4 + 8u * 5 + 4);
  for (const nlohmann::json& line : lines) {
    EXPECT_LE(line.at("worst_over_bound").get<double>(), 1.0) << line;
    EXPECT_GT(line.at("worst_over_bound").get<double>(), 0.0) << line;
    EXPECT_EQ(line.at("elems"), 32768);
    EXPECT_EQ(line.at("reps"), 2);
    for (const char* key : {"rel_l2", "bias", "bias_se", "slope_minus_1", "slope_se", "snr_sd", "bytes_per_value"}) {
      EXPECT_TRUE(line.at(key).is_number()) << key << " of " << line;
    }
    if (line.at("codec") == "none") {
      EXPECT_TRUE(line.at("predicted_snr_db").is_null()) << line;
    } else {
      EXPECT_NEAR(line.at("snr_db").get<double>(), line.at("predicted_snr_db").get<double>(), kToleranceDb) << line;
    }
  }
  const auto snr = [&](const nlohmann::json& wanted) { return rowOf(lines, wanted).at("snr_db").get<double>(); };
  const double bfloat16Ring = snr({{"ranks", 8}, {"codec", "none"}, {"dtype", "bfloat16"}});
  EXPECT_GT(snr({{"ranks", 8}, {"codec", "none"}, {"dtype", "float32"}}), 120);
  EXPECT_GT(bfloat16Ring, snr({{"ranks", 8}, {"codec", "int8"}, {"algo", "oneshot"}}));
  EXPECT_GT(snr({{"ranks", 8}, {"codec", "int8"}, {"algo", "twoshot"}}), snr({{"ranks", 8}, {"codec", "int8"}, {"algo", "ring"}}) + 3);
}

TEST(Numerics, TheSameSeedGivesTheSameNumbers) {
  const std::vector<std::string> flags = {"--tables", "rounding", "--codecs", "int5", "--elems", "4096", "--reps", "1", "--json", "-"};
  const auto first = linesOf(flags);
  ASSERT_EQ(first.size(), 5u * 2 * 2);
  EXPECT_EQ(first, linesOf(flags));
  auto other = flags;
  other.insert(other.end(), {"--seed", "2"});
  EXPECT_NE(first, linesOf(other));
}

// Exact values take nothing away, and cost what they cost.
TEST(Numerics, OutliersCostTheirBytes) {
  const auto lines = linesOf({"--tables", "outliers", "--codecs", "int5", "--elems", "16384", "--json", "-"});
  const auto row = [&](int exact, int bytes, const char* data) {
    return rowOf(lines, {{"data", data}, {"block", 256}, {"scale", "float32"}, {"exact_values", exact}, {"exact_value_bytes", bytes}});
  };
  for (const char* data : {"normal", "heavy"}) {
    const nlohmann::json plain = row(0, 0, data);
    EXPECT_GT(row(1, 4, data).at("snr_db"), plain.at("snr_db"));
    EXPECT_GT(row(4, 4, data).at("snr_db"), row(1, 4, data).at("snr_db"));
    EXPECT_NEAR(row(2, 2, data).at("bytes_per_value").get<double>(), plain.at("bytes_per_value").get<double>() + 2.0 * 3 / 256, 1e-4);
  }
}

// A file as qccl-train writes it.
void writeGradients(const std::string& path, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(4096 + 64);
  for (float& x : values) x = normal(random);
  const std::string header =
      R"({"w":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]},"norm":{"dtype":"F32","shape":[64],"data_offsets":[16384,16640]}})";
  const std::uint64_t bytes = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  file << header;
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
}

TEST(Numerics, ReadsCapturedGradientsAndSaysWhatIsWrongWithThem) {
  const std::string folder = testing::TempDir() + "qccl-numerics-" + std::to_string(::getpid());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto path = [&](const std::string& name) { return folder + "/" + name + ".safetensors"; };
  const std::vector<std::string> flags = {"--tables", "gradients", "--gradients", folder, "--codecs", "int8", "--json", "-"};
  EXPECT_THAT(runNumerics(flags).err, HasSubstr("holds no step"));
  for (const int rank : {0, 1, 3}) writeGradients(path("step-00000007-rank-000" + std::to_string(rank)), 1u + static_cast<unsigned>(rank));
  EXPECT_THAT(runNumerics(flags).err, HasSubstr("rank 2 of step 7 is missing"));
  writeGradients(path("step-00000007-rank-0002"), 3);
  const auto lines = linesOf(flags);
  ASSERT_EQ(lines.size(), 4u + 5u);  // at two ranks and at four
  for (const nlohmann::json& line : lines) {
    EXPECT_EQ(line.at("data"), "gradients@7");
    EXPECT_EQ(line.at("elems"), 4096);  // without the vector
    EXPECT_LE(line.at("worst_over_bound").get<double>(), 1.0);
  }
  std::filesystem::resize_file(path("step-00000007-rank-0001"), 1000);
  const ProcessResult torn = runNumerics(flags);
  EXPECT_EQ(torn.exitCode, 2);
  EXPECT_THAT(torn.err, HasSubstr("step-00000007-rank-0001"));
  std::filesystem::remove_all(folder);
}

TEST(Numerics, RefusesWhatItDoesNotKnow) {
  const ProcessResult table = runNumerics({"--tables", "everything"});
  EXPECT_EQ(table.exitCode, 2);
  EXPECT_THAT(table.err, HasSubstr("allowed: algorithms, blocks"));
  EXPECT_THAT(runNumerics({"--codecs", "int7"}).err, HasSubstr("--codecs int7: unknown"));
}

}  // namespace
}  // namespace qccl::test
