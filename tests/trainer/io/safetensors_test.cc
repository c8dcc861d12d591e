#include "io/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "model/error.hpp"
#include "model/random.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

const std::vector<float> kValues = {1.5F, -2.25F, 0.1F, 3e-5F, 70000.0F, -0.0F};

std::string withLength(const std::string& header, const std::string& buffer) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + buffer;
}

class Safetensors : public testing::Test {
 protected:
  // The error of opening a file of these bytes, "" if it opens.
  std::string openError(const std::string& bytes) {
    test::writeFile(folder_.path("x.safetensors"), bytes);
    try {
      const SafetensorsFile file(folder_.path("x.safetensors"));
      // What opens must also be readable to the end.
      for (const auto& [name, info] : file.tensors()) {
        if (info.dtype != "F32") continue;
        std::vector<float> values(info.elems);
        file.readF32(name, values);
      }
    } catch (const TrainError& error) {
      EXPECT_THAT(error.what(), HasSubstr("x.safetensors"));
      return error.what();
    }
    return "";
  }
  std::string headerError(const std::string& header, std::size_t bufferBytes = 8) {
    return openError(withLength(header, std::string(bufferBytes, 'x')));
  }

  test::TemporaryFolder folder_;
};

TEST_F(Safetensors, WhatIsWrittenIsRead) {
  const std::string path = folder_.path("a.safetensors");
  writeSafetensors(path,
                   {{"full", {2, 3}, kValues, TensorType::kF32},
                    {"brain", {6}, kValues, TensorType::kBF16},
                    {"half", {1, 6, 1}, kValues, TensorType::kF16},
                    {"none", {0, 4}, {}, TensorType::kF32},
                    {"scalar", {}, std::span(kValues).first(1), TensorType::kF32}},
                   {{"format", "pt"}, {"a \"quoted\" key", "wörth"}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 5U);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("a \"quoted\" key"), "wörth");
  EXPECT_EQ(file.info("full").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(file.info("full").beginBytes, 0U);
  EXPECT_EQ(file.info("none").elems, 0U);
  EXPECT_EQ(file.info("scalar").elems, 1U);

  std::vector<float> out(6);
  file.readF32("full", out);
  EXPECT_EQ(std::memcmp(out.data(), kValues.data(), sizeof(float) * 6), 0);
  file.readF32("brain", out);
  EXPECT_THAT(out, testing::ElementsAre(1.5F, -2.25F, 0.10009765625F, testing::FloatNear(3e-5F, 1.2e-7F), 70144.0F, -0.0F));
  file.readF32("half", out);
  EXPECT_THAT(out, testing::ElementsAre(1.5F, -2.25F, 0.0999755859375F, testing::FloatNear(3e-5F, 3e-8F), INFINITY, -0.0F));
  file.readF32("scalar", std::span(out).first(1));
  EXPECT_EQ(out[0], 1.5F);
  file.readF32("none", {});
  EXPECT_THROW(file.readF32("full", std::span(out).first(5)), TrainError);
  EXPECT_THROW(file.readF32("missing", out), TrainError);
}

TEST_F(Safetensors, BytesAreThoseOfTheFormat) {
  const std::string path = folder_.path("a.safetensors");
  writeSafetensors(path,
                   {{"b", {1}, std::span(kValues).first(1), TensorType::kF32}, {"a", {2}, std::span(kValues).first(2), TensorType::kBF16}});
  const std::string bytes = test::readFile(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  std::string header = bytes.substr(8, length);
  while (header.back() == ' ') header.pop_back();
  EXPECT_EQ(header, R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}})");
  EXPECT_EQ(bytes.substr(8 + length), std::string("\x00\x00\xc0\x3f\xc0\x3f\x10\xc0", 8));
}

TEST_F(Safetensors, ReadsLargeSixteenBitTensorsInPieces) {
  std::vector<float> values(200001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 256) - 128.0F;
  writeSafetensors(folder_.path("a.safetensors"), {{"t", {200001}, values, TensorType::kBF16}});
  std::vector<float> out(values.size());
  SafetensorsFile(folder_.path("a.safetensors")).readF32("t", out);
  EXPECT_EQ(out, values);
}

TEST_F(Safetensors, OtherTypesAreListedButNotReadAsNumbers) {
  EXPECT_EQ(headerError(R"({"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})"), "");
  const SafetensorsFile file(folder_.path("x.safetensors"));
  std::vector<float> out(1);
  EXPECT_THROW(file.readF32("i", out), TrainError);
}

TEST_F(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_EQ(headerError("{}", 0), "");
  EXPECT_EQ(headerError("{}     ", 0), "");
  EXPECT_EQ(
      headerError(
          R"({"__metadata__":{}, "b":{"shape":[1],"dtype":"F32","data_offsets":[4,8]},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}})"),
      "");
}

