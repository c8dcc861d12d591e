// Hierarchical all-reduce: twoshot inside each host, and twoshot of the partial sums between the hosts, so that each byte crosses between
// hosts once for the host and not once for each of its ranks.
//
// Rank (h, l) = h * ranksPerHost + l is number l on host h and owns chunk h * ranksPerHost + l.
//   1. Inside a host, rank l gets from the others their codes of the chunks that ranks (any host, l) own, and adds them in rank order, its
//      own values unquantized in their place.
//   2. Between ranks of equal l, the encoded partial sums go to the chunk's owner, which adds them in the order of hosts. In the place of
//      its own host it adds that host's contributions one by one, so its own partial sum is not quantized.
//   3. The owner encodes the result once. Its codes go to the ranks of equal l and, as they lie, from each of these to the other ranks of
//      its host.
// Three quantizations on the path whatever the number of ranks; two, as twoshot, on one host or with one rank a host.
#include "collectives/schedule.hpp"

namespace qccl::collectives {
namespace {

struct Place {
  int hosts;
  int perHost;
  int host;
  int local;

  int rankAt(int h, int l) const { return h * perHost + l; }
  int chunkOf(int h, int l) const { return rankAt(h, l); }  // that this rank owns
  // The others, beginning with the next one, so that not all send to the same rank at first.
  int otherHost(int k) const { return (host + k) % hosts; }
  int otherLocal(int k) const { return (local + k) % perHost; }
};

// Step 1, this rank's part: codes of every chunk that another rank of the host is responsible for. Those of other hosts go first, since
// they have further to go.
void sendContributions(ScheduleBuilder& build, const Place& at) {
  for (int k = 1; k <= at.hosts; ++k) {
    for (int j = 1; j < at.perHost; ++j) {
      const int responsible = at.otherLocal(j);
      const int slot = build.encodeInput(at.chunkOf(at.otherHost(k), responsible));
      build.send(slot, at.rankAt(at.host, responsible), Phase::contribution);
    }
  }
}

// The contributions of this host's ranks to a chunk, in rank order. `first`: they begin the sum.
void addContributions(ScheduleBuilder& build, const Place& at, int chunk, bool first) {
  for (int l = 0; l < at.perHost; ++l) {
    const bool begins = first && l == 0;
    if (l == at.local) {
      build.takeInput(chunk, begins);
    } else {
      build.takeSlot(build.recv(chunk, at.rankAt(at.host, l), Phase::contribution), begins);
    }
  }
}

void passOn(ScheduleBuilder& build, const Place& at, int slot) {
  for (int j = 1; j < at.perHost; ++j) build.send(slot, at.rankAt(at.host, at.otherLocal(j)), Phase::result);
}

}  // namespace

Schedule hierSchedule(int rank, int size, int ranksPerHost) {
  const Place at{size / ranksPerHost, ranksPerHost, rank / ranksPerHost, rank % ranksPerHost};
  ScheduleBuilder build(size);
  sendContributions(build, at);

  for (int k = 1; k < at.hosts; ++k) {
    const int owner = at.rankAt(at.otherHost(k), at.local);
    addContributions(build, at, owner, true);
    build.send(build.encodeSum(owner), owner, Phase::contribution);
  }
  for (int h = 0; h < at.hosts; ++h) {
    if (h == at.host) {
      addContributions(build, at, rank, h == 0);
    } else {
      build.takeSlot(build.recv(rank, at.rankAt(h, at.local), Phase::contribution), h == 0);
    }
  }
  build.divide();

  const int result = build.encodeSum(rank);
  for (int k = 1; k < at.hosts; ++k) build.send(result, at.rankAt(at.otherHost(k), at.local), Phase::result);
  passOn(build, at, result);
  build.decodeSlot(result);
  for (int k = 1; k < at.hosts; ++k) {
    const int owner = at.rankAt(at.otherHost(k), at.local);
    const int slot = build.recv(owner, owner, Phase::result);
    passOn(build, at, slot);
    build.decodeSlot(slot);
  }
  for (int k = 0; k < at.hosts; ++k) {
    for (int j = 1; j < at.perHost; ++j) {
      const int local = at.otherLocal(j);
      build.decodeSlot(build.recv(at.chunkOf(at.otherHost(k), local), at.rankAt(at.host, local), Phase::result));
    }
  }
  return build.finish();
}

}  // namespace qccl::collectives
