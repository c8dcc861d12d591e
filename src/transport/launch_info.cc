// Which rank of which launcher this process is. Each launcher is one function that reads its variables; the first that is present wins.
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "transport/launch.hpp"

namespace qccl::transport {
namespace {

constexpr int kUnknown = -1;

const char* text(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

int number(const char* variable) {
  const std::string_view value = text(variable);
  int result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() || result < 0) {
    fail(qcclInvalidUsage, variable, "=", value,
         " in the environment is not a number of 0 or more, as a launcher would set it; start the program with one launcher, or ",
         "unset the variable");
  }
  return result;
}

int numberOr(const char* variable, int otherwise) { return text(variable) != nullptr ? number(variable) : otherwise; }

// The first of two variables that is set; kUnknown if none is.
int numberOf(const char* first, const char* second) { return numberOr(first, numberOr(second, kUnknown)); }

// Checks what the variables say. Local values that the launcher does not give are kUnknown.
LaunchInfo makeInfo(const char* launcher, int rank, int size, int localRank, int localSize) {
  if (rank >= size)
    fail(qcclInvalidUsage, "the environment of launcher ", launcher, " says rank ", rank, " of ", size,
         " ranks; ranks must be below their number");
  if (localSize != kUnknown && (localRank == kUnknown || localRank >= localSize || localSize > size)) {
    fail(qcclInvalidUsage, "the environment of launcher ", launcher, " says local rank ", localRank, " of ", localSize,
         " on this host, among ", size, " ranks in all; these contradict one another");
  }
  return {rank, size, localRank == kUnknown ? rank : localRank, localSize == kUnknown ? 0 : localSize, launcher};
}

// True if both variables are set, false if neither is.
bool bothSet(const char* rank, const char* size) {
  const bool hasRank = text(rank) != nullptr;
  if (hasRank != (text(size) != nullptr)) {
    fail(qcclInvalidUsage, hasRank ? rank : size, " is set in the environment, but ", hasRank ? size : rank,
         " is not; a launcher sets both");
  }
  return hasRank;
}

std::optional<LaunchInfo> fromQccl() {
  if (!bothSet("QCCL_LAUNCH_RANK", "QCCL_LAUNCH_SIZE")) return std::nullopt;
  const int rank = number("QCCL_LAUNCH_RANK");
  const int size = number("QCCL_LAUNCH_SIZE");
  return makeInfo("qccl", rank, size, rank, size);
}

std::optional<LaunchInfo> fromTorchrun() {
  if (!bothSet("RANK", "WORLD_SIZE")) return std::nullopt;
  return makeInfo("torchrun", number("RANK"), number("WORLD_SIZE"), numberOr("LOCAL_RANK", kUnknown),
                  numberOr("LOCAL_WORLD_SIZE", kUnknown));
}

std::optional<LaunchInfo> fromOpenMpi() {
  if (!bothSet("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")) return std::nullopt;
  return makeInfo("openmpi", number("OMPI_COMM_WORLD_RANK"), number("OMPI_COMM_WORLD_SIZE"),
                  numberOr("OMPI_COMM_WORLD_LOCAL_RANK", kUnknown), numberOr("OMPI_COMM_WORLD_LOCAL_SIZE", kUnknown));
}

std::optional<LaunchInfo> fromPmi() {
  if (!bothSet("PMI_RANK", "PMI_SIZE")) return std::nullopt;
  return makeInfo("pmi", number("PMI_RANK"), number("PMI_SIZE"), numberOf("MPI_LOCALRANKID", "PMI_LOCAL_RANK"),
                  numberOf("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"));
}

// The count for host `node` in Slurm's notation: "2(x3),1" are 2, 2, 2, 1. kUnknown where it does not reach.
int tasksOnNode(std::string_view counts, int node) {
  while (!counts.empty()) {
    int tasks = 0;
    int repeat = 1;
    const char* const end = counts.data() + counts.size();
    auto [at, error] = std::from_chars(counts.data(), end, tasks);
    if (error != std::errc()) return kUnknown;
    if (end - at > 2 && at[0] == '(' && at[1] == 'x') {
      const auto [after, repeatError] = std::from_chars(at + 2, end, repeat);
      if (repeatError != std::errc() || after == end || *after != ')') return kUnknown;
      at = after + 1;
    }
    if (node < repeat) return tasks;
    node -= repeat;
    if (at != end && *at != ',') return kUnknown;
    counts.remove_prefix(std::min(counts.size(), static_cast<std::size_t>(at - counts.data()) + 1));
  }
  return kUnknown;
}

std::optional<LaunchInfo> fromSlurm() {
  if (text("SLURM_PROCID") == nullptr) return std::nullopt;
  // A batch script itself, outside srun, also has SLURM_PROCID, but no step: it is one process.
  if (text("SLURM_JOB_ID") != nullptr && text("SLURM_STEP_ID") == nullptr) return std::nullopt;
  const char* const sizeVariable = text("SLURM_STEP_NUM_TASKS") != nullptr ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  if (!bothSet("SLURM_PROCID", sizeVariable)) return std::nullopt;
  const int size = number(sizeVariable);
  const int localRank = numberOr("SLURM_LOCALID", kUnknown);
  int localSize = kUnknown;
  if (const char* const counts = text("SLURM_STEP_TASKS_PER_NODE"); counts != nullptr && localRank != kUnknown) {
    localSize = tasksOnNode(counts, numberOr("SLURM_NODEID", 0));
  }
  return makeInfo("slurm", number("SLURM_PROCID"), size, localRank, localSize);
}

}  // namespace

LaunchInfo readLaunchInfo() {
  for (const auto& read : {fromQccl, fromTorchrun, fromOpenMpi, fromPmi, fromSlurm}) {
    if (const std::optional<LaunchInfo> info = read()) return *info;
  }
  return {0, 1, 0, 1, "none"};
}

}  // namespace qccl::transport
