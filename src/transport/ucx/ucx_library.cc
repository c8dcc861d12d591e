#include "transport/ucx/ucx_library.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include "core/error.hpp"

namespace qccl::transport {
namespace {

constexpr unsigned kOldestMajor = 1;
constexpr unsigned kOldestMinor = 12;

void* openLibrary(const char* name) {
  if (void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return handle;
  fail(qcclSystemError, "UCX, which carries bytes between processes, cannot be opened: ", dlerror(),
       "; install it (Debian and Ubuntu: apt install libucx0; Fedora: dnf install ucx), or keep all ranks in one process");
}

template <typename Function>
void load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    fail(qcclSystemError, "the UCX of this machine has no ", name, ": it is too old; version ", kOldestMajor, ".", kOldestMinor,
         " or later is needed");
}

UcxLibrary openUcx() {
#ifdef __SANITIZE_THREAD__
  // UCX patches libc's memory functions when it is loaded, so as to know when registered memory goes away. The thread sanitizer does not
  // survive being called from the patches at a thread's very end. (Sanitized programs do not drive RDMA devices.)
  setenv("UCX_MEM_MMAP_HOOK_MODE", "none", /*overwrite=*/0);
#endif
  UcxLibrary table;
  void* const ucp = openLibrary("libucp.so.0");
  void* const ucs = openLibrary("libucs.so.0");
#define QCCL_LOAD(name) load(ucp, #name, table.name);
  QCCL_UCP_FUNCTIONS(QCCL_LOAD)
#undef QCCL_LOAD
#define QCCL_LOAD(name) load(ucs, #name, table.name);
  QCCL_UCS_FUNCTIONS(QCCL_LOAD)
#undef QCCL_LOAD
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  table.ucp_get_version(&major, &minor, &release);
  if (major != kOldestMajor || minor < kOldestMinor) {
    fail(qcclSystemError, "the UCX of this machine is version ", major, ".", minor, ".", release, "; ", kOldestMajor, ".", kOldestMinor,
         " or a later ", kOldestMajor, ".x is needed");
  }
  return table;
}

}  // namespace

const UcxLibrary& ucx() {
  static const UcxLibrary table = openUcx();  // tried again on the next call when it throws
  return table;
}

std::string ucxVersionText() {
  try {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    ucx().ucp_get_version(&major, &minor, &release);
    return strCat(major, ".", minor, ".", release);
  } catch (const Error& error) {
    return error.what();
  }
}

void checkUcx(ucs_status_t status, const char* what, qcclResult_t code) {
  if (status < 0) fail(code, what, " failed: UCX says \"", ucx().ucs_status_string(status), "\"");
}

}  // namespace qccl::transport
