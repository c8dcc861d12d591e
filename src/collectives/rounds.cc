#include "collectives/rounds.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "core/error.hpp"

namespace qccl::collectives {
namespace {

using Steps = std::vector<Step>;

RoundTask taskOf(RoundTask::Kind kind, const Step& step, int number) {
  RoundTask task{};
  task.kind = kind;
  task.chunk = step.chunk;
  task.slot = step.slot;
  task.step = number;
  return task;
}

// When things exist in all ranks: a slot is there before round `ready` of its rank.
class Levels {
 public:
  explicit Levels(const std::vector<Schedule>& schedules) : schedules_(schedules) {
    for (const Schedule& schedule : schedules) ready_.emplace_back(static_cast<std::size_t>(schedule.slots), 0);
    findSenders();
    // A message can only move to a later round by another's doing; there are no circles, so this ends.
    bool changed = true;
    while (changed) {
      changed = false;
      for (std::size_t rank = 0; rank < schedules.size(); ++rank) changed |= update(rank);
    }
  }

  int of(int rank, int slot) const { return ready_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(slot)]; }

  int most() const {
    int most = 0;
    for (const std::vector<int>& slots : ready_) {
      for (const int level : slots) most = std::max(most, level);
    }
    return most;
  }

 private:
  // By receiving rank and step: the sending rank's slot.
  void findSenders() {
    std::map<std::tuple<int, int, int, Phase>, int> sent;  // from, to, chunk, phase -> slot
    for (std::size_t rank = 0; rank < schedules_.size(); ++rank) {
      for (const Step& step : schedules_[rank].steps) {
        if (step.kind == StepKind::send) sent[{static_cast<int>(rank), step.peer, step.chunk, step.phase}] = step.slot;
      }
    }
    for (std::size_t rank = 0; rank < schedules_.size(); ++rank) {
      std::vector<int> slots(schedules_[rank].steps.size(), -1);
      for (std::size_t i = 0; i < slots.size(); ++i) {
        const Step& step = schedules_[rank].steps[i];
        if (step.kind != StepKind::recv) continue;
        const auto found = sent.find({step.peer, static_cast<int>(rank), step.chunk, step.phase});
        if (found == sent.end())
          fail(qcclInternalError, "defect in qccl: rank ", step.peer, " does not send what rank ", rank, " receives");
        slots[i] = found->second;
      }
      sentSlot_.push_back(std::move(slots));
    }
  }

  bool update(std::size_t rank) {
    const Steps& steps = schedules_[rank].steps;
    std::vector<int>& ready = ready_[rank];
    int sum = 0;
    bool changed = false;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      const auto slot = static_cast<std::size_t>(std::max(step.slot, 0));
      int level = -1;
      if (step.kind == StepKind::loadInput) sum = 0;
      if (step.kind == StepKind::loadSlot) sum = ready[slot];
      if (step.kind == StepKind::addSlot) sum = std::max(sum, ready[slot]);
      if (step.kind == StepKind::encodeSum) level = sum;
      if (step.kind == StepKind::recv) level = of(step.peer, sentSlot_[rank][i]) + 1;
      if (level < 0 || level == ready[slot]) continue;
      ready[slot] = level;
      changed = true;
    }
    return changed;
  }

  const std::vector<Schedule>& schedules_;
  std::vector<std::vector<int>> ready_;     // by rank and slot
  std::vector<std::vector<int>> sentSlot_;  // by rank and step
};

class Builder {
 public:
  Builder(const Schedule& schedule, const Levels& levels, int rank, RoundPlan* plan)
      : schedule_(schedule), levels_(levels), rank_(rank), plan_(*plan), sent_(static_cast<std::size_t>(schedule.slots)) {}

  void run() {
    plan_.inputSlots.assign(static_cast<std::size_t>(schedule_.slots), false);
    for (const Step& step : schedule_.steps) {
      if (step.kind == StepKind::send) sent_[static_cast<std::size_t>(step.slot)] = true;
    }
    for (std::size_t i = 0; i < schedule_.steps.size(); ++i) take(schedule_.steps[i], static_cast<int>(i));
    QCCL_CHECK(operands_.empty());
    for (Round& round : plan_.rounds) {
      std::stable_sort(round.messages.begin(), round.messages.end(), [](const RoundMessage& a, const RoundMessage& b) {
        return std::tuple(a.peer, a.phase, a.chunk, a.isSend) < std::tuple(b.peer, b.phase, b.chunk, b.isSend);
      });
    }
  }

 private:
  using Kind = RoundTask::Kind;

  void take(const Step& step, int number) {
    switch (step.kind) {
      case StepKind::encodeInput:
        plan_.inputSlots[static_cast<std::size_t>(step.slot)] = true;
        add(taskOf(Kind::encode, step, number), 0);
        break;
      case StepKind::send:
        roundAt(levels_.of(rank_, step.slot)).messages.push_back({true, step.peer, step.chunk, step.phase, step.slot});
        break;
      case StepKind::recv:
        roundAt(levels_.of(rank_, step.slot) - 1).messages.push_back({false, step.peer, step.chunk, step.phase, step.slot});
        break;
      case StepKind::loadInput:
      case StepKind::loadSlot:
        QCCL_CHECK(operands_.empty());
        sumLevel_ = 0;
        divide_ = false;
        [[fallthrough]];
      case StepKind::addInput:
      case StepKind::addSlot:
        operands_.push_back(step.slot >= 0 ? step.slot : kInputOperand);
        if (step.slot >= 0) sumLevel_ = std::max(sumLevel_, levels_.of(rank_, step.slot));
        break;
      case StepKind::divide:
        divide_ = true;
        break;
      case StepKind::encodeSum:
      case StepKind::storeSum:
        finishSum(taskOf(Kind::sum, step, number));
        break;
      case StepKind::decodeSlot:
        decode(step, number);
        break;
    }
  }

