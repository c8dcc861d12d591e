#include "perf/ranks.hpp"

#include <qccl/launch.h>
#include <qccl/qccl.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/api.hpp"
#include "perf/benchmark.hpp"
#include "perf/memory.hpp"
#include "perf/peer.hpp"
#include "perf/rank.hpp"
#include "perf/report.hpp"
#include "perf/tune.hpp"

namespace qccl::bench {
namespace {

constexpr int kDefaultRanks = 2;

std::uint64_t runWith(const Options& options, Rank& rank, Memory& memory, Peer* peer, const char* transport) {
  std::unique_ptr<Report> report;
  if (rank.index() == 0) {
    report = std::make_unique<Report>(options, transport, rank.size(), memory.description(), peer != nullptr ? peer->description() : "");
  }
  const std::uint64_t failures = runBenchmark(
      options, rank, peer, memory, [&](const Measurement& outOfPlace, const Measurement* inPlace) { report->add(outOfPlace, inPlace); });
  if (report) report->finish(failures);
  if (peer != nullptr) peer->finish();
  return failures;
}

// One rank's failure makes the others fail as well; the first story is the one that is told.
class FirstFailure {
 public:
  void tell(int rank, const std::exception& error) {
    if (!told_.exchange(true)) std::fprintf(stderr, "qccl-perf: rank %d: %s\n", rank, error.what());
  }
  explicit operator bool() const { return told_; }

 private:
  std::atomic<bool> told_ = false;
};

// Number of measurements that failed. Throws when the rank failed; the failure has been told then.
std::uint64_t runRank(const Options& options, std::vector<qcclComm_t> comms, int localRank, const char* transport, FirstFailure& failure) {
  std::unique_ptr<Memory> memory;  // outlives the communicators, which may have it mapped
  Rank rank(std::move(comms));
  std::unique_ptr<Peer> peer;
  try {
    memory = makeMemory(options, localRank);
    if (!options.tunePath.empty()) {
      runTuning(options, rank, *memory, transport);
      rank.finish();
      return 0;
    }
    peer = makePeer(options, rank, *memory);
    const std::uint64_t failures = runWith(options, rank, *memory, peer.get(), transport);
    rank.finish();
    return failures;
  } catch (const std::exception& error) {
    // Told before the other ranks can know of it, and aborted before memory and peer end: those wait for the GPU, and this stops what runs
    // there.
    failure.tell(rank.index(), error);
    rank.abort();
    throw;
  }
}

// After DeviceHung. The ordinary end of a process waits for its GPU.
[[noreturn]] void leaveAtOnce() {
  std::fflush(nullptr);
  std::_Exit(1);
}

// Ranks are threads. When one fails, it aborts its communicators, and the others end with the error that this gives them.
int runThreads(const Options& options, int ranks) {
  requireMemory(options, ranks, ranks);
  const auto w = static_cast<std::size_t>(ranks);
  std::vector<std::vector<qcclComm_t>> comms(w);
  for (std::size_t c = 0; c < Rank::numComms(options); ++c) {
    std::vector<qcclComm_t> made(w);
    const qcclConfig_t config = configOf(options, "inproc");
    check(qcclCommInitAllConfig(made.data(), ranks, nullptr, &config), "qcclCommInitAllConfig");
    for (std::size_t r = 0; r < w; ++r) comms[r].push_back(made[r]);
  }
  std::atomic<std::uint64_t> failures = 0;
  FirstFailure failure;
  std::atomic<bool> hung = false;
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < w; ++r) {
    threads.emplace_back([&, r] {
      try {
        const std::uint64_t mine = runRank(options, comms[r], static_cast<int>(r), "inproc", failure);
        if (r == 0) failures = mine;
      } catch (const DeviceHung& error) {
        hung = true;
        failure.tell(static_cast<int>(r), error);
      } catch (const std::exception& error) {
        failure.tell(static_cast<int>(r), error);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (hung) leaveAtOnce();
  return failure || failures > 0 ? 1 : 0;
}

// This process is one rank of a launch. Only rank 0 answers for failed checks: a launcher kills the others when one rank ends badly, and
// rank 0 may still be printing.
int runProcess(const Options& options, const qcclLaunchInfo_t& launch) {
  FirstFailure failure;
  try {
    requireMemory(options, launch.size, launch.localSize > 0 ? launch.localSize : 1);
    std::vector<qcclComm_t> comms;
    for (std::size_t c = 0; c < Rank::numComms(options); ++c) {
      qcclUniqueId id;
      check(qcclLaunchGetUniqueId(&launch, &id), "qcclLaunchGetUniqueId");
      const qcclConfig_t config = configOf(options, "ucx");
      qcclComm_t comm = nullptr;
      check(qcclCommInitRankConfig(&comm, launch.size, id, launch.rank, &config), "qcclCommInitRankConfig");
      comms.push_back(comm);
    }
    const std::uint64_t failures = runRank(options, comms, launch.localRank, "ucx", failure);
    return launch.rank == 0 && failures > 0 ? 1 : 0;
  } catch (const DeviceHung& error) {
    failure.tell(launch.rank, error);
    leaveAtOnce();
  } catch (const std::exception& error) {
    failure.tell(launch.rank, error);
    return 1;
  }
}

}  // namespace

int runRanks(const Options& options, char** argv) {
  qcclLaunchInfo_t launch;
  check(qcclLaunchGetInfo(&launch), "qcclLaunchGetInfo");
  requireMemoryKind(options);
  requirePeer(options, launch.launcher);
  if (!options.tunePath.empty() && launch.rank == 0) requireTuning(options);
  const bool launched = std::string(launch.launcher) != "none";
  if (launched && options.ranks != 0 && options.ranks != launch.size) {
    throw ToolError("--ranks " + std::to_string(options.ranks) + ": " + launch.launcher + " has started " + std::to_string(launch.size) +
                    " ranks; leave the flag out there");
  }
  if (launched && launch.size > 1 && options.carrier == Carrier::inproc) {
    throw ToolError(std::string("--transport inproc: ranks would be threads of one process, but ") + launch.launcher +
                    " has started several; use ucx");
  }
  if (launched && options.carrier != Carrier::inproc) return runProcess(options, launch);
  const int ranks = options.ranks != 0 ? options.ranks : kDefaultRanks;
  if (options.carrier != Carrier::ucx) return runThreads(options, ranks);
  requireMemory(options, ranks, ranks);
  int exitCode = 1;
  check(qcclLaunchLocal(ranks, argv, &exitCode), "qcclLaunchLocal");
  return exitCode;
}

}  // namespace qccl::bench
