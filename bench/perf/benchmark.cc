#include "perf/benchmark.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/api.hpp"
#include "perf/collective.hpp"
#include "perf/input_data.hpp"
#include "perf/timing.hpp"
#include "perf/verify.hpp"

namespace qccl::bench {
namespace {

// Bytes that begin every result before a call: a value that the call must overwrite.
constexpr int kStaleByte = 0xa5;

qcclStats_t statsOf(qcclComm_t comm) {
  qcclStats_t stats{};
  stats.size = sizeof stats;
  check(qcclCommGetStats(comm, &stats), "qcclCommGetStats", comm);
  return stats;
}

qcclPlan_t planOf(const Options& options, const Shape& shape, qcclComm_t comm) {
  qcclPlan_t plan{};
  if (options.collective == qcclCollAllReduce || options.collective == qcclCollReduceScatter) {
    const std::optional<qcclQuantConfig_t> quant = quantOfCall(options);
    check(qcclCommExplainIn(comm, memoryOf(options), options.collective, shape.count, options.dtype, options.op, quant ? &*quant : nullptr,
                            &plan),
          "qcclCommExplainIn", comm);
  } else {
    plan.codec = qcclCodecNone;
    plan.predictedSnrDb = std::numeric_limits<double>::infinity();
    std::strncpy(plan.reason, "this collective is always exact", sizeof plan.reason - 1);
  }
  return plan;
}

// Everything that one rank keeps for the whole run.
class RankRun {
 public:
  RankRun(const Options& options, Rank& rank, Peer* peer, Memory& memory)
      : options_(options),
        rank_(rank),
        peer_(peer),
        memory_(memory),
        data_(options, rank.size()),
        elemBytes_(qcclTypeSize(options.dtype)),
        send_(memory.allocate(largestShape().sendElems * elemBytes_)),
        work_(memory.allocate(largestShape().totalElems * elemBytes_)) {
    const std::size_t elems = largestShape().sendElems;
    memory.write(send_, elems * elemBytes_, [&](void* to) { data_.fill(rank.index(), elems, to); });
  }

  Measurement measure(std::size_t bytes, bool inPlace) {
    const Shape shape = shapeOf(options_.collective, bytes, options_.dtype, rank_.size());
    const Operands operands = operandsOf(shape, inPlace);
    Measurement m;
    m.inPlace = inPlace;
    m.bytes = shape.totalElems * elemBytes_;
    m.count = shape.count;
    countWireBytes(shape, operands, &m);
    // Only now: that all ranks have NCCL, which a plan may choose, is known from the first call on GPU memory on.
    const qcclPlan_t plan = planOf(options_, shape, rank_.comm());
    const char* algorithm = plan.algorithm == qcclAlgoAuto ? nullptr : qcclEnumName(qcclEnumAlgo, plan.algorithm);
    m.algorithm = algorithm != nullptr ? algorithm : "-";
    m.codec = qcclEnumName(qcclEnumCodec, plan.codec);
    m.blockElems = plan.blockElems;
    m.predictedSnrDb = plan.predictedSnrDb;
    m.reason = plan.reason;

    if (options_.check) m.quality = verify(shape, plan, operands);
    Peer* const peer = inPlace && !peerHasInPlace(options_) ? nullptr : peer_;
    if (options_.check && peer != nullptr) verifyPeer(shape, operands, *peer);
    const Timings timings = timeCollective(options_, shape, operands, rank_, peer, memory_);
    m.timing = timings.qccl;
    m.callsPerIteration = timings.callsPerSample;
    m.against = timings.peer;
    m.algbwGBs = static_cast<double>(m.bytes) / m.timing.medianUs * 1e-3;
    m.busbwGBs = m.algbwGBs * busFactor(options_.collective, rank_.size());
    return m;
  }

 private:
  Shape largestShape() const { return shapeOf(options_.collective, options_.sizes().back(), options_.dtype, rank_.size()); }

  Operands operandsOf(const Shape& shape, bool inPlace) {
    Operands operands;
    operands.send = send_;
    operands.inPlace = inPlace;
    operands.recv = work_;
    if (inPlace) {
      operands.refillTo = work_ + shape.inPlaceSendOffset(options_.collective, rank_.index()) * elemBytes_;
      operands.refillBytes = shape.sendElems * elemBytes_;
      operands.recv = work_ + shape.inPlaceRecvOffset(options_.collective, rank_.index()) * elemBytes_;
    }
    return operands;
  }

  // Fresh operands; returns what is sent.
  const char* prepare(const Shape& shape, const Operands& operands) {
    memory_.fill(work_, kStaleByte, shape.totalElems * elemBytes_);
    if (operands.inPlace) memory_.copy(operands.refillTo, operands.send, operands.refillBytes);
    return operands.source();
  }

  void callOnce(const Shape& shape, const Operands& operands, qcclComm_t comm) {
    runCollective(options_, shape, prepare(shape, operands), operands.recv, rank_.index(), rank_.size(), comm, memory_.stream());
    memory_.wait(comm);
  }

