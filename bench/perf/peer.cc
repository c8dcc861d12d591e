#include "perf/peer.hpp"

#include "common/api.hpp"

namespace qccl::bench {
namespace {

// Which peer_*.cc are part of this build: bench/CMakeLists.txt knows.
constexpr bool kHasMpi = QCCL_PERF_MPI;
constexpr bool kHasGloo = QCCL_PERF_GLOO;
constexpr bool kHasNccl = QCCL_PERF_NCCL;

[[noreturn]] void refuseMissing(const Options& options, const char* package) {
  throw ToolError(std::string("--against ") + againstName(options.against) + ": this qccl-perf was built without it; install " + package +
                  " (scripts/setup does) and configure the build again");
}

}  // namespace

void requirePeer(const Options& options, const char* launcher) {
  if (options.against == Against::mpi) {
    if constexpr (kHasMpi) return requireMpi(options, launcher);
    refuseMissing(options, "libopenmpi-dev");
  }
  if (options.against == Against::gloo) {
    if constexpr (kHasGloo) return requireGloo(options);
    refuseMissing(options, "libgloo-dev");
  }
  if (options.against == Against::nccl) {
    if constexpr (kHasNccl) return requireNccl(options);
    throw ToolError(
        "--against nccl: this qccl-perf was built without it; configure the build again where the CUDA toolkit and nccl.h are found");
  }
}

bool peerHasInPlace(const Options& options) {
  // MPI's in-place reduce-scatter leaves the result at the start of the operand, not at the rank's own chunk: another call.
  return !(options.against == Against::mpi && options.collective == qcclCollReduceScatter);
}

std::unique_ptr<Peer> makePeer(const Options& options, Rank& rank, [[maybe_unused]] Memory& memory) {
  if constexpr (kHasMpi) {
    if (options.against == Against::mpi) return makeMpiPeer(options, rank);
  }
  if constexpr (kHasGloo) {
    if (options.against == Against::gloo) return makeGlooPeer(options, rank);
  }
  if constexpr (kHasNccl) {
    if (options.against == Against::nccl) return makeNcclPeer(options, rank, memory);
  }
  return nullptr;
}

}  // namespace qccl::bench
