#include "parallel/comm_mode.hpp"

#include "model/error.hpp"

namespace qccl::train {

CommMode parseCommMode(const std::string& name) {
  if (name == "none") return {name, false, qcclCodecNone, qcclAlgoAuto};
  const std::size_t dash = name.find('-');
  const std::string how = name.substr(0, dash);
  CommMode mode{name, true, qcclCodecNone, qcclAlgoAuto};
  bool known = how == "exact" || how == "int8";
  if (how == "int8") mode.codec = qcclCodecInt8;
  if (dash != std::string::npos) {
    const int algorithm = qcclEnumValue(qcclEnumAlgo, name.substr(dash + 1).c_str());
    known = known && algorithm > qcclAlgoAuto;
    if (known) mode.algorithm = static_cast<qcclAlgo_t>(algorithm);
  }
  if (!known) {
    failTrain("'", name,
              "' is no way to communicate; give none, exact or int8, the last two alone or with -ring, -twoshot, -oneshot or -tree");
  }
  return mode;
}

}  // namespace qccl::train