  // The same call again, which should give the same bits; with --graph by a replay. Noise of stochastic rounding follows the number of
  // calls, of which a graph makes one more: such runs are repeated by plain calls.
  void callAgain(const Shape& shape, const Operands& operands) {
    if (!options_.graph || options_.rounding == qcclRoundStochastic) return callOnce(shape, operands, rank_.proof(1));
    const auto call = [&] {
      runCollective(options_, shape, operands.source(), operands.recv, rank_.index(), rank_.size(), rank_.proof(1), memory_.stream());
    };
    const std::unique_ptr<Sampler> replay = memory_.sampler(1, call, rank_.proof(1));
    prepare(shape, operands);
    rank_.barrier();  // no rank's call begins while another's driver still makes its graph
    replay->run();
  }

  void countWireBytes(const Shape& shape, const Operands& operands, Measurement* m) {
    const qcclStats_t before = statsOf(rank_.comm());
    callOnce(shape, operands, rank_.comm());
    const qcclStats_t after = statsOf(rank_.comm());
    const std::vector<std::uint64_t> sent = rank_.gather(after.wireBytes - before.wireBytes);
    const std::vector<std::uint64_t> exact = rank_.gather(after.exactWireBytes - before.exactWireBytes);
    const auto most = std::max_element(sent.begin(), sent.end());
    m->wireBytes = *most;
    m->exactWireBytes = exact[static_cast<std::size_t>(most - sent.begin())];
  }

  Quality verify(const Shape& shape, const qcclPlan_t& plan, const Operands& operands) {
    const bool hasResult = receives(options_.collective, rank_.index(), options_.root);
    const std::size_t resultBytes = hasResult ? shape.recvElems * elemBytes_ : 0;
    callOnce(shape, operands, rank_.proof(0));
    const void* result = memory_.read(operands.recv, resultBytes);
    const std::uint64_t first = hashBytes(result, resultBytes);
    const ErrorSums sums = checkResult(options_, shape, data_, plan, result, rank_.index(), rank_.size());
    callAgain(shape, operands);
    const std::uint64_t second = hashBytes(memory_.read(operands.recv, resultBytes), resultBytes);
    return combine(sums, first, second, options_.collective, rank_);
  }

  // A comparison is worth something only if the other library does the same job.
  void verifyPeer(const Shape& shape, const Operands& operands, Peer& peer) {
    const char* send = prepare(shape, operands);
    if (memory_.startsTogether()) rank_.barrier();  // as in timing.cc
    peer.run(shape, send, operands.recv, operands.inPlace);
    memory_.wait(rank_.comm());
    qcclPlan_t exact{};
    exact.codec = qcclCodecNone;
    std::uint64_t wrong = 0;
    if (receives(options_.collective, rank_.index(), options_.root)) {
      const void* result = memory_.read(operands.recv, shape.recvElems * elemBytes_);
      wrong = checkResult(options_, shape, data_, exact, result, rank_.index(), rank_.size()).numWrong;
    }
    for (const std::uint64_t theirs : rank_.gather(wrong)) {
      if (theirs > 0) {
        throw ToolError(std::string("--against ") + againstName(options_.against) + ": " + std::to_string(theirs) +
                        " elements of its result are wrong, so there is nothing to compare with");
      }
    }
  }

  const Options& options_;
  Rank& rank_;
  Peer* peer_;
  Memory& memory_;
  InputData data_;
  std::size_t elemBytes_;
  char* send_;
  char* work_;  // result, or operands of in-place calls
};

std::size_t availableMemory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::size_t kibibytes = 0;
  for (std::string rest; meminfo >> key >> kibibytes; std::getline(meminfo, rest)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

std::uint64_t runBenchmark(const Options& options, Rank& rank, Peer* peer, Memory& memory, const Reporter& report) {
  if (options.root >= rank.size()) {
    throw ToolError("--root " + std::to_string(options.root) + ": there are only ranks 0 to " + std::to_string(rank.size() - 1));
  }
  if (options.collective == qcclCollSendRecv && rank.size() < 2) throw ToolError("sendrecv needs at least two ranks: give --ranks 2");
  RankRun run(options, rank, peer, memory);
  std::uint64_t failures = 0;
  for (const std::size_t bytes : options.sizes()) {
    const Measurement outOfPlace = run.measure(bytes, false);
    failures += outOfPlace.failed() ? 1 : 0;
    if (hasInPlace(options.collective)) {
      const Measurement inPlace = run.measure(bytes, true);
      failures += inPlace.failed() ? 1 : 0;
      if (rank.index() == 0) report(outOfPlace, &inPlace);
    } else if (rank.index() == 0) {
      report(outOfPlace, nullptr);
    }
  }
  return failures;
}

std::size_t operandBytes(const Options& options, int ranks) {
  const Shape shape = shapeOf(options.collective, options.sizes().back(), options.dtype, ranks);
  return (shape.sendElems + shape.totalElems) * qcclTypeSize(options.dtype);
}

void requireMemory(const Options& options, int ranks, int localRanks) {
  const std::size_t needed = operandBytes(options, ranks) * static_cast<std::size_t>(localRanks);
  const std::size_t available = availableMemory();
  if (available == 0 || needed / 4 < available / 5) return;  // at most 80 %: the library stages tiles as well
  throw ToolError("the operands of " + std::to_string(localRanks) + " ranks need " + std::to_string(needed >> 20) +
                  " MiB and this machine has " + std::to_string(available >> 20) + " MiB left: lower --max or --ranks");
}

}  // namespace qccl::bench
