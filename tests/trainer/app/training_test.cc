// Whole runs, with ranks as processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/safetensors.hpp"
#include "program.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

class Training : public testing::Test {
 protected:
  static void SetUpTestSuite() { shared_ = new ProgramTestData; }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }
  static std::vector<std::string> arguments(const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"train",     "--data", shared_->data(), "--out",    shared_->path(out), "--hidden", "64",
                                    "--layers",  "2",      "--heads",       "4",        "--kv-heads",       "2",        "--seq",
                                    "32",        "--lr",   "0.005",         "--min-lr", "0.0005",           "--warmup", "5",
                                    "--threads", "1",      "--check-every", "1",        "--min-bytes",      "0"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static void train(const std::string& out, const std::vector<std::string>& more) {
    const Ended ended = runProgram(shared_->folder(), arguments(out, more));
    ASSERT_EQ(ended.code, 0) << ended.output;
  }
  static std::vector<nlohmann::json> log(const std::string& out, const std::string& kind) {
    std::vector<nlohmann::json> records;
    std::istringstream text(test::readFile(shared_->path(out + "/log.jsonl")));
    for (std::string line; std::getline(text, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.at("kind") == kind) records.push_back(record);
    }
    return records;
  }
  static std::vector<double> losses(const std::string& out) {
    std::vector<double> values;
    for (const auto& record : log(out, "step")) values.push_back(record.at("loss"));
    return values;
  }
  static double valLoss(const std::string& out) { return log(out, "done").back().at("val_loss"); }
  static std::string weights(const std::string& out, int step) {
    char name[32];
    std::snprintf(name, sizeof(name), "step-%08d", step);
    const std::string text = test::readFile(shared_->path(out + "/checkpoints/" + name + "/model.safetensors"));
    EXPECT_FALSE(text.empty());
    return text;
  }
  static ProgramTestData* shared_;
};
ProgramTestData* Training::shared_ = nullptr;

// The same samples, summed in another order: FP32 rounding alone, which training amplifies slowly.
constexpr double kSameBatchTolerance = 2e-4;
// After the steep fall, in which every difference is amplified, eight bits end this close to exact; the measured gap is about 0.02 %.
constexpr double kQuantizedTolerance = 0.01;

TEST_F(Training, LearnsTheGrammar) {
  train("learn", {"--steps", "60", "--batch", "8"});
  const std::vector<double> curve = losses("learn");
  ASSERT_EQ(curve.size(), 60u);
  EXPECT_NEAR(curve.front(), std::log(400.0), 0.3);  // nothing known: uniform over the vocabulary
  EXPECT_LT(curve.back(), 2.0);
  EXPECT_NEAR(valLoss("learn"), curve.back(), 0.5);
}

TEST_F(Training, TwoRanksEqualOneRankWithTwiceTheBatch) {
  train("one", {"--steps", "20", "--batch", "8"});
  train("two", {"--steps", "20", "--batch", "4", "--ranks", "2", "--comm", "exact"});
  train("accum", {"--steps", "20", "--batch", "2", "--grad-accum", "2", "--ranks", "2", "--comm", "exact-ring"});
  const std::vector<double> one = losses("one");
  const std::vector<double> two = losses("two");
  const std::vector<double> accum = losses("accum");
  ASSERT_EQ(two.size(), one.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(two[i], one[i], kSameBatchTolerance * one[i]) << "step " << i + 1;
    EXPECT_NEAR(accum[i], one[i], kSameBatchTolerance * one[i]) << "step " << i + 1;
  }
  EXPECT_NEAR(valLoss("two"), valLoss("one"), kSameBatchTolerance * valLoss("one"));
}

