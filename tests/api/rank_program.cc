// One rank as a process of its own, for process_test.cc: joins the communicator of the id it is given and does what its first argument
// says.
//   hash ID RANK SIZE              prints one line "algorithm codec type hash" for each kind of all-reduce
//   loop ID RANK SIZE VICTIM HOW   all-reduces until it fails, and prints the error; rank VICTIM dies ("kill") or stops calling ("hang")
//   after the 20th
#include <qccl/qccl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "all_reduce_cases.hpp"

namespace {

using qccl::test::AllReduceCase;

// Prints the story and ends the process, unless the call succeeded.
void require(qcclResult_t result, const char* what, qcclComm_t comm) {
  if (result == qcclSuccess) return;
  std::printf("%s: %s\n", what, qcclGetLastError(comm));
  std::fflush(stdout);
  std::_Exit(100 + result);
}

int printHashes(qcclComm_t comm, int rank) {
  for (const AllReduceCase& kind : qccl::test::allReduceCases()) {
    std::printf("%s %016llx\n", kind.name().c_str(), static_cast<unsigned long long>(kind.run(comm, rank)));
  }
  require(qcclCommDestroy(comm), "destroy", nullptr);
  return 0;
}

int loop(qcclComm_t comm, int rank, int victim, const std::string& how) {
  std::vector<float> x(200000, 1.0f);
  for (int call = 0;; ++call) {
    if (rank == victim && call == 20) {
      if (how == "kill") kill(getpid(), SIGKILL);
      // Hangs: alive, but calls no more, until it learns that the others have given up.
      qcclResult_t state = qcclSuccess;
      while (state == qcclSuccess) {
        usleep(10000);
        require(qcclCommGetAsyncError(comm, &state), "async error", comm);
      }
      require(state, "told", comm);
    }
    require(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclMax, comm, nullptr), "failed", comm);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const std::string mode = argv[1];
  qcclUniqueId id;
  qccl::test::idFromHex(argv[2], &id);
  const int rank = std::atoi(argv[3]);
  const int size = std::atoi(argv[4]);
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.transport = "ucx";
  config.timeoutMs = mode == "loop" && std::string(argv[6]) == "hang" ? 1500 : 60000;
  qcclComm_t comm = nullptr;
  require(qcclCommInitRankConfig(&comm, size, id, rank, &config), "init", nullptr);
  return mode == "hash" ? printHashes(comm, rank) : loop(comm, rank, std::atoi(argv[5]), argv[6]);
}
