// Two ranks as threads of one process, driven through the installed headers only.
#include <qccl/qccl.h>

#include <cstdio>
#include <vector>

int main() {
  std::vector<qcclComm_t> comms(2);
  std::vector<std::vector<float>> data = {{1.0f, 2.0f}, {10.0f, 20.0f}};
  if (qcclCommInitAll(comms.data(), 2, nullptr) != qcclSuccess) {
    std::fprintf(stderr, "%s\n", qcclGetLastError(nullptr));
    return 1;
  }
  qcclGroupStart();
  for (std::size_t r = 0; r < 2; ++r) qcclAllReduce(data[r].data(), data[r].data(), 2, qcclFloat32, qcclSum, comms[r], nullptr);
  if (qcclGroupEnd() != qcclSuccess) {
    std::fprintf(stderr, "%s\n", qcclGetLastError(nullptr));
    return 1;
  }
  for (qcclComm_t comm : comms) qcclCommDestroy(comm);
  const bool right = data[0] == std::vector<float>{11.0f, 22.0f} && data[1] == data[0];
  std::printf("version %d: %g %g\n", QCCL_VERSION_CODE, static_cast<double>(data[0][0]), static_cast<double>(data[0][1]));
  return right ? 0 : 1;
}