// --check-every 1 compares the weights of all ranks after every step, and ends the run if one bit differs.
TEST_F(Training, QuantizedRunsStayCloseToExactWithIdenticalReplicas) {
  train("exact", {"--steps", "100", "--batch", "4", "--ranks", "2", "--comm", "exact"});
  const double exact = valLoss("exact");
  const double exactBytes = log("exact", "done").back().at("wire_bytes_per_step");
  for (const char* mode : {"int8-ring", "int8-twoshot", "int8-oneshot", "int8-tree"}) {
    train(mode, {"--steps", "100", "--batch", "4", "--ranks", "2", "--comm", mode});
    EXPECT_NEAR(valLoss(mode), exact, kQuantizedTolerance * exact) << mode;
    EXPECT_NE(losses(mode), losses("exact")) << mode << " did not quantize";
    if (mode == std::string("int8-oneshot") || mode == std::string("int8-tree")) continue;  // these send more bytes to begin with
    EXPECT_LE(log(mode, "done").back().at("wire_bytes_per_step").get<double>(), 0.26 * exactBytes) << mode;
  }
}

// Also with a compare of all ranks' weights after every step.
TEST_F(Training, APackedStoreTrainsCloseToExactInLessMemory) {
  const std::vector<std::string> common = {"--steps", "100", "--batch", "2", "--grad-accum", "2", "--ranks", "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  train("plain", with({"--comm", "exact"}));
  const double exact = valLoss("plain");
  const auto plain = log("plain", "done").back();
  struct Case {
    const char *out, *store, *comm;
    double wire;  // at most, of exact
  };
  for (const Case& c : {Case{"store-int8", "int8", "", 0.26}, Case{"store-int8-ring", "int8", "int8-ring", 0.26},
                        Case{"store-int8-exact", "int8", "exact", 1.0}, Case{"store-bf16", "bf16", "bf16-twoshot", 0.51}}) {
    std::vector<std::string> flags = with({"--grad-store", c.store, "--grad-rounding", "stochastic"});
    if (*c.comm != 0) flags.insert(flags.end(), {"--comm", c.comm});
    train(c.out, flags);
    EXPECT_NEAR(valLoss(c.out), exact, kQuantizedTolerance * exact) << c.out;
    EXPECT_NE(losses(c.out), losses("plain")) << c.out << " did not quantize";
    const auto done = log(c.out, "done").back();
    EXPECT_LE(done.at("wire_bytes_per_step").get<double>(), c.wire * plain.at("wire_bytes_per_step").get<double>()) << c.out;
    // Exact gradients are in FP32 from the all-reduce to the optimizer.
    const double most = c.comm == std::string("exact") ? 1.3 : 1.0;
    EXPECT_LT(done.at("gradient_bytes").get<double>(), most * plain.at("gradient_bytes").get<double>()) << c.out;
    EXPECT_EQ(log(c.out, "config").back().at("grad_store"), c.store);
  }
  EXPECT_EQ(log("store-int8", "config").back().at("comm"), "int8");
}

// Saved activations in few bits: the first loss is exact, and training goes on close to it.
TEST_F(Training, ActivationsInFewBitsTrainCloseToExact) {
  const std::vector<std::string> common = {"--steps", "100", "--batch", "4"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  train("kept-exactly", with({}));
  const double exact = valLoss("kept-exactly");
  for (const std::vector<std::string>& plan : std::vector<std::vector<std::string>>{
           {"bf16"}, {"mixed"}, {"q=8,k=8,rest=5", "--act-block", "64", "--act-scale", "float32"}, {"auto", "--act-budget", "200000"}}) {
    std::vector<std::string> flags = with({"--activations"});
    flags.insert(flags.end(), plan.begin(), plan.end());
    const std::string out = "kept-" + plan.front();
    train(out, flags);
    EXPECT_EQ(losses(out).front(), losses("kept-exactly").front()) << out << ": forward is exact";
    EXPECT_NE(losses(out), losses("kept-exactly")) << out << " did not lose bits";
    EXPECT_NEAR(valLoss(out), exact, kQuantizedTolerance * exact) << out;
    EXPECT_EQ(log(out, "config").back().at("activations"), plan.front());
    EXPECT_GT(log(out, "done").back().at("saved_bytes").get<double>(), 0) << out;
  }
  const auto solved = log("kept-auto", "activations").back();
  EXPECT_LE(solved.at("bytes").get<double>(), 200000);
  EXPECT_GT(solved.at("predicted_error").get<double>(), 0);
}

TEST_F(Training, EveryKindOfCodecTrains) {
  const auto flags = [](const std::string& comm) {
    return std::vector<std::string>{"--steps", "8", "--batch", "4", "--ranks", "2", "--comm", comm};
  };
  train("fp32", flags("exact"));
  int number = 0;
  for (std::vector<std::string> more : std::vector<std::vector<std::string>>{{"int4-twoshot"},
                                                                             {"int4-twoshot", "--error-feedback"},
                                                                             {"int4-twoshot", "--comm-rounding", "stochastic"},
                                                                             {"int4-twoshot", "--comm-scale", "e8m0"},
                                                                             {"fp8e4m3-oneshot"},
                                                                             {"bf16-ring"}}) {
    std::vector<std::string> all = flags(more.front());
    all.insert(all.end(), more.begin() + 1, more.end());
    const std::string out = "codec" + std::to_string(number++);
    train(out, all);
    EXPECT_LT(losses(out).back(), losses(out).front()) << testing::PrintToString(more);
    for (int other = 0; other < number - 1; ++other)
      EXPECT_NE(losses(out), losses("codec" + std::to_string(other))) << testing::PrintToString(more);
    EXPECT_NE(losses(out), losses("fp32"));
  }
}

TEST_F(Training, TheSameCommandGivesTheSameBits) {
  const std::vector<std::string> flags = {"--steps", "10", "--batch", "4", "--ranks", "2", "--comm", "int8-ring"};
  train("bits1", flags);
  train("bits2", flags);
  EXPECT_EQ(weights("bits1", 10), weights("bits2", 10));
  EXPECT_EQ(losses("bits1"), losses("bits2"));
}

TEST_F(Training, AResumedRunHasTheBitsOfOneThatWasNotInterrupted) {
  const std::vector<std::string> common = {"--steps", "16",           "--batch",      "4", "--ranks", "2",
                                           "--comm",  "int8-twoshot", "--save-every", "8", "--keep",  "9"};
  train("whole", common);
  train("parts", common);
  // As after a crash between the two checkpoints, with the log torn.
  std::filesystem::remove_all(shared_->path("parts/checkpoints/step-00000016"));
  const std::string text = test::readFile(shared_->path("parts/log.jsonl"));
  std::ofstream(shared_->path("parts/log.jsonl"), std::ios::trunc) << text.substr(0, text.find("\"step\":12,") + 5) << "\n";
  std::vector<std::string> again = common;
  again.push_back("--resume");
  const Ended ended = runProgram(shared_->folder(), arguments("parts", again));
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("step-00000008"));
  EXPECT_EQ(weights("parts", 16), weights("whole", 16));
  EXPECT_EQ(test::readFile(shared_->path("parts/checkpoints/step-00000016/optimizer.safetensors")),
            test::readFile(shared_->path("whole/checkpoints/step-00000016/optimizer.safetensors")));
  // Resuming a complete run trains nothing.
  const Ended complete = runProgram(shared_->folder(), arguments("parts", again));
  EXPECT_EQ(complete.code, 0) << complete.output;
  EXPECT_EQ(weights("parts", 16), weights("whole", 16));
}

// The plan is in checkpoints from when it is solved for, and a run that is resumed before that solves for the same.
TEST_F(Training, APlanMeasuredLaterIsThatOfAResumedRun) {
  const auto flags = [](const std::string& budget, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"--steps",          "12", "--batch",      "4",    "--ranks",       "2",    "--comm",       "exact",
                                    "--save-every",     "4",  "--keep",       "9",    "--activations", "auto", "--act-budget", budget,
                                    "--act-measure-at", "4",  "--act-before", "mixed"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  train("later", flags("200000", {}));
  const auto solved = log("later", "activations");
  ASSERT_EQ(solved.size(), 1u);
  EXPECT_EQ(solved.front().at("step"), 4);
  train("later-not", {"--steps", "12", "--batch", "4", "--ranks", "2", "--comm", "exact", "--activations", "mixed"});
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(losses("later")[i], losses("later-not")[i]) << i;
  EXPECT_NE(losses("later").back(), losses("later-not").back());

  for (const char* last : {"12", "08"}) {  // of the checkpoints that a crash has left: at 8, with the plan, and at 4, without
    const std::string out = std::string("later") + last;
    train(out, flags("200000", {}));
    std::filesystem::remove_all(shared_->path(out + "/checkpoints/step-00000012"));
    if (std::string(last) == "08") std::filesystem::remove_all(shared_->path(out + "/checkpoints/step-00000008"));
    train(out, flags("200000", {"--resume"}));
    EXPECT_EQ(weights(out, 12), weights("later", 12)) << last;
    EXPECT_EQ(log(out, "activations").back().at("bits"), solved.front().at("bits")) << last;
  }
  // For another budget it is solved for again, at once.
  std::filesystem::remove_all(shared_->path("later12/checkpoints/step-00000012"));
  train("later12", flags("160000", {"--resume"}));
  EXPECT_EQ(log("later12", "activations").back().at("step"), 8);
  EXPECT_LE(log("later12", "activations").back().at("bytes").get<double>(), 160000);
}

TEST_F(Training, APlanThatNoRunWroteIsRefused) {
  const std::vector<std::string> flags = {"--steps",       "4",    "--batch",      "4",      "--save-every", "2", "--keep", "9",
                                          "--activations", "auto", "--act-budget", "200000", "--resume"};
  train("spoilt", flags);
  std::filesystem::remove_all(shared_->path("spoilt/checkpoints/step-00000004"));
  const std::string path = shared_->path("spoilt/checkpoints/step-00000002/trainer.json");
  std::string text = test::readFile(path);
  const std::size_t first = text.find_first_of("0123456789", text.find("\"bits\""));
  ASSERT_NE(first, std::string::npos);
  text[first] = '3';  // of as many bytes, or the checkpoint would not be taken for complete
  std::ofstream(path, std::ios::trunc) << text;
  const Ended ended = runProgram(shared_->folder(), arguments("spoilt", flags));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.output, HasSubstr("has not a plan of 4, 5, 6, 8 or 16 bits for every layer"));
}

// What the store holds does not outlive a step, and its noise is numbered by the micro-batches of the whole run.
TEST_F(Training, AResumedRunWithAPackedStoreHasTheSameBits) {
  const std::vector<std::string> common = {"--steps",      "12",   "--batch",         "2",          "--grad-accum", "2", "--ranks", "2",
                                           "--grad-store", "int8", "--grad-rounding", "stochastic", "--save-every", "6", "--keep",  "9"};
  train("stored", common);
  train("stored-parts", common);
  std::filesystem::remove_all(shared_->path("stored-parts/checkpoints/step-00000012"));
  std::vector<std::string> again = common;
  again.push_back("--resume");
  train("stored-parts", again);
  EXPECT_EQ(weights("stored-parts", 12), weights("stored", 12));
}

TEST_F(Training, ARunContinuesAtAnotherNumberOfRanks) {
  train("w1", {"--steps", "20", "--batch", "8"});
  train("w12", {"--steps", "20", "--batch", "8", "--save-every", "10", "--keep", "9"});
  std::filesystem::remove_all(shared_->path("w12/checkpoints/step-00000020"));
  train("w12", {"--steps", "20", "--batch", "4", "--ranks", "2", "--comm", "exact", "--resume"});
  EXPECT_NEAR(valLoss("w12"), valLoss("w1"), kSameBatchTolerance * valLoss("w1"));
}

TEST_F(Training, AnInterruptSavesACheckpointOnAllRanks) {
  for (const char* ranks : {"1", "2"}) {
    const std::string out = std::string("interrupted") + ranks;
    Program program(shared_->folder(), arguments(out, {"--steps", "100000", "--batch", "4", "--ranks", ranks, "--eval-every", "0"}));
    ASSERT_TRUE(program.waitFor("step      3/100000", 60)) << program.output();
    program.send(SIGINT);
    const Ended ended = program.wait();
    EXPECT_EQ(ended.code, 0) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("interrupted"));
    const auto done = log(out, "done");
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].at("reason"), "interrupted");
    EXPECT_FALSE(weights(out, done[0].at("step")).empty());
  }
}

