// One rank with a GPU as a process of its own, for device_process_test.cc: joins the communicator of the id it is given and all-reduces.
//   sum ID RANK SIZE      prints, for each algorithm, a line of its name and a hash of the result
//   die ID RANK SIZE      all-reduces until it fails, and prints the error; rank 1 kills itself after the 20th
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "api/all_reduce_cases.hpp"
#include "api/cuda/device_ranks.hpp"

namespace {

using namespace qccl;  // NOLINT(google-build-using-namespace)

void require(qcclResult_t result, qcclComm_t comm) {
  if (result == qcclSuccess) return;
  std::printf("%s\n", qcclGetLastError(comm));
  std::fflush(stdout);
  std::_Exit(100 + result);
}

std::uint64_t hashOf(const std::vector<float>& values) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const float value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    hash = (hash ^ bits) * 0x100000001b3u;
  }
  return hash;
}

class Rank {
 public:
  Rank(qcclComm_t comm, int rank) : comm_(comm), guard_(test::deviceOf(rank)), values_(200003), in_(bytes()), out_(bytes()) {
    for (std::size_t i = 0; i < values_.size(); ++i)
      values_[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(rank) * 11) % 1001) - 500;
    device::cuda::copyAsync(in_.data(), values_.data(), bytes(), stream_.handle());
  }

  void sum(qcclAlgo_t algorithm) {
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.codec = qcclCodecInt8;
    quant.algorithm = algorithm;
    require(qcclAllReduceEx(in_.data(), out_.data(), values_.size(), qcclFloat32, qcclSum, &quant, comm_, stream_.handle()), comm_);
    stream_.synchronize();
    qcclResult_t failed = qcclSuccess;
    require(qcclCommGetAsyncError(comm_, &failed), comm_);
    require(failed, comm_);
  }

  std::uint64_t hashOfSum() {
    device::cuda::copyAsync(values_.data(), out_.data(), bytes(), stream_.handle());
    stream_.synchronize();
    return hashOf(values_);
  }

 private:
  std::size_t bytes() const { return values_.size() * sizeof(float); }

  const qcclComm_t comm_;
  const device::cuda::DeviceGuard guard_;
  std::vector<float> values_;
  device::cuda::DeviceBuffer in_, out_;
  device::cuda::Stream stream_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string mode = argv[1];
  qcclUniqueId id;
  test::idFromHex(argv[2], &id);
  const int number = std::atoi(argv[3]);
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.transport = "ucx";
  config.timeoutMs = 60000;
  qcclComm_t comm = nullptr;
  require(qcclCommInitRankConfig(&comm, std::atoi(argv[4]), id, number, &config), nullptr);
  {
    Rank rank(comm, number);
    for (int call = 0; mode == "die"; ++call) {
      if (number == 1 && call == 20) kill(getpid(), SIGKILL);
      rank.sum(qcclAlgoOneshot);
    }
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
      rank.sum(algorithm);
      std::printf("%s %016llx\n", qcclEnumName(qcclEnumAlgo, algorithm), static_cast<unsigned long long>(rank.hashOfSum()));
    }
  }
  require(qcclCommDestroy(comm), nullptr);
  return 0;
}
