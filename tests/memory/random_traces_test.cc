// Random calls with fixed seeds: contents survive, places of different tensors never overlap, and no work can overtake other work on the
// same memory, whatever the streams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <optional>
#include <random>

#include "core/error.hpp"
#include "memory/best_fit_pool.hpp"
#include "memory/planned_pool.hpp"
#include "memory/race_space.hpp"

namespace qccl::memory::test {
namespace {

constexpr std::array<qcclScale_t, 3> kScales = {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0};

// A caller that does everything that is allowed, at random.
class RandomCaller {
 public:
  RandomCaller(Pool& pool, RaceSpace& space, const Ledger& ledger, std::size_t inFlight, std::size_t scratchBytes, unsigned seed)
      : pool_(pool), space_(space), ledger_(ledger), inFlight_(inFlight), scratchBytes_(scratchBytes), random_(seed) {}

  void step() {
    switch (pick(8)) {
      case 0:
      case 1:
      case 2:
        save();
        break;
      case 3:
      case 4:
      case 5:
        restore();
        break;
      case 6:
        peekOrDiscard();
        break;
      default:
        scratch();
    }
    ASSERT_EQ(pool_.usage().usedBytes, usedBytes_);
  }

 private:
  struct Tensor {
    Place place;
    unsigned char value;
  };
  struct MicroBatch {
    std::uint64_t number;
    std::size_t saves = 0;  // until restoring begins
    std::vector<Tensor> stack;
    bool restoring = false;
  };
  struct Piece {
    std::byte* data;
    std::size_t bytes;
    unsigned char value;
    StreamHandle stream;
  };

  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  StreamHandle stream() { return fakeStream(static_cast<int>(pick(3)) + 1); }
  const std::string& nameOf(std::size_t tensor) const { return ledger_.entries()[tensor].tensor.name; }

  void write(void* memory, std::size_t bytes, unsigned char value, StreamHandle stream) {
    if (memory == nullptr) return;
    space_.write(memory, bytes, stream);
    std::memset(memory, value, bytes);
  }
  void read(const void* memory, std::size_t bytes, unsigned char value, StreamHandle stream) {
    if (memory == nullptr) return;
    space_.read(memory, bytes, stream);
    const auto* at = static_cast<const unsigned char*>(memory);
    ASSERT_TRUE(std::all_of(at, at + bytes, [&](unsigned char byte) { return byte == value; }));
  }
  void read(const Tensor& tensor, StreamHandle stream) {
    read(tensor.place.codes, tensor.place.bytes.codes, tensor.value, stream);
    read(tensor.place.scales, tensor.place.bytes.scales, tensor.value, stream);
  }

  void save() {
    MicroBatch* batch = nullptr;
    if (!batches_.empty() && !batches_.back().restoring && batches_.back().stack.size() < ledger_.entries().size())
      batch = &batches_.back();
    if (batch == nullptr) {
      if (batches_.size() == inFlight_) return;
      batches_.push_back({number_++, 0, {}, false});
      batch = &batches_.back();
    }
    const std::size_t tensor = batch->stack.size();
    TensorBytes bytes = ledger_.entries()[tensor].bytes;
    if (pick(4) == 0) bytes.codes = 1 + pick(bytes.codes);  // smaller than planned
    const StreamHandle on = stream();
    const Place place = pool_.save({batch->number, nameOf(tensor)}, bytes, on);
    const auto value = static_cast<unsigned char>(pick(256));
    write(place.codes, bytes.codes, value, on);
    write(place.scales, bytes.scales, value, on);
    batch->stack.push_back({place, value});
    usedBytes_ += bytes.total();
  }

