// SwiGLU that saves its inputs, and its gradients from what was saved. One pass.
//
// Bytes moved, of n products in blocks of B: forward n times three values (gate, up, the product), two codes, and 2 n / B scales: of
// bfloat16 into int4 with B = 128 and BF16 scales 7.03 n; backward n times three values (dProduct, dGate, dUp), a fourth if the product is
// wanted again, and the same codes: 7.03 n or 9.03 n. Bounded by the memory, with instructions close behind: about 50
// of the 59 that there is time for, 20 of them for a sigmoid.
#pragma once

#include "memory/cuda/tensor_codec.cuh"
#include "memory/fused_formulas.hpp"

namespace qccl::memory::cuda {

struct SwigluForwardArguments {
  const unsigned char* gate;
  const unsigned char* up;
  unsigned char* product;
  StoredTensor gateTensor, upTensor;  // of one format
};

struct SwigluBackwardArguments {
  const unsigned char* dProduct;
  unsigned char* dGate;
  unsigned char* dUp;
  unsigned char* product;  // or nullptr
  StoredTensor gateTensor, upTensor;
};

// Thread blocks on a multiprocessor, or it has too little to do while some wait for memory. Codes without a scale take more registers than
// that leaves, and fewer instructions.
template <typename Codec>
inline constexpr std::uint32_t kTileBlocks = Codec::kHasScale ? 4 : 3;

template <typename T>
__device__ __forceinline__ void productTile(const Part<T>& part, const RawGroup (&gate)[kRows], const RawGroup (&up)[kRows],
                                            unsigned char* product) {
  const PartTarget<T> target(part, product);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    float values[kGroupElems<T>];
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i)
      values[i] = swigluProduct(widenAnyNan<T>(bitsIn<T>(gate[row], i)), widenAnyNan<T>(bitsIn<T>(up[row], i)));
    target.store(part, row, narrowAnyNan<T>(values));
  }
}

template <typename Codec, typename T>
__global__ void __launch_bounds__(kThreads, kTileBlocks<Codec>) swigluForwardKernel(const __grid_constant__ SwigluForwardArguments args) {
  __shared__ WarpWords shared[2];
  const Part<T> part = tilePart<T>(args.gateTensor);
  RawGroup gate[kRows], up[kRows];
  loadPart(part, args.gate, part.tileFirst, gate);
  loadPart(part, args.up, part.tileFirst, up);
  productTile(part, gate, up, args.product);
  storeTile<Codec>(part, gate, args.gateTensor, shared[0]);
  storeTile<Codec>(part, up, args.upTensor, shared[1]);
}

// The product alone, where gate and up are saved in different formats, or as they are.
template <typename T>
__global__ void __launch_bounds__(kThreads) swigluProductKernel(const __grid_constant__ SwigluForwardArguments args) {
  const Part<T> part = tilePart<T>(args.gateTensor);
  RawGroup gate[kRows], up[kRows];
  loadPart(part, args.gate, part.tileFirst, gate);
  loadPart(part, args.up, part.tileFirst, up);
  productTile(part, gate, up, args.product);
}

template <typename Codec, typename T>
__global__ void __launch_bounds__(kThreads, kTileBlocks<Codec>) swigluBackwardKernel(const __grid_constant__ SwigluBackwardArguments args) {
  const Part<T> part = tilePart<T>(args.gateTensor);
  if (!part.any()) return;
  RawGroup dProduct[kRows];
  StoredPart<Codec, T> gateCodes, upCodes;
  loadPart(part, args.dProduct, part.tileFirst, dProduct);
  gateCodes.load(part, args.gateTensor);
  upCodes.load(part, args.upTensor);
  const auto gateNumbers = gateCodes.numbers(args.gateTensor);
  const auto upNumbers = upCodes.numbers(args.upTensor);

  const PartTarget<T> dGate(part, args.dGate), dUp(part, args.dUp), product(part, args.product);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    float gates[kGroupElems<T>], ups[kGroupElems<T>], products[kGroupElems<T>];
    gateNumbers.decode(gateCodes.groups[row], gates);
    upNumbers.decode(upCodes.groups[row], ups);
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      const SwigluGradients d = swigluGradients(gates[i], ups[i], widenAnyNan<T>(bitsIn<T>(dProduct[row], i)));
      gates[i] = d.gate, ups[i] = d.up, products[i] = d.product;
    }
    dGate.store(part, row, narrowAnyNan<T>(gates));
    dUp.store(part, row, narrowAnyNan<T>(ups));
    if (args.product != nullptr) product.store(part, row, narrowAnyNan<T>(products));
  }
}

}  // namespace qccl::memory::cuda
