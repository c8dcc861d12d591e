// Structs that begin with their own size, so that old programs work with new libraries: fields that a program does not know are neither
// read nor written.
#pragma once

#include <algorithm>
#include <cstring>

#include "api/guard.hpp"

namespace qccl::api {

inline constexpr std::size_t kMaxStructBytes = 4096;  // beyond any that there will be: what is there is no size

// *from, with the fields that it does not have from `defaults`. `initializer` is what the sentence tells the caller to start from.
template <typename Struct>
Struct readSized(const char* function, const char* argument, const Struct* from, Struct defaults, const char* initializer) {
  requireNonNull(from, function, argument);
  std::size_t size = 0;
  std::memcpy(&size, from, sizeof size);
  if (size < sizeof size || size > kMaxStructBytes) {
    fail(qcclInvalidArgument, function, ": ", argument, "->size is ", size, "; start from ", initializer);
  }
  std::memcpy(&defaults, from, std::min(size, sizeof defaults));
  return defaults;
}

// *to = as much of `from` as the caller has room for.
template <typename Struct>
void writeSized(const char* function, const char* argument, const char* type, Struct* to, Struct from) {
  requireNonNull(to, function, argument);
  if (to->size < sizeof(to->size) || to->size > kMaxStructBytes) {
    fail(qcclInvalidArgument, function, ": set ", argument, "->size = sizeof(", type, ") first");
  }
  from.size = std::min(to->size, sizeof(from));
  std::memcpy(to, &from, from.size);
}

}  // namespace qccl::api
