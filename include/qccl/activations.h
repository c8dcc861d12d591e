/* qccl: saved activations. What the forward pass leaves for the backward pass is kept in a pool (memory.h) in few bits; the forward pass
 * itself stays exact. Which tensor gets how many bits is a plan: given, or solved for under a budget. fused.h has operators that save what
 * they compute in the same pass.
 *
 * The rules of qccl.h and memory.h hold. Values are where the pool is: in host memory, where calls block and stream is NULL, or on the
 * pool's GPU, where a call is ordered on `stream`, returns at once and can be captured in a CUDA graph. Codes, scales and restored values
 * have the same bits on both. Any other mixture is refused with a sentence.
 */
#ifndef QCCL_ACTIVATIONS_H_
#define QCCL_ACTIVATIONS_H_

#include <qccl/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Quantizes `values`, tensor->elems of dtype (float32, bfloat16, float16; with codec none tensor->dtype), to nearest in the tensor's format
 * into its place in the pool: qcclPoolSave() and writing there. The tensor's name and microBatch are the handle. Codes and scales are those
 * that qcclQuantize makes. `values` needs the alignment of dtype, and may be written again after work that is on `stream`. On an error of
 * qcclPoolSave's nothing has changed. */
QCCL_API qcclResult_t qcclActivationSave(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, const void* values,
                                         qcclDataType_t dtype, qcclStream_t stream);

/* values = what was saved last, decoded and rounded once to dtype: qcclPoolRestore() and reading there. `tensor` exactly as it was saved:
 * another size or format is refused, and loses nothing. */
QCCL_API qcclResult_t qcclActivationRestore(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values,
                                            qcclDataType_t dtype, qcclStream_t stream);

/* The same for reading in between, as qcclPoolPeek(): the tensor stays saved, and any one may be read. For frameworks whose backward pass
 * can be repeated; qcclPoolDiscard() then ends what is saved. */
QCCL_API qcclResult_t qcclActivationRead(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values,
                                         qcclDataType_t dtype, qcclStream_t stream);

/* ----------------------------------------------------------------------------------------------------
 * Which tensor gets how many bits
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
  int bits;
  uint64_t bytes; /* that the tensor then takes */
  double error;   /* that it then adds, from 0 to 1e100; errors of tensors add up */
} qcclBitChoice_t;

typedef struct {
  const char* name; /* for sentences */
  const qcclBitChoice_t* choices;
  size_t numChoices; /* 1 or more, in any order */
} qcclBitItem_t;

/* choice[i] = the index of tensor i's choice in the allocation of least total error that takes at most budgetBytes, exactly (of several,
 * one of fewest bytes). *totalBytes and *totalError (NULL allowed) are its sums. A budget that not even the smallest choices fit into is
 * qcclInvalidArgument with what is missing. A thousand tensors of five choices whose errors differ take milliseconds; if too many
 * allocations are equally good to go through, that is qcclInvalidArgument, too. */
QCCL_API qcclResult_t qcclAllocateBits(const qcclBitItem_t* items, size_t numItems, uint64_t budgetBytes, size_t* choice,
                                       uint64_t* totalBytes, double* totalError);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_ACTIVATIONS_H_ */
