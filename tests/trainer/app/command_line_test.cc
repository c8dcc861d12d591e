// What the program says when it is used wrongly, and its small commands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "program.hpp"

namespace qccl::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class CommandLine : public testing::Test {
 protected:
  static void SetUpTestSuite() { shared_ = new ProgramTestData; }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }
  static Ended run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
    return runProgram(shared_->folder(), arguments, environment);
  }
  static std::vector<std::string> train(const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = {
        "train", "--data", shared_->data(), "--out", shared_->path(out), "--hidden", "32", "--layers", "1", "--heads", "2", "--batch", "2",
        "--seq", "16",     "--threads",     "1",     "--eval-batches",   "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // The command must fail with one line that says `sentence`.
  static void expectSentence(const std::vector<std::string>& arguments, const std::string& sentence) {
    const Ended ended = run(arguments);
    EXPECT_NE(ended.code, 0);
    EXPECT_LT(ended.code, 128) << "killed by a signal";
    EXPECT_THAT(ended.output, HasSubstr(sentence));
  }
  static ProgramTestData* shared_;
};
ProgramTestData* CommandLine::shared_ = nullptr;

TEST_F(CommandLine, HelpNamesTheCommands) {
  const Ended ended = run({"--help"});
  EXPECT_EQ(ended.code, 0);
  for (const char* command : {"prepare", "train", "eval", "generate", "activations", "plan", "plot"})
    EXPECT_THAT(ended.output, HasSubstr(command));
  EXPECT_EQ(run({"train", "--help"}).code, 0);
}

TEST_F(CommandLine, WrongFlagsAreNamed) {
  expectSentence({}, "subcommand is required");
  expectSentence({"train", "--out", "x"}, "--data is required");
  expectSentence(train("x", {"--stepz", "4"}), "--stepz");
  expectSentence(train("x", {"--steps", "four"}), "four");
  expectSentence(train("x", {"--steps", "-1"}), "--steps: must be 1 or more, not -1\n");
  expectSentence(train("x", {"--steps", "4", "--lr", "0"}), "--lr: must be above 0, not 0\n");
  expectSentence(train("x", {"--steps", "4", "--clip", "nan"}), "--clip: must be 0 or more, not nan\n");
  expectSentence({"plan", "--stages", "0"}, "--stages: must be 1 or more, not 0\n");
  expectSentence(train("x", {"--steps", "4", "--tokens", "100"}), "--steps excludes --tokens");
  expectSentence(train("x"), "say how long to train");
  expectSentence(train("x", {"--steps", "4", "--comm", "int7"}), "'int7' is no way to communicate");
  expectSentence(train("x", {"--steps", "4", "--ranks", "2", "--comm", "none"}), "--comm none is for one rank");
  expectSentence(train("x", {"--steps", "4", "--block", "77"}), "--block 77 is not a power of two");
  expectSentence(train("x", {"--steps", "4", "--heads", "3"}), "is not a multiple of --heads 3");
  expectSentence(train("x", {"--steps", "4", "--activations", "auto", "--act-budget", "100000", "--act-measure-at", "4"}),
                 "--act-measure-at 4 is not within the 4 steps of the run");
  EXPECT_FALSE(std::filesystem::exists(shared_->path("x/log.jsonl")));
}

TEST_F(CommandLine, MissingAndDamagedDataAreNamed) {
  expectSentence({"train", "--data", shared_->path("nowhere"), "--out", shared_->path("x"), "--steps", "1"}, "cannot open");
  expectSentence(train("x", {"--steps", "1", "--seq", "2000"}), "too few for one sequence of 2000");
  std::filesystem::copy(shared_->data(), shared_->path("bad"));
  std::string bytes = test::readFile(shared_->path("bad/train.bin"));
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  shared_->folder().write("bad/train.bin", bytes);
  expectSentence({"train", "--data", shared_->path("bad"), "--out", shared_->path("x"), "--steps", "1"}, "do not match their checksum");
  std::filesystem::copy_file(shared_->path("data/train.bin"), shared_->path("bad/train.bin"),
                             std::filesystem::copy_options::overwrite_existing);
  run({"prepare", "--out", shared_->path("other"), "--vocab", "300", shared_->path("text")});
  std::filesystem::copy_file(shared_->path("other/tokenizer.json"), shared_->path("bad/tokenizer.json"),
                             std::filesystem::copy_options::overwrite_existing);
  expectSentence({"train", "--data", shared_->path("bad"), "--out", shared_->path("x"), "--steps", "1"}, "made with another tokenizer");
  expectSentence({"prepare", "--out", shared_->path("p"), shared_->path("nowhere")}, "there is no file or folder");
  expectSentence({"eval", "--checkpoint", shared_->path("nowhere"), "--data", shared_->data()}, "there is no checkpoint in");
  expectSentence({"generate", "--checkpoint", shared_->path("nowhere")}, "there is no checkpoint in");
  expectSentence({"plot", shared_->path("nowhere")}, "cannot read the log");
}

TEST_F(CommandLine, OptionsComeFromAFileAndCanBePrinted) {
  const std::string config =
      shared_->folder().write("run.toml", "[train]\nlayers=1\nhidden=32\nheads=2\nseq=16\nbatch=2\nsteps=7\nlr=0.002\nthreads=1\n");
  const Ended printed =
      run({"train", "--config", config, "--data", shared_->data(), "--out", shared_->path("c"), "--steps", "3", "--print-config"});
  EXPECT_EQ(printed.code, 0) << printed.output;
  EXPECT_THAT(printed.output, AllOf(StartsWith("[train]\n"), HasSubstr("hidden=32"), HasSubstr("steps=3"), HasSubstr("lr=0.002"),
                                    HasSubstr("clip=1"), Not(HasSubstr("\"\""))));
  // What was printed is a configuration itself.
  const std::string again = shared_->folder().write("again.toml", printed.output);
  const Ended second = run({"train", "--config", again, "--print-config"});
  EXPECT_EQ(second.code, 0) << second.output;
  EXPECT_EQ(second.output, printed.output);
  const Ended trained = run({"train", "--config", again});
  EXPECT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("step 3/3"));
  expectSentence({"train", "--config", shared_->path("none.toml"), "--data", "x", "--out", "y"}, "none.toml");
  expectSentence({"train", "--config", shared_->folder().write("typo.toml", "[train]\nlayerz=1\n"), "--data", "x", "--out", "y"}, "layerz");
}

