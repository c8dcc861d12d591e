// What differs between host and device compilers, in one place. A function marked QCCL_HD is one definition of a formula for both sides; it
// is inlined always, so that a translation unit compiled for a newer instruction set cannot lend its copy to the others.
#pragma once

#if defined(__CUDACC__)
#define QCCL_HD __host__ __device__ __forceinline__
#else
#define QCCL_HD inline __attribute__((always_inline))
#endif
