// What is saved and what it takes: against the packed format, and against figures worked out by hand.
#include "memory/ledger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "memory/llama_ledger.hpp"
#include "memory/report_text.hpp"
#include "quant/wire_format.hpp"
#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using test::sentenceOf;
using testing::AllOf;
using testing::HasSubstr;

constexpr LlamaShape kLlama3_8b = {32, 0, 4096, 14336, 32, 8, 128};

TEST(SavedTensor, CodesAndScalesTogetherAreThePackedBuffer) {
  for (const int bits : {4, 5, 6, 8, 16}) {
    for (const std::size_t blockElems : {32, 128, 256, 4096}) {
      for (const qcclScale_t scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
        const TensorFormat format = formatOfBits(bits, blockElems, scale);
        for (const std::size_t elems : {1, 31, 256, 257, 4095, 4096, 4097, 65536, 1000003}) {
          const TensorBytes bytes = storedBytes(elems, format);
          EXPECT_EQ(bytes.total(), quant::packedBytes(elems, {format.codec, scale, blockElems})) << formatName(format) << " " << elems;
          EXPECT_GE(bytes.codes, (elems * static_cast<std::size_t>(bits) + 7) / 8);
          EXPECT_EQ(bytes.codes % 16 + bytes.scales % 16, 0u);
        }
      }
    }
  }
}

testing::Matcher<TensorBytes> Takes(std::size_t codes, std::size_t scales) {
  return AllOf(testing::Field("codes", &TensorBytes::codes, codes), testing::Field("scales", &TensorBytes::scales, scales));
}

TEST(SavedTensor, SizesWorkedOutByHand) {
  EXPECT_THAT(storedBytes(4096, formatOfBits(8)), Takes(4096, 64));
  EXPECT_THAT(storedBytes(4096, formatOfBits(6)), Takes(2048 + 1024, 64));
  EXPECT_THAT(storedBytes(4096, formatOfBits(4, 128, qcclScaleBfloat16)), Takes(2048, 64));
  EXPECT_THAT(storedBytes(257, formatOfBits(8)), Takes(272, 16));
  EXPECT_THAT(storedBytes(1000, formatOfBits(16)), Takes(2000, 0));
  EXPECT_THAT(storedBytes(7, formatOfBits(32)), Takes(28, 0));
  EXPECT_THAT(storedBytes(7, {qcclCodecNone, qcclUint8}), Takes(7, 0));
}

TEST(SavedTensor, FormatsHaveNamesAndBits) {
  EXPECT_EQ(formatName(formatOfBits(4, 128, qcclScaleBfloat16)), "int4/128/bfloat16");
  EXPECT_EQ(formatName(formatOfBits(16)), "bf16");
  EXPECT_EQ(formatName(formatOfBits(32)), "float32");
  for (const int bits : {4, 5, 6, 8, 16, 32}) EXPECT_EQ(bitsOf(formatOfBits(bits)), static_cast<std::size_t>(bits));
  EXPECT_THAT(sentenceOf([] { formatOfBits(3); }), AllOf(HasSubstr("3 bits"), HasSubstr("4, 5, 6, 8, 16 or 32")));
}

// Bytes of a token in a layer of the shape of Llama 3 8B. 47,104 elements are 2h + 2a + 2k + 2f, the statistics 4 n + 8 = 136 bytes.
TEST(LlamaLedger, HasTheFiguresOfLlama3_8b) {
  struct Row {
    const char* what;
    LlamaFormats formats;
    bool recompute;
    std::size_t bytesPerTokenAndLayer;
  };
  const TensorFormat bf16 = formatOfBits(16), int8 = formatOfBits(8, 128, qcclScaleBfloat16),
                     int4 = formatOfBits(4, 128, qcclScaleBfloat16);
  const Row rows[] = {{"bf16, nothing recomputed: 8h + 4a + 4k + 6f + 4n + 8", {bf16, bf16}, false, 139400},
                      {"bf16: 2 * 47104 + 136", {bf16, bf16}, true, 94344},
                      {"8 bits: 47104 * 8.125 / 8 + 136", {int8, int8}, true, 47976},
                      {"4 bits: 47104 * 4.125 / 8 + 136", {int4, int4}, true, 24424},
                      {"attention (2a + 2k = 10240) 8 bits, the rest (36864) 4", {int8, int4}, true, 10400 + 19008 + 136}};
  for (const Row& row : rows) {
    LlamaShape shape = kLlama3_8b;
    shape.recompute = row.recompute;
    const LedgerTotals totals = llamaLedger(shape, 1, 8192, row.formats).totals();
    EXPECT_EQ(totals.bytes.total(), row.bytesPerTokenAndLayer * 32 * 8192) << row.what;
    EXPECT_EQ(totals.tensors, row.recompute ? 352u : 448u) << row.what;
    EXPECT_EQ(totals.largestElems, std::size_t{14336} * 8192);
  }
}

TEST(LlamaLedger, SavesInTheOrderOfTheForwardPass) {
  LlamaShape shape{2, 5, 64, 172, 8, 4, 8, true};
  const Ledger ledger = llamaLedger(shape, 3, 10, {});
  std::vector<std::string> names;
  for (const LedgerEntry& entry : ledger.entries()) names.push_back(entry.tensor.name);
  const char* kinds[] = {"xhat1", "rstd1", "q", "k", "v", "o", "lse", "xhat2", "rstd2", "gate", "up"};
  std::vector<std::string> expected;
  for (const char* layer : {"layers.5.", "layers.6."}) {
    for (const char* kind : kinds) expected.push_back(std::string(layer) + kind);
  }
  for (const char* name : {"head.xhat", "head.rstd", "head.lse"}) expected.emplace_back(name);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(ledger.entries()[3].tensor.elems, 4u * 8 * 30);
  EXPECT_EQ(ledger.entries()[6].tensor.elems, 8u * 30);
}

