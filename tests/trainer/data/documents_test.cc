#include "data/documents.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> read(const std::vector<std::string>& paths, DocumentOptions options = {}, DocumentCounts* counts = nullptr) {
  std::vector<std::string> texts;
  const DocumentCounts got = DocumentReader(paths, options).forEach([&](std::string_view text) { texts.emplace_back(text); });
  if (counts != nullptr) *counts = got;
  return texts;
}

std::string gzip(const test::TemporaryFolder& folder, const std::string& name, const std::string& text) {
  gzFile file = ::gzopen(folder.path(name).c_str(), "wb");
  ::gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  ::gzclose(file);
  return folder.path(name);
}

TEST(Documents, FoldersAreReadByNameAndDepth) {
  const test::TemporaryFolder folder;
  folder.write("b.txt", "second");
  folder.write("a/z.txt", "first");
  folder.write("c.txt", "third");
  folder.write(".git/config", "hidden");
  folder.write(".hidden", "hidden");
  folder.write("empty.txt", "");
  std::filesystem::create_symlink(folder.path("b.txt"), folder.path("link.txt"));
  DocumentCounts counts;
  EXPECT_THAT(read({folder.path()}, {}, &counts), ElementsAre("first", "second", "third"));
  EXPECT_EQ(counts.documents, 3u);
  EXPECT_EQ(counts.bytes, 16u);
  EXPECT_THAT(read({folder.path("link.txt")}), ElementsAre("second"));  // named: followed
}

TEST(Documents, GzipIsDecompressedAndBinaryLeftOut) {
  const test::TemporaryFolder folder;
  gzip(folder, "a.gz", "compressed text");
  folder.write("b.bin", std::string("text\0more", 9));
  folder.write("c.bin", std::string("\x01\x02\x03\x04", 4));
  const std::string whole = test::readFile(gzip(folder, "d.gz", std::string(5000, 'x') + "no repetition 0123456789"));
  folder.write("d.gz", whole.substr(0, whole.size() - 9));
  DocumentCounts counts;
  EXPECT_THAT(read({folder.path()}, {}, &counts).front(), "compressed text");
  EXPECT_EQ(counts.binary, 2u);
  EXPECT_EQ(counts.unreadable, 1u);
  EXPECT_THAT(test::sentenceOf([&] { read({folder.path("b.bin")}); }), HasSubstr("is not text"));
  EXPECT_THAT(test::sentenceOf([&] { read({folder.path("d.gz")}); }), HasSubstr("cannot read"));
}

TEST(Documents, JsonlHasADocumentALine) {
  const test::TemporaryFolder folder;
  const std::string lines = "{\"text\": \"one\\ntwo\", \"id\": 1}\n\n{\"text\": \"\"}\n{\"text\": \"three\"}";
  EXPECT_THAT(read({folder.write("a.jsonl", lines)}), ElementsAre("one\ntwo", "three"));
  EXPECT_THAT(read({gzip(folder, "b.jsonl.gz", lines)}), ElementsAre("one\ntwo", "three"));
  // Lines that cross the blocks in which the file is read.
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "{\"text\": \"" + std::string(static_cast<std::size_t>(i % 97) + 1, 'x') + "\"}\n";
  EXPECT_EQ(read({folder.write("c.jsonl", many)}).size(), 3000u);
}

TEST(Documents, BadJsonlIsASentenceWithTheLine) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::sentenceOf([&] { read({folder.write("a.jsonl", "{\"text\": \"x\"}\nnot json\n")}); }),
              HasSubstr("a.jsonl:2: not a line of JSON"));
  EXPECT_THAT(test::sentenceOf([&] { read({folder.write("b.jsonl", "{\"body\": \"x\"}\n")}); }), HasSubstr("b.jsonl:1: not an object"));
  EXPECT_THAT(test::sentenceOf([&] { read({folder.write("c.jsonl", "[1]\n")}); }), HasSubstr("c.jsonl:1: not an object"));
  EXPECT_THAT(test::sentenceOf([&] { read({folder.write("d.jsonl", "{\"text\": 5}\n")}); }), HasSubstr("string \"text\""));
}

TEST(Documents, LongTextsAreCutAtLinesAndNothingIsLost) {
  const test::TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "line " + std::to_string(i) + "\n";
  const auto parts = read({folder.write("a.txt", text)}, {.maxDocumentBytes = 256});
  std::string joined;
  for (const std::string& part : parts) {
    EXPECT_LE(part.size(), 256u);
    EXPECT_EQ(part.back(), '\n');
    joined += part;
  }
  EXPECT_EQ(joined, text);
  EXPECT_GT(parts.size(), 10u);
}

TEST(Documents, LinesLongerThanTheLimitAreCutBetweenCharacters) {
  const test::TemporaryFolder folder;
  std::string text = "x";
  for (int i = 0; i < 300; ++i) text += "\xe2\x82\xac";  // three bytes each
  const auto parts = read({folder.write("a.txt", text)}, {.maxDocumentBytes = 100});
  std::string joined;
  for (const std::string& part : parts) {
    EXPECT_NE(static_cast<unsigned char>(part.front()) & 0xc0, 0x80);
    joined += part;
  }
  EXPECT_EQ(joined, text);
  // Bytes that are no UTF-8 at all must not stop it.
  const std::string noise(1000, '\x80');
  joined.clear();
  for (const std::string& part : read({folder.write("b.txt", noise)}, {.maxDocumentBytes = 64})) joined += part;
  EXPECT_EQ(joined, noise);
}

TEST(Documents, MissingPathsAndFailingUsersAreReported) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::sentenceOf([&] { read({folder.path("nothing")}); }), HasSubstr("there is no file or folder"));
  EXPECT_THAT(test::sentenceOf([&] { read({"/dev/null"}); }), HasSubstr("neither a regular file nor a folder"));
  folder.write("f/a.txt", "text");
  EXPECT_THAT(test::sentenceOf(
                  [&] { DocumentReader({folder.path("f")}).forEach([](std::string_view) { throw std::runtime_error("full disk"); }); }),
              HasSubstr("full disk"));
}

}  // namespace
}  // namespace qccl::train
