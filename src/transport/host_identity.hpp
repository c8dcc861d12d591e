// What tells one host from another.
#pragma once

#include <string>
#include <vector>

namespace qccl::transport {

// Text that is equal for two processes exactly if they share a kernel (its boot) and a network namespace: containers with networks of
// their own count as hosts, since what they send one another leaves by their interfaces.
std::string thisHost();

// Numbers hosts in the order of their first appearance: {"a", "a", "b"} -> {0, 0, 1}.
std::vector<int> numberHosts(const std::vector<std::string>& hosts);

}  // namespace qccl::transport