TEST_F(CommandLine, AnExistingRunIsNotTouchedUnlessAsked) {
  ASSERT_EQ(run(train("run", {"--steps", "2"})).code, 0);
  const std::string before = test::readFile(shared_->path("run/log.jsonl"));
  expectSentence(train("run", {"--steps", "2"}), "holds a run already");
  EXPECT_EQ(test::readFile(shared_->path("run/log.jsonl")), before);
  // What concerns all ranks is said once.
  const Ended twoRanks = run(train("run", {"--steps", "2", "--ranks", "2"}));
  EXPECT_EQ(twoRanks.code, 1);
  EXPECT_THAT(twoRanks.output, HasSubstr("qccl-train: rank 0: "));
  EXPECT_THAT(twoRanks.output, Not(HasSubstr("rank 1")));
  EXPECT_EQ(run(train("run", {"--steps", "1", "--overwrite"})).code, 0);
  EXPECT_TRUE(std::filesystem::exists(shared_->path("run/checkpoints/step-00000001")));
  EXPECT_FALSE(std::filesystem::exists(shared_->path("run/checkpoints/step-00000002")));
  expectSentence(train("run", {"--steps", "4", "--resume", "--lr", "0.001", "--layers", "2"}), "another shape");
  expectSentence(train("run", {"--steps", "4", "--resume", "--seed", "5"}), "was made with --seed 0, now it is 5");
}

