// The real NCCL, opened when it is first needed. libqccl does not name it at link time: most programs bring their own (PyTorch's is in
// site-packages/nvidia/nccl/lib), and host memory needs none.
//
// Only nccl_comm.cc and nccl_library.cc see NCCL's header.
#pragma once

#include <nccl.h>

#include <string>

namespace qccl::transport {

// The functions that we use, without their prefix. One row each.
#define QCCL_NCCL_FUNCTIONS(X) \
  X(GetVersion)                \
  X(GetErrorString)            \
  X(GetLastError)              \
  X(GetUniqueId)               \
  X(CommInitRankConfig)        \
  X(CommSplit)                 \
  X(CommDestroy)               \
  X(CommAbort)                 \
  X(CommGetAsyncError)         \
  X(AllReduce)                 \
  X(ReduceScatter)             \
  X(AllGather)                 \
  X(Broadcast)                 \
  X(Reduce)                    \
  X(Send)                      \
  X(Recv)                      \
  X(GroupStart)                \
  X(GroupEnd)

struct NcclLibrary {
#define QCCL_DECLARE(name) decltype(&::nccl##name) name = nullptr;
  QCCL_NCCL_FUNCTIONS(QCCL_DECLARE)
#undef QCCL_DECLARE
  int version = 0;   // 22809 is 2.28.9
  std::string path;  // of the file that was loaded
};

// `file`: a path or a name for the loader; empty: libnccl.so.2. Opened once for each and never closed, for it has threads of its own.
// Throws Error(qcclSystemError) saying what is missing and what to do.
const NcclLibrary& openNccl(const std::string& file);

}  // namespace qccl::transport
