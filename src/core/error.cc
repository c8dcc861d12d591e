#include "core/error.hpp"

#include <cstring>

namespace qccl {

void failErrno(const std::string& what, int errnoValue) { fail(qcclSystemError, what, ": ", std::strerror(errnoValue)); }

}  // namespace qccl
