// How gradients travel: the values of --comm.
#pragma once

#include <qccl/qccl.h>

#include <string>

namespace qccl::train {

struct CommMode {
  std::string name;  // "int8-ring"
  bool communicates = false;
  qcclCodec_t codec = qcclCodecNone;
  qcclAlgo_t algorithm = qcclAlgoAuto;
};

// "none", or "exact" or "int8", alone (the library chooses the algorithm) or followed by "-ring", "-twoshot", "-oneshot" or "-tree". Throws
// TrainError that lists these for anything else.
CommMode parseCommMode(const std::string& name);

}  // namespace qccl::train
