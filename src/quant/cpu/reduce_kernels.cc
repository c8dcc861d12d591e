// Arithmetic of the exact path on the host: every type of NCCL, every operation.
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/error.hpp"
#include "quant/float_formats.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant {
namespace {

// How a data type lies in memory (Stored) and what it is computed in (Acc).
template <typename S, typename A>
struct Plain {
  using Stored = S;
  using Acc = A;
  static Acc widen(Stored x) { return x; }
  static Stored narrow(Acc x) { return x; }
};
template <typename S, float (*kWiden)(S), S (*kNarrow)(float)>
struct Short {
  using Stored = S;
  using Acc = float;
  static float widen(S x) { return kWiden(x); }
  static S narrow(float x) { return kNarrow(x); }
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
  static A apply(A a, A x) {
    return static_cast<A>(static_cast<Wrapping<A>>(a) + static_cast<Wrapping<A>>(x));
  }
};
struct Prod {
  template <typename A>
  static A apply(A a, A x) {
    return static_cast<A>(static_cast<Wrapping<A>>(a) * static_cast<Wrapping<A>>(x));
  }
};
// Written so that NaN on either side wins: `x != x` takes a NaN from x, and no comparison takes anything over a NaN in a.
struct Max {
  template <typename A>
  static A apply(A a, A x) {
    return x > a || x != x ? x : a;
  }
};
struct Min {
  template <typename A>
  static A apply(A a, A x) {
    return x < a || x != x ? x : a;
  }
};

// Elements are read and written through memcpy: user buffers have the alignment of their type, staging is aligned, and the compiler makes
// plain vector accesses of it.
template <typename V>
V get(const void* p, std::size_t i) {
  V v;
  std::memcpy(&v, static_cast<const unsigned char*>(p) + i * sizeof(V), sizeof(V));
  return v;
}
template <typename V>
void put(void* p, std::size_t i, V v) {
  std::memcpy(static_cast<unsigned char*>(p) + i * sizeof(V), &v, sizeof(V));
}

template <typename T>
void load(const void* x, std::size_t elems, void* accumulator) {
  if constexpr (std::is_same_v<typename T::Stored, typename T::Acc>) {
    if (elems > 0) std::memcpy(accumulator, x, elems * sizeof(typename T::Acc));
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

template <typename T>
void store(const void* accumulator, std::size_t elems, void* out) {
  if constexpr (std::is_same_v<typename T::Stored, typename T::Acc>) {
    if (elems > 0) std::memcpy(out, accumulator, elems * sizeof(typename T::Acc));
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
constexpr ReduceKernels makeKernels() {
  return {sizeof(typename T::Stored),
          sizeof(typename T::Acc),
          std::is_same_v<typename T::Stored, typename T::Acc>,
          load<T>,
          accumulate<T, Op>,
          store<T>,
          divide<T>};
}

template <typename T>
const ReduceKernels& forType(qcclRedOp_t op) {
  static constexpr ReduceKernels sum = makeKernels<T, Sum>();
  static constexpr ReduceKernels prod = makeKernels<T, Prod>();
  static constexpr ReduceKernels max = makeKernels<T, Max>();
  static constexpr ReduceKernels min = makeKernels<T, Min>();
  switch (op) {
    case qcclSum:
    case qcclAvg:
      return sum;
    case qcclProd:
      return prod;
    case qcclMax:
      return max;
    case qcclMin:
      return min;
    default:
      break;
  }
  fail(qcclInvalidArgument, "unknown reduction operation ", static_cast<int>(op), "; use qcclSum, qcclProd, qcclMax, qcclMin or qcclAvg");
}

}  // namespace

const ReduceKernels& reduceKernels(qcclDataType_t dtype, qcclRedOp_t op) {
  switch (dtype) {
    case qcclInt8:
      return forType<Plain<std::int8_t, std::int8_t>>(op);
    case qcclUint8:
      return forType<Plain<std::uint8_t, std::uint8_t>>(op);
    case qcclInt32:
      return forType<Plain<std::int32_t, std::int32_t>>(op);
    case qcclUint32:
      return forType<Plain<std::uint32_t, std::uint32_t>>(op);
    case qcclInt64:
      return forType<Plain<std::int64_t, std::int64_t>>(op);
    case qcclUint64:
      return forType<Plain<std::uint64_t, std::uint64_t>>(op);
    case qcclFloat16:
      return forType<Float16>(op);
    case qcclFloat32:
      return forType<Plain<float, float>>(op);
    case qcclFloat64:
      return forType<Plain<double, double>>(op);
    case qcclBfloat16:
      return forType<Bfloat16>(op);
    case qcclFloat8e4m3:
      return forType<E4m3>(op);
    case qcclFloat8e5m2:
      return forType<E5m2>(op);
    default:
      break;
  }
  fail(qcclInvalidArgument, "unknown data type ", static_cast<int>(dtype), "; see qcclDataType_t");
}

}  // namespace qccl::quant
