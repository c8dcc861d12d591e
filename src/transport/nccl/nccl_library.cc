#include "transport/nccl/nccl_library.cuh"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "core/error.hpp"

namespace qccl::transport {
namespace {

// The first with ncclCommSplit, by which communicators are made (nccl_comm.cc).
constexpr int kOldestVersion = 21801;

std::string versionText(int version) { return strCat(version / 10000, ".", version / 100 % 100, ".", version % 100); }

template <typename Function>
void load(void* library, const char* name, const std::string& file, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    fail(qcclSystemError, file, " has no ", name, ": NCCL ", versionText(kOldestVersion),
         " or later is needed; name the file of one with QCCL_NCCL_LIBRARY");
  }
}

NcclLibrary load(const std::string& file) {
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    fail(qcclSystemError, "NCCL cannot be opened (", why != nullptr ? why : file.c_str(),
         "); install it, or name its file with QCCL_NCCL_LIBRARY (PyTorch's is site-packages/nvidia/nccl/lib/libnccl.so.2)");
  }
  NcclLibrary table;
#define QCCL_LOAD(name) load(library, "nccl" #name, file, table.name);
  QCCL_NCCL_FUNCTIONS(QCCL_LOAD)
#undef QCCL_LOAD
  if (table.GetVersion(&table.version) != ncclSuccess || table.version < kOldestVersion) {
    fail(qcclSystemError, file, " is NCCL ", versionText(table.version), "; ", versionText(kOldestVersion),
         " or later is needed: name the file of one with QCCL_NCCL_LIBRARY");
  }
  Dl_info info;
  const bool known = dladdr(reinterpret_cast<const void*>(table.AllReduce), &info) != 0 && info.dli_fname != nullptr;
  table.path = known ? info.dli_fname : file;
  return table;
}

}  // namespace

const NcclLibrary& openNccl(const std::string& file) {
  // Never destroyed: communicators may still be ending while the process does.
  static std::mutex& mutex = *new std::mutex;
  static auto& opened = *new std::map<std::string, NcclLibrary>;
  const std::string name = file.empty() ? "libnccl.so.2" : file;
  const std::lock_guard lock(mutex);
  const auto known = opened.find(name);
  if (known != opened.end()) return known->second;
  return opened.emplace(name, load(name)).first->second;
}

}  // namespace qccl::transport
