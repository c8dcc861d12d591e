#include "perf/ranks.hpp"

#include <qccl/launch.h>
#include <qccl/qccl.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/api.hpp"
#include "perf/benchmark.hpp"
#include "perf/peer.hpp"
#include "perf/rank.hpp"
#include "perf/report.hpp"

namespace qccl::bench {
namespace {

constexpr int kDefaultRanks = 2;

// Number of measurements that failed.
std::uint64_t runRank(const Options& options, std::vector<qcclComm_t> comms, const char* transport) {
  Rank rank(std::move(comms));
  std::unique_ptr<Report> report;
  const std::unique_ptr<Peer> peer = makePeer(options, rank);
  if (rank.index() == 0) report = std::make_unique<Report>(options, transport, rank.size(), peer ? peer->description() : "");
  const std::uint64_t failures = runBenchmark(
      options, rank, peer.get(), [&](const Measurement& outOfPlace, const Measurement* inPlace) { report->add(outOfPlace, inPlace); });
  if (report) report->finish(failures);
  if (peer) peer->finish();
  rank.finish();
  return failures;
}

void printFailure(int rank, const std::exception& error) { std::fprintf(stderr, "qccl-perf: rank %d: %s\n", rank, error.what()); }

// Ranks are threads. When one fails, it aborts its communicators, and the others end with the error that this gives them; the first story
// is the one that is told.
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
  std::atomic<bool> broken = false;
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < w; ++r) {
    threads.emplace_back([&, r] {
      try {
        const std::uint64_t mine = runRank(options, comms[r], "inproc");
        if (r == 0) failures = mine;
      } catch (const std::exception& error) {
        if (!broken.exchange(true)) printFailure(static_cast<int>(r), error);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return broken || failures > 0 ? 1 : 0;
}

// This process is one rank of a launch. Only rank 0 answers for failed checks: a launcher kills the others when one rank ends badly, and
// rank 0 may still be printing.
int runProcess(const Options& options, const qcclLaunchInfo_t& launch) {
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
    const std::uint64_t failures = runRank(options, comms, "ucx");
    return launch.rank == 0 && failures > 0 ? 1 : 0;
  } catch (const std::exception& error) {
    printFailure(launch.rank, error);
    return 1;
  }
}

}  // namespace

int runRanks(const Options& options, char** argv) {
  qcclLaunchInfo_t launch;
  check(qcclLaunchGetInfo(&launch), "qcclLaunchGetInfo");
  requirePeer(options, launch.launcher);
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
