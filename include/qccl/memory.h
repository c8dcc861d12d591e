/* qccl: memory for quantized saved activations.
 *
 * A ledger lists what the forward pass of a micro-batch saves for its backward pass. A pool made from it before step 1 holds exactly that,
 * for so many micro-batches in flight, in one allocation: saving is looking up a place, and nothing can fragment. A pool without a ledger
 * takes anything (best fit with coalescing). docs/memory.md has the layout, the life of a pool and what it costs.
 *
 * The rules of qccl.h hold, and:
 *  - A ledger or pool may be used by any thread; calls on the same one wait for each other.
 *  - Pools hand out memory; what is written there is the caller's business. Places are aligned to 256 bytes.
 *  - Order of streams: each call names the stream that the caller's work on the memory is given to (a cudaStream_t; NULL is the default
 *    stream; in host memory it must be NULL). What a pool hands out may be written at once by work on that stream: where other streams used
 *    the memory before, the pool has made this one wait for them, by an event. Streams must live until the pool is destroyed. No call waits
 *    on the host, but for the making and the destroying of pools, and growth of a pool without plan.
 *  - Misuse (the wrong order, restoring or freeing twice, reading after restoring, more than was planned) is qcclInvalidUsage; a
 *    stream that cannot be the memory's and a plan that does not fit are qcclInvalidArgument. The sentence names pool, tensor and
 *    micro-batch, and nothing has changed.
 */
#ifndef QCCL_MEMORY_H_
#define QCCL_MEMORY_H_

#include <qccl/packed.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------------------------------------------------
 * What is saved
 * ------------------------------------------------------------------------------------------------- */

/* A list of tensors in the order of saving. */
typedef struct qcclLedger* qcclLedger_t;

typedef struct {
  const char* name;          /* unique: "layers.0.gate". What is behind the last dot is its kind, by which reports are grouped */
  size_t elems;              /* at least 1 */
  qcclPackedFormat_t format; /* of its codes. Codec none: the values are kept as they are */
  int dtype;                 /* qcclDataType_t of values kept as they are; looked at with codec none only */
} qcclSavedTensor_t;

/* Bytes of codes and of scales, before a pool aligns them: together qcclPackedBytes. Codes: the planes of the packed buffer's frames one
 * after another; scales: the frames' scales (docs/wire_format.md), each section padded as there. *scaleBytes is 0 with codecs none and
 * bf16. The name is not looked at. */
QCCL_API qcclResult_t qcclTensorBytes(const qcclSavedTensor_t* tensor, size_t* codeBytes, size_t* scaleBytes);

/* What a LLaMA saves, of a micro-batch of batch * seqLen tokens. In each layer: the normalised inputs of both norms (xhat1, xhat2) with
 * rstd1 and rstd2, q, k, v (after rotation), o and lse of the attention, gate and up. rstd and lse are kept in FP32. */
typedef struct {
  size_t size;       /* of this struct, set by the initializer */
  size_t layers;     /* on this rank */
  size_t firstLayer; /* number of the first, for the names */
  size_t hidden;
  size_t ffn;
  size_t heads;
  size_t kvHeads; /* divides heads */
  size_t headDim;
  size_t batch;
  size_t seqLen;
  int head;                     /* 1: this rank has the final norm and the loss, too */
  int recompute;                /* 0: norm outputs and the SwiGLU product are saved, not recomputed */
  qcclPackedFormat_t attention; /* of q, k, v, o; any codec but none */
  qcclPackedFormat_t rest;      /* of all else but the statistics; any codec but none */
} qcclLlamaShape_t;

#define QCCL_LLAMA_SHAPE_INITIALIZER                                                                     \
  {                                                                                                      \
    sizeof(qcclLlamaShape_t), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, {qcclCodecBf16, qcclScaleFloat32, 256}, { \
      qcclCodecBf16, qcclScaleFloat32, 256                                                               \
    }                                                                                                    \
  }

typedef struct {
  size_t tensors;
  size_t elems;
  size_t codeBytes; /* before a pool aligns them */
  size_t scaleBytes;
  size_t largestElems; /* of one tensor: what a dequantize scratch must hold */
} qcclLedgerTotals_t;

typedef enum {
  qcclReportTable = 0, /* for people */
  qcclReportJson = 1,  /* one JSON object */
  qcclNumReports = 2
} qcclReport_t;

QCCL_API qcclResult_t qcclLedgerCreate(qcclLedger_t* ledger);

/* Appends a tensor (copied), or all tensors of a LLaMA. */
QCCL_API qcclResult_t qcclLedgerAdd(qcclLedger_t ledger, const qcclSavedTensor_t* tensor);
QCCL_API qcclResult_t qcclLedgerAddLlama(qcclLedger_t ledger, const qcclLlamaShape_t* shape);

/* Another format for the tensor of this name, or else for every tensor of this kind. dtype as in qcclSavedTensor_t. */
QCCL_API qcclResult_t qcclLedgerSetFormat(qcclLedger_t ledger, const char* nameOrKind, const qcclPackedFormat_t* format,
                                          qcclDataType_t dtype);

/* Tensor `index` (0, 1, ...) in the order of saving; qcclInvalidArgument past the end. The name is valid until the ledger is next
 * changed or destroyed. */
QCCL_API qcclResult_t qcclLedgerGetTensor(qcclLedger_t ledger, size_t index, qcclSavedTensor_t* tensor);

QCCL_API qcclResult_t qcclLedgerGetTotals(qcclLedger_t ledger, qcclLedgerTotals_t* totals);

/* *text = the ledger, by kind as a table or tensor by tensor as JSON. Valid until this thread next asks for a report. */
QCCL_API qcclResult_t qcclLedgerGetReport(qcclLedger_t ledger, qcclReport_t kind, const char** text);

