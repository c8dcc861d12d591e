// extern "C": include/qccl/launch.h.
#include <qccl/launch.h>

#include "api/guard.hpp"
#include "core/settings.hpp"
#include "transport/launch.hpp"

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclLaunchGetInfo(qcclLaunchInfo_t* info) {
  return guard([&] {
    requireNonNull(info, "qcclLaunchGetInfo", "info");
    *info = qccl::transport::readLaunchInfo();
  });
}

qcclResult_t qcclLaunchGetUniqueId(const qcclLaunchInfo_t* info, qcclUniqueId* id) {
  return guard([&] {
    requireNonNull(info, "qcclLaunchGetUniqueId", "info");
    requireNonNull(id, "qcclLaunchGetUniqueId", "id");
    *id = qccl::transport::launchUniqueId(*info, qccl::readSettings());
  });
}

qcclResult_t qcclLaunchLocal(int nranks, char* const argv[], int* exitCode) {
  return guard([&] {
    requireNonNull(argv, "qcclLaunchLocal", "argv");
    requireNonNull(exitCode, "qcclLaunchLocal", "exitCode");
    if (nranks < 1) qccl::fail(qcclInvalidArgument, "qcclLaunchLocal: nranks = ", nranks, " must be at least 1");
    *exitCode = qccl::transport::launchLocal(nranks, argv);
  });
}

}  // extern "C"
