// extern "C": include/qccl/memory.h, what is saved.
#include "api/guard.hpp"
#include "api/memory_handles.hpp"
#include "api/saved_tensor.hpp"
#include "api/sized_struct.hpp"
#include "memory/llama_ledger.hpp"

namespace qccl::api {
namespace {

// Runs `body` on the ledger that a handle names, while no other thread does.
template <typename Body>
qcclResult_t withLedger(qcclLedger_t handle, Body body) {
  return guard([&] {
    const auto instance = lookUp(handle);
    const std::lock_guard lock(instance->mutex);
    body(instance->ledger);
  });
}

memory::TensorFormat readLlamaFormat(const char* field, const qcclPackedFormat_t& format) {
  const std::string what = strCat("qcclLedgerAddLlama: shape->", field);
  if (format.codec == qcclCodecNone) {
    fail(qcclInvalidArgument, what, ".codec is none; take bf16 for 16 bits, and qcclLedgerSetFormat for values as they are");
  }
  return readTensorFormat(what, format, 0);
}

memory::Ledger readLlama(const qcclLlamaShape_t* from) {
  const auto shape =
      readSized<qcclLlamaShape_t>("qcclLedgerAddLlama", "shape", from, QCCL_LLAMA_SHAPE_INITIALIZER, "QCCL_LLAMA_SHAPE_INITIALIZER");
  const memory::LlamaShape llama = {shape.layers,  shape.firstLayer, shape.hidden,    shape.ffn,           shape.heads,
                                    shape.kvHeads, shape.headDim,    shape.head != 0, shape.recompute != 0};
  return memory::llamaLedger(llama, shape.batch, shape.seqLen,
                             {readLlamaFormat("attention", shape.attention), readLlamaFormat("rest", shape.rest)});
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclTensorBytes(const qcclSavedTensor_t* tensor, size_t* codeBytes, size_t* scaleBytes) {
  return guard([&] {
    requireNonNull(codeBytes, "qcclTensorBytes", "codeBytes");
    requireNonNull(scaleBytes, "qcclTensorBytes", "scaleBytes");
    const auto bytes = readTensorBytes("qcclTensorBytes", tensor);
    *codeBytes = bytes.codes;
    *scaleBytes = bytes.scales;
  });
}

qcclResult_t qcclLedgerCreate(qcclLedger_t* ledger) {
  return guard([&] {
    requireNonNull(ledger, "qcclLedgerCreate", "ledger");
    *ledger = registerLedger(std::make_shared<LedgerInstance>());
  });
}

qcclResult_t qcclLedgerAdd(qcclLedger_t ledger, const qcclSavedTensor_t* tensor) {
  return withLedger(ledger, [&](qccl::memory::Ledger& of) {
    requireNonNull(tensor, "qcclLedgerAdd", "tensor");
    requireNonNull(tensor->name, "qcclLedgerAdd", "tensor->name");
    const std::string what = qccl::strCat("qcclLedgerAdd: tensor ", tensor->name);
    of.add({tensor->name, tensor->elems, readTensorFormat(what, tensor->format, tensor->dtype)});
  });
}

qcclResult_t qcclLedgerAddLlama(qcclLedger_t ledger, const qcclLlamaShape_t* shape) {
  return withLedger(ledger, [&](qccl::memory::Ledger& of) {
    qccl::memory::Ledger together = of;  // all or nothing
    const qccl::memory::Ledger llama = readLlama(shape);
    for (const auto& entry : llama.entries()) together.add(entry.tensor);
    of = std::move(together);
  });
}

qcclResult_t qcclLedgerSetFormat(qcclLedger_t ledger, const char* nameOrKind, const qcclPackedFormat_t* format, qcclDataType_t dtype) {
  return withLedger(ledger, [&](qccl::memory::Ledger& of) {
    requireNonNull(nameOrKind, "qcclLedgerSetFormat", "nameOrKind");
    requireNonNull(format, "qcclLedgerSetFormat", "format");
    of.setFormat(nameOrKind, readTensorFormat("qcclLedgerSetFormat", *format, dtype));
  });
}

qcclResult_t qcclLedgerGetTensor(qcclLedger_t ledger, size_t index, qcclSavedTensor_t* tensor) {
  return withLedger(ledger, [&](const qccl::memory::Ledger& of) {
    requireNonNull(tensor, "qcclLedgerGetTensor", "tensor");
    if (index >= of.entries().size()) {
      qccl::fail(qcclInvalidArgument, "qcclLedgerGetTensor: index ", index, " is past the ", of.entries().size(), " tensors of the ledger");
    }
    const qccl::memory::SavedTensor& saved = of.entries()[index].tensor;
    tensor->name = saved.name.c_str();
    tensor->elems = saved.elems;
    tensor->format = {saved.format.codec, saved.format.scale, static_cast<int>(saved.format.blockElems)};
    tensor->dtype = saved.format.exactType;
  });
}

qcclResult_t qcclLedgerGetTotals(qcclLedger_t ledger, qcclLedgerTotals_t* totals) {
  return withLedger(ledger, [&](const qccl::memory::Ledger& of) {
    requireNonNull(totals, "qcclLedgerGetTotals", "totals");
    const qccl::memory::LedgerTotals all = of.totals();
    *totals = {all.tensors, all.elems, all.bytes.codes, all.bytes.scales, all.largestElems};
  });
}

qcclResult_t qcclLedgerGetReport(qcclLedger_t ledger, qcclReport_t kind, const char** text) {
  return withLedger(ledger, [&](const qccl::memory::Ledger& of) {
    requireNonNull(text, "qcclLedgerGetReport", "text");
    requireReport("qcclLedgerGetReport", kind);
    *text = keepReport(kind == qcclReportJson ? of.json() : of.table());
  });
}

qcclResult_t qcclLedgerDestroy(qcclLedger_t ledger) {
  return guard([&] {
    if (ledger != nullptr) takeOut(ledger);
  });
}

}  // extern "C"