TEST_F(Safetensors, RefusesHostileHeaders) {
  EXPECT_THAT(openError(""), HasSubstr("0 bytes"));
  EXPECT_THAT(openError("1234567"), HasSubstr("7 bytes"));
  EXPECT_THAT(openError(std::string(8, '\0')), HasSubstr("'{'"));
  EXPECT_THAT(openError(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)), HasSubstr("18446744073709551615"));
  EXPECT_THAT(openError(std::string("\x03\0\0\0\0\0\0\0{}", 10)), HasSubstr("more than the file has"));
  EXPECT_THAT(headerError(" {}", 0), HasSubstr("'{'"));
  EXPECT_THAT(headerError("{", 0), HasSubstr("JSON"));
  EXPECT_THAT(headerError("{} x", 0), HasSubstr("JSON"));
  EXPECT_THAT(headerError("{\"\xff\":1}", 0), HasSubstr("JSON"));
  EXPECT_THAT(headerError("{}", 8), HasSubstr("cut off"));
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  EXPECT_THAT(headerError("{" + a + "}"), HasSubstr("8 follow"));
  EXPECT_THAT(headerError("{" + a + "," + a + "}"), HasSubstr("twice"));
  EXPECT_THAT(headerError("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})"), HasSubstr("overlap"));
  EXPECT_THAT(headerError("{" + a + R"(,"b":{"dtype":"F16","shape":[1],"data_offsets":[6,8]}})"), HasSubstr("gap"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})"), HasSubstr("gap"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})"), HasSubstr("12 bytes"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"), HasSubstr("needs 12"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"), HasSubstr("needs 8"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})"), HasSubstr("F99"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})"), HasSubstr("dtype"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), HasSubstr("-2"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"), HasSubstr("2.0"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})"), HasSubstr("shape"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})"), HasSubstr("data_offsets"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,-8]}})"), HasSubstr("-8"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2]}})"), HasSubstr("data_offsets"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})"), HasSubstr("described"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}})"), HasSubstr("twice"));
  EXPECT_THAT(headerError(R"({"a":3})"), HasSubstr("described"));
  EXPECT_THAT(headerError(R"({"__metadata__":[]})", 0), HasSubstr("__metadata__"));
  EXPECT_THAT(headerError(R"({"__metadata__":{"a":1}})", 0), HasSubstr("__metadata__"));
  // Products of sizes that wrap around 64 bits, to 8 bytes for the first.
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4,2],"data_offsets":[0,8]}})"),
              HasSubstr("larger than any file"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}})"),
              HasSubstr("larger than any file"));
  EXPECT_THAT(headerError(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})"),
              HasSubstr("larger than any file"));
  const std::string deep(100000, '[');
  EXPECT_THAT(headerError("{\"a\":" + deep), HasSubstr("deep"));
  std::string many = R"({"a":{"dtype":"U8","shape":[1)";
  for (int i = 0; i < 100; ++i) many += ",1";
  EXPECT_THAT(headerError(many + R"(],"data_offsets":[0,1]}})", 1), HasSubstr("shape"));
}

// Any file cut short, and files with bytes changed at random, open or are refused with a sentence; they never do anything else.
TEST_F(Safetensors, SurvivesDamage) {
  const std::string path = folder_.path("whole.safetensors");
  writeSafetensors(path, {{"weight", {2, 3}, kValues, TensorType::kF32}, {"other", {6}, kValues, TensorType::kBF16}}, {{"format", "pt"}});
  const std::string whole = test::readFile(path);
  EXPECT_EQ(openError(whole), "");
  for (std::size_t length = 0; length < whole.size(); ++length) EXPECT_NE(openError(whole.substr(0, length)), "") << length;
  EXPECT_NE(openError(whole + "x"), "");
  int refused = 0;
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    std::string damaged = whole;
    const std::uint64_t changes = 1 + philox(1, trial, 0) % 4;
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::uint64_t r = philox(2, trial, i);
      damaged[r % damaged.size()] = static_cast<char>(r >> 32);
    }
    refused += openError(damaged).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 1000);
}

TEST_F(Safetensors, WritingRefusesWhatCannotBeRead) {
  const std::string path = folder_.path("a.safetensors");
  EXPECT_THROW(writeSafetensors(path, {{"a", {5}, kValues}}), TrainError);
  EXPECT_THROW(writeSafetensors(path, {{"a", {6}, kValues}, {"a", {6}, kValues}}), TrainError);
  EXPECT_THROW(writeSafetensors(path, {{"__metadata__", {6}, kValues}}), TrainError);
  EXPECT_EQ(folder_.contents().size(), 0U);
  EXPECT_THROW(writeSafetensors(folder_.path("missing/a.safetensors"), {}), TrainError);
  EXPECT_THROW(SafetensorsFile(folder_.path("missing")), TrainError);
  EXPECT_THROW(SafetensorsFile(folder_.path()), TrainError);
}

TEST(AtomicFile, TheOldFileStaysUntilTheNewOneIsWhole) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("f");
  writeFileAtomically(path, "old");
  {
    AtomicFile file(path);
    file.write("ne", 2);
    EXPECT_EQ(test::readFile(path), "old");
    EXPECT_EQ(folder.contents().size(), 2U);
  }
  EXPECT_EQ(folder.contents().size(), 1U) << "an abandoned file was left behind";
  EXPECT_EQ(test::readFile(path), "old");
  writeFileAtomically(path, "new");
  EXPECT_EQ(test::readFile(path), "new");
  EXPECT_EQ(folder.contents().size(), 1U);
}

}  // namespace
}  // namespace qccl::train
