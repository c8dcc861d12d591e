#include "memory/bit_allocation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/error.hpp"

namespace qccl::memory {
namespace {

// More bytes than this are as good as infinitely many: so that sums of two never overflow.
constexpr std::size_t kMostBytes = std::size_t{1} << 60;
constexpr double kMostError = 1e100;
// Partial allocations that are kept, of all numbers of items together: 240 MB.
constexpr std::size_t kMostStates = 10'000'000;

std::size_t saturatingSum(std::size_t a, std::size_t b) {
  return std::min(a, kMostBytes) + std::min(b, kMostBytes) > kMostBytes ? kMostBytes : a + b;
}

// A partial allocation: of the first items.
struct State {
  std::size_t bytes;
  double error;
  std::uint32_t before;  // its number among those of one item less
  std::uint32_t choice;  // of the last item
};

std::size_t leastBytes(const BitItem& item) {
  return std::min_element(item.choices.begin(), item.choices.end(),
                          [](const BitChoice& a, const BitChoice& b) { return a.bytes < b.bytes; })
      ->bytes;
}

// At `price` a byte. Ties: fewer bytes, so that a rising price takes ever fewer.
std::size_t cheapest(const BitItem& item, double price) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < item.choices.size(); ++i) {
    const BitChoice &a = item.choices[i], &b = item.choices[best];
    const double costA = a.error + price * static_cast<double>(a.bytes), costB = b.error + price * static_cast<double>(b.bytes);
    if (costA < costB || (costA == costB && a.bytes < b.bytes)) best = i;
  }
  return best;
}

class Solver {
 public:
  Solver(std::span<const BitItem> items, std::size_t budgetBytes)
      : items_(items.begin(), items.end()), budget_(std::min(budgetBytes, kMostBytes - 1)) {
    std::size_t least = 0;
    for (const BitItem& item : items) {
      check(item);
      least = saturatingSum(least, leastBytes(item));
    }
    if (least > budget_) {
      fail(qcclInvalidArgument, "a budget of ", budget_, " bytes is too small: with the fewest bits for every tensor ", least,
           " bytes are needed; raise the budget by ", least - budget_, " bytes");
    }
    for (BitItem& item : items_) {
      for (BitChoice& choice : item.choices) choice.bytes = std::min(choice.bytes, kMostBytes);
    }
  }

