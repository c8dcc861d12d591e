// Arithmetic of the exact path on the host: every type of NCCL, every operation. Included by one source file for each instruction set,
// which defines QCCL_KERNEL_ISA to the name of its namespace, like the codec kernels: loops that compilers make vectors of. Each operation
// is one IEEE operation, so all instruction sets give the same bits (but for a NaN's payload).
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "quant/float_formats.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant::QCCL_KERNEL_ISA {
namespace {

// How a data type lies in memory (Stored) and what it is computed in (Acc).
template <typename S, typename A>
struct Plain {
  using Stored = S;
  using Acc = A;
  static QCCL_HD Acc widen(Stored x) { return x; }
  static QCCL_HD Stored narrow(Acc x) { return x; }
};
template <typename S, float (*kWiden)(S), S (*kNarrow)(float)>
struct Short {
  using Stored = S;
  using Acc = float;
  static QCCL_HD float widen(S x) { return kWiden(x); }
  static QCCL_HD S narrow(float x) { return kNarrow(x); }
};
using Bfloat16 = Short<std::uint16_t, fromBfloat16, toBfloat16>;
using Float16 = Short<std::uint16_t, fromFloat16, toFloat16>;
using E4m3 = Short<std::uint8_t, Float8E4m3::toFloat, Float8E4m3::fromFloat>;
using E5m2 = Short<std::uint8_t, Float8E5m2::toFloat, Float8E5m2::fromFloat>;

// Integers wrap; the arithmetic is done unsigned and wide enough that no promotion to int can overflow.
template <typename A>
using Wrapping = std::conditional_t<std::is_integral_v<A>, std::uint64_t, A>;

struct Sum {
  template <typename A>
  static QCCL_HD A apply(A a, A x) {
    return static_cast<A>(static_cast<Wrapping<A>>(a) + static_cast<Wrapping<A>>(x));
  }
};
struct Prod {
  template <typename A>
  static QCCL_HD A apply(A a, A x) {
    return static_cast<A>(static_cast<Wrapping<A>>(a) * static_cast<Wrapping<A>>(x));
  }
};
// Written so that NaN on either side wins: `x != x` takes a NaN from x, and no comparison takes anything over a NaN in a.
struct Max {
  template <typename A>
  static QCCL_HD A apply(A a, A x) {
    return x > a || x != x ? x : a;
  }
};
struct Min {
  template <typename A>
  static QCCL_HD A apply(A a, A x) {
    return x < a || x != x ? x : a;
  }
};

// Elements are read and written through memcpy: user buffers have the alignment of their type, staging is aligned, and the compiler makes
// plain vector accesses of it.
template <typename V>
QCCL_HD V get(const void* p, std::size_t i) {
  V v;
  __builtin_memcpy(&v, static_cast<const unsigned char*>(p) + i * sizeof(V), sizeof(V));
  return v;
}
template <typename V>
QCCL_HD void put(void* p, std::size_t i, V v) {
  __builtin_memcpy(static_cast<unsigned char*>(p) + i * sizeof(V), &v, sizeof(V));
}

template <typename T>
void load(const void* x, std::size_t elems, void* accumulator) {
  if constexpr (std::is_same_v<typename T::Stored, typename T::Acc>) {
    if (elems > 0) __builtin_memcpy(accumulator, x, elems * sizeof(typename T::Acc));
  } else {
    for (std::size_t i = 0; i < elems; ++i) put(accumulator, i, T::widen(get<typename T::Stored>(x, i)));
  }
}

template <typename T, typename Op>
void accumulate(const void* x, std::size_t elems, void* accumulator) {
  using Acc = typename T::Acc;
  auto* a = static_cast<Acc*>(accumulator);
  for (std::size_t i = 0; i < elems; ++i) a[i] = Op::template apply<Acc>(a[i], T::widen(get<typename T::Stored>(x, i)));
}

// The pragma: `out` may be one of the operands, but no element of it is read after another one was written.
template <typename T, typename Op>
void combine(const void* accumulator, const void* x, std::size_t elems, void* out) {
  using Acc = typename T::Acc;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
  for (std::size_t i = 0; i < elems; ++i) put(out, i, Op::template apply<Acc>(get<Acc>(accumulator, i), get<Acc>(x, i)));
}

template <typename T>
void store(const void* accumulator, std::size_t elems, void* out) {
  if constexpr (std::is_same_v<typename T::Stored, typename T::Acc>) {
    if (elems > 0) __builtin_memcpy(out, accumulator, elems * sizeof(typename T::Acc));
  } else {
    const auto* a = static_cast<const typename T::Acc*>(accumulator);
    for (std::size_t i = 0; i < elems; ++i) put(out, i, T::narrow(a[i]));
  }
}

template <typename T>
void divide(void* accumulator, std::size_t elems, int by) {
  using Acc = typename T::Acc;
  auto* a = static_cast<Acc*>(accumulator);
  if constexpr (std::is_integral_v<Acc>) {
    // Widened so that a number of ranks beyond the type's range still divides rightly.
    using Wide = std::conditional_t<std::is_signed_v<Acc>, std::int64_t, std::uint64_t>;
    for (std::size_t i = 0; i < elems; ++i) a[i] = static_cast<Acc>(static_cast<Wide>(a[i]) / static_cast<Wide>(by));
  } else {
    for (std::size_t i = 0; i < elems; ++i) a[i] = a[i] / static_cast<Acc>(by);
  }
}

template <typename T, typename Op>
constexpr ReduceKernels tableOf() {
  constexpr bool kSame = std::is_same_v<typename T::Stored, typename T::Acc>;
  void (*combined)(const void*, const void*, std::size_t, void*) = nullptr;
  if constexpr (kSame) combined = combine<T, Op>;
  return {sizeof(typename T::Stored), sizeof(typename T::Acc), kSame, load<T>, accumulate<T, Op>, combined, store<T>, divide<T>};
}

}  // namespace

