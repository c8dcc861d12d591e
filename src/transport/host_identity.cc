#include "transport/host_identity.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "core/error.hpp"

namespace qccl::transport {

std::string thisHost() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  if (boot.empty()) {  // no /proc: the name has to do
    char name[256] = {};
    if (gethostname(name, sizeof name - 1) == 0) boot = name;
  }
  struct stat network {};
  if (stat("/proc/self/ns/net", &network) != 0) return boot;
  return strCat(boot, " ", network.st_dev, ":", network.st_ino);
}

std::vector<int> numberHosts(const std::vector<std::string>& hosts) {
  std::vector<std::string> known;
  std::vector<int> numbers;
  for (const std::string& host : hosts) {
    const auto at = std::find(known.begin(), known.end(), host);
    numbers.push_back(static_cast<int>(at - known.begin()));
    if (at == known.end()) known.push_back(host);
  }
  return numbers;
}

}  // namespace qccl::transport
