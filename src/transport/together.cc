#include "transport/together.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace qccl::transport {

void together(Control& control, Deadline deadline, const std::function<void()>& body) {
  std::string why;
  try {
    body();
  } catch (const Error& error) {
    why = strCat(static_cast<int>(error.code()), " ", error.what());
  }
  const std::vector<std::string> reasons = control.allGather(why, deadline);
  for (const std::string& reason : reasons) {
    if (reason.empty()) continue;
    throw Error(static_cast<qcclResult_t>(std::atoi(reason.c_str())), reason.substr(reason.find(' ') + 1));
  }
}

}  // namespace qccl::transport
