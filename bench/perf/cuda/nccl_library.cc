#include "perf/cuda/nccl_library.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include "common/api.hpp"

namespace qccl::bench {
namespace {

template <typename Function>
void find(void* library, const char* name, const std::string& file, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function == nullptr) throw ToolError("--against nccl: " + file + " has no " + name + "; give the file of NCCL 2.13 or later");
}

std::string pathOf(const void* function, const std::string& otherwise) {
  Dl_info info;
  return dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : otherwise;
}

}  // namespace

void NcclLibrary::check(ncclResult_t result, const char* call) const {
  if (result == ncclSuccess) return;
  const char* story = GetLastError(nullptr);
  std::string text = std::string(call) + ": " + GetErrorString(result);
  if (story != nullptr && *story != '\0') text += std::string(": ") + story;
  throw ToolError(text + " (NCCL_DEBUG=WARN says more)");
}

std::string NcclLibrary::description() const {
  int version = 0;
  check(GetVersion(&version), "ncclGetVersion");
  return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100) +
         " (" + path + ")";
}

NcclLibrary openNccl(const std::string& file) {
  const char* named = std::getenv("NCCL_LIBRARY");
  const std::string name = !file.empty() ? file : named != nullptr && *named != '\0' ? named : "libnccl.so.2";
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    throw ToolError("--against nccl: " + name + " cannot be opened (" + (why != nullptr ? why : "no reason given") +
                    "); name the file with --nccl-lib or NCCL_LIBRARY, PyTorch's is site-packages/nvidia/nccl/lib/libnccl.so.2");
  }
  NcclLibrary nccl;
  find(library, "ncclGetVersion", name, &nccl.GetVersion);
  find(library, "ncclGetErrorString", name, &nccl.GetErrorString);
  find(library, "ncclGetLastError", name, &nccl.GetLastError);
  find(library, "ncclGetUniqueId", name, &nccl.GetUniqueId);
  find(library, "ncclCommInitRank", name, &nccl.CommInitRank);
  find(library, "ncclCommDestroy", name, &nccl.CommDestroy);
  find(library, "ncclCommAbort", name, &nccl.CommAbort);
  find(library, "ncclAllReduce", name, &nccl.AllReduce);
  find(library, "ncclReduceScatter", name, &nccl.ReduceScatter);
  find(library, "ncclAllGather", name, &nccl.AllGather);
  find(library, "ncclBroadcast", name, &nccl.Broadcast);
  find(library, "ncclReduce", name, &nccl.Reduce);
  find(library, "ncclSend", name, &nccl.Send);
  find(library, "ncclRecv", name, &nccl.Recv);
  find(library, "ncclGroupStart", name, &nccl.GroupStart);
  find(library, "ncclGroupEnd", name, &nccl.GroupEnd);
  nccl.path = pathOf(reinterpret_cast<const void*>(nccl.AllReduce), name);
  return nccl;
}

}  // namespace qccl::bench