// The mean of what two ranks write is the gradient of one rank with both batches, and writing does not touch the run.
TEST_F(Training, SavesEachRanksOwnGradient) {
  train("grads1", {"--steps", "3", "--batch", "8", "--save-gradients", "1,3"});
  train("grads2", {"--steps", "3", "--batch", "4", "--ranks", "2", "--comm", "int8-ring", "--save-gradients", "3,1"});
  train("grads0", {"--steps", "3", "--batch", "4", "--ranks", "2", "--comm", "int8-ring"});
  EXPECT_EQ(weights("grads2", 3), weights("grads0", 3));
  EXPECT_FALSE(std::filesystem::exists(shared_->path("grads0/gradients")));
  EXPECT_FALSE(std::filesystem::exists(shared_->path("grads1/gradients/step-00000002-rank-0000.safetensors")));
  EXPECT_TRUE(std::filesystem::exists(shared_->path("grads2/gradients/step-00000003-rank-0001.safetensors")));
  const SafetensorsFile whole(shared_->path("grads1/gradients/step-00000001-rank-0000.safetensors"));
  const SafetensorsFile first(shared_->path("grads2/gradients/step-00000001-rank-0000.safetensors"));
  const SafetensorsFile second(shared_->path("grads2/gradients/step-00000001-rank-0001.safetensors"));
  EXPECT_EQ(second.metadata().at("rank"), "1");
  EXPECT_EQ(second.metadata().at("ranks"), "2");
  ASSERT_EQ(first.tensors().size(), whole.tensors().size());
  for (const auto& [name, info] : whole.tensors()) {
    std::vector<float> mean(info.elems), one(info.elems), other(info.elems);
    whole.readF32(name, mean);
    first.readF32(name, one);
    second.readF32(name, other);
    double difference = 0, apart = 0, power = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) {
      difference += std::pow((one[i] + other[i]) / 2 - mean[i], 2);
      apart += std::pow(one[i] - other[i], 2);
      power += std::pow(mean[i], 2);
    }
    EXPECT_GT(power, 0) << name;
    EXPECT_LE(difference, 1e-8 * power) << name;
    EXPECT_GE(apart, 0.01 * power) << name << ": both ranks wrote the same";
  }
}

TEST_F(Training, AKilledRankEndsTheRunWithASentence) {
  // The launcher's child with rank 1 is found by its environment.
  Program program(shared_->folder(), arguments("killed", {"--steps", "100000", "--batch", "4", "--ranks", "2", "--eval-every", "0"}),
                  {"QCCL_TRAIN_TEST_MARK=" + shared_->path("killed")});
  ASSERT_TRUE(program.waitFor("step      3/100000", 60)) << program.output();
  pid_t victim = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string environment = test::readFile(entry.path().string() + "/environ");
    if (environment.find("QCCL_TRAIN_TEST_MARK=" + shared_->path("killed")) == std::string::npos) continue;
    if (environment.find("QCCL_LAUNCH_RANK=1") != std::string::npos)
      victim = static_cast<pid_t>(std::stol(entry.path().filename().string()));
  }
  ASSERT_GT(victim, 0);
  ::kill(victim, SIGKILL);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 128 + SIGKILL) << ended.output;
}

}  // namespace
}  // namespace qccl::train