#define QCCL_REDUCE_ROW(...) \
  { tableOf<__VA_ARGS__, Sum>(), tableOf<__VA_ARGS__, Prod>(), tableOf<__VA_ARGS__, Max>(), tableOf<__VA_ARGS__, Min>() }

// Declared first: a constant has internal linkage otherwise, and kernels.cc reads these. By type; sum, product, maximum, minimum.
extern const ReduceKernels kReduceKernels[qcclNumTypes][4];
const ReduceKernels kReduceKernels[qcclNumTypes][4] = {
    QCCL_REDUCE_ROW(Plain<std::int8_t, std::int8_t>),
    QCCL_REDUCE_ROW(Plain<std::uint8_t, std::uint8_t>),
    QCCL_REDUCE_ROW(Plain<std::int32_t, std::int32_t>),
    QCCL_REDUCE_ROW(Plain<std::uint32_t, std::uint32_t>),
    QCCL_REDUCE_ROW(Plain<std::int64_t, std::int64_t>),
    QCCL_REDUCE_ROW(Plain<std::uint64_t, std::uint64_t>),
    QCCL_REDUCE_ROW(Float16),
    QCCL_REDUCE_ROW(Plain<float, float>),
    QCCL_REDUCE_ROW(Plain<double, double>),
    QCCL_REDUCE_ROW(Bfloat16),
    QCCL_REDUCE_ROW(E4m3),
    QCCL_REDUCE_ROW(E5m2),
};
#undef QCCL_REDUCE_ROW
static_assert(qcclInt8 == 0 && qcclUint8 == 1 && qcclInt32 == 2 && qcclUint32 == 3 && qcclInt64 == 4 && qcclUint64 == 5 &&
              qcclFloat16 == 6 && qcclFloat32 == 7 && qcclFloat64 == 8 && qcclBfloat16 == 9 && qcclFloat8e4m3 == 10 &&
              qcclFloat8e5m2 == 11 && qcclNumTypes == 12);

}  // namespace qccl::quant::QCCL_KERNEL_ISA