/* NULL is allowed. Pools made from it stay as they are. */
QCCL_API qcclResult_t qcclLedgerDestroy(qcclLedger_t ledger);

/* ----------------------------------------------------------------------------------------------------
 * Where it is kept
 * ------------------------------------------------------------------------------------------------- */

typedef struct qcclPool* qcclPool_t;

typedef struct {
  size_t size;                 /* of this struct, set by the initializer */
  const char* name;            /* in errors and reports; NULL: "pool". Copied */
  qcclLedger_t ledger;         /* what is planned, as it is now; NULL: a pool without a plan */
  size_t microBatchesInFlight; /* with a ledger: how many have saved and not yet restored all at a time; 1F1B: number of stages from this
                                  one on */
  size_t scratchBytes;         /* with a ledger: of each of the two halves of the dequantize scratch; 0: none */
  size_t segmentBytes;         /* without: what it takes from the system at a time */
  int memory;                  /* qcclMemory_t */
  int device;                  /* number of the GPU, for qcclMemoryCuda */
  uint64_t limitBytes;         /* UINT64_MAX: none. With a ledger: the plan may not be larger. Without: of bytes in use */
  const char* tracePath;       /* NULL: none. Every call is written to this file, which pool-bench can replay */
} qcclPoolConfig_t;

#define QCCL_POOL_CONFIG_INITIALIZER \
  { sizeof(qcclPoolConfig_t), NULL, NULL, 1, 0, (size_t)64 << 20, qcclMemoryHost, 0, UINT64_MAX, NULL }

/* Where a saved tensor lies: both aligned to 256 bytes. */
typedef struct {
  void* codes;
  void* scales; /* NULL if there are none */
  size_t codeBytes;
  size_t scaleBytes;
} qcclPlace_t;

/* *totalBytes = what a pool with this configuration, which must have a ledger, will allocate; *text = its plan, as a report. Allocates
 * nothing and refuses no size. Either may be NULL. Text valid until this thread next asks for a report. */
QCCL_API qcclResult_t qcclPoolExplain(const qcclPoolConfig_t* config, uint64_t* totalBytes, qcclReport_t kind, const char** text);

/* Makes a pool and takes its memory (with a ledger: all of it). A plan above limitBytes, or above what is free on the GPU, is refused
 * before anything is allocated, with the shortfall in bytes and the cheapest change that would fit. */
QCCL_API qcclResult_t qcclPoolCreate(qcclPool_t* pool, const qcclPoolConfig_t* config);

/* *place = where the codes and scales of a tensor of this micro-batch go; the work that writes them is given to `stream` before the next
 * call that concerns the micro-batch. microBatch: any number that no other in flight has; it is in flight from its first save to its last
 * restore. With a plan: tensors in the order of the ledger, each no larger than there (a shorter last micro-batch may be smaller), and none
 * once restoring has begun. */
QCCL_API qcclResult_t qcclPoolSave(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, qcclStream_t stream,
                                   qcclPlace_t* place);

/* *place = where a saved tensor lies, for its last reading: by work that is given to `stream` before the next qcclPoolSave or
 * qcclPoolAllocate on this pool. Its memory is free again. With a plan: in reverse order of saving. */
QCCL_API qcclResult_t qcclPoolRestore(qcclPool_t pool, uint64_t microBatch, const char* name, qcclStream_t stream, qcclPlace_t* place);

/* The same for reading in between: the tensor stays saved, and any one may be read. */
QCCL_API qcclResult_t qcclPoolPeek(qcclPool_t pool, uint64_t microBatch, const char* name, qcclStream_t stream, qcclPlace_t* place);

/* Gives up all that a micro-batch has saved, after a step that failed. One that has saved nothing is no error. */
QCCL_API qcclResult_t qcclPoolDiscard(qcclPool_t pool, uint64_t microBatch);

/* Other memory. With a plan it is one half of the dequantize scratch, so at most two of scratchBytes at a time. Free when all work on it
 * has been given to `stream`, or to the stream of its allocation. */
QCCL_API qcclResult_t qcclPoolAllocate(qcclPool_t pool, const char* name, size_t bytes, qcclStream_t stream, void** memory);
QCCL_API qcclResult_t qcclPoolFree(qcclPool_t pool, void* memory, qcclStream_t stream);

/* Since the pool was made; bytes are those asked for, without alignment, unless said otherwise. */
typedef struct {
  size_t size; /* set by the caller to sizeof(qcclPoolStats_t) */
  uint64_t saves;
  uint64_t restores;
  uint64_t discards;
  uint64_t allocations;
  uint64_t frees;
  uint64_t refusals; /* calls that the pool refused; not those whose arguments were refused before they came to it: NULL, buffers elsewhere,
                        a tensor that was saved otherwise */
  uint64_t usedBytes;
  uint64_t peakBytes;         /* most in use at a time, since then or qcclPoolResetPeaks */
  uint64_t reservedBytes;     /* taken from the system, alignment included */
  uint64_t peakReservedBytes; /* as peakBytes */
} qcclPoolStats_t;

QCCL_API qcclResult_t qcclPoolGetStats(qcclPool_t pool, qcclPoolStats_t* stats);
QCCL_API qcclResult_t qcclPoolResetPeaks(qcclPool_t pool);

/* *text = the statistics with high-water marks by name: by kind as a table, by name as JSON. Valid until this thread next asks for a
 * report. */
QCCL_API qcclResult_t qcclPoolGetReport(qcclPool_t pool, qcclReport_t kind, const char** text);

/* Frees the pool and its memory, whatever is still saved there; on a GPU it waits for work on it. NULL is allowed. */
QCCL_API qcclResult_t qcclPoolDestroy(qcclPool_t pool);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_MEMORY_H_ */
