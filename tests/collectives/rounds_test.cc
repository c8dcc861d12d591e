// A schedule in rounds does what the schedule does: run on symbols, round by round, with every message of a round sent before any is
// received, and over the queues that a carrier keeps between two ranks; or, where a round is an all-gather, by that.
#include "collectives/rounds.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "collectives/algorithm_table.hpp"
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

enum class Travel { messages, gathersWhereTheyAre };

class RoundRun {
 public:
  RoundRun(const Schedules& schedules, Travel travel) : travel_(travel), slots_(schedules.size()), outputs_(schedules.size()) {
    for (std::size_t rank = 0; rank < schedules.size(); ++rank) plans_.push_back(makeRoundPlan(schedules, static_cast<int>(rank)));
  }

  Outputs run() {
    const std::size_t rounds = plans_[0].rounds.size();
    for (const RoundPlan& plan : plans_) EXPECT_EQ(plan.rounds.size(), rounds) << "ranks go through different rounds";
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t r = 0; r < plans_.size(); ++r) {
        for (const RoundTask& task : plans_[r].rounds[round].before) perform(static_cast<int>(r), task);
      }
      if (travel_ == Travel::gathersWhereTheyAre && plans_[0].rounds[round].gather) {
        gather(round);
      } else {
        travel(round);
      }
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

  // In place: each rank gives what lies in its own place, and gets all others'.
  void gather(std::size_t round) {
    for (std::size_t r = 0; r < plans_.size(); ++r) {
      const std::optional<RoundGather>& gather = plans_[r].rounds[round].gather;
      ASSERT_TRUE(gather) << "rank " << r << " does not take part in the all-gather";
      for (std::size_t from = 0; from < plans_.size(); ++from) {
        const int slot = gather->firstSlot + static_cast<int>(from);
        if (from != r) arrived_.emplace_back(static_cast<int>(r), slot, slotOf(static_cast<int>(from), slot));
      }
    }
  }

  const Travel travel_;
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

void expectTheSame(const Schedules& schedules) {
  const Outputs expected = runSteps(schedules);
  EXPECT_EQ(RoundRun(schedules, Travel::messages).run(), expected);
  EXPECT_EQ(RoundRun(schedules, Travel::gathersWhereTheyAre).run(), expected);
}

// The rounds that are all-gathers; the same on every rank, or {-1}.
std::vector<int> gathersOf(const Schedules& schedules) {
  std::vector<int> expected;
  for (std::size_t rank = 0; rank < schedules.size(); ++rank) {
    const RoundPlan plan = makeRoundPlan(schedules, static_cast<int>(rank));
    std::vector<int> found;
    for (std::size_t round = 0; round < plan.rounds.size(); ++round) {
      if (plan.rounds[round].gather) found.push_back(static_cast<int>(round));
    }
    if (rank == 0) expected = found;
    if (found != expected) return {-1};
  }
  return expected;
}

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

TEST(Rounds, InWhichEveryRankSendsOneMessageToAllOthersAreAllGathers) {
  const std::vector<int> none;
  for (int size = 3; size <= 9; ++size) {
    SCOPED_TRACE(size);
    EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoOneshot, size)), std::vector<int>{0});
    EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoTwoshot, size)), std::vector<int>{1});
    EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoRing, size)), none);
    EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoTree, size)), none);
    EXPECT_EQ(gathersOf(schedulesOf(size, [&](int rank) { return allGatherSchedule(rank, size); })), std::vector<int>{0});
    EXPECT_EQ(gathersOf(schedulesOf(size, [&](int rank) { return reduceScatterDirectSchedule(rank, size); })), none);
    for (int ranksPerHost = 1; ranksPerHost <= size; ++ranksPerHost) {
      if (size % ranksPerHost != 0) continue;
      const bool isTwoshot = ranksPerHost == 1 || ranksPerHost == size;
      EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoHier, size, ranksPerHost)), isTwoshot ? std::vector<int>{1} : none) << ranksPerHost;
    }
  }
}

// Whatever two ranks send each other at the same time.
TEST(Rounds, OfTwoRanksAreAllGathersWhereBothSend) {
  EXPECT_EQ(gathersOf(schedulesOf(qcclAlgoOneshot, 2)), std::vector<int>{0});
  for (const qcclAlgo_t algorithm : {qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
    EXPECT_EQ(gathersOf(schedulesOf(algorithm, 2)), (std::vector<int>{0, 1})) << enumName(qcclEnumAlgo, algorithm);
  }
  EXPECT_EQ(gathersOf(schedulesOf(2, [](int rank) { return reduceSchedule(rank, 2, 0); })), std::vector<int>{});
}

TEST(Rounds, AllGathersHaveTheirSlotsInRankOrder) {
  for (int size = 2; size <= 8; ++size) {
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
      const Schedules schedules = schedulesOf(algorithm, size);
      for (int rank = 0; rank < size; ++rank) {
        const RoundPlan plan = makeRoundPlan(schedules, rank);
        std::set<int> taken;
        for (const Round& round : plan.rounds) {
          if (!round.gather) continue;
          for (const RoundMessage& m : round.messages) EXPECT_EQ(m.slot, round.gather->firstSlot + (m.isSend ? rank : m.peer));
          for (int slot = 0; slot < size; ++slot) EXPECT_TRUE(taken.insert(round.gather->firstSlot + slot).second);
        }
        EXPECT_TRUE(taken.empty() || *taken.rbegin() < plan.mostSlots);
      }
    }
  }
}

TEST(Rounds, SayWhichAllGathersAreOfTheInput) {
  EXPECT_TRUE(makeRoundPlan(schedulesOf(qcclAlgoOneshot, 4), 1).rounds[0].gather->ofInput);
  EXPECT_FALSE(makeRoundPlan(schedulesOf(qcclAlgoTwoshot, 4), 1).rounds[1].gather->ofInput);
}

// Both rounds send to all, but the second what the first brought, which has its place among the first's slots already.
TEST(Rounds, ThatPassOnASlotOfAnAllGatherAreNone) {
  const Schedules schedules = schedulesOf(2, [](int rank) {
    ScheduleBuilder build(2);
    const int peer = 1 - rank;
    build.send(build.encodeInput(rank), peer, Phase::contribution);
    build.send(build.recv(peer, peer, Phase::contribution), peer, Phase::result);
    build.decodeSlot(build.recv(rank, peer, Phase::result));
    return build.finish();
  });
  EXPECT_EQ(gathersOf(schedules), std::vector<int>{0});
  expectTheSame(schedules);
}

// A view of rank 0 alone would take it for one.
TEST(Rounds, InWhichOneRankSendsTwoMessagesAreNone) {
  const Schedules schedules = schedulesOf(3, [](int rank) {
    ScheduleBuilder build(4);
    const int own = build.encodeInput(rank);
    const int other = rank == 2 ? build.encodeInput(3) : own;
    build.send(own, (rank + 1) % 3, Phase::contribution);
    build.send(other, (rank + 2) % 3, Phase::contribution);
    for (int peer = 0; peer < 3; ++peer) {
      if (peer == rank) continue;
      const bool isOther = peer == 2 && rank == 1;
      build.decodeSlot(build.recv(isOther ? 3 : peer, peer, Phase::contribution));
    }
    return build.finish();
  });
  EXPECT_EQ(gathersOf(schedules), std::vector<int>{});
  expectTheSame(schedules);
}

}  // namespace
}  // namespace qccl::collectives
