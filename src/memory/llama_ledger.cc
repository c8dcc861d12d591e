#include "memory/llama_ledger.hpp"

#include <array>
#include <utility>

#include "core/error.hpp"

namespace qccl::memory {
namespace {

// Far above any model, far below overflow: a width times a width times the tokens must fit.
constexpr std::size_t kMaxDimension = std::size_t{1} << 24;

void checkShape(const LlamaShape& shape, std::size_t batch, std::size_t seqLen) {
  const std::array<std::pair<const char*, std::size_t>, 8> fields = {{{"layers", shape.layers},
                                                                      {"hidden", shape.hidden},
                                                                      {"ffn", shape.ffn},
                                                                      {"heads", shape.heads},
                                                                      {"kvHeads", shape.kvHeads},
                                                                      {"headDim", shape.headDim},
                                                                      {"batch", batch},
                                                                      {"seqLen", seqLen}}};
  for (const auto& [name, value] : fields) {
    if (value == 0 || value > kMaxDimension)
      fail(qcclInvalidArgument, "LLaMA shape: ", name, " = ", value, " must be 1 to ", kMaxDimension);
  }
  if (shape.firstLayer > kMaxDimension) fail(qcclInvalidArgument, "LLaMA shape: firstLayer = ", shape.firstLayer, " is too large");
  if (shape.heads % shape.kvHeads != 0) {
    fail(qcclInvalidArgument, "LLaMA shape: kvHeads = ", shape.kvHeads, " must divide heads = ", shape.heads);
  }
}

}  // namespace

Ledger llamaLedger(const LlamaShape& shape, std::size_t batch, std::size_t seqLen, const LlamaFormats& formats) {
  checkShape(shape, batch, seqLen);
  const std::size_t tokens = batch * seqLen;
  const std::size_t queryWidth = shape.heads * shape.headDim, kvWidth = shape.kvHeads * shape.headDim;
  const TensorFormat statistics = formatOfBits(32);
  Ledger ledger;
  for (std::size_t layer = shape.firstLayer; layer < shape.firstLayer + shape.layers; ++layer) {
    const auto save = [&](const char* kind, std::size_t elemsPerToken, const TensorFormat& format) {
      ledger.add({strCat("layers.", layer, ".", kind), elemsPerToken * tokens, format});
    };
    save("xhat1", shape.hidden, formats.rest);
    save("rstd1", 1, statistics);
    if (!shape.recompute) save("norm1", shape.hidden, formats.rest);
    save("q", queryWidth, formats.attention);
    save("k", kvWidth, formats.attention);
    save("v", kvWidth, formats.attention);
    save("o", queryWidth, formats.attention);
    save("lse", shape.heads, statistics);
    save("xhat2", shape.hidden, formats.rest);
    save("rstd2", 1, statistics);
    if (!shape.recompute) save("norm2", shape.hidden, formats.rest);
    save("gate", shape.ffn, formats.rest);
    save("up", shape.ffn, formats.rest);
    if (!shape.recompute) save("product", shape.ffn, formats.rest);
  }
  if (shape.head) {
    ledger.add({"head.xhat", shape.hidden * tokens, formats.rest});
    ledger.add({"head.rstd", tokens, statistics});
    ledger.add({"head.lse", tokens, statistics});
  }
  return ledger;
}

}  // namespace qccl::memory
