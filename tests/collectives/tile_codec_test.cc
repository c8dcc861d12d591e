// Where the parts of a message lie in the caller's buffers, of values and packed.
#include "collectives/tile_codec.hpp"

#include <gtest/gtest.h>

namespace qccl::collectives {
namespace {

Call packedCall(qcclColl_t coll, std::size_t count) {
  Call call;
  call.coll = coll;
  call.count = count;
  call.quant.codec = qcclCodecInt5;
  call.quant.scale = qcclScaleBfloat16;
  call.quant.blockElems = 64;
  call.inputPacked = call.outputPacked = true;
  return call;
}

TEST(TileCodec, ValuesLieOneAfterAnother) {
  Call call;
  call.dtype = qcclBfloat16;
  EXPECT_EQ(TileCodec(call).bytesBefore(1000, false), 2000u);
}

TEST(TileCodec, APackedBufferOfAllReduceIsOne) {
  const Call call = packedCall(qcclCollAllReduce, 10000);
  const TileCodec codec(call);
  EXPECT_EQ(codec.bytesBefore(0, true), 0u);
  EXPECT_EQ(codec.bytesBefore(3 * 1024, true), 3 * quant::packedBytes(1024, call.quant.format()));
  EXPECT_EQ(codec.bytesBefore(10000, true), quant::packedBytes(10000, call.quant.format()));
}

// 1500 values are a frame and a shorter one, whose padding the next rank's buffer comes behind.
TEST(TileCodec, EachRanksPartIsAPackedBufferOfItsOwn) {
  for (const qcclColl_t coll : {qcclCollReduceScatter, qcclCollAllGather}) {
    const Call call = packedCall(coll, 1500);
    const TileCodec codec(call);
    const std::size_t one = quant::packedBytes(1500, call.quant.format());
    EXPECT_EQ(codec.bytesBefore(0, true), 0u);
    EXPECT_EQ(codec.bytesBefore(1024, true), quant::packedBytes(1024, call.quant.format()));
    EXPECT_EQ(codec.bytesBefore(1500, true), one);
    EXPECT_EQ(codec.bytesBefore(2 * 1500 + 1024, true), 2 * one + quant::packedBytes(1024, call.quant.format()));
  }
}

}  // namespace
}  // namespace qccl::collectives
