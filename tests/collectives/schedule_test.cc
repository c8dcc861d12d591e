// Schedules are pure, so they are checked for many sizes by running all ranks' steps on symbols: a value is the list of ranks whose inputs
// it sums, with how often each was quantized on the way.
#include "collectives/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "collectives/algorithm_table.hpp"
#include "collectives/noise_model.hpp"
#include "collectives/tree_shape.hpp"

namespace qccl::collectives {
namespace {

struct Symbol {
  std::vector<int> order;            // ranks in the order of their addition
  std::map<int, int> quantizations;  // of each rank's contribution
  int divisions = 0;
  int noise = 0;  // powers, in units of that of quantizing one contribution: a sum's quantization counts for each of its terms

  Symbol quantized() const {
    Symbol s = *this;
    for (auto& [rank, count] : s.quantizations) ++count;
    s.noise += static_cast<int>(order.size());
    return s;
  }
  Symbol plus(const Symbol& other) const {
    Symbol s = *this;
    s.order.insert(s.order.end(), other.order.begin(), other.order.end());
    for (const auto& [rank, count] : other.quantizations) s.quantizations[rank] += count;
    s.noise += other.noise;
    return s;
  }
  int worst() const {
    int most = 0;
    for (const auto& [rank, count] : quantizations) most = std::max(most, count);
    return most;
  }
  bool operator==(const Symbol&) const = default;
};

class Simulation {
 public:
  Simulation(int size, const std::function<Schedule(int)>& schedule) : size_(size) {
    for (int rank = 0; rank < size; ++rank) ranks_.push_back({schedule(rank), 0, {}, {}, {}, rank});
  }

  // Runs all ranks until none can go on; false if any is stuck.
  bool run() {
    bool progressed = true;
    while (progressed) {
      progressed = false;
      for (Rank& rank : ranks_) {
        while (rank.next < rank.schedule.steps.size() && step(rank, rank.schedule.steps[rank.next])) {
          ++rank.next;
          progressed = true;
        }
      }
    }
    return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.next == rank.schedule.steps.size(); });
  }

  std::optional<Symbol> output(int rank, int chunk) const {
    const auto& outputs = ranks_[static_cast<std::size_t>(rank)].outputs;
    const auto found = outputs.find(chunk);
    return found == outputs.end() ? std::nullopt : std::optional(found->second);
  }
  int chunks() const { return ranks_[0].schedule.chunks; }
  bool allMessagesReceived() const { return messages_.empty(); }
  int sends(int rank) const {
    return static_cast<int>(std::count_if(steps(rank).begin(), steps(rank).end(), [](const Step& s) { return s.kind == StepKind::send; }));
  }
  std::string problem() const { return problem_; }

 private:
  struct Rank {
    Schedule schedule;
    std::size_t next;
    std::map<int, Symbol> slots;
    std::optional<Symbol> sum;
    std::map<int, Symbol> outputs;
    int rank;
  };
  using Key = std::tuple<int, int, Phase, int>;  // from, to, phase, chunk

  const std::vector<Step>& steps(int rank) const { return ranks_[static_cast<std::size_t>(rank)].schedule.steps; }

  void complain(const std::string& text) {
    if (problem_.empty()) problem_ = text;
  }

  void setSlot(Rank& rank, int slot, const Symbol& value) {
    if (slot < 0 || slot >= rank.schedule.slots) complain("slot out of range");
    if (!rank.slots.emplace(slot, value).second) complain("slot written twice");
  }
  Symbol slot(Rank& rank, int slot) {
    if (!rank.slots.contains(slot)) {
      complain("slot read before it was written");
      return {};
    }
    return rank.slots[slot];
  }