  void finishSum(RoundTask task) {
    QCCL_CHECK(!operands_.empty());
    task.operands = std::exchange(operands_, {});
    task.divide = divide_;
    add(std::move(task), sumLevel_);
  }

  // What the rank has just encoded itself is decoded on the way.
  void decode(const Step& step, int number) {
    const int level = levels_.of(rank_, step.slot);
    Round& round = roundAt(level);
    for (std::vector<RoundTask>* tasks : {&round.before, &round.during}) {
      for (RoundTask& task : *tasks) {
        if (task.kind != Kind::sum || task.slot != step.slot) continue;
        task.decodeToo = true;
        return;
      }
    }
    round.during.push_back(taskOf(Kind::decode, step, number));
  }

  void add(RoundTask task, int level) {
    Round& round = roundAt(level);
    const bool needed = task.slot >= 0 && sent_[static_cast<std::size_t>(task.slot)];
    (needed ? round.before : round.during).push_back(std::move(task));
  }

  Round& roundAt(int level) { return plan_.rounds[static_cast<std::size_t>(level)]; }

  const Schedule& schedule_;
  const Levels& levels_;
  const int rank_;
  RoundPlan& plan_;
  std::vector<bool> sent_;  // by slot
  // Of the sum in progress:
  std::vector<int> operands_;
  int sumLevel_ = 0;
  bool divide_ = false;
};

// Finds the rounds that are all-gathers, and numbers the slots of all ranks anew, so that those of such a round follow one another. It
// looks at all ranks' messages, so that all ranks find the same.
class Gathers {
 public:
  explicit Gathers(std::vector<RoundPlan>& plans) : plans_(plans), numbers_(plans.size()) {}

  void run() {
    for (std::size_t rank = 0; rank < plans_.size(); ++rank) numbers_[rank].assign(plans_[rank].inputSlots.size(), -1);
    for (std::size_t round = 0; round < plans_[0].rounds.size(); ++round) take(round);
    for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
      int next = numbered_;
      for (int& number : numbers_[rank]) number = number < 0 ? next++ : number;
      renumber(numbers_[rank], &plans_[rank]);
    }
  }

 private:
  // The round's slots of a rank by the rank whose message they hold; none unless it receives one message from each of the others and all
  // that it sends is one more.
  std::vector<int> slotsOf(std::size_t rank, std::size_t round) const {
    std::vector<int> slots(plans_.size(), -1);
    for (const RoundMessage& message : plans_[rank].rounds[round].messages) {
      int& slot = slots[message.isSend ? rank : static_cast<std::size_t>(message.peer)];
      if (slot >= 0 && !(message.isSend && slot == message.slot)) return {};
      slot = message.slot;
    }
    const bool complete = std::find(slots.begin(), slots.end(), -1) == slots.end();
    return complete ? slots : std::vector<int>{};
  }

  void take(std::size_t round) {
    RoundGather gather{numbered_, false};
    std::vector<std::vector<int>> slots;
    for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
      slots.push_back(slotsOf(rank, round));
      if (slots.back().empty()) return;
      for (const int slot : slots.back()) {
        if (numbers_[rank][static_cast<std::size_t>(slot)] >= 0) return;  // it has its place in another
      }
      gather.ofInput |= plans_[rank].inputSlots[static_cast<std::size_t>(slots.back()[rank])];
    }
    for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
      int next = numbered_;
      for (const int slot : slots[rank]) numbers_[rank][static_cast<std::size_t>(slot)] = next++;
      plans_[rank].rounds[round].gather = gather;
    }
    numbered_ += static_cast<int>(plans_.size());
  }

  static void renumber(const std::vector<int>& numbers, RoundPlan* plan) {
    const auto change = [&](int& slot) {
      if (slot >= 0) slot = numbers[static_cast<std::size_t>(slot)];
    };
    for (Round& round : plan->rounds) {
      for (RoundMessage& message : round.messages) change(message.slot);
      for (std::vector<RoundTask>* tasks : {&round.before, &round.during}) {
        for (RoundTask& task : *tasks) {
          change(task.slot);
          for (int& operand : task.operands) change(operand);
        }
      }
    }
    const std::vector<bool> before = plan->inputSlots;
    for (std::size_t slot = 0; slot < before.size(); ++slot) plan->inputSlots[static_cast<std::size_t>(numbers[slot])] = before[slot];
  }

  std::vector<RoundPlan>& plans_;          // by rank
  std::vector<std::vector<int>> numbers_;  // by rank and slot: its new number, -1 as long as it has none
  int numbered_ = 0;                       // of every rank's slots
};

}  // namespace

RoundPlan makeRoundPlan(const std::vector<Schedule>& schedules, int rank) {
  const Levels levels(schedules);
  RoundPlan empty;
  empty.rounds.resize(static_cast<std::size_t>(levels.most()) + 1);
  for (const Schedule& schedule : schedules) empty.mostSlots = std::max(empty.mostSlots, schedule.slots);
  std::vector<RoundPlan> plans(schedules.size(), empty);
  for (std::size_t i = 0; i < plans.size(); ++i) Builder(schedules[i], levels, static_cast<int>(i), &plans[i]).run();
  Gathers(plans).run();
  return std::move(plans[static_cast<std::size_t>(rank)]);
}

}  // namespace qccl::collectives
