#include "perf/timing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "common/median.hpp"
#include "perf/number_formats.hpp"

namespace qccl::bench {
namespace {

constexpr std::uint64_t kFewestIterations = 5;
constexpr std::uint64_t kMostIterations = 20000;

constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

struct Samples {
  std::vector<double> qccl;  // microseconds
  std::vector<double> peer;  // empty without one
};

// Makes the calls and notes how long each took on this rank.
class Loop {
 public:
  Loop(const Options& options, const Operands& operands, Rank& rank, Memory& memory, const std::function<void()>& call,
       const std::function<void()>* peerCall)
      : operands_(operands),
        rank_(rank),
        memory_(memory),
        refillEvery_(callsBetweenRefills(options, rank.size())),
        callsPerSample_(memory.callsPerSample(operands.refillTo != nullptr ? refillEvery_ : kAnyNumber)) {
    qccl_ = memory.sampler(callsPerSample_, call, rank.comm());
    if (peerCall == nullptr) return;
    if (memory.startsTogether()) rank.barrier();  // the other library need not be able to wait for a rank that has failed
    peer_ = memory.sampler(callsPerSample_, *peerCall, rank.comm());
  }

  std::size_t callsPerSample() const { return callsPerSample_; }

  Samples run(std::uint64_t iterations) {
    Samples samples;
    callsSinceRefill_ = refillEvery_;
    for (std::uint64_t i = 0; i < iterations; ++i) {
      const bool peerFirst = peer_ != nullptr && i % 2 == 1;
      if (peerFirst) samples.peer.push_back(time(*peer_));
      samples.qccl.push_back(time(*qccl_));
      if (peer_ != nullptr && !peerFirst) samples.peer.push_back(time(*peer_));
    }
    return samples;
  }

 private:
  double time(Sampler& sampler) {
    if (operands_.refillTo != nullptr && refillEvery_ - callsSinceRefill_ < callsPerSample_) {
      memory_.copy(operands_.refillTo, operands_.send, operands_.refillBytes);
      memory_.wait(rank_.comm());
      callsSinceRefill_ = 0;
    }
    callsSinceRefill_ += callsPerSample_;
    if (memory_.startsTogether()) rank_.barrier();
    return sampler.run();
  }

  const Operands& operands_;
  Rank& rank_;
  Memory& memory_;
  std::size_t refillEvery_;
  std::size_t callsPerSample_;
  std::size_t callsSinceRefill_ = 0;
  std::unique_ptr<Sampler> qccl_;
  std::unique_ptr<Sampler> peer_;
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
  if (!grows || ranks == 1) return kAnyNumber;
  if (options.op == qcclProd) return 1;
  // Each call multiplies magnitudes by W at most; leave room for the largest inputs and their first sum.
  constexpr double kInputBits = 11;
  const double bits = std::log2(precisionOf(options.dtype).largest) - kInputBits;
  return static_cast<std::size_t>(std::max(1.0, std::floor(bits / std::log2(ranks))));
}

Timings timeCalls(const Options& options, const Operands& operands, Rank& rank, Memory& memory, const std::function<void()>& call,
                  const std::function<void()>* peerCall) {
  Loop loop(options, operands, rank, memory, call, peerCall);
  const Samples warm = loop.run(static_cast<std::uint64_t>(std::max(1, options.warmup)));
  // Rank 0 decides for all: how many of its median warm samples fit into the time.
  const auto calls = static_cast<double>(loop.callsPerSample());
  const double fit = options.seconds * 1e6 / std::max(0.1, calls * (median(warm.qccl) + median(warm.peer)));
  const std::uint64_t automatic =
      static_cast<std::uint64_t>(std::clamp(fit, static_cast<double>(kFewestIterations), static_cast<double>(kMostIterations)));
  const std::uint64_t iterations = rank.agree(options.iterations > 0 ? static_cast<std::uint64_t>(options.iterations) : automatic);
  rank.barrier();
  const Samples mine = loop.run(iterations);
  Timings timings;
  timings.callsPerSample = loop.callsPerSample();
  timings.qccl = summarize(slowest(rank.gather(mine.qccl), iterations));
  if (peerCall != nullptr) timings.peer = summarize(slowest(rank.gather(mine.peer), iterations));
  return timings;
}

Timings timeCollective(const Options& options, const Shape& shape, const Operands& operands, Rank& rank, Peer* peer, Memory& memory) {
  const std::function<void()> call = [&] {
    runCollective(options, shape, operands.source(), operands.recv, rank.index(), rank.size(), rank.comm(), memory.stream());
  };
  const std::function<void()> peerCall = [&] { peer->run(shape, operands.source(), operands.recv, operands.inPlace); };
  return timeCalls(options, operands, rank, memory, call, peer != nullptr ? &peerCall : nullptr);
}

}  // namespace qccl::bench
