// What a carrier does with the rounds and tiles of a call, on bytes: all ranks' staging memory in one thread, all-gathers in place as NCCL
// does them. The result has the bits of the host's executor, whatever the algorithm, the tiles, and chunks of different or no length.
#include <gtest/gtest.h>

#include <cstring>

#include "api/rank_threads.hpp"
#include "api/values.hpp"
#include "collectives/algorithm_table.hpp"
#include "collectives/round_tiles.hpp"
#include "collectives/rounds.hpp"
#include "collectives/tile_codec.hpp"
#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives {
namespace {

using Values = std::vector<float>;
using Bytes = std::vector<std::byte>;

struct Case {
  qcclAlgo_t algorithm;
  int size;
  qcclCodec_t codec;
  std::size_t count;
  std::size_t unitBytes;  // of makeRoundTiles
};

Values inputOf(int rank, const Case& c) { return test::normalValues(c.count, 100 + rank); }

class Carrier {
 public:
  explicit Carrier(const Case& c)
      : size_(static_cast<std::size_t>(c.size)),
        call_(callOf(c)),
        codec_(call_),
        partition_(Partition::even(c.count, algorithmRow(c.algorithm).chunks({c.size, 0}), codec_.exact() ? 64 : call_.quant.blockElems)) {
    std::vector<Schedule> schedules;
    for (int rank = 0; rank < c.size; ++rank) schedules.push_back(algorithmRow(c.algorithm).schedule(rank, {c.size, 0}));
    for (int rank = 0; rank < c.size; ++rank) plans_.push_back(makeRoundPlan(schedules, rank));
    tiles_ = makeRoundTiles(call_, partition_, plans_[0], c.size, c.unitBytes);
    const std::size_t stagingBytes = tiles_.sets * static_cast<std::size_t>(plans_[0].mostSlots) * tiles_.slotBytes;
    for (int rank = 0; rank < c.size; ++rank) {
      inputs_.push_back(inputOf(rank, c));
      outputs_.emplace_back(c.count);
      staging_.emplace_back(stagingBytes, std::byte{0xee});
    }
  }

  std::vector<Values> run() {
    for (const Turn& turn : makeTurns(tiles_, plans_[0].rounds.size())) {
      for (std::size_t rank = 0; rank < size_; ++rank) {
        for (const RoundTask& task : plans_[rank].rounds[turn.round].before) perform(rank, task, turn.tile);
      }
      travel(turn);
      for (std::size_t rank = 0; rank < size_; ++rank) {
        for (const RoundTask& task : plans_[rank].rounds[turn.round].during) perform(rank, task, turn.tile);
      }
    }
    return outputs_;
  }

  std::size_t gathers() const { return gathers_; }
  std::size_t tiles() const { return tiles_.tiles; }

 private:
  static Call callOf(const Case& c) {
    Call call;
    call.count = c.count;
    call.op = qcclAvg;
    call.quant.codec = c.codec;
    call.quant.algorithm = c.algorithm;
    return call;
  }

  Chunk partOf(int chunk, std::size_t tile) const { return tiles_.part(partition_.chunk(chunk), tile); }

  std::byte* stagingAt(std::size_t rank, int slot, std::size_t tile) {
    return staging_[rank].data() + tiles_.slotOffsetBytes(slot, tile, plans_[rank].mostSlots);
  }

  void travel(const Turn& turn) {
    const std::optional<RoundGather>& gather = plans_[0].rounds[turn.round].gather;
    if (gather && !(codec_.exact() && gather->ofInput)) {
      ++gathers_;
      const std::size_t bytes = tiles_.slotBytesOf(turn.tile);
      for (std::size_t from = 0; from < size_; ++from) {
        const std::byte* const part = stagingAt(from, gather->firstSlot, turn.tile) + from * bytes;
        for (std::size_t to = 0; to < size_; ++to) {
          if (to != from) std::memcpy(stagingAt(to, gather->firstSlot, turn.tile) + from * bytes, part, bytes);
        }
      }
      return;
    }
    for (std::size_t rank = 0; rank < size_; ++rank) {
      for (const RoundMessage& m : plans_[rank].rounds[turn.round].messages) {
        if (!m.isSend) receive(static_cast<int>(rank), m, turn);
      }
    }
  }