  BitAllocation solve() {
    const double price = findPrice();
    known_ = atPrice(price);
    improve(&known_);
    makeBounds(price);
    std::vector<std::vector<State>> states = {{{0, 0.0, 0, 0}}};
    std::size_t count = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      states.push_back(extend(states.back(), i));
      count += states.back().size();
      if (count > kMostStates) {
        fail(qcclInvalidArgument, "the bits of ", items_.size(),
             " tensors cannot be allocated exactly: too many allocations are equally good; ",
             "round their bytes or errors, or give fewer choices");
      }
    }
    // None: all were cut off by what is known already.
    if (states.back().empty() || !isBetter(states.back().back().bytes, states.back().back().error, known_)) return known_;
    return trace(states);
  }

 private:
  static void check(const BitItem& item) {
    if (item.choices.empty()) fail(qcclInvalidArgument, "tensor ", item.name, " has no bit width to choose from");
    for (const BitChoice& choice : item.choices) {
      if (!(choice.error >= 0) || choice.error > kMostError) {
        fail(qcclInvalidArgument, "tensor ", item.name, " has an error of ", choice.error, " in ", choice.bits,
             " bits; errors must be from 0 to ", kMostError);
      }
    }
  }

  static bool isBetter(std::size_t bytes, double error, const BitAllocation& than) {
    return error < than.error || (error == than.error && bytes < than.bytes);
  }

  BitAllocation atPrice(double price) const {
    BitAllocation result;
    for (const BitItem& item : items_) result.choice.push_back(cheapest(item, price));
    addUp(&result);
    return result;
  }

  void addUp(BitAllocation* allocation) const {
    allocation->bytes = 0;
    allocation->error = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      allocation->bytes = saturatingSum(allocation->bytes, items_[i].choices[allocation->choice[i]].bytes);
      allocation->error += items_[i].choices[allocation->choice[i]].error;
    }
  }

  // The lowest at which the budget is met, nearly.
  double findPrice() const {
    if (atPrice(0).bytes <= budget_) return 0;
    double low = 0, high = 1e-300;
    while (atPrice(high).bytes > budget_) {
      low = high;
      high *= 1024;
      QCCL_CHECK(std::isfinite(high));
    }
    for (int i = 0; i < 200 && std::nextafter(low, high) < high; ++i) {
      const double middle = low > 0 && high / low > 4 ? std::sqrt(low) * std::sqrt(high) : low + (high - low) / 2;
      (atPrice(middle).bytes > budget_ ? low : high) = middle;
    }
    return high;
  }

  // Spends what is left of the budget where it takes away most error.
  void improve(BitAllocation* allocation) const {
    while (true) {
      std::size_t bestItem = 0, bestChoice = 0;
      double most = 0;
      for (std::size_t i = 0; i < items_.size(); ++i) {
        const BitChoice& now = items_[i].choices[allocation->choice[i]];
        for (std::size_t c = 0; c < items_[i].choices.size(); ++c) {
          const BitChoice& other = items_[i].choices[c];
          if (allocation->bytes - now.bytes + other.bytes > budget_ || now.error - other.error <= most) continue;
          most = now.error - other.error;
          bestItem = i;
          bestChoice = c;
        }
      }
      if (most == 0) return;
      allocation->choice[bestItem] = bestChoice;
      addUp(allocation);
    }
  }

  // boundAfter_[i]: what the items from i on cost at least at `price`; leastAfter_[i]: their fewest bytes.
  void makeBounds(double price) {
    price_ = price;
    boundAfter_.assign(items_.size() + 1, 0.0);
    leastAfter_.assign(items_.size() + 1, 0);
    for (std::size_t i = items_.size(); i-- > 0;) {
      const BitChoice& choice = items_[i].choices[cheapest(items_[i], price)];
      boundAfter_[i] = boundAfter_[i + 1] + choice.error + price * static_cast<double>(choice.bytes);
      leastAfter_[i] = leastAfter_[i + 1] + leastBytes(items_[i]);
    }
    // Room for rounding in sums of this size.
    const double size = boundAfter_[0] + price * static_cast<double>(budget_);
    slack_ = 1e-9 * known_.error + 4 * std::numeric_limits<double>::epsilon() * static_cast<double>(items_.size()) * size;
  }

  bool canBeBest(std::size_t bytes, double error, std::size_t items) const {
    if (bytes + leastAfter_[items] > budget_) return false;
    const double bound = error + boundAfter_[items] - price_ * static_cast<double>(budget_ - bytes);
    return bound <= known_.error + slack_;
  }

  // By bytes, with ever less error.
  std::vector<State> extend(const std::vector<State>& before, std::size_t item) const {
    std::vector<State> all;
    for (std::uint32_t c = 0; c < items_[item].choices.size(); ++c) {
      const BitChoice& choice = items_[item].choices[c];
      for (std::uint32_t i = 0; i < before.size(); ++i) {
        const State state{before[i].bytes + choice.bytes, before[i].error + choice.error, i, c};
        if (canBeBest(state.bytes, state.error, item + 1)) all.push_back(state);
      }
    }
    std::sort(all.begin(), all.end(),
              [](const State& a, const State& b) { return a.bytes != b.bytes ? a.bytes < b.bytes : a.error < b.error; });
    std::vector<State> kept;
    for (const State& state : all) {
      if (kept.empty() || state.error < kept.back().error) kept.push_back(state);
    }
    return kept;
  }

  BitAllocation trace(const std::vector<std::vector<State>>& states) const {
    BitAllocation result;
    result.choice.resize(items_.size());
    auto at = static_cast<std::uint32_t>(states.back().size() - 1);  // the last one has the least error
    for (std::size_t i = items_.size(); i-- > 0;) {
      const State& state = states[i + 1][at];
      result.choice[i] = state.choice;
      at = state.before;
    }
    addUp(&result);
    return result;
  }

  std::vector<BitItem> items_;
  const std::size_t budget_;
  BitAllocation known_;  // the best so far
  double price_ = 0, slack_ = 0;
  std::vector<double> boundAfter_;
  std::vector<std::size_t> leastAfter_;
};

}  // namespace

BitAllocation allocateBits(std::span<const BitItem> items, std::size_t budgetBytes) { return Solver(items, budgetBytes).solve(); }

}  // namespace qccl::memory
