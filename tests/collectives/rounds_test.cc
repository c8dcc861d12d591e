// A schedule in rounds does what the schedule does: run on symbols, round by round, with every message of a round sent before any is
// received, and over the queues that a carrier keeps between two ranks.
#include "collectives/rounds.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "collectives/algorithm_table.hpp"
#include "collectives/round_tiles.hpp"
#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives {
namespace {

using Schedules = std::vector<Schedule>;
// By rank and chunk: how the output was made, as an expression.
using Outputs = std::vector<std::map<int, std::string>>;

std::string inputOf(int rank, int chunk) { return strCat("x", rank, ".", chunk); }
std::string encoded(const std::string& value, int rank, int step) { return strCat("e", rank, ".", step, "(", value, ")"); }

// The steps one after another.
Outputs runSteps(const Schedules& schedules) {
  const std::size_t size = schedules.size();
  Outputs outputs(size);
  std::vector<std::size_t> next(size, 0);
  std::vector<std::map<int, std::string>> slots(size);
  std::vector<std::string> sums(size);
  std::map<std::string, std::string> messages;
  const auto nameOf = [](int from, int to, const Step& step) {
    return strCat(from, ">", to, " ", static_cast<int>(step.phase), " ", step.chunk);
  };
  const auto run = [&](int rank, const Step& step, int number) {
    const auto r = static_cast<std::size_t>(rank);
    std::string& slot = slots[r][step.slot];
    switch (step.kind) {
      case StepKind::encodeInput:
        slot = encoded(inputOf(rank, step.chunk), rank, number);
        break;
      case StepKind::encodeSum:
        slot = encoded(sums[r], rank, number);
        break;
      case StepKind::send:
        messages[nameOf(rank, step.peer, step)] = slot;
        break;
      case StepKind::recv: {
        const auto found = messages.find(nameOf(step.peer, rank, step));
        if (found == messages.end()) return false;
        slot = found->second;
        break;
      }
      case StepKind::loadInput:
        sums[r] = inputOf(rank, step.chunk);
        break;
      case StepKind::addInput:
        sums[r] += "+" + inputOf(rank, step.chunk);
        break;
      case StepKind::loadSlot:
        sums[r] = slot;
        break;
      case StepKind::addSlot:
        sums[r] += "+" + slot;
        break;
      case StepKind::divide:
        sums[r] = "(" + sums[r] + ")/";
        break;
      case StepKind::storeSum:
        outputs[r][step.chunk] = sums[r];
        break;
      case StepKind::decodeSlot:
        outputs[r][step.chunk] = slot;
        break;
    }
    return true;
  };
  for (bool progressed = true; progressed;) {
    progressed = false;
    for (std::size_t r = 0; r < size; ++r) {
      const std::vector<Step>& steps = schedules[r].steps;
      while (next[r] < steps.size() && run(static_cast<int>(r), steps[next[r]], static_cast<int>(next[r]))) {
        ++next[r];
        progressed = true;
      }
    }
  }
  return outputs;
}

class RoundRun {
 public:
  explicit RoundRun(const Schedules& schedules) : slots_(schedules.size()), outputs_(schedules.size()) {
    for (std::size_t rank = 0; rank < schedules.size(); ++rank) plans_.push_back(makeRoundPlan(schedules, static_cast<int>(rank)));
  }

