#include "data/token_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/bpe_trainer.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

const Tokenizer& bytesOnly() {
  static const Tokenizer kTokenizer = BpeTrainer().train(257);
  return kTokenizer;
}

std::string writeSample(const test::TemporaryFolder& folder) {
  TokenFileWriter writer(folder.path("t.bin"), bytesOnly());
  writer.append({1, 2, 3, 256}, 3);
  writer.append({4, 255, 256}, 2);
  writer.finish();
  return folder.path("t.bin");
}

TEST(TokenFile, ReadsWhatWasWritten) {
  const test::TemporaryFolder folder;
  const TokenFile file(writeSample(folder));
  EXPECT_EQ(file.info().tokens, 7u);
  EXPECT_EQ(file.info().vocab, 257u);
  EXPECT_EQ(file.info().documents, 2u);
  EXPECT_EQ(file.info().textBytes, 5u);
  EXPECT_EQ(file.info().tokenBytes, 2u);
  EXPECT_EQ(file.info().tokenizerFingerprint, bytesOnly().fingerprint());
  std::vector<TokenId> ids(5);
  file.read(2, 5, ids.data());
  EXPECT_THAT(ids, testing::ElementsAre(3, 256, 4, 255, 256));
  EXPECT_THAT(test::sentenceOf([&] { file.read(3, 5, ids.data()); }), HasSubstr("outside"));
}

TEST(TokenFile, LargeVocabulariesTakeFourBytes) {
  const test::TemporaryFolder folder;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (int i = 0; i < 70000; ++i) tokens.push_back("token" + std::to_string(i));
  tokens.emplace_back(kEndOfText);
  const Tokenizer tokenizer(tokens, {}, static_cast<TokenId>(tokens.size() - 1));
  TokenFileWriter writer(folder.path("t.bin"), tokenizer);
  writer.append({70000, 5}, 9);
  writer.finish();
  const TokenFile file(folder.path("t.bin"));
  EXPECT_EQ(file.info().tokenBytes, 4u);
  TokenId id = 0;
  file.read(0, 1, &id);
  EXPECT_EQ(id, 70000);
}

TEST(TokenFile, EveryDamagedByteIsDetected) {
  const test::TemporaryFolder folder;
  const std::string good = test::readFile(writeSample(folder));
  ASSERT_EQ(good.size(), 64u + 14u);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    const std::string path = folder.write("bad.bin", bad);
    EXPECT_THAT(test::sentenceOf([&] { TokenFile file(path); }), HasSubstr("bad.bin")) << "byte " << at;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    const std::string path = folder.write("short.bin", good.substr(0, size));
    EXPECT_THAT(test::sentenceOf([&] { TokenFile file(path); }), HasSubstr("short.bin")) << size << " bytes";
  }
  const std::string path = folder.write("long.bin", good + "x");
  EXPECT_THAT(test::sentenceOf([&] { TokenFile file(path); }), HasSubstr("damaged"));
}

TEST(TokenFile, TokensOutsideTheVocabularyAreRefused) {
  const test::TemporaryFolder folder;
  {
    TokenFileWriter writer(folder.path("t.bin"), bytesOnly());
    writer.append({5, 257}, 1);
    writer.finish();
  }
  EXPECT_THAT(test::sentenceOf([&] { TokenFile file(folder.path("t.bin")); }), HasSubstr("token 257 outside"));
}

TEST(TokenFile, AnAbandonedWriterLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    TokenFileWriter writer(folder.path("t.bin"), bytesOnly());
    writer.append({1}, 1);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THAT(test::sentenceOf([&] { TokenFileWriter writer(folder.path("no/t.bin"), bytesOnly()); }), HasSubstr("cannot write"));
}

}  // namespace
}  // namespace qccl::train
