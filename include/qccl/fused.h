/* qccl: operators of a transformer that save what their backward pass needs straight into a pool (memory.h), and read it back there: the
 * values that are saved never exist in memory in full width, so an operator moves little more than its inputs and outputs.
 *
 * The rules of qccl.h, memory.h and activations.h hold, and:
 *  - All buffers of a call are in the pool's memory: host memory, where calls block and stream is NULL, or the pool's GPU, where a call is
 *    ordered on `stream`, returns at once and can be captured in a CUDA graph (as memory.h says of places). What is there has the same bits
 *    on both.
 *  - Matrices are rows after rows without gaps, of `dtype`: float32, bfloat16 or float16. Pointers need its alignment; on a GPU 16 bytes is
 *    much faster. The caller owns all buffers and leaves them alone until the stream has passed the call.
 *  - Arithmetic is in FP32, rounded once to dtype. The order of all additions and the exponential function are part of the definition
 *    (docs/activations.md). A NaN or Inf in a row or block reaches what depends on it and no more.
 *  - Saved tensors have the rules of qcclActivationSave: in any codec; with codec none dtype has to be their type. Blocks run along the
 *    flattened matrix and may straddle rows. On a GPU rows that are whole blocks of 128 to 512 (dtype of 2 bytes: 1024), of up to 8192
 *    (16384) columns, take one pass, backward if all arrays are aligned to 16 bytes; all others are correct, and slower.
 *  - An error of the arguments changes nothing. If the second of two saves or restores is refused (it is not what the plan has next), the
 *    first has happened: qcclPoolDiscard gives up the micro-batch.
 */
#ifndef QCCL_FUSED_H_
#define QCCL_FUSED_H_

#include <qccl/activations.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RMSNorm. Of each row of x (rows x cols):
 *     rstd = 1 / sqrt(mean(x^2) + epsilon), xhat = x * rstd, output = xhat * weight (cols).
 * Saves xhat (rows * cols elements, not rounded to dtype before) and then rstd (rows elements, codec none, float32). So rstd->elems is the
 * number of rows, and xhat->elems a multiple of it; up to 524288 columns, 2^31 - 1 rows. output may be x.
 * (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019; without their bias and partial form.) */
QCCL_API qcclResult_t qcclRmsNormForward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* xhat, const qcclSavedTensor_t* rstd,
                                         const void* x, const void* weight, float epsilon, void* output, qcclDataType_t dtype,
                                         qcclStream_t stream);

/* *bytes = the scratch of qcclRmsNormBackward. */
QCCL_API qcclResult_t qcclRmsNormScratchBytes(size_t rows, size_t cols, size_t* bytes);

/* Restores rstd and xhat, tensors as they were saved. With g = dOutput * weight:
 *     dX = rstd * (g - xhat * mean(g * xhat)), dWeight += sum over rows of dOutput * xhat, in FP32.
 * output (NULL: not wanted) = xhat * weight: what forward returned, as far as the bits of xhat go. dX may be dOutput. scratch is aligned
 * to 16 bytes, and undefined afterwards. */
QCCL_API qcclResult_t qcclRmsNormBackward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* xhat,
                                          const qcclSavedTensor_t* rstd, const void* dOutput, const void* weight, void* dX, float* dWeight,
                                          void* output, void* scratch, qcclDataType_t dtype, qcclStream_t stream);

/* SwiGLU. product = gate * sigmoid(gate) * up, of each element; saves gate and then up, as qcclActivationSave does. gateTensor and upTensor
 * have as many elements; one pass on a GPU if they have one format. product may be gate or up.
 * (Shazeer, "GLU Variants Improve Transformer", 2020; sigmoid within 2.9 ulp, 0 below -87.69.) */
QCCL_API qcclResult_t qcclSwigluForward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* gateTensor,
                                        const qcclSavedTensor_t* upTensor, const void* gate, const void* up, void* product,
                                        qcclDataType_t dtype, qcclStream_t stream);

/* Restores up and then gate, tensors as they were saved. With s = sigmoid(gate):
 *     dGate = dProduct * up * s * (1 + gate * (1 - s)), dUp = dProduct * gate * s.
 * product (NULL: not wanted) = gate * s * up: the input of the projection that follows, for its weight's gradient. dGate or dUp may be
 * dProduct. */
QCCL_API qcclResult_t qcclSwigluBackward(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* gateTensor,
                                         const qcclSavedTensor_t* upTensor, const void* dProduct, void* dGate, void* dUp, void* product,
                                         qcclDataType_t dtype, qcclStream_t stream);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_FUSED_H_ */