  void restore() {
    if (batches_.empty()) return;
    const std::size_t which = pick(batches_.size());
    MicroBatch& batch = batches_[which];
    batch.restoring = true;
    const StreamHandle on = stream();
    const Tensor tensor = batch.stack.back();
    const Place place = pool_.restore({batch.number, nameOf(batch.stack.size() - 1)}, on);
    ASSERT_EQ(place.codes, tensor.place.codes);
    ASSERT_EQ(place.bytes, tensor.place.bytes);
    read(tensor, on);
    batch.stack.pop_back();
    usedBytes_ -= place.bytes.total();
    if (batch.stack.empty()) batches_.erase(batches_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void peekOrDiscard() {
    if (batches_.empty()) return;
    const std::size_t which = pick(batches_.size());
    MicroBatch& batch = batches_[which];
    if (pick(4) > 0) {
      const std::size_t tensor = pick(batch.stack.size());
      const StreamHandle on = stream();
      pool_.peek({batch.number, nameOf(tensor)}, on);
      read(batch.stack[tensor], on);
      return;
    }
    pool_.discard(batch.number);
    for (const Tensor& tensor : batch.stack) usedBytes_ -= tensor.place.bytes.total();
    batches_.erase(batches_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void scratch() {
    if (pieces_.size() == 2 || (!pieces_.empty() && pick(2) == 0)) {
      const std::size_t which = pick(pieces_.size());
      const Piece piece = pieces_[which];
      const StreamHandle on = stream();
      space_.orderByProgram(piece.stream, on);  // it reads what the other stream wrote
      read(piece.data, piece.bytes, piece.value, on);
      ASSERT_EQ(pool_.free(piece.data, on).bytes, piece.bytes);
      usedBytes_ -= piece.bytes;
      pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(which));
      return;
    }
    const std::size_t bytes = 1 + pick(scratchBytes_);
    const StreamHandle on = stream();
    auto* data = static_cast<std::byte*>(pool_.allocate("scratch", bytes, on));
    const auto value = static_cast<unsigned char>(pick(256));
    write(data, bytes, value, on);
    pieces_.push_back({data, bytes, value, on});
    usedBytes_ += bytes;
  }

  Pool& pool_;
  RaceSpace& space_;
  const Ledger& ledger_;
  std::size_t inFlight_, scratchBytes_;
  std::mt19937 random_;
  std::deque<MicroBatch> batches_;
  std::vector<Piece> pieces_;
  std::uint64_t number_ = 0;
  std::size_t usedBytes_ = 0;
};

Ledger randomLedger(std::mt19937& random) {
  const auto pick = [&](std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random); };
  constexpr std::array<int, 6> kBits = {4, 5, 6, 8, 16, 32};
  Ledger ledger;
  const std::size_t tensors = 1 + pick(12);
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::size_t elems = 1 + pick(std::size_t{1} << (1 + pick(13)));
    ledger.add({strCat("layers.", i, ".t"), elems, formatOfBits(kBits[pick(kBits.size())], std::size_t{32} << pick(8), kScales[pick(3)])});
  }
  return ledger;
}

class RandomTrace : public testing::TestWithParam<unsigned> {};

TEST_P(RandomTrace, PlannedPoolKeepsItsPromises) {
  std::mt19937 random(GetParam());
  const Ledger ledger = randomLedger(random);
  const std::size_t inFlight = 1 + random() % 5;
  RaceSpace space;
  PlannedPool pool("random", PoolPlan(ledger, {inFlight, 3000}), space);
  RandomCaller caller(pool, space, ledger, inFlight, 3000, GetParam());
  for (int i = 0; i < 3000 && !HasFailure(); ++i) caller.step();
  EXPECT_EQ(space.allocations(), 1);
}

TEST_P(RandomTrace, BestFitPoolKeepsItsPromises) {
  std::mt19937 random(GetParam());
  const Ledger ledger = randomLedger(random);
  RaceSpace space;
  BestFitPool pool("random", space, 16384);
  RandomCaller caller(pool, space, ledger, 6, 9000, GetParam());
  for (int i = 0; i < 3000 && !HasFailure(); ++i) {
    caller.step();
    if (i % 16 == 0) pool.checkConsistency();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTrace, testing::Range(1u, 25u));

}  // namespace
}  // namespace qccl::memory::test