  Outputs run() {
    const std::size_t rounds = plans_[0].rounds.size();
    for (const RoundPlan& plan : plans_) EXPECT_EQ(plan.rounds.size(), rounds) << "ranks go through different rounds";
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t r = 0; r < plans_.size(); ++r) {
        for (const RoundTask& task : plans_[r].rounds[round].before) perform(static_cast<int>(r), task);
      }
      travel(round);
      for (std::size_t r = 0; r < plans_.size(); ++r) {
        for (const RoundTask& task : plans_[r].rounds[round].during) perform(static_cast<int>(r), task);
      }
      // Only now: what runs during the messages must not need them.
      for (auto& [rank, slot, value] : arrived_) slots_[static_cast<std::size_t>(rank)][slot] = value;
      arrived_.clear();
    }
    return outputs_;
  }

 private:
  std::string slotOf(int rank, int slot) {
    const auto& slots = slots_[static_cast<std::size_t>(rank)];
    const auto found = slots.find(slot);
    EXPECT_NE(found, slots.end()) << "slot " << slot << " of rank " << rank << " is read before it was written";
    return found == slots.end() ? "nothing" : found->second;
  }

  void perform(int rank, const RoundTask& task) {
    const auto r = static_cast<std::size_t>(rank);
    switch (task.kind) {
      case RoundTask::Kind::encode:
        EXPECT_TRUE(plans_[r].inputSlots[static_cast<std::size_t>(task.slot)]);
        slots_[r][task.slot] = encoded(inputOf(rank, task.chunk), rank, task.step);
        break;
      case RoundTask::Kind::sum: {
        std::string sum;
        for (const int operand : task.operands) {
          sum += (sum.empty() ? "" : "+") + (operand == kInputOperand ? inputOf(rank, task.chunk) : slotOf(rank, operand));
        }
        if (task.divide) sum = "(" + sum + ")/";
        if (task.slot >= 0) slots_[r][task.slot] = encoded(sum, rank, task.step);
        if (task.slot < 0) write(rank, task.chunk, sum);
        if (task.decodeToo) write(rank, task.chunk, slots_[r][task.slot]);
        break;
      }
      case RoundTask::Kind::decode:
        write(rank, task.chunk, slotOf(rank, task.slot));
        break;
    }
  }

  void write(int rank, int chunk, const std::string& value) {
    EXPECT_TRUE(outputs_[static_cast<std::size_t>(rank)].emplace(chunk, value).second) << "output written twice";
  }

  void travel(std::size_t round) {
    std::map<std::pair<int, int>, std::deque<std::pair<int, std::string>>> wire;  // from, to -> chunk, contents
    for (std::size_t r = 0; r < plans_.size(); ++r) {
      for (const RoundMessage& m : plans_[r].rounds[round].messages) {
        const int rank = static_cast<int>(r);
        if (m.isSend) wire[{rank, m.peer}].emplace_back(m.chunk, slotOf(rank, m.slot));
      }
    }
    for (std::size_t r = 0; r < plans_.size(); ++r) {
      for (const RoundMessage& m : plans_[r].rounds[round].messages) {
        if (m.isSend) continue;
        auto& queue = wire[{m.peer, static_cast<int>(r)}];
        ASSERT_FALSE(queue.empty()) << "rank " << r << " receives in round " << round << " what rank " << m.peer << " does not send there";
        EXPECT_EQ(queue.front().first, m.chunk) << "messages between two ranks are not in the same order on both";
        arrived_.emplace_back(static_cast<int>(r), m.slot, queue.front().second);
        queue.pop_front();
      }
    }
    for (const auto& [ranks, queue] : wire) EXPECT_TRUE(queue.empty()) << "a message from rank " << ranks.first << " is not received";
  }

  std::vector<RoundPlan> plans_;
  std::vector<std::map<int, std::string>> slots_;
  std::vector<std::tuple<int, int, std::string>> arrived_;
  Outputs outputs_;
};

std::size_t roundsOf(const Schedules& schedules) { return makeRoundPlan(schedules, 0).rounds.size() - 1; }

Schedules schedulesOf(int size, const std::function<Schedule(int)>& schedule) {
  Schedules schedules;
  for (int rank = 0; rank < size; ++rank) schedules.push_back(schedule(rank));
  return schedules;
}

Schedules schedulesOf(qcclAlgo_t algorithm, int size, int ranksPerHost = 0) {
  return schedulesOf(size, [&](int rank) { return algorithmRow(algorithm).schedule(rank, {size, ranksPerHost}); });
}

void expectTheSame(const Schedules& schedules) { EXPECT_EQ(RoundRun(schedules).run(), runSteps(schedules)); }

TEST(Rounds, EveryAllReduceDoesInRoundsWhatItsScheduleSays) {
  for (int size = 2; size <= 17; ++size) {
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
      SCOPED_TRACE(strCat(enumName(qcclEnumAlgo, algorithm), " ", size));
      expectTheSame(schedulesOf(algorithm, size));
    }
    for (int ranksPerHost = 1; ranksPerHost <= size; ++ranksPerHost) {
      if (size % ranksPerHost != 0) continue;
      SCOPED_TRACE(strCat("hier ", size, " of ", ranksPerHost));
      expectTheSame(schedulesOf(qcclAlgoHier, size, ranksPerHost));
    }
  }
}

TEST(Rounds, TheOtherCollectivesToo) {
  for (int size = 2; size <= 12; ++size) {
    SCOPED_TRACE(size);
    expectTheSame(schedulesOf(size, [&](int rank) { return reduceScatterDirectSchedule(rank, size); }));
    expectTheSame(schedulesOf(size, [&](int rank) { return reduceScatterRingSchedule(rank, size); }));
    expectTheSame(schedulesOf(size, [&](int rank) { return allGatherSchedule(rank, size); }));
    for (int root = 0; root < size; ++root) {
      expectTheSame(schedulesOf(size, [&](int rank) { return broadcastSchedule(rank, size, root); }));
      expectTheSame(schedulesOf(size, [&](int rank) { return reduceSchedule(rank, size, root); }));
    }
  }
}

TEST(Rounds, AreAsFewAsTheAlgorithmAllows) {
  for (int size = 2; size <= 16; ++size) {
    EXPECT_EQ(roundsOf(schedulesOf(qcclAlgoOneshot, size)), 1u);
    EXPECT_EQ(roundsOf(schedulesOf(qcclAlgoTwoshot, size)), 2u);
    EXPECT_EQ(roundsOf(schedulesOf(qcclAlgoRing, size)), 2u * static_cast<std::size_t>(size - 1));
  }
  EXPECT_EQ(roundsOf(schedulesOf(qcclAlgoHier, 8, 4)), 4u);
  EXPECT_EQ(roundsOf(schedulesOf(qcclAlgoHier, 8, 8)), 2u);
}

