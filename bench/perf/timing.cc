#include "perf/timing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "common/median.hpp"
#include "perf/number_formats.hpp"

namespace qccl::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kFewestIterations = 5;
constexpr std::uint64_t kMostIterations = 20000;

struct Samples {
  std::vector<double> qccl;  // microseconds
  std::vector<double> peer;  // empty without one
};

// Makes the calls and notes how long each took on this rank.
class Loop {
 public:
  Loop(const Options& options, const Shape& shape, const Operands& operands, Rank& rank, Peer* peer)
      : options_(options),
        shape_(shape),
        operands_(operands),
        rank_(rank),
        peer_(peer),
        refillEvery_(callsBetweenRefills(options, rank.size())) {}

  Samples run(std::uint64_t iterations) {
    Samples samples;
    callsSinceRefill_ = refillEvery_;
    for (std::uint64_t i = 0; i < iterations; ++i) {
      const bool peerFirst = peer_ != nullptr && i % 2 == 1;
      if (peerFirst) samples.peer.push_back(timePeer());
      samples.qccl.push_back(timeQccl());
      if (peer_ != nullptr && !peerFirst) samples.peer.push_back(timePeer());
    }
    return samples;
  }

 private:
  double timeQccl() {
    return time(
        [&](const char* send) { runCollective(options_, shape_, send, operands_.recv, rank_.index(), rank_.size(), rank_.comm()); });
  }

  double timePeer() {
    return time([&](const char* send) { peer_->run(shape_, send, operands_.recv, operands_.inPlace); });
  }

  template <typename Call>
  double time(const Call& call) {
    if (operands_.refillTo != nullptr && callsSinceRefill_ >= refillEvery_) {
      std::memcpy(operands_.refillTo, operands_.send, operands_.refillBytes);
      callsSinceRefill_ = 0;
    }
    ++callsSinceRefill_;
    const char* send = operands_.inPlace ? operands_.refillTo : operands_.send;
    const Clock::time_point start = Clock::now();
    call(send);
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }

  const Options& options_;
  const Shape& shape_;
  const Operands& operands_;
  Rank& rank_;
  Peer* peer_;
  std::size_t refillEvery_;
  std::size_t callsSinceRefill_ = 0;
};

// Each iteration's slowest rank.
std::vector<double> slowest(const std::vector<double>& all, std::size_t iterations) {
  std::vector<double> worst(iterations, 0);
  for (std::size_t i = 0; i < all.size(); ++i) worst[i % iterations] = std::max(worst[i % iterations], all[i]);
  return worst;
}

Timing summarize(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const std::size_t n = times.size();
  Timing timing;
  timing.iterations = n;
  timing.medianUs = n % 2 == 1 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
  timing.meanUs = std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(n);
  timing.minUs = times.front();
  timing.p95Us = times[std::min(n - 1, static_cast<std::size_t>(std::ceil(0.95 * static_cast<double>(n))) - 1)];
  return timing;
}

}  // namespace

std::size_t callsBetweenRefills(const Options& options, int ranks) {
  const bool grows = isReduction(options.collective) && isFloating(options.dtype) && (options.op == qcclSum || options.op == qcclProd);
  if (!grows || ranks == 1) return std::numeric_limits<std::size_t>::max();
  if (options.op == qcclProd) return 1;
  // Each call multiplies magnitudes by W at most; leave room for the largest inputs and their first sum.
  constexpr double kInputBits = 11;
  const double bits = std::log2(precisionOf(options.dtype).largest) - kInputBits;
  return static_cast<std::size_t>(std::max(1.0, std::floor(bits / std::log2(ranks))));
}

Timings timeCollective(const Options& options, const Shape& shape, const Operands& operands, Rank& rank, Peer* peer) {
  Loop loop(options, shape, operands, rank, peer);
  const Samples warm = loop.run(static_cast<std::uint64_t>(std::max(1, options.warmup)));
  // Rank 0 decides for all: how many of its median warm calls fit into the time.
  const double fit = options.seconds * 1e6 / std::max(0.1, median(warm.qccl) + median(warm.peer));
  const std::uint64_t automatic =
      static_cast<std::uint64_t>(std::clamp(fit, static_cast<double>(kFewestIterations), static_cast<double>(kMostIterations)));
  const std::uint64_t iterations = rank.agree(options.iterations > 0 ? static_cast<std::uint64_t>(options.iterations) : automatic);
  rank.barrier();
  const Samples mine = loop.run(iterations);
  Timings timings;
  timings.qccl = summarize(slowest(rank.gather(mine.qccl), iterations));
  if (peer != nullptr) timings.peer = summarize(slowest(rank.gather(mine.peer), iterations));
  return timings;
}

}  // namespace qccl::bench
