// A schedule cut into **rounds**, for carriers that move messages in groups (NCCL): all messages of a round travel side by side, and what
// they carry was made before. Pure data, like the schedule.
//
// A message is in the first round that its contents allow, whatever stands before it in the schedule: round 0 carries what is made of the
// input alone, round r what needs messages of round r - 1. Sender and receiver find the same number, so ranks that go through the rounds
// in order never wait for one another in a circle.
//
// Steps that make one sum of several operands become one **task**: no sum is kept between tasks.
#pragma once

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

// In this order: the tasks that this round's messages need, the messages, and tasks that may run while they travel.
struct Round {
  std::vector<RoundTask> before;
  std::vector<RoundMessage> messages;  // those between two ranks in the same order on both
  std::vector<RoundTask> during;
};

struct RoundPlan {
  std::vector<Round> rounds;     // equally many on every rank; the last has no messages
  std::vector<bool> inputSlots;  // by slot: whether it is filled from the input
  int mostSlots = 0;             // of any rank
};

// Rank `rank`'s part of a collective whose schedules, by rank, are given.
RoundPlan makeRoundPlan(const std::vector<Schedule>& schedules, int rank);

}  // namespace qccl::collectives
