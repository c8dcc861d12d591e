// A schedule cut into **rounds**, for carriers that move messages in groups (NCCL): all messages of a round travel side by side, and what
// they carry was made before. Pure data, like the schedule.
//
// A message is in the first round that its contents allow, whatever stands before it in the schedule: round 0 carries what is made of the
// input alone, round r what needs messages of round r - 1. Sender and receiver find the same number, so ranks that go through the rounds
// in order never wait for one another in a circle.
//
// Steps that make one sum of several operands become one **task**: no sum is kept between tasks.
//
// A round in which every rank sends one message, the same to all others, is an **all-gather** (oneshot's only round, twoshot's second), for
// which carriers have a call that is faster than the messages one by one.
#pragma once

#include <optional>
#include <vector>

#include "collectives/schedule.hpp"

namespace qccl::collectives {

inline constexpr int kInputOperand = -1;

struct RoundTask {
  enum class Kind {
    encode,  // slot = codes of input[chunk]
    sum,     // the operands added up in their order, then divided; encoded into `slot` or, without, stored in output[chunk]
    decode,  // output[chunk] = decode(slot)
  };
  Kind kind;
  int chunk;
  int slot = -1;
  int step = -1;              // number of the step in the schedule that ends the task; of one that encodes, for its noise
  std::vector<int> operands;  // of a sum: slots, or kInputOperand
  bool divide = false;        // of a sum
  bool decodeToo = false;     // of a sum with a slot: output[chunk] = decode(slot) as well
};

struct RoundMessage {
  bool isSend;
  int peer;
  int chunk;
  Phase phase;
  int slot;
};

// That a round is an all-gather; the same on every rank.
struct RoundGather {
  int firstSlot;  // holds rank 0's message; the slots of the other ranks' follow in rank order
  bool ofInput;   // some rank fills its slot from its input
};

// In this order: the tasks that this round's messages need, the messages, and tasks that may run while they travel.
struct Round {
  std::vector<RoundTask> before;
  std::vector<RoundMessage> messages;  // those between two ranks in the same order on both
  std::optional<RoundGather> gather;   // to be done instead of the messages, or not
  std::vector<RoundTask> during;
};

struct RoundPlan {
  std::vector<Round> rounds;     // equally many on every rank; the last has no messages
  std::vector<bool> inputSlots;  // by slot, which are numbered otherwise than in the schedule: whether it is filled from the input
  int mostSlots = 0;             // of any rank
};

// Rank `rank`'s part of a collective whose schedules, by rank, are given.
RoundPlan makeRoundPlan(const std::vector<Schedule>& schedules, int rank);

}  // namespace qccl::collectives
