#include "collectives/executor.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <set>

#include "collectives/blame.hpp"
#include "collectives/feedback.hpp"
#include "collectives/message_tag.hpp"
#include "collectives/neighbour_check.hpp"
#include "collectives/tile_run.hpp"
#include "core/backoff.hpp"
#include "core/deadline.hpp"
#include "transport/rank_list.hpp"

namespace qccl::collectives {
namespace {

// A rank that has waited this long says so, for others to see; sooner would only cost.
constexpr std::chrono::milliseconds kSayWaitingAfter{50};

// A message of an unexpected size means that the ranks' calls differ, and some rank's neighbour check finds out how: this one's, if its
// announcement is not here yet, or another's. Waits a moment for that better story.
[[noreturn]] void explainMismatch(const Error& error, NeighbourCheck& check, const transport::Control& control) {
  const Deadline deadline = Deadline::in(std::chrono::seconds(1));
  Backoff backoff;
  while (!deadline.passed() && !control.failed()) {
    check.poll();
    backoff.pause();
  }
  control.throwIfFailed();
  throw Error(error.code(), error.what());
}

}  // namespace

std::size_t scheduledWireBytes(const Schedule& schedule, const Partition& partition, const Call& call) {
  const TileCodec codec(call);
  std::size_t bytes = 0;
  for (const Step& step : schedule.steps) {
    if (step.kind == StepKind::send) bytes += codec.wireBytes(partition.chunk(step.chunk));
  }
  return bytes;
}

ExecutionCounts execute(const Execution& execution, const ExecutorOptions& options, transport::Transport& transport,
                        transport::Control& control, StagingMemory& staging) {
  ExecutionCounts counts;
  const Announcement announcement = announce(execution.call, execution.sequence);
  const TilePlan plan(execution, options, fingerprint(announcement), control.rank(), control.size());
  const std::size_t window = std::min<std::size_t>(static_cast<std::size_t>(options.tilesInFlight), std::max<std::size_t>(plan.tiles(), 1));
  std::byte* memory = staging.reserve(window * plan.tileStagingBytes());
  std::byte* residual = nullptr;
  if (plan.residualBytes() > 0 && execution.feedback != nullptr) {
    residual = execution.feedback->of(execution.call.input, fingerprint(announce(execution.call, 0)), plan.residualBytes());
  }

  NeighbourCheck check(announcement, announcementTag(execution.sequence, execution.ofInspection), transport, control.rank(),
                       control.size());
  bool checked = false;
  std::deque<std::unique_ptr<TileRun>> running;
  std::size_t started = 0;
  while (started < window && started < plan.tiles()) {
    running.push_back(std::make_unique<TileRun>(plan, transport, counts, started, memory + started * plan.tileStagingBytes(), residual));
    ++started;
  }

  const auto awaitedRanks = [&] {
    std::set<int> ranks;
    if (!checked) check.collectAwaited(&ranks);
    for (const auto& run : running) run->collectAwaited(&ranks);
    return ranks;
  };
  control.setStatus({execution.sequence, -1});
  Deadline deadline = Deadline::in(options.timeout);
  Deadline soon = Deadline::in(kSayWaitingAfter);
  bool saidWaiting = false;
  Backoff backoff;
  while (!running.empty() || !checked) {
    bool progressed = false;
    if (!checked && check.poll()) checked = progressed = true;
    try {
      for (auto it = running.begin(); it != running.end();) {
        TileRun& run = **it;
        progressed |= run.advance();
        if (!run.finished()) {
          ++it;
          continue;
        }
        std::byte* freed = run.staging();
        it = running.erase(it);
        if (started < plan.tiles()) {
          // Appended: `it` may be invalid after that, and the new tile is reached in the next round.
          running.push_back(std::make_unique<TileRun>(plan, transport, counts, started++, freed, residual));
          break;
        }
      }
    } catch (const Error& error) {
      if (error.code() == qcclInvalidUsage) explainMismatch(error, check, control);
      throw;
    }
    if (progressed) {
      backoff.reset();
      deadline = Deadline::in(options.timeout);
      soon = Deadline::in(kSayWaitingAfter);
      if (saidWaiting) control.setStatus({execution.sequence, -1});
      saidWaiting = false;
      continue;
    }
    control.throwIfFailed();
    if (!saidWaiting && soon.passed()) {
      const std::set<int> awaited = awaitedRanks();
      control.setStatus({execution.sequence, awaited.empty() ? -1 : *awaited.begin()});
      saidWaiting = true;
    }
    if (deadline.passed()) {
      const std::set<int> awaited = awaitedRanks();
      const std::string why = explainWait(control, awaited.empty() ? control.rank() : *awaited.begin(), execution.sequence);
      control.throwIfFailed();  // another rank was first to find out
      fail(qcclTimeout, why, ". Rank ", control.rank(), " waited ", options.timeout.count(), " ms for ",
           transport::rankList({awaited.begin(), awaited.end()}), " in ", describe(execution.call), ", call #", execution.sequence,
           " of the communicator (QCCL_TIMEOUT_MS sets the bound)");
    }
    backoff.pause();
  }
  return counts;
}

}  // namespace qccl::collectives
