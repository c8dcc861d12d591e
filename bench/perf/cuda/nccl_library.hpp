// The real NCCL, opened at run time: qccl-perf runs without it, and the user chooses which one to compare with.
#pragma once

#include <nccl.h>

#include <string>

namespace qccl::bench {

// Its functions, under the names that they have after the prefix. Valid for ever: a library with threads of its own is never closed.
struct NcclLibrary {
  decltype(&::ncclGetVersion) GetVersion;
  decltype(&::ncclGetErrorString) GetErrorString;
  decltype(&::ncclGetLastError) GetLastError;
  decltype(&::ncclGetUniqueId) GetUniqueId;
  decltype(&::ncclCommInitRank) CommInitRank;
  decltype(&::ncclCommDestroy) CommDestroy;
  decltype(&::ncclCommAbort) CommAbort;
  decltype(&::ncclAllReduce) AllReduce;
  decltype(&::ncclReduceScatter) ReduceScatter;
  decltype(&::ncclAllGather) AllGather;
  decltype(&::ncclBroadcast) Broadcast;
  decltype(&::ncclReduce) Reduce;
  decltype(&::ncclSend) Send;
  decltype(&::ncclRecv) Recv;
  decltype(&::ncclGroupStart) GroupStart;
  decltype(&::ncclGroupEnd) GroupEnd;
  std::string path;  // of the file that was loaded

  // Throws ToolError with NCCL's own story unless `result` is ncclSuccess. To be called by the thread that made the call.
  void check(ncclResult_t result, const char* call) const;
  // "NCCL 2.28.9 (/path/libnccl.so.2)"
  std::string description() const;
};

// `file`: empty for NCCL_LIBRARY, else libnccl.so.2 as the loader finds it. Throws ToolError.
NcclLibrary openNccl(const std::string& file);

}  // namespace qccl::bench
