#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "data/bpe_trainer.hpp"
#include "data/pretokenizer.hpp"
#include "data/tokenizer.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> result;
  forEachPiece(text, [&](std::string_view piece) { result.emplace_back(piece); });
  return result;
}

Tokenizer learn(std::string_view text, std::size_t vocab) {
  BpeTrainer trainer;
  trainer.add(text);
  return trainer.train(vocab);
}

const std::string& sampleText() {
  static const std::string kText = [] {
    std::string text;
    std::mt19937 random(7);
    const char* words[] = {"the ", "quick ", "brown\n", "foxes, ", "jump(over);\n", "  lazy ", "d\xc3\xb6gs ", "1234 ", "the", "then "};
    for (int i = 0; i < 5000; ++i) text += words[random() % 10];
    return text;
  }();
  return kText;
}

TEST(Pretokenizer, FollowsItsRule) {
  EXPECT_THAT(pieces("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(pieces("a  b"), ElementsAre("a", " ", " b"));
  EXPECT_THAT(pieces("if (x1 == 10):\n    return"), ElementsAre("if", " (", "x", "1", " ==", " 10", "):", "\n   ", " return"));
  EXPECT_THAT(pieces("x\n\ny"), ElementsAre("x", "\n\n", "y"));
  EXPECT_THAT(pieces("x \n y "), ElementsAre("x", " \n", " y", " "));
  EXPECT_THAT(pieces("na\xc3\xafve"), ElementsAre("na\xc3\xafve"));
  EXPECT_THAT(pieces("   "), ElementsAre("   "));
  EXPECT_THAT(pieces(" "), ElementsAre(" "));
  EXPECT_TRUE(pieces("").empty());
}

TEST(Pretokenizer, PiecesJoinToTheText) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < round; ++i) text += " \n\tab1.\xc3\xff\0"[random() % 10];
    std::string joined;
    for (const std::string& piece : pieces(text)) joined += piece;
    EXPECT_EQ(joined, text);
  }
}

// "ab" occurs in three of four words, twice in one: pairs ab 4, " a" 2, bc 2, ... By hand: first ab; then (" ", ab) and (ab, c) have 2
// each, and the blank (id 32) is smaller than the new token (id 256); what is left of (ab, c) occurs in "ababc" and "abc".
TEST(BpeTrainer, LearnsTheMergesThatOneFindsByHand) {
  const Tokenizer tokenizer = learn("ababc abx abc", 256 + 3 + 1);
  // Pieces: "ababc" (a b a b c), " abx", " abc". Pairs: ab 4, " a" 2, bc 2, ba 1, bx 1.
  // After ab: (ab, ab) 1, (ab, c) 2, (" ", ab) 2, (ab, x) 1. (32, 256) comes before (256, 99).
  // After " ab": (ab, c) 1 in "ababc", (" ab", c) 1: nothing occurs twice any more.
  EXPECT_THAT(tokenizer.merges(), ElementsAre(Merge{'a', 'b'}, Merge{' ', 256}));
  EXPECT_EQ(tokenizer.vocabSize(), 259u);
  EXPECT_EQ(tokenizer.endOfText(), 258);
  EXPECT_THAT(tokenizer.encode("ababc abx"), ElementsAre(256, 256, 'c', 257, 'x'));
}

TEST(BpeTrainer, MergesRunsFromTheLeft) {
  const Tokenizer tokenizer = learn("aaaa aaaa", 258);
  EXPECT_THAT(tokenizer.merges(), ElementsAre(Merge{'a', 'a'}));
  EXPECT_THAT(tokenizer.encode("aaa"), ElementsAre(256, 'a'));
}

TEST(BpeTrainer, TwoWaysToTheSameBytesMakeOneToken) {
  // "abc" can come from a+bc and from ab+c; the vocabulary must hold it once, or the file format could not name it.
  BpeTrainer trainer;
  for (int i = 0; i < 50; ++i) trainer.add("abc xabc abd xab bc ybc abcz abcabc");
  const Tokenizer tokenizer = trainer.train(400);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("abcabc xabc ybc")), "abcabc xabc ybc");
}

TEST(BpeTrainer, DependsOnTheTextsAlone) {
  BpeTrainer forward, backward;
  const std::string& text = sampleText();
  forward.add(text);
  forward.add("another text, another text");
  backward.add("another text, another text");
  backward.add(text);
  EXPECT_EQ(forward.train(300).fingerprint(), backward.train(300).fingerprint());
  EXPECT_EQ(forward.train(300).merges(), backward.train(300).merges());
  EXPECT_NE(forward.train(300).fingerprint(), forward.train(290).fingerprint());
}

TEST(BpeTrainer, RefusesVocabulariesThatCannotBe) {
  EXPECT_THAT(test::sentenceOf([] { learn("text", 256); }), HasSubstr("256 bytes"));
  EXPECT_EQ(learn("text", 257).merges().size(), 0u);
}

