#include "data/prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

// Two hundred documents of a few hundred bytes; document 7 is there three times.
class PrepareTest : public testing::Test {
 protected:
  PrepareTest() {
    for (int i = 0; i < 200; ++i) {
      std::string text;
      for (int line = 0; line < 10; ++line) text += "document " + std::to_string(i) + " has a line " + std::to_string(line * i) + "\n";
      folder_.write("in/" + std::to_string(i) + ".txt", text);
      if (i == 7) {
        folder_.write("in/copy1.txt", text);
        folder_.write("in/copy2.txt", text);
      }
    }
    options_.paths = {folder_.path("in")};
    options_.vocab = 300;
    options_.valFraction = 0.2;
    options_.outFolder = folder_.path("out");
  }

  std::multiset<std::string> textsOf(const std::string& name) const {
    const Tokenizer tokenizer = Tokenizer::load(options_.outFolder + "/tokenizer.json");
    const TokenFile file(options_.outFolder + "/" + name);
    std::vector<TokenId> ids(file.info().tokens);
    file.read(0, ids.size(), ids.data());
    std::multiset<std::string> texts;
    std::vector<TokenId> document;
    for (const TokenId id : ids) {
      if (id != tokenizer.endOfText()) {
        document.push_back(id);
        continue;
      }
      texts.insert(tokenizer.decode(document));
      document.clear();
    }
    EXPECT_TRUE(document.empty());
    return texts;
  }

  test::TemporaryFolder folder_;
  PrepareOptions options_;
};

TEST_F(PrepareTest, EveryDocumentIsOnExactlyOneSideOnce) {
  const PrepareResult result = prepare(options_);
  EXPECT_EQ(result.found.documents, 202u);
  EXPECT_EQ(result.duplicates, 2u);
  const auto train = textsOf("train.bin");
  const auto val = textsOf("val.bin");
  EXPECT_EQ(train.size() + val.size(), 200u);
  EXPECT_GT(val.size(), 20u);
  EXPECT_LT(val.size(), 60u);
  std::multiset<std::string> together = train;
  together.insert(val.begin(), val.end());
  for (int i = 0; i < 200; ++i) EXPECT_EQ(together.count(test::readFile(folder_.path("in/" + std::to_string(i) + ".txt"))), 1u);
  EXPECT_EQ(result.train.documents, train.size());
  EXPECT_EQ(result.train.textBytes + result.val.textBytes + 2 * test::readFile(folder_.path("in/7.txt")).size(), result.found.bytes);
}

TEST_F(PrepareTest, IsRepeatableByteForByte) {
  prepare(options_);
  const std::string first = options_.outFolder;
  options_.outFolder = folder_.path("again");
  prepare(options_);
  for (const char* name : {"/train.bin", "/val.bin", "/tokenizer.json", "/manifest.json"}) {
    EXPECT_EQ(test::readFile(first + name), test::readFile(options_.outFolder + name)) << name;
  }
  options_.seed = 1;
  prepare(options_);
  EXPECT_NE(test::readFile(first + "/val.bin"), test::readFile(options_.outFolder + "/val.bin"));
}

TEST_F(PrepareTest, MoreTextMovesNoDocumentToTheOtherSide) {
  prepare(options_);
  const auto before = textsOf("val.bin");
  for (int i = 0; i < 50; ++i) folder_.write("in/new" + std::to_string(i) + ".txt", "something new, number " + std::to_string(i));
  prepare(options_);
  const auto after = textsOf("val.bin");
  for (const std::string& text : before) EXPECT_EQ(after.count(text), 1u);
}

TEST_F(PrepareTest, MaxBytesTakesASampleOfTheDocuments) {
  options_.maxBytes = 10000;
  const PrepareResult result = prepare(options_);
  EXPECT_LE(result.train.textBytes + result.val.textBytes, 10000u);
  EXPECT_GT(result.train.textBytes + result.val.textBytes, 9000u);
  EXPECT_EQ(result.leftOut + result.train.documents + result.val.documents, 200u);
}

TEST_F(PrepareTest, TheTokenizerNeverSeesValidationTextAndCanBeGiven) {
  options_.tokenizerBytes = 5000;
  const PrepareResult first = prepare(options_);
  EXPECT_LE(first.tokenizerBytes, 5000u);
  EXPECT_GT(first.tokenizerBytes, 4000u);
  const std::string tokenizer = options_.outFolder + "/tokenizer.json";
  options_.tokenizer = tokenizer;
  options_.outFolder = folder_.path("other");
  const PrepareResult second = prepare(options_);
  EXPECT_EQ(second.tokenizerBytes, 0u);
  EXPECT_EQ(test::readFile(tokenizer), test::readFile(options_.outFolder + "/tokenizer.json"));
  EXPECT_EQ(first.train.checksum, second.train.checksum);
}

TEST_F(PrepareTest, TheManifestSaysWhatIsThere) {
  const PrepareResult result = prepare(options_);
  const auto manifest = nlohmann::json::parse(test::readFile(options_.outFolder + "/manifest.json"));
  EXPECT_EQ(manifest.at("vocab"), result.vocab);
  EXPECT_EQ(manifest.at("train").at("tokens"), result.train.tokens);
  EXPECT_EQ(manifest.at("val").at("documents"), result.val.documents);
  EXPECT_EQ(manifest.at("documents_duplicate"), 2);
}

TEST_F(PrepareTest, FewDocumentsStillGiveBothSides) {
  options_.paths = {folder_.path("in/1.txt"), folder_.path("in/2.txt")};
  const PrepareResult result = prepare(options_);
  EXPECT_EQ(result.train.documents, 1u);
  EXPECT_EQ(result.val.documents, 1u);
}

TEST_F(PrepareTest, BadInputIsASentence) {
  options_.paths = {folder_.path("in/1.txt")};
  EXPECT_THAT(test::sentenceOf([&] { prepare(options_); }), HasSubstr("at least two are needed"));
  options_.paths = {};
  EXPECT_THAT(test::sentenceOf([&] { prepare(options_); }), HasSubstr("name at least one"));
  options_.paths = {folder_.path("in")};
  options_.valFraction = 1.0;
  EXPECT_THAT(test::sentenceOf([&] { prepare(options_); }), HasSubstr("not in [0, 1)"));
  options_.valFraction = 0.1;
  options_.vocab = 10;
  EXPECT_THAT(test::sentenceOf([&] { prepare(options_); }), HasSubstr("a vocabulary of 10"));
  options_.vocab = 300;
  options_.outFolder = folder_.path("in/1.txt");
  EXPECT_THAT(test::sentenceOf([&] { prepare(options_); }), HasSubstr("cannot make the folder"));
}

}  // namespace
}  // namespace qccl::train
