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

std::string encodedBytes(const std::vector<float>& values, std::size_t blockElems) {
  GuardedBuffer packed(packedBytes(values.size(), blockElems), kSectionAlign, 0xcd);
  EncodeCounts counts;
  referenceEncode(qcclFloat32, values.data(), values.size(), {blockElems, false, 0, 0}, packed.data(), &counts);
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
  EXPECT_EQ(encodedBytes(values, 32),
            "00 00 fe 42 00 00 80 0d 00 00 00 00 00 00 00 00 "   // 127.0, 2^-100, padding
            "7f 81 00 02 fe 3f 00 64 00 00 00 00 00 00 00 00 "   // 127 -127 0 2 -2 63 0 100
            "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff "   // ... -1
            "7f c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00");  // 127 -64, padding
}

TEST(WireFormat, GoldenBytesOfBlocksThatAreZeroOrNotFinite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::string zeroCodes = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
  EXPECT_EQ(encodedBytes({0.0f, -0.0f}, 32), zeroCodes + " " + zeroCodes);
  EXPECT_EQ(encodedBytes({1.0f, kNan, 3.0f}, 32), "00 00 c0 7f 00 00 00 00 00 00 00 00 00 00 00 00 " + zeroCodes);
  EXPECT_EQ(encodedBytes({-kInfinity}, 32), "00 00 c0 7f 00 00 00 00 00 00 00 00 00 00 00 00 " + zeroCodes);
  // The one value that is stored as its neighbour: FLT_MAX.
  EXPECT_EQ(encodedBytes({std::numeric_limits<float>::max()}, 32),
            "fe ff 7f 7f 00 00 00 00 00 00 00 00 00 00 00 00 7f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(WireFormat, ASecondFrameBeginsWhereTheFirstEnds) {
  std::vector<float> values(16 * 32 + 1, 1.0f);
  values.back() = -8.0f;
  GuardedBuffer packed(packedBytes(values.size(), 32), kSectionAlign);
  ASSERT_EQ(packed.bytes(), 64u + 512u + 32u);
  EncodeCounts counts;
  referenceEncode(qcclFloat32, values.data(), values.size(), {32, false, 0, 0}, packed.data(), &counts);
  EXPECT_EQ(test::hex(packed.data() + 60, 6), "00 00 80 3f 7f 7f");  // the 16th scale, the first codes
  EXPECT_EQ(test::hex(packed.data() + 575, 18), "7f 00 00 00 41 00 00 00 00 00 00 00 00 00 00 00 00 81");
  EXPECT_EQ(counts.blocks, 17u);
}

// Sizes by a count of the parts, written the other way round than the header does.
TEST(WireFormat, SizesAreTheSumOfTheirParts) {
  for (std::size_t block = kMinBlockElems; block <= kMaxBlockElems; block *= 2) {
    std::size_t frameBlocks = 0;
    std::size_t frameCodes = 0;
    std::size_t bytes = 0;  // of the closed frames
    for (std::size_t elems = 1; elems <= 40 * block + 3; ++elems) {
      if ((elems - 1) % block == 0) ++frameBlocks;
      ++frameCodes;
      const std::size_t open = (frameBlocks * 4 + 15) / 16 * 16 + (frameCodes + 15) / 16 * 16;
      ASSERT_EQ(packedBytes(elems, block), bytes + open) << "block " << block << ", elems " << elems;
      if (frameCodes == 16 * block) {
        bytes += open;
        frameBlocks = 0;
        frameCodes = 0;
      }
    }
  }
}

TEST(WireFormat, WholeFramesCostOneScaleABlockAndNothingElse) {
  for (std::size_t block = kMinBlockElems; block <= kMaxBlockElems; block *= 2) {
    EXPECT_EQ(frameBytes(frameElems(block), block), 16 * (block + 4));
    EXPECT_EQ(frameBytes(frameElems(block), block) % kSectionAlign, 0u);
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
