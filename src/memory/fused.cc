#include "memory/fused.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "memory/fused_formulas.hpp"
#include "memory/tensor_codec.hpp"
#include "quant/value_types.hpp"
#include "quant/wire_format.hpp"

namespace qccl::memory {
namespace {

// use(T{}) for the type of values.
template <typename Use>
void withType(qcclDataType_t dtype, Use use) {
  switch (dtype) {
    case qcclFloat32:
      return use(quant::F32{});
    case qcclBfloat16:
      return use(quant::Bf16{});
    case qcclFloat16:
      return use(quant::F16{});
    default:
      QCCL_CHECK(false);
  }
}

template <typename T>
std::vector<float> widened(const void* values, std::size_t elems) {
  std::vector<float> wide(elems);
  for (std::size_t i = 0; i < elems; ++i) wide[i] = quant::valueAt<T>(static_cast<const unsigned char*>(values), i);
  return wide;
}

template <typename T>
void store(void* values, std::size_t i, float x) {
  quant::storeAt<T>(static_cast<unsigned char*>(values), i, withOneNan(x));
}

// Adds neighbours in pairs until one is left.
float treeSum(std::vector<float> sums) {
  while (sums.size() > 1) {
    const std::size_t pairs = quant::divideUp(sums.size(), 2);
    for (std::size_t i = 0; i < pairs; ++i) sums[i] = sums[2 * i] + (2 * i + 1 < sums.size() ? sums[2 * i + 1] : 0.0f);
    sums.resize(pairs);
  }
  return sums[0];
}

float rowSum(const float* a, const float* b, std::size_t cols) {
  std::vector<float> leaves(quant::divideUp(cols, kLeafElems), 0.0f);
  for (std::size_t i = 0; i < cols; ++i) leaves[i / kLeafElems] = fmaf(a[i], b[i], leaves[i / kLeafElems]);
  return treeSum(std::move(leaves));
}

// Of FP32 values. Codec none keeps them in dtype.
template <typename T>
void storeWide(const std::vector<float>& values, qcclDataType_t dtype, const TensorFormat& format, const Place& place) {
  if (format.codec != qcclCodecNone) return storeTensor(values.data(), values.size(), qcclFloat32, format, place);
  std::vector<typename T::Bits> narrow(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) narrow[i] = T::narrow(values[i]);
  storeTensor(narrow.data(), narrow.size(), dtype, format, place);
}

template <typename T>
std::vector<float> loadWide(const Place& place, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format) {
  if (format.codec == qcclCodecNone) {
    std::vector<typename T::Bits> narrow(elems);
    loadTensor(place, elems, dtype, format, narrow.data());
    return widened<T>(narrow.data(), elems);
  }
  std::vector<float> values(elems);
  loadTensor(place, elems, qcclFloat32, format, values.data());
  return values;
}

}  // namespace

std::size_t rmsNormScratchBytes(std::size_t rows, std::size_t cols) { return (kStrips * cols + rows) * sizeof(float); }

void rmsNormForward(const RmsNormForward& call) {
  withType(call.dtype, [&]<typename T>(T) {
    const std::vector<float> x = widened<T>(call.x, call.rows * call.cols), weight = widened<T>(call.weight, call.cols);
    std::vector<float> xhat(x.size());
    for (std::size_t row = 0; row < call.rows; ++row) {
      const float* values = x.data() + row * call.cols;
      const float rstd = rstdOf(rowSum(values, values, call.cols), static_cast<float>(call.cols), call.epsilon);
      call.rstd[row] = rstd;
      for (std::size_t col = 0; col < call.cols; ++col) {
        const std::size_t i = row * call.cols + col;
        xhat[i] = withOneNan(x[i] * rstd);
        store<T>(call.output, i, xhat[i] * weight[col]);
      }
    }
    storeWide<T>(xhat, call.dtype, call.format, call.xhat);
  });
}

void rmsNormBackward(const RmsNormBackward& call) {
  withType(call.dtype, [&]<typename T>(T) {
    const std::size_t cols = call.cols;
    const std::vector<float> xhat = loadWide<T>(call.xhat, call.rows * cols, call.dtype, call.format);
    const std::vector<float> dOutput = widened<T>(call.dOutput, xhat.size()), weight = widened<T>(call.weight, cols);
    std::vector<float> g(cols), strips(kStrips * cols, 0.0f);
    for (std::size_t row = 0; row < call.rows; ++row) {
      const std::size_t first = row * cols;
      float* strip = strips.data() + row % kStrips * cols;
      for (std::size_t col = 0; col < cols; ++col) g[col] = dOutput[first + col] * weight[col];
      const float mean = meanOf(rowSum(g.data(), xhat.data() + first, cols), static_cast<float>(cols));
      for (std::size_t col = 0; col < cols; ++col) {
        const std::size_t i = first + col;
        store<T>(call.dX, i, normGradient(g[col], xhat[i], mean, call.rstd[row]));
        if (call.output != nullptr) store<T>(call.output, i, xhat[i] * weight[col]);
        strip[col] = fmaf(dOutput[i], xhat[i], strip[col]);
      }
    }
    for (std::size_t col = 0; col < cols; ++col) {
      std::vector<float> sums(kStrips);
      for (std::size_t strip = 0; strip < kStrips; ++strip) sums[strip] = strips[strip * cols + col];
      call.dWeight[col] = withOneNan(call.dWeight[col] + treeSum(std::move(sums)));
    }
  });
}

void swigluForward(const SwigluForward& call) {
  storeTensor(call.gate, call.elems, call.dtype, call.gateFormat, call.gatePlace);
  storeTensor(call.up, call.elems, call.dtype, call.upFormat, call.upPlace);
  withType(call.dtype, [&]<typename T>(T) {
    const std::vector<float> gate = widened<T>(call.gate, call.elems), up = widened<T>(call.up, call.elems);
    for (std::size_t i = 0; i < call.elems; ++i) store<T>(call.product, i, swigluProduct(gate[i], up[i]));
  });
}

void swigluBackward(const SwigluBackward& call) {
  withType(call.dtype, [&]<typename T>(T) {
    const std::vector<float> gate = loadWide<T>(call.gatePlace, call.elems, call.dtype, call.gateFormat);
    const std::vector<float> up = loadWide<T>(call.upPlace, call.elems, call.dtype, call.upFormat);
    const std::vector<float> dProduct = widened<T>(call.dProduct, call.elems);
    for (std::size_t i = 0; i < call.elems; ++i) {
      const SwigluGradients d = swigluGradients(gate[i], up[i], dProduct[i]);
      store<T>(call.dGate, i, d.gate);
      store<T>(call.dUp, i, d.up);
      if (call.product != nullptr) store<T>(call.product, i, d.product);
    }
  });
}

}  // namespace qccl::memory