// The reference: apply the lowest-ranked merge that is there, leftmost first, until none is; quadratic and plain.
std::vector<TokenId> plainEncode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> result;
  forEachPiece(text, [&](std::string_view piece) {
    std::vector<TokenId> ids;
    for (const char byte : piece) ids.push_back(static_cast<unsigned char>(byte));
    for (;;) {
      std::size_t bestRank = tokenizer.merges().size();
      std::size_t bestAt = 0;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        for (std::size_t rank = 0; rank < bestRank; ++rank) {
          if (tokenizer.merges()[rank] == Merge{ids[i], ids[i + 1]}) {
            bestRank = rank;
            bestAt = i;
          }
        }
      }
      if (bestRank == tokenizer.merges().size()) break;
      const std::string bytes = tokenizer.bytesOf(ids[bestAt]) + tokenizer.bytesOf(ids[bestAt + 1]);
      const auto& tokens = tokenizer.tokens();
      ids[bestAt] = static_cast<TokenId>(std::find(tokens.begin(), tokens.end(), bytes) - tokens.begin());
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(bestAt) + 1);
    }
    result.insert(result.end(), ids.begin(), ids.end());
  });
  return result;
}

TEST(Tokenizer, EncodesAsThePlainAlgorithm) {
  const Tokenizer tokenizer = learn(sampleText(), 320);
  const std::string text = sampleText().substr(100, 3000) + "thethenthethe  foxes,,, ((over)) \xc3\xb6\xb6";
  EXPECT_EQ(tokenizer.encode(text), plainEncode(tokenizer, text));
  Tokenizer::PieceCache cache;
  std::vector<TokenId> cached;
  tokenizer.encode(text, cache, cached);
  EXPECT_EQ(cached, plainEncode(tokenizer, text));
}

TEST(Tokenizer, GivesAnyBytesBack) {
  const Tokenizer tokenizer = learn(sampleText(), 400);
  std::vector<std::string> hostile = {"",
                                      " ",
                                      "\n",
                                      std::string(1, '\0'),
                                      std::string(5000, 'a'),
                                      std::string(3000, ' '),
                                      kEndOfText,
                                      "the <|endoftext|> the",
                                      "\xff\xfe\xfd",
                                      "\xe2\x82",
                                      "\r\n\r\n",
                                      "\xf0\x9f\xa6\x99 llama"};
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  hostile.push_back(all + all);
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    std::string bytes;
    for (int i = 0; i < 500; ++i) bytes += static_cast<char>(random());
    hostile.push_back(bytes);
  }
  for (const std::string& text : hostile) EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(Tokenizer, TextCannotSpellTheSeparator) {
  const Tokenizer tokenizer = learn(std::string(kEndOfText) + kEndOfText + kEndOfText, 300);
  EXPECT_THAT(tokenizer.encode(kEndOfText), testing::Not(testing::Contains(tokenizer.endOfText())));
  EXPECT_EQ(tokenizer.decode({tokenizer.endOfText()}), kEndOfText);
  EXPECT_THAT(test::sentenceOf([&] { tokenizer.decode({100000}); }), HasSubstr("outside the vocabulary"));
}

TEST(TokenizerFile, ReadsBackWhatItWrote) {
  const test::TemporaryFolder folder;
  const Tokenizer tokenizer = learn(sampleText(), 400);
  tokenizer.save(folder.path("tokenizer.json"));
  const Tokenizer loaded = Tokenizer::load(folder.path("tokenizer.json"));
  EXPECT_EQ(loaded.tokens(), tokenizer.tokens());
  EXPECT_EQ(loaded.merges(), tokenizer.merges());
  EXPECT_EQ(loaded.fingerprint(), tokenizer.fingerprint());
  EXPECT_FALSE(std::filesystem::exists(folder.path("tokenizer.json.tmp")));
}

TEST(TokenizerFile, SaysWhatIsWrong) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(folder.path("none.json")); }), HasSubstr("cannot read the tokenizer"));
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(folder.write("a.json", "{")); }), HasSubstr("is not a byte-level BPE tokenizer.json"));
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(folder.write("b.json", R"({"model":{"type":"Unigram"}})")); }),
              HasSubstr("only byte-level"));
  learn(sampleText(), 300).save(folder.path("c.json"));
  const std::string good = test::readFile(folder.path("c.json"));
  const auto damaged = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return folder.write("d.json", text.replace(at, from.size(), to));
  };
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(damaged(" ?[0-9]+", "[0-9]")); }), HasSubstr("another rule"));
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(damaged("\"A\": 65", "\"A\": 66")); }), HasSubstr("each once"));
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(damaged("\"A\": 65", "\"AA\": 65")); }), HasSubstr("no token for the single byte 65"));
  // The first merge of the list, whatever it is.
  const std::size_t begin = good.find('"', good.find("\"merges\": [") + 11);
  const std::string merge = good.substr(begin, good.find('"', begin + 1) + 1 - begin);
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(damaged(merge, "\"t zz\"")); }), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(test::sentenceOf([&] { Tokenizer::load(damaged(merge, "\"tzz\"")); }), HasSubstr("no blank"));
}

}  // namespace
}  // namespace qccl::train
