// Errors inside the library are exceptions that carry a result code and one sentence; src/api turns them into codes at the C border.
#pragma once

#include <qccl/qccl.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace qccl {

class Error : public std::runtime_error {
 public:
  Error(qcclResult_t code, const std::string& what) : std::runtime_error(what), code_(code) {}
  qcclResult_t code() const noexcept { return code_; }

 private:
  qcclResult_t code_;
};

// The arguments, streamed one after another.
template <typename... Args>
std::string strCat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

template <typename... Args>
[[noreturn]] void fail(qcclResult_t code, const Args&... args) {
  throw Error(code, strCat(args...));
}

// A system call failed: appends errno's text.
[[noreturn]] void failErrno(const std::string& what, int errnoValue);

}  // namespace qccl

// A condition that only a defect in qccl can break.
#define QCCL_CHECK(condition)                                                                                        \
  do {                                                                                                               \
    if (!(condition))                                                                                                \
      ::qccl::fail(qcclInternalError, "defect in qccl: ", #condition, " does not hold at ", __FILE__, ":", __LINE__, \
                   "; please report it");                                                                            \
  } while (false)
