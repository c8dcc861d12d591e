// Schedules: what one rank does for one tile of a collective, as data. Pure: no buffers, no transport, so they can be tested for any number
// of ranks by themselves.
//
// Words. A message is cut into **chunks** (Partition). A **slot** holds one wire message of one tile of one chunk. A rank has one **sum**,
// the FP32 (or exact-type) accumulator of the tile. The same steps run for every tile, several tiles at once (executor.hpp), so a schedule
// says nothing about sizes.
#pragma once

#include <cstdint>
#include <vector>

namespace qccl::collectives {

enum class StepKind : std::uint8_t {
  encodeInput,  // slot = codes of input[chunk]
  encodeSum,    // slot = codes of sum
  send,         // slot -> peer
  recv,         // slot <- peer
  loadInput,    // sum = input[chunk]
  addInput,     // sum = sum + input[chunk]
  loadSlot,     // sum = decode(slot)
  addSlot,      // sum = sum + decode(slot)
  divide,       // sum = sum / ranks; does nothing unless the operation is Avg
  storeSum,     // output[chunk] = sum
  decodeSlot,   // output[chunk] = decode(slot)
};

// What a message carries; with its chunk it names the message between two ranks.
enum class Phase : std::uint8_t { contribution = 0, result = 1 };

struct Step {
  StepKind kind;
  Phase phase = Phase::contribution;  // of send and recv
  int chunk = -1;                     // all but divide
  int slot = -1;                      // encode*, send, recv, loadSlot, addSlot, decodeSlot
  int peer = -1;                      // send, recv
};

// In place of a rank in the key of noise that is the same on all of them: of storeSum into packed buffers, whose codes every rank makes.
inline constexpr std::uint32_t kEveryRank = 0xffffffffu;

struct Schedule {
  int chunks = 1;
  int slots = 0;
  std::vector<Step> steps;
};

// All-reduce. `rank` of `size` >= 2 ranks.
Schedule oneshotSchedule(int rank, int size);
Schedule twoshotSchedule(int rank, int size);
Schedule ringSchedule(int rank, int size);
Schedule treeSchedule(int rank, int size);
Schedule hierSchedule(int rank, int size, int ranksPerHost);  // ranksPerHost divides size

// The others.
Schedule reduceScatterDirectSchedule(int rank, int size);
Schedule reduceScatterRingSchedule(int rank, int size);
Schedule allGatherSchedule(int rank, int size);
Schedule broadcastSchedule(int rank, int size, int root);
Schedule reduceSchedule(int rank, int size, int root);

// Builds a schedule step by step; hands out slots.
class ScheduleBuilder {
 public:
  explicit ScheduleBuilder(int chunks) { schedule_.chunks = chunks; }

  int encodeInput(int chunk);
  int encodeSum(int chunk);
  void send(int slot, int peer, Phase phase);
  int recv(int chunk, int peer, Phase phase);
  // sum = input or decode(slot) if it is the first of the tile's sum, else sum += that.
  void takeInput(int chunk, bool first);
  void takeSlot(int slot, bool first);
  void divide();
  void storeSum(int chunk);
  void decodeSlot(int slot);

  Schedule finish() { return std::move(schedule_); }

 private:
  int newSlot(int chunk);
  Schedule schedule_;
  std::vector<int> slotChunk_;
};

}  // namespace qccl::collectives