  bool step(Rank& rank, const Step& s) {
    const Symbol input{{rank.rank}, {{rank.rank, 0}}, 0, 0};
    switch (s.kind) {
      case StepKind::encodeInput:
        setSlot(rank, s.slot, input.quantized());
        return true;
      case StepKind::encodeSum:
        setSlot(rank, s.slot, rank.sum.value().quantized());
        return true;
      case StepKind::send: {
        if (s.peer == rank.rank || s.peer < 0 || s.peer >= size_) complain("bad peer");
        if (!messages_.emplace(Key{rank.rank, s.peer, s.phase, s.chunk}, slot(rank, s.slot)).second) complain("two messages of one name");
        return true;
      }
      case StepKind::recv: {
        const auto found = messages_.find(Key{s.peer, rank.rank, s.phase, s.chunk});
        if (found == messages_.end()) return false;
        setSlot(rank, s.slot, found->second);
        messages_.erase(found);
        return true;
      }
      case StepKind::loadInput:
        rank.sum = input;
        return true;
      case StepKind::addInput:
        rank.sum = rank.sum.value().plus(input);
        return true;
      case StepKind::loadSlot:
        rank.sum = slot(rank, s.slot);
        return true;
      case StepKind::addSlot:
        rank.sum = rank.sum.value().plus(slot(rank, s.slot));
        return true;
      case StepKind::divide:
        rank.sum.value().divisions += 1;
        return true;
      case StepKind::storeSum:
        if (!rank.outputs.emplace(s.chunk, rank.sum.value()).second) complain("output written twice");
        return true;
      case StepKind::decodeSlot:
        if (!rank.outputs.emplace(s.chunk, slot(rank, s.slot)).second) complain("output written twice");
        return true;
    }
    return true;
  }

  int size_;
  std::vector<Rank> ranks_;
  std::map<Key, Symbol> messages_;
  std::string problem_;
};

std::vector<int> sorted(std::vector<int> v) {
  std::sort(v.begin(), v.end());
  return v;
}

std::vector<int> allRanks(int size) {
  std::vector<int> ranks;
  for (int r = 0; r < size; ++r) ranks.push_back(r);
  return ranks;
}

constexpr int kMaxSize = 40;

// Ways in which `size` ranks can lie on hosts: every divisor for an algorithm that uses it, else none.
std::vector<RankLayout> layouts(const AlgorithmRow& row, int size) {
  if (!row.needsHosts) return {{size, 0}};
  std::vector<RankLayout> result;
  for (int perHost = 1; perHost <= size; ++perHost) {
    if (size % perHost == 0) result.push_back({size, perHost});
  }
  return result;
}

Simulation simulate(const AlgorithmRow& row, const RankLayout& ranks) {
  return Simulation(ranks.size, [&](int rank) { return row.schedule(rank, ranks); });
}

void expectTheSameFullSumEverywhere(const AlgorithmRow& row, const RankLayout& ranks) {
  Simulation simulation = simulate(row, ranks);
  ASSERT_TRUE(simulation.run());
  ASSERT_EQ(simulation.problem(), "");
  EXPECT_TRUE(simulation.allMessagesReceived());
  ASSERT_EQ(simulation.chunks(), row.chunks(ranks));
  int worst = 0;
  double noise = 0;
  for (int chunk = 0; chunk < simulation.chunks(); ++chunk) {
    const auto first = simulation.output(0, chunk);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(sorted(first->order), allRanks(ranks.size));
    EXPECT_EQ(first->divisions, 1);
    worst = std::max(worst, first->worst());
    noise += static_cast<double>(first->noise) / ranks.size / simulation.chunks();
    for (int rank = 1; rank < ranks.size; ++rank) EXPECT_EQ(simulation.output(rank, chunk), first);
  }
  EXPECT_EQ(worst, row.quantizations(ranks)) << "the table promises another number of quantizations";
  EXPECT_NEAR(noise, row.noise(ranks), 1e-9) << "the table promises another noise power";
}

TEST(AllReduceSchedule, SumsEveryRankOnceTheSameWayOnEveryRank) {
  for (const AlgorithmRow& row : algorithmTable()) {
    if (row.info.algorithm == qcclAlgoNccl) continue;  // NCCL's own, without a schedule
    for (int size = 2; size <= kMaxSize; ++size) {
      for (const RankLayout& ranks : layouts(row, size)) {
        SCOPED_TRACE(std::string(row.info.name) + " W=" + std::to_string(size) + " per host=" + std::to_string(ranks.ranksPerHost));
        expectTheSameFullSumEverywhere(row, ranks);
      }
    }
  }
}

