// The bytes of the wire format, computed by hand: whoever changes them breaks every stored buffer and every peer of another version.
#include "quant/wire_format.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;

constexpr PackedFormat int8Format(std::size_t blockElems) { return {qcclCodecInt8, qcclScaleFloat32, blockElems}; }

std::string encodedBytes(const std::vector<float>& values, const PackedFormat& format) {
  GuardedBuffer packed(packedBytes(values.size(), format), kSectionAlign, 0xcd);
  EncodeCounts counts;
  referenceEncode(qcclFloat32, values.data(), values.size(), {format, false, 0, 0, false}, packed.data(), &counts);
  return test::hex(packed.data(), packed.bytes());
}

// The example of docs/wire_format.md.
TEST(WireFormat, GoldenBytesOfTwoBlocks) {
  std::vector<float> values(34, 0.0f);
  const float first[] = {127.0f, -127.0f, 0.5f, 1.5f, -2.5f, 63.4f, -0.0f, 100.0f};
  std::copy(std::begin(first), std::end(first), values.begin());
  values[31] = -1.0f;
  values[32] = 0x1p-100f;   // a block of its own, below 2^-96
  values[33] = -0x1p-101f;  // -63.5: to the even neighbour
  EXPECT_EQ(encodedBytes(values, int8Format(32)),
            "00 00 fe 42 00 00 80 0d 00 00 00 00 00 00 00 00 "   // 127.0, 2^-100, padding
            "7f 81 00 02 fe 3f 00 64 00 00 00 00 00 00 00 00 "   // 127 -127 0 2 -2 63 0 100
            "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff "   // ... -1
            "7f c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00");  // 127 -64, padding
}

TEST(WireFormat, GoldenBytesOfBlocksThatAreZeroOrNotFinite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::string zeroCodes = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
  EXPECT_EQ(encodedBytes({0.0f, -0.0f}, int8Format(32)), zeroCodes + " " + zeroCodes);
  EXPECT_EQ(encodedBytes({1.0f, kNan, 3.0f}, int8Format(32)), "00 00 c0 7f 00 00 00 00 00 00 00 00 00 00 00 00 " + zeroCodes);
  EXPECT_EQ(encodedBytes({-kInfinity}, int8Format(32)), "00 00 c0 7f 00 00 00 00 00 00 00 00 00 00 00 00 " + zeroCodes);
  // The one value that is stored as its neighbour: FLT_MAX.
  EXPECT_EQ(encodedBytes({std::numeric_limits<float>::max()}, int8Format(32)),
            "fe ff 7f 7f 00 00 00 00 00 00 00 00 00 00 00 00 7f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(WireFormat, ASecondFrameBeginsWhereTheFirstEnds) {
  std::vector<float> values(16 * 32 + 1, 1.0f);
  values.back() = -8.0f;
  GuardedBuffer packed(packedBytes(values.size(), int8Format(32)), kSectionAlign);
  ASSERT_EQ(packed.bytes(), 64u + 512u + 32u);
  EncodeCounts counts;
  referenceEncode(qcclFloat32, values.data(), values.size(), {int8Format(32), false, 0, 0, false}, packed.data(), &counts);
  EXPECT_EQ(test::hex(packed.data() + 60, 6), "00 00 80 3f 7f 7f");  // the 16th scale, the first codes
  EXPECT_EQ(test::hex(packed.data() + 575, 18), "7f 00 00 00 41 00 00 00 00 00 00 00 00 00 00 00 00 81");
  EXPECT_EQ(counts.blocks, 17u);
}

// The example of docs/wire_format.md for the codecs with planes.
TEST(WireFormat, GoldenBytesOfPlanes) {
  // int5 codes 15 -15 1 2 -3 0 7 8 -8; scale 15.0.
  const std::vector<float> values = {15.0f, -15.0f, 1.0f, 2.0f, -3.0f, 0.0f, 7.0f, 8.0f, -8.0f};
  EXPECT_EQ(encodedBytes(values, {qcclCodecInt5, qcclScaleFloat32, 32}),
            "00 00 70 41 00 00 00 00 00 00 00 00 00 00 00 00 "   // 15.0
            "1f 21 0d 87 08 00 00 00 00 00 00 00 00 00 00 00 "   // low four bits: f 1 1 2 d 0 7 8 8
            "12 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00");  // fifth bits: 0 1 0 0 1 0 0 0, then 1
  // int6 codes 31 -31 1 16 -3; BF16 scale 31.0.
  EXPECT_EQ(encodedBytes({31.0f, -31.0f, 1.0f, 16.0f, -3.0f}, {qcclCodecInt6, qcclScaleBfloat16, 32}),
            "f8 41 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
            "1f 01 0d 00 00 00 00 00 00 00 00 00 00 00 00 00 "   // f 1 1 0 d
            "49 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00");  // 01 10 00 01, then 11
  // fp4: 6 -0.5 3 -4; a power of two: 1 = 2^(127 - 127).
  EXPECT_EQ(encodedBytes({6.0f, -0.5f, 3.0f, -4.0f}, {qcclCodecFp4E2m1, qcclScaleE8m0, 32}),
            "7f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 97 e5 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
  // bf16: no scales.
  EXPECT_EQ(encodedBytes({1.0f, -2.0f}, {qcclCodecBf16, qcclScaleFloat32, 32}), "80 3f 00 c0 00 00 00 00 00 00 00 00 00 00 00 00");
}

// Sizes by a count of the parts, written the other way round than the header does.
TEST(WireFormat, SizesAreTheSumOfTheirParts) {
  struct Row {
    qcclCodec_t codec;
    std::size_t low, high;
  };
  constexpr Row kRows[] = {{qcclCodecInt8, 8, 0},    {qcclCodecInt6, 4, 2},    {qcclCodecInt5, 4, 1},    {qcclCodecInt4, 4, 0},
                           {qcclCodecFp8E4m3, 8, 0}, {qcclCodecFp8E5m2, 8, 0}, {qcclCodecFp4E2m1, 4, 0}, {qcclCodecBf16, 16, 0}};
  const auto padded = [](std::size_t bits) { return (bits + 127) / 128 * 16; };
  for (const Row& row : kRows) {
    for (const qcclScale_t scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
      const std::size_t scaleBits = row.codec == qcclCodecBf16 ? 0 : scale == qcclScaleFloat32 ? 32 : scale == qcclScaleBfloat16 ? 16 : 8;
      for (std::size_t block = kMinBlockElems; block <= 512; block *= 2) {
        std::size_t frameBlocks = 0;
        std::size_t frameCodes = 0;
        std::size_t bytes = 0;  // of the closed frames
        for (std::size_t elems = 1; elems <= 36 * block + 3; ++elems) {
          if ((elems - 1) % block == 0) ++frameBlocks;
          ++frameCodes;
          const std::size_t open = padded(frameBlocks * scaleBits) + padded(frameCodes * row.low) + padded(frameCodes * row.high);
          ASSERT_EQ(packedBytes(elems, {row.codec, scale, block}), bytes + open) << "block " << block << ", elems " << elems;
          if (frameCodes == 16 * block) {
            bytes += open;
            frameBlocks = 0;
            frameCodes = 0;
          }
        }
      }
    }
  }
}

TEST(WireFormat, BlocksArePowersOfTwoFrom32To4096) {
  for (std::size_t block = 0; block < 10000; ++block) {
    bool expected = false;
    for (const std::size_t valid : {32, 64, 128, 256, 512, 1024, 2048, 4096}) expected = expected || block == valid;
    EXPECT_EQ(isValidBlock(block), expected) << block;
  }
}

}  // namespace
}  // namespace qccl::quant
