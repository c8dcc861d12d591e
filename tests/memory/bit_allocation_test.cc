// The allocation of bits against all allocations there are, and on models as large as they get.
#include "memory/bit_allocation.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <random>

#include "core/error.hpp"

namespace qccl::memory {
namespace {

using testing::HasSubstr;

// Tries all.
BitAllocation bestOfAll(const std::vector<BitItem>& items, std::size_t budgetBytes) {
  BitAllocation best;
  best.error = INFINITY;
  std::vector<std::size_t> choice(items.size(), 0);
  while (true) {
    BitAllocation each{choice, 0, 0};
    for (std::size_t i = 0; i < items.size(); ++i) {
      each.bytes += items[i].choices[choice[i]].bytes;
      each.error += items[i].choices[choice[i]].error;
    }
    if (each.bytes <= budgetBytes && (each.error < best.error || (each.error == best.error && each.bytes < best.bytes))) best = each;
    std::size_t i = 0;
    while (i < items.size() && ++choice[i] == items[i].choices.size()) choice[i++] = 0;
    if (i == items.size()) return best;
  }
}

std::size_t leastBytesOf(const std::vector<BitItem>& items) {
  return std::accumulate(items.begin(), items.end(), std::size_t{0}, [](std::size_t sum, const BitItem& item) {
    std::size_t least = SIZE_MAX;
    for (const BitChoice& choice : item.choices) least = std::min(least, choice.bytes);
    return sum + least;
  });
}

// Tensors of a few sizes whose errors fall fourfold a bit, as those of a quantizer do, from sensitivities far apart.
std::vector<BitItem> model(std::mt19937_64& random, std::size_t tensors) {
  std::vector<BitItem> items;
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::size_t elems = (std::size_t{1} << (random() % 4)) * 1000 + random() % 3;
    const double sensitivity = std::exp2(static_cast<double>(random() % 20000) / 1000);
    BitItem item{"tensor " + std::to_string(i), {}};
    for (const int bits : {4, 5, 6, 8, 16}) {
      item.choices.push_back({bits, elems * static_cast<std::size_t>(bits) / 8, bits == 16 ? 0 : sensitivity * std::exp2(-2 * bits)});
    }
    items.push_back(item);
  }
  return items;
}

TEST(BitAllocation, IsTheBestOfAll) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const std::vector<BitItem> items = model(random, 1 + random() % 6);
    const std::size_t least = leastBytesOf(items);
    const std::size_t budget = least + random() % (3 * least + 1);
    const BitAllocation found = allocateBits(items, budget), best = bestOfAll(items, budget);
    EXPECT_LE(found.bytes, budget);
    EXPECT_NEAR(found.error, best.error, 1e-12 * best.error) << "round " << round;
  }
}

TEST(BitAllocation, AnyErrorsAndAnyOrderOfChoicesWillDo) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<BitItem> items(1 + random() % 7);
    for (BitItem& item : items) {
      item.choices.resize(1 + random() % 4);
      for (BitChoice& choice : item.choices) choice = {0, random() % 50, static_cast<double>(random() % 8)};
    }
    const std::size_t budget = leastBytesOf(items) + random() % 60;
    const BitAllocation found = allocateBits(items, budget), best = bestOfAll(items, budget);
    EXPECT_EQ(found.error, best.error) << "round " << round;
    EXPECT_EQ(found.bytes, best.bytes) << "round " << round;
  }
}

TEST(BitAllocation, LargeModelsOfManySizesAreSolved) {
  std::mt19937_64 random(3);
  const std::vector<BitItem> items = model(random, 1000);  // 8 tensors in each of 125 layers
  const std::size_t least = leastBytesOf(items);
  double error = INFINITY;
  for (int quarter = 4; quarter <= 12; ++quarter) {
    const BitAllocation found = allocateBits(items, least * static_cast<std::size_t>(quarter) / 4);
    EXPECT_LE(found.bytes, least * static_cast<std::size_t>(quarter) / 4);
    EXPECT_LT(found.error, error) << "more bytes, less error";
    error = found.error;
  }
}

TEST(BitAllocation, TheLeastAndTheMostAreTaken) {
  const std::vector<BitItem> items = {{"a", {{4, 100, 2}, {8, 200, 1}}}, {"b", {{4, 50, 5}, {8, 100, 0.5}}}};
  EXPECT_EQ(allocateBits(items, 150).choice, (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(allocateBits(items, 299).choice, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(allocateBits(items, 300).choice, (std::vector<std::size_t>{1, 1}));
  EXPECT_EQ(allocateBits({}, 0).bytes, 0u);
}

std::string refusal(const std::vector<BitItem>& items, std::size_t budgetBytes) {
  try {
    allocateBits(items, budgetBytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(BitAllocation, BytesBeyondAllMemoryAreNeverTaken) {
  const std::vector<BitItem> items = {{"a", {{4, 10, 5}, {16, SIZE_MAX, 0}}}, {"b", {{4, 10, 1}}}};
  EXPECT_EQ(allocateBits(items, 100).choice, (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(allocateBits(items, SIZE_MAX).choice, (std::vector<std::size_t>{0, 0}));
  const std::size_t half = std::size_t{1} << 63;
  EXPECT_THAT(refusal({{"a", {{4, half, 0}}}, {"b", {{4, half, 0}}}}, 0), HasSubstr("is too small"));
}

// Subset sums: every allocation that fills the budget is equally good.
TEST(BitAllocation, WhatIsTooMuchToGoThroughIsRefused) {
  std::mt19937_64 random(4);
  std::vector<BitItem> items(60);
  std::size_t sum = 0;
  for (BitItem& item : items) {
    const std::size_t bytes = random() >> 24;
    item = {"tensor", {{0, 0, static_cast<double>(bytes)}, {8, bytes, 0}}};
    sum += bytes;
  }
  EXPECT_THAT(refusal(items, sum / 2), HasSubstr("too many allocations are equally good"));
}

TEST(BitAllocation, WhatCannotBeIsRefused) {
  EXPECT_THAT(refusal({{"a", {{4, 100, 2}, {8, 200, 1}}}}, 99), HasSubstr("100 bytes are needed; raise the budget by 1 bytes"));
  EXPECT_THAT(refusal({{"gate", {}}}, 99), HasSubstr("tensor gate has no bit width"));
  EXPECT_THAT(refusal({{"gate", {{4, 1, NAN}}}}, 99), HasSubstr("tensor gate has an error of nan in 4 bits"));
}

}  // namespace
}  // namespace qccl::memory