Call callOf(std::size_t count, qcclCodec_t codec, std::size_t blockElems) {
  Call call;
  call.count = count;
  call.quant.codec = codec;
  call.quant.blockElems = blockElems;
  return call;
}

TEST(RoundTiles, CoverTheMessageInWholeFramesAndFitIntoStaging) {
  for (const int size : {2, 3, 8, 32}) {
    const RoundPlan plan = makeRoundPlan(schedulesOf(qcclAlgoTwoshot, size), 0);
    for (const qcclCodec_t codec : {qcclCodecNone, qcclCodecInt8, qcclCodecInt5, qcclCodecBf16}) {
      for (const std::size_t block : {32, 256, 4096}) {
        for (const std::size_t count : {1ul, 777ul, 100000ul, 20000003ul, 3000000019ul}) {
          const Call call = callOf(count, codec, block);
          const Partition partition = Partition::even(count, size, block);
          const RoundTiles tiles = makeRoundTiles(call, partition, plan, size, 64 << 10);
          SCOPED_TRACE(strCat("size ", size, " codec ", codec, " block ", block, " count ", count));
          EXPECT_LE(tiles.sets * static_cast<std::size_t>(plan.mostSlots) * tiles.slotBytes, kRoundStagingBytes);
          EXPECT_LE(tiles.sets, kMostRoundSets);
          EXPECT_GE(tiles.sets, 1u);
          for (int chunk = 0; chunk < size; ++chunk) {
            const Chunk whole = partition.chunk(chunk);
            std::size_t next = whole.firstElem;
            for (std::size_t tile = 0; tile < tiles.tiles; ++tile) {
              const Chunk part = tiles.part(whole, tile);
              ASSERT_TRUE(part.firstElem == next);
              next += part.elems;
              if (codec != qcclCodecNone) {
                ASSERT_LE(quant::packedBytes(part.elems, call.quant.format()), tiles.slotBytes);
              } else {
                ASSERT_LE(part.elems * 4, tiles.slotBytes);
              }
              if (next != whole.firstElem + whole.elems) {
                ASSERT_EQ((next - whole.firstElem) % quant::frameElems(codec == qcclCodecNone ? 4 : block), 0u);
              }
            }
            ASSERT_EQ(next, whole.firstElem + whole.elems);
          }
        }
      }
    }
  }
}

TEST(RoundTiles, AreOneForASmallMessageAndMoreForALargeOne) {
  const RoundPlan plan = makeRoundPlan(schedulesOf(qcclAlgoOneshot, 2), 0);
  const auto tilesOf = [&](std::size_t bytes) {
    return makeRoundTiles(callOf(bytes / 4, qcclCodecInt8, 256), Partition::even(bytes / 4, 1, 256), plan, 2, 8 << 20).tiles;
  };
  EXPECT_EQ(tilesOf(1 << 10), 1u);
  EXPECT_EQ(tilesOf(16 << 20), 1u);
  EXPECT_EQ(tilesOf(64 << 20), 3u);
  EXPECT_EQ(tilesOf(256 << 20), 6u);
  EXPECT_EQ(makeRoundTiles(callOf(0, qcclCodecInt8, 256), Partition::even(0, 1, 256), plan, 2, 8 << 20).tiles, 0u);
}

TEST(RoundTiles, TurnsKeepEachTilesRoundsInOrderAndNoMoreTilesInFlightThanThereAreSlots) {
  for (const std::size_t rounds : {2, 3, 5, 15}) {
    for (const std::size_t count : {1, 2, 3, 7, 20}) {
      for (std::size_t sets = 1; sets <= std::min(count, rounds); ++sets) {
        RoundTiles tiles;
        tiles.tiles = count;
        tiles.sets = sets;
        std::vector<std::size_t> next(count, 0);
        const std::vector<Turn> turns = makeTurns(tiles, rounds);
        ASSERT_EQ(turns.size(), count * rounds);
        for (const Turn& turn : turns) {
          ASSERT_EQ(turn.round, next[turn.tile]++);
          if (turn.round == 0 && turn.tile >= sets) {
            ASSERT_EQ(next[turn.tile - sets], rounds) << "a tile's slots are taken before it is done";
          }
        }
      }
    }
  }
}

TEST(RoundTiles, ATileIsEncodedWhileTheOneBeforeTravels) {
  RoundTiles tiles;
  tiles.tiles = 3;
  tiles.sets = 2;
  EXPECT_EQ(makeTurns(tiles, 2), (std::vector<Turn>{{0, 0}, {1, 0}, {0, 1}, {2, 0}, {1, 1}, {2, 1}}));
}

}  // namespace
}  // namespace qccl::collectives