TEST(LlamaLedger, RefusesShapesThatCannotBe) {
  LlamaShape shape = kLlama3_8b;
  shape.kvHeads = 5;
  EXPECT_THAT(sentenceOf([&] { llamaLedger(shape, 1, 1, {}); }), AllOf(HasSubstr("kvHeads = 5"), HasSubstr("heads = 32")));
  shape.kvHeads = 0;
  EXPECT_THAT(sentenceOf([&] { llamaLedger(shape, 1, 1, {}); }), HasSubstr("kvHeads = 0"));
  EXPECT_THAT(sentenceOf([&] { llamaLedger(kLlama3_8b, 1, 0, {}); }), HasSubstr("seqLen = 0"));
}

TEST(Ledger, TakesAnyArchitecture) {
  Ledger ledger;
  ledger.add({"conv1.input", 3 * 224 * 224, formatOfBits(8)});
  ledger.add({"conv1.mask", 1000, {qcclCodecNone, qcclUint8}});
  ledger.add({"conv2.input", 64 * 112 * 112, formatOfBits(4)});
  EXPECT_EQ(ledger.indexOf("conv2.input"), 2);
  EXPECT_EQ(ledger.indexOf("conv2"), -1);
  EXPECT_EQ(ledger.totals().elems, 3u * 224 * 224 + 1000 + 64 * 112 * 112);

  ledger.setFormat("conv1.input", formatOfBits(5));
  EXPECT_EQ(bitsOf(ledger.entries()[0].tensor.format), 5u);
  EXPECT_EQ(bitsOf(ledger.entries()[2].tensor.format), 4u);
  ledger.setFormat("input", formatOfBits(6));
  EXPECT_EQ(bitsOf(ledger.entries()[0].tensor.format) + bitsOf(ledger.entries()[2].tensor.format), 12u);
  EXPECT_EQ(ledger.entries()[2].bytes, storedBytes(64 * 112 * 112, formatOfBits(6)));
}

TEST(Ledger, RefusesWhatItCannotName) {
  Ledger ledger;
  ledger.add({"a.x", 10, {}});
  EXPECT_THAT(sentenceOf([&] { ledger.add({"a.x", 10, {}}); }), HasSubstr("a tensor a.x already"));
  EXPECT_THAT(sentenceOf([&] { ledger.add({"", 10, {}}); }), HasSubstr("no name"));
  EXPECT_THAT(sentenceOf([&] { ledger.add({"b", 0, {}}); }), AllOf(HasSubstr("tensor b"), HasSubstr("0 elements")));
  EXPECT_THAT(sentenceOf([&] { ledger.add({"b", SIZE_MAX, {}}); }), HasSubstr("tensor b"));
  EXPECT_THAT(sentenceOf([&] { ledger.add({"b", 1, formatOfBits(4, 100)}); }), AllOf(HasSubstr("tensor b"), HasSubstr("100")));
  EXPECT_THAT(sentenceOf([&] { ledger.setFormat("y", {}); }), HasSubstr("called y"));
  EXPECT_EQ(ledger.entries().size(), 1u);
}

TEST(Ledger, PrintsKindsAndTotals) {
  const std::string table = llamaLedger(kLlama3_8b, 1, 8192, {formatOfBits(8, 128, qcclScaleBfloat16), formatOfBits(4)}).table();
  EXPECT_THAT(table, testing::ContainsRegex("gate +32 +117,440,512 +int4/256/float32 +1,879,048,192 +58,720,256 +25\\.0 %"));
  EXPECT_THAT(table, HasSubstr("352"));
  EXPECT_THAT(table, HasSubstr("one micro-batch: 7,744,782,336 bytes (7.21 GiB)"));
}

TEST(Ledger, WritesJsonOfEveryTensor) {
  Ledger ledger;
  ledger.add({"odd \"name\"\n", 300, formatOfBits(8)});
  ledger.add({"b", 7, {}});
  const nlohmann::json json = nlohmann::json::parse(ledger.json());
  EXPECT_EQ(json.at("tensorCount"), 2);
  EXPECT_EQ(json.at("codeBytes"), 304 + 28);
  EXPECT_EQ(json.at("scaleBytes"), 16);
  EXPECT_EQ(json.at("tensors")[0].at("name"), "odd \"name\"\n");
  EXPECT_EQ(json.at("tensors")[0].at("bits"), 8);
  EXPECT_EQ(json.at("tensors")[1],
            (nlohmann::json{{"name", "b"}, {"elems", 7}, {"format", "float32"}, {"bits", 32}, {"codeBytes", 28}, {"scaleBytes", 0}}));
  EXPECT_EQ(nlohmann::json::parse(Ledger().json()).at("tensors").size(), 0u);
}

TEST(ReportText, NumbersReadWell) {
  EXPECT_EQ(withCommas(0), "0");
  EXPECT_EQ(withCommas(999), "999");
  EXPECT_EQ(withCommas(1000), "1,000");
  EXPECT_EQ(withCommas(1234567), "1,234,567");
  EXPECT_EQ(binaryBytes(640), "640 B");
  EXPECT_EQ(binaryBytes(std::size_t{3} << 29), "1.50 GiB");
}

}  // namespace
}  // namespace qccl::memory
