// What ranks tell one another, as structs.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "core/deadline.hpp"
#include "core/error.hpp"
#include "transport/control.hpp"

namespace qccl::transport {

// Every rank's `mine`, as the struct that it is.
template <typename T>
std::vector<T> gatherStructs(Control& control, const T& mine, Deadline deadline) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::vector<std::string> all = control.allGather(std::string(reinterpret_cast<const char*>(&mine), sizeof(mine)), deadline);
  std::vector<T> result(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() != sizeof(T)) fail(qcclInvalidUsage, "rank ", i, " runs another version of qccl; use the same library on all ranks");
    std::memcpy(&result[i], all[i].data(), sizeof(T));
  }
  return result;
}

}  // namespace qccl::transport
