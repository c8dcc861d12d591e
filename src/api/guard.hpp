// The C border: every extern "C" body runs inside guard(), which turns exceptions into result codes and keeps their sentence for
// qcclGetLastError.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "core/error.hpp"

namespace qccl::api {

// The last failure of this thread.
std::string& lastError();

template <typename Body>
qcclResult_t guard(Body body) noexcept {
  try {
    try {
      body();
      return qcclSuccess;
    } catch (const Error& error) {
      lastError() = error.what();
      return error.code();
    } catch (const std::bad_alloc&) {
      lastError() = "out of memory";
      return qcclSystemError;
    } catch (const std::exception& error) {
      lastError() = strCat("unexpected: ", error.what(), "; please report it");
      return qcclInternalError;
    }
  } catch (...) {
    return qcclSystemError;  // not even memory for the sentence
  }
}

// Throws Error(qcclInvalidArgument) naming the argument if it is NULL.
template <typename T>
void requireNonNull(const T* pointer, const char* function, const char* argument) {
  if (pointer == nullptr) fail(qcclInvalidArgument, function, ": ", argument, " is NULL");
}

}  // namespace qccl::api