TEST_F(CommandLine, PlansForActivationsAreComparedAndPrinted) {
  ASSERT_EQ(run(train("compared", {"--steps", "2"})).code, 0);
  const Ended compared =
      run({"activations", "--checkpoint", shared_->path("compared"), "--data", shared_->data(), "--batch", "2", "--plan", "bf16", "--plan",
           "attention=8,rest=32,lse=32", "--act-budget", "100000000", "--svg", shared_->path("auto.svg")});
  EXPECT_EQ(compared.code, 0) << compared.output;
  EXPECT_THAT(compared.output, AllOf(HasSubstr("same bits"), HasSubstr("self_attn.q_proj.weight"), HasSubstr("predicted relative error")));
  EXPECT_THAT(compared.output, Not(HasSubstr("DIFFERS")));
  EXPECT_THAT(test::readFile(shared_->path("auto.svg")), HasSubstr("plan auto"));

  const Ended bounded = run(
      {"activations", "--checkpoint", shared_->path("compared"), "--data", shared_->data(), "--batch", "2", "--plan", "int4", "--bounds"});
  EXPECT_EQ(bounded.code, 0) << bounded.output;
  EXPECT_THAT(bounded.output, AllOf(HasSubstr("d/dgate"), HasSubstr("the paper's bounds")));
  const Ended formats =
      run({"activations", "--checkpoint", shared_->path("compared"), "--data", shared_->data(), "--batch", "1", "--seq", "8", "--formats"});
  EXPECT_EQ(formats.code, 0) << formats.output;
  EXPECT_THAT(formats.output, AllOf(HasSubstr("int4, zero point"), HasSubstr("relative error of the gradient")));

  const Ended planned = run({"plan",
                             "--hidden",
                             "4096",
                             "--layers",
                             "32",
                             "--heads",
                             "32",
                             "--kv-heads",
                             "8",
                             "--ffn",
                             "14336",
                             "--seq",
                             "8192",
                             "--activations",
                             "mixed",
                             "--stages",
                             "4",
                             "--chunks",
                             "2",
                             "--micro-batches",
                             "8",
                             "--svg",
                             shared_->path("plan.svg"),
                             "--json",
                             shared_->path("plan.jsonl")});
  EXPECT_EQ(planned.code, 0) << planned.output;
  EXPECT_THAT(planned.output, AllOf(HasSubstr("7,711,227,904 bytes (7.18 GiB)"), HasSubstr("in bf16: 23.017 GiB"), HasSubstr("in flight")));
  EXPECT_THAT(planned.output, HasSubstr("0-3,16-19       xhat1   int4/128/bfloat16"));
  EXPECT_THAT(test::readFile(shared_->path("plan.svg")), AllOf(StartsWith("<svg"), HasSubstr("stage 3")));
  EXPECT_THAT(test::readFile(shared_->path("plan.jsonl")), HasSubstr("{\"stage\":3,\"layer\":31,\"saved\":\"up\","));
  expectSentence({"plan", "--activations", "auto"}, "'auto' is no plan that is known beforehand: it is measured on a model and its data");
  expectSentence({"plan", "--svg", shared_->path("nowhere/plan.svg")}, "nowhere/plan.svg");
  expectSentence({"plan", "--layers", "6", "--stages", "4"}, "6 layers cannot be shared out evenly to 4 stages");
}

TEST_F(CommandLine, EvalGenerateAndPlotUseARun) {
  ASSERT_EQ(run(train("whole",
                      {"--steps", "30", "--eval-batches", "0", "--lr", "0.01", "--min-lr", "0.001", "--warmup", "3", "--eval-every", "10"}))
                .code,
            0);
  const Ended eval = run({"eval", "--checkpoint", shared_->path("whole"), "--data", shared_->data(), "--json", "--batch", "2"});
  ASSERT_EQ(eval.code, 0) << eval.output;
  const auto record = nlohmann::json::parse(eval.output);
  // The last record of the log says the same as the checkpoint.
  std::string lastLine;
  std::istringstream log(test::readFile(shared_->path("whole/log.jsonl")));
  for (std::string line; std::getline(log, line);) lastLine = line;
  EXPECT_DOUBLE_EQ(record.at("val_loss").get<double>(), nlohmann::json::parse(lastLine).at("val_loss").get<double>());

  const std::vector<std::string> generate = {
      "generate", "--checkpoint", shared_->path("whole"), "--prompt", "The rank", "--tokens", "20", "--seed", "3"};
  const Ended first = run(generate);
  EXPECT_EQ(first.code, 0) << first.output;
  EXPECT_THAT(first.output, StartsWith("The rank"));
  EXPECT_EQ(run(generate).output, first.output);
  expectSentence({"generate", "--checkpoint", shared_->path("whole"), "--temperature", "-1"}, "temperature");

  const Ended plot = run({"plot", shared_->path("whole/log.jsonl"), "--out", shared_->path("loss.png")});
  if (plot.output.find("gnuplot was not found") == std::string::npos) {
    EXPECT_EQ(plot.code, 0) << plot.output;
    EXPECT_TRUE(std::filesystem::exists(shared_->path("loss.png")));
  }
}

TEST_F(CommandLine, ANonFiniteLossStopsTheRun) {
  const Ended ended = run(train("nan", {"--steps", "200", "--lr", "1e30", "--min-lr", "1e30", "--warmup", "0", "--clip", "0"}));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.output, HasSubstr("the run stops before the weights are spoilt"));
  EXPECT_THAT(ended.output, Not(HasSubstr("saved")));
}

TEST_F(CommandLine, ALaunchersVariablesThatContradictARequestAreReported) {
  const Ended ended = run(train("x", {"--steps", "1", "--ranks", "3"}), {"RANK=0", "WORLD_SIZE=2", "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=2"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.output, HasSubstr("leave --ranks away under a launcher"));
}

}  // namespace
}  // namespace qccl::train
