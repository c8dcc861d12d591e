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

// "none"; or "exact" or a codec of the library ("int8", "fp8e4m3"), alone (the library chooses the algorithm) or followed by a dash and an
// algorithm of the library ("int4-twoshot"). Throws TrainError that lists these for anything else.
CommMode parseCommMode(const std::string& name);

// The codec of that name; -1 for any other name, "none" included.
int findCodec(const std::string& name);

// The library's names of the codecs (without none), "int8, int6, ...", and of the algorithms (without auto).
std::string codecNames();
std::string algorithmNames();

}  // namespace qccl::train
