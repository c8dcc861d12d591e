// CUDA's stream, as a pointer that nobody needs CUDA's headers to pass on.
#pragma once

struct CUstream_st;

namespace qccl::device {

// What cudaStream_t is; nullptr is the default stream.
using StreamHandle = CUstream_st*;

}  // namespace qccl::device
