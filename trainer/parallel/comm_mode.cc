#include "parallel/comm_mode.hpp"

#include "model/error.hpp"

namespace qccl::train {
namespace {

std::string namesFrom(qcclEnum_t kind, int first, int end) {
  std::string names;
  for (int value = first; value < end; ++value) names += (names.empty() ? "" : ", ") + std::string(qcclEnumName(kind, value));
  return names;
}

}  // namespace

int findCodec(const std::string& name) {
  const int codec = qcclEnumValue(qcclEnumCodec, name.c_str());
  return codec == qcclCodecNone ? -1 : codec;
}

std::string codecNames() { return namesFrom(qcclEnumCodec, qcclCodecNone + 1, qcclNumCodecs); }

std::string algorithmNames() { return namesFrom(qcclEnumAlgo, qcclAlgoAuto + 1, qcclNumAlgos); }

CommMode parseCommMode(const std::string& name) {
  if (name == "none") return {name, false, qcclCodecNone, qcclAlgoAuto};
  const std::size_t dash = name.find('-');
  const std::string how = name.substr(0, dash);
  const int codec = how == "exact" ? qcclCodecNone : findCodec(how);
  int algorithm = qcclAlgoAuto;
  bool known = codec >= 0;
  if (dash != std::string::npos) {
    algorithm = qcclEnumValue(qcclEnumAlgo, name.substr(dash + 1).c_str());
    known = known && algorithm > qcclAlgoAuto;
  }
  if (!known) {
    failTrain("'", name, "' is no way to communicate; give none, exact or a codec (", codecNames(),
              "), the last two alone or followed by a dash and an algorithm (", algorithmNames(), "): int8-ring");
  }
  return {name, true, static_cast<qcclCodec_t>(codec), static_cast<qcclAlgo_t>(algorithm)};
}

}  // namespace qccl::train