  void receive(int rank, const RoundMessage& received, const Turn& turn) {
    const auto peer = static_cast<std::size_t>(received.peer);
    for (const RoundMessage& m : plans_[peer].rounds[turn.round].messages) {
      if (!m.isSend || m.peer != rank || m.chunk != received.chunk || m.phase != received.phase) continue;
      std::memcpy(stagingAt(static_cast<std::size_t>(rank), received.slot, turn.tile), stagingAt(peer, m.slot, turn.tile),
                  codec_.wireBytes(partOf(m.chunk, turn.tile)));
    }
  }

  void perform(std::size_t rank, const RoundTask& task, std::size_t tile) {
    const Chunk part = partOf(task.chunk, tile);
    if (part.elems == 0) return;
    const auto* input = reinterpret_cast<const std::byte*>(inputs_[rank].data() + part.firstElem);
    auto* output = reinterpret_cast<std::byte*>(outputs_[rank].data() + part.firstElem);
    quant::EncodeCounts counts;
    const TileCodec::Encoding encoding{false, 0, nullptr, &counts};
    if (task.kind == RoundTask::Kind::encode) codec_.encodeInput(input, part, encoding, stagingAt(rank, task.slot, tile));
    if (task.kind == RoundTask::Kind::decode) codec_.decode(stagingAt(rank, task.slot, tile), part, output);
    if (task.kind != RoundTask::Kind::sum) return;
    Bytes sum(part.elems * codec_.accumulatorBytes());
    bool first = true;
    for (const int operand : task.operands) {
      if (operand == kInputOperand) {
        first ? codec_.loadInput(input, part, sum.data()) : codec_.addInput(input, part, sum.data());
      } else {
        const std::byte* const wire = stagingAt(rank, operand, tile);
        first ? codec_.loadWire(wire, part, sum.data()) : codec_.addWire(wire, part, sum.data());
      }
      first = false;
    }
    if (task.divide) codec_.divide(sum.data(), part.elems, static_cast<int>(size_));
    if (task.slot >= 0) codec_.encodeSum(sum.data(), part, encoding, stagingAt(rank, task.slot, tile));
    if (task.slot < 0) codec_.storeSum(sum.data(), part, encoding, output);
    if (task.decodeToo) codec_.decode(stagingAt(rank, task.slot, tile), part, output);
  }

  const std::size_t size_;
  const Call call_;
  const TileCodec codec_;
  const Partition partition_;
  std::vector<RoundPlan> plans_;  // these by rank
  std::vector<Values> inputs_, outputs_;
  std::vector<Bytes> staging_;
  RoundTiles tiles_;
  std::size_t gathers_ = 0;
};

std::vector<Values> runOnHost(const test::RankThreads& ranks, const Case& c) {
  std::vector<Values> outputs(static_cast<std::size_t>(c.size), Values(c.count));
  ranks.run([&](int rank, qcclComm_t comm) {
    const Values input = inputOf(rank, c);
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.codec = c.codec;
    quant.blockElems = 256;
    quant.algorithm = c.algorithm;
    quant.minBytes = 0;
    Values& output = outputs[static_cast<std::size_t>(rank)];
    QCCL_EXPECT_OK(qcclAllReduceEx(input.data(), output.data(), c.count, qcclFloat32, qcclAvg, &quant, comm, nullptr));
  });
  return outputs;
}

TEST(RoundBytes, AreTheHostsForAnyAlgorithmTilesAndChunks) {
  for (int size = 2; size <= 8; ++size) {
    const test::RankThreads ranks("inproc", size);
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
      for (const qcclCodec_t codec : {qcclCodecNone, qcclCodecInt8, qcclCodecInt5}) {
        for (const std::size_t count : {1, 700, 40099, 140007}) {
          const Case c{algorithm, size, codec, count, 4 << 10};
          SCOPED_TRACE(strCat(enumName(qcclEnumAlgo, algorithm), " ", size, " ranks, codec ", codec, ", ", count));
          Carrier carrier(c);
          const std::vector<Values> outputs = carrier.run();
          const std::vector<Values> expected = runOnHost(ranks, c);
          for (std::size_t rank = 0; rank < outputs.size(); ++rank) {
            ASSERT_EQ(std::memcmp(outputs[rank].data(), expected[rank].data(), count * sizeof(float)), 0) << "rank " << rank;
          }
          const bool gathers = algorithm == qcclAlgoOneshot ? codec != qcclCodecNone : size == 2 || algorithm == qcclAlgoTwoshot;
          EXPECT_EQ(carrier.gathers() > 0, gathers);
          EXPECT_TRUE(count < 140007 || carrier.tiles() > 2);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qccl::collectives
