// Calls of the C API, for programs: a failure becomes an exception with the library's own sentence.
#pragma once

#include <qccl/qccl.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace qccl::bench {

// Something the user can read: what was wrong, and what to do.
class ToolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws ToolError unless `result` is qcclSuccess. `comm` is the communicator of the failed call, if it has one.
inline void check(qcclResult_t result, const char* call, qcclComm_t comm = nullptr) {
  if (result == qcclSuccess) return;
  std::string story = qcclGetLastError(comm);
  if (story.empty()) story = qcclGetErrorString(result);
  throw ToolError(std::string(call) + ": " + story);
}

// All names of an enum, in the order of its values.
inline std::vector<std::string> enumNames(qcclEnum_t kind, int numValues) {
  std::vector<std::string> names;
  for (int value = 0; value < numValues; ++value) {
    if (const char* name = qcclEnumName(kind, value)) names.emplace_back(name);
  }
  return names;
}

}  // namespace qccl::bench