TEST(AllReduceSchedule, AddsInRankOrderWhereItPromisesTo) {
  for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoHier}) {
    const AlgorithmRow& row = algorithmRow(algorithm);
    for (int size = 2; size <= 12; ++size) {
      for (const RankLayout& ranks : layouts(row, size)) {
        Simulation simulation = simulate(row, ranks);
        ASSERT_TRUE(simulation.run());
        for (int chunk = 0; chunk < simulation.chunks(); ++chunk) EXPECT_EQ(simulation.output(0, chunk)->order, allRanks(size));
      }
    }
  }
}

TEST(AllReduceSchedule, HierSendsBetweenHostsOnlyWhatEveryHostNeedsOnce) {
  for (const auto& [hosts, perHost] : {std::pair{1, 8}, {8, 1}, {2, 2}, {2, 4}, {4, 2}, {3, 5}, {5, 3}, {4, 8}}) {
    const int size = hosts * perHost;
    for (int rank = 0; rank < size; ++rank) {
      const Schedule schedule = hierSchedule(rank, size, perHost);
      int sends = 0;
      int leaving = 0;
      for (const Step& step : schedule.steps) {
        if (step.kind != StepKind::send) continue;
        ++sends;
        if (step.peer / perHost != rank / perHost) {
          ++leaving;
          EXPECT_EQ(step.peer % perHost, rank % perHost) << "between hosts only ranks of equal number talk";
        }
      }
      // Of chunks of 1/W of the message each.
      EXPECT_EQ(sends, 2 * (size - 1)) << hosts << " x " << perHost;
      EXPECT_EQ(leaving, 2 * (hosts - 1)) << hosts << " x " << perHost;
    }
  }
}

TEST(RankLayout, IsKnownOnlyWhereEveryHostHasEquallyManyRanksInARow) {
  const auto perHost = [](const std::vector<int>& hosts) { return layoutOf(hosts).ranksPerHost; };
  EXPECT_EQ(perHost({0}), 1);
  EXPECT_EQ(perHost({0, 0, 0}), 3);
  EXPECT_EQ(perHost({0, 1, 2}), 1);
  EXPECT_EQ(perHost({0, 0, 1, 1, 2, 2}), 2);
  EXPECT_EQ(perHost({0, 0, 1}), 0);
  EXPECT_EQ(perHost({0, 1, 1}), 0);
  EXPECT_EQ(perHost({0, 1, 0, 1}), 0);
  EXPECT_EQ(perHost({0, 0, 1, 1, 0, 0}), 0);
  EXPECT_EQ(perHost({0, 0, 1, 1, 1, 1}), 0);
  EXPECT_EQ(layoutOf({0, 0, 1, 1}).hosts(), 2);
  EXPECT_EQ(layoutOf({0, 1, 1}).hosts(), 0);
  EXPECT_EQ(layoutOf({0, 1, 1}).size, 3);
}

TEST(AllReduceSchedule, SendsAsManyMessagesAsItsFormulaSays) {
  for (int size = 2; size <= kMaxSize; ++size) {
    Simulation oneshot(size, [&](int rank) { return oneshotSchedule(rank, size); });
    Simulation twoshot(size, [&](int rank) { return twoshotSchedule(rank, size); });
    Simulation ring(size, [&](int rank) { return ringSchedule(rank, size); });
    Simulation tree(size, [&](int rank) { return treeSchedule(rank, size); });
    int treeSends = 0;
    for (int rank = 0; rank < size; ++rank) {
      EXPECT_EQ(oneshot.sends(rank), size - 1);
      EXPECT_EQ(twoshot.sends(rank), 2 * (size - 1));
      EXPECT_EQ(ring.sends(rank), 2 * (size - 1));
      EXPECT_LE(tree.sends(rank), 6);  // at most up + two children down in both halves: 6 halves = 3 N
      treeSends += tree.sends(rank);
    }
    EXPECT_EQ(treeSends, 2 * 2 * (size - 1));  // each edge of both trees up and down
  }
}

