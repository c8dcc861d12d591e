// What a LLaMA saves for its backward pass, from its shape alone.
//
// A layer, in elements a token (h = hidden, a = heads * headDim, k = kvHeads * headDim, f = ffn, n = heads), in this order:
//   xhat1 h, rstd1 1 | q a, k k, v k (after rotation) | o a, lse n | xhat2 h, rstd2 1 | gate f, up f
// xhat is the normalised input of an RMSNorm: with rstd it is all that the norm's backward needs, so that the residual stream is not saved;
// norm outputs and the SwiGLU product are recomputed from it element by element. The statistics rstd and lse are kept in FP32.
#pragma once

#include <cstddef>

#include "memory/ledger.hpp"

namespace qccl::memory {

struct LlamaShape {
  std::size_t layers = 0;
  std::size_t firstLayer = 0;  // number of the first, for the names: pipeline stages have only some
  std::size_t hidden = 0;
  std::size_t ffn = 0;
  std::size_t heads = 0;
  std::size_t kvHeads = 0;
  std::size_t headDim = 0;
  bool head = false;      // with the final norm and the loss: xhat h, rstd 1, lse 1, where the last stage ends
  bool recompute = true;  // false: the norm outputs (norm1, norm2) and the SwiGLU product are saved too, as most frameworks do
};

struct LlamaFormats {
  TensorFormat attention = formatOfBits(16);  // q, k, v, o
  TensorFormat rest = formatOfBits(16);       // xhat, gate, up, and what recompute = false adds
};

// Of a micro-batch of batch * seqLen tokens. Throws Error(qcclInvalidArgument) naming the field that is wrong.
Ledger llamaLedger(const LlamaShape& shape, std::size_t batch, std::size_t seqLen, const LlamaFormats& formats);

}  // namespace qccl::memory