TEST(OtherSchedules, ReduceScatterLeavesTheFullSumWithEachOwner) {
  for (int size = 2; size <= kMaxSize; ++size) {
    for (const qcclAlgo_t algorithm : {qcclAlgoAuto, qcclAlgoRing}) {
      const auto make = algorithm == qcclAlgoRing ? reduceScatterRingSchedule : reduceScatterDirectSchedule;
      Simulation simulation(size, [&](int rank) { return make(rank, size); });
      ASSERT_TRUE(simulation.run());
      ASSERT_EQ(simulation.problem(), "");
      EXPECT_TRUE(simulation.allMessagesReceived());
      for (int rank = 0; rank < size; ++rank) {
        ASSERT_TRUE(simulation.output(rank, rank).has_value());
        EXPECT_EQ(sorted(simulation.output(rank, rank)->order), allRanks(size));
        EXPECT_EQ(simulation.output(rank, rank)->divisions, 1);
        EXPECT_NEAR(static_cast<double>(simulation.output(rank, rank)->noise) / size,
                    noiseFactor(qcclCollReduceScatter, algorithm, {size, 0}), 1e-9);
        EXPECT_FALSE(simulation.output(rank, (rank + 1) % size).has_value());
      }
    }
  }
}

TEST(OtherSchedules, AllGatherBringsEveryChunkEverywhere) {
  for (int size = 2; size <= kMaxSize; ++size) {
    Simulation simulation(size, [&](int rank) { return allGatherSchedule(rank, size); });
    ASSERT_TRUE(simulation.run());
    ASSERT_EQ(simulation.problem(), "");
    EXPECT_TRUE(simulation.allMessagesReceived());
    for (int rank = 0; rank < size; ++rank) {
      for (int chunk = 0; chunk < size; ++chunk) EXPECT_EQ(simulation.output(rank, chunk)->order, std::vector<int>{chunk});
    }
  }
}

TEST(OtherSchedules, BroadcastAndReduceWorkFromEveryRoot) {
  for (int size = 2; size <= 17; ++size) {
    for (int root = 0; root < size; ++root) {
      Simulation broadcast(size, [&](int rank) { return broadcastSchedule(rank, size, root); });
      ASSERT_TRUE(broadcast.run());
      ASSERT_EQ(broadcast.problem(), "");
      EXPECT_TRUE(broadcast.allMessagesReceived());
      Simulation reduce(size, [&](int rank) { return reduceSchedule(rank, size, root); });
      ASSERT_TRUE(reduce.run());
      ASSERT_EQ(reduce.problem(), "");
      EXPECT_TRUE(reduce.allMessagesReceived());
      for (int rank = 0; rank < size; ++rank) {
        EXPECT_EQ(broadcast.output(rank, 0)->order, std::vector<int>{root});
        EXPECT_EQ(reduce.output(rank, 0).has_value(), rank == root);
      }
      EXPECT_EQ(sorted(reduce.output(root, 0)->order), allRanks(size));
    }
  }
}

TEST(TreeShape, IsATreeOfLogarithmicHeightWhoseOddPositionsAreLeaves) {
  for (int size = 1; size <= 300; ++size) {
    std::vector<int> timesChild(static_cast<std::size_t>(size), 0);
    for (int position = 0; position < size; ++position) {
      const TreePlace place = treePlace(position, size);
      EXPECT_LE(place.children.size(), 2u);
      if (position % 2 == 1) {
        EXPECT_TRUE(place.children.empty());
      }
      for (const int child : place.children) {
        EXPECT_EQ(treePlace(child, size).parent, position) << "size " << size << " child " << child;
        ++timesChild[static_cast<std::size_t>(child)];
      }
    }
    EXPECT_EQ(timesChild[0], 0);
    for (int position = 1; position < size; ++position) EXPECT_EQ(timesChild[static_cast<std::size_t>(position)], 1);
    int log2 = 0;
    while ((1 << log2) < size) ++log2;
    EXPECT_LE(treeHeight(size), log2);
  }
}

}  // namespace
}  // namespace qccl::collectives
