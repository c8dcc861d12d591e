/* qccl: packed buffers, the gradient store. Values kept as the codes and scales in which they travel (docs/wire_format.md): a gradient
 * buffer of a quarter of the size that is added to in place and sent as it lies.
 *
 * A packed buffer of `count` values is qcclPackedBytes bytes, aligned to 16, in a format that the buffer does not record: whoever reads it
 * must know count and format; values need the alignment of their type only. The rules of qccl.h hold, for collectives and for the functions
 * without a communicator, which may be called from any number of threads: on host memory they work on the calling thread, with `stream`
 * NULL; where both buffers are memory of one GPU, they are ordered on `stream` there, whichever GPU is current, return at once and can be
 * captured in CUDA graphs. The bits are the same on either.
 */
#ifndef QCCL_PACKED_H_
#define QCCL_PACKED_H_

#include <qccl/qccl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not taken from the environment: what is stored must be readable where other settings hold. */
typedef struct {
  int codec;      /* qcclCodec_t, any but none */
  int scale;      /* qcclScale_t */
  int blockElems; /* values that share a scale: 32, 64, ..., 4096 */
} qcclPackedFormat_t;

#define QCCL_PACKED_FORMAT_INITIALIZER \
  { qcclCodecInt8, qcclScaleFloat32, 256 }

/* How codes are rounded. The noise of stochastic rounding is a pure function of seed, call and firstElem + i: give every call that must
 * have noise of its own (each micro-batch, each rank) another `call` or `seed`. A call in a CUDA graph draws the same noise in every
 * replay. */
typedef struct {
  int rounding;       /* qcclRounding_t */
  uint64_t seed;      /* of stochastic rounding */
  uint64_t call;      /* number of the call */
  uint64_t firstElem; /* index of the buffer's first value, so that a buffer may be worked on in pieces */
} qcclPackedRounding_t;

/* Bytes of a packed buffer. Bounded by the codec's bits a value, its scales, and 48 bytes. */
QCCL_API qcclResult_t qcclPackedBytes(size_t count, const qcclPackedFormat_t* format, size_t* bytes);

/* packed = codes of src, count values of float32, bfloat16 or float16. Every byte of packed is written. A block that holds NaN or an
 * infinity becomes all NaN (with codec bf16 each value stands for itself). rounding NULL: to nearest. */
QCCL_API qcclResult_t qcclQuantize(const void* src, void* packed, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                                   const qcclPackedRounding_t* rounding, qcclStream_t stream);

/* dst = the values of packed, rounded once to dtype (float32, bfloat16 or float16). */
QCCL_API qcclResult_t qcclDequantize(const void* packed, void* dst, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                                     qcclStream_t stream);

/* packed = codes of (its values + src), added in FP32 registers, in one pass over both without a temporary of their size. A buffer of zero
 * bytes holds zeros: accumulation may begin with one. Each call quantizes anew, so its error is at most the bound of docs/numerics.md for
 * the magnitude that the sum then has. */
QCCL_API qcclResult_t qcclAccumulate(void* packed, const void* src, size_t count, qcclDataType_t dtype, const qcclPackedFormat_t* format,
                                     const qcclPackedRounding_t* rounding, qcclStream_t stream);

/* recvbuff = sum or average over ranks of the values of sendpacked, the same bits on every rank: packed (recvtype qcclPacked) or as
 * float32, bfloat16 or float16. The codes are sent as they lie; FP32 wherever values are added. In place if sendpacked == recvbuff and
 * recvtype is qcclPacked; otherwise they must not overlap. `quant` (NULL: the communicator's) gives algorithm, rounding, seed and
 * ranksPerHost; codec, scale, block and minBytes are not looked at: the format says them, whatever the size. */
QCCL_API qcclResult_t qcclAllReduceQuantized(const void* sendpacked, void* recvbuff, size_t count, qcclDataType_t recvtype, qcclRedOp_t op,
                                             const qcclPackedFormat_t* format, const qcclQuantConfig_t* quant, qcclComm_t comm,
                                             qcclStream_t stream);

/* recvbuff (recvcount values) = sum or average over ranks r of part `rank` of r's sendpacked, which is nranks packed buffers of recvcount
 * values, one after another. */
QCCL_API qcclResult_t qcclReduceScatterQuantized(const void* sendpacked, void* recvbuff, size_t recvcount, qcclDataType_t recvtype,
                                                 qcclRedOp_t op, const qcclPackedFormat_t* format, const qcclQuantConfig_t* quant,
                                                 qcclComm_t comm, qcclStream_t stream);

/* Part r of recvbuff = rank r's sendpacked (sendcount values): nranks packed buffers one after another (recvtype qcclPacked; in place if
 * sendpacked is part `rank` of recvbuff) or nranks * sendcount values. Nothing is quantized here: all ranks decode the same codes. */
QCCL_API qcclResult_t qcclAllGatherQuantized(const void* sendpacked, void* recvbuff, size_t sendcount, qcclDataType_t recvtype,
                                             const qcclPackedFormat_t* format, qcclComm_t comm, qcclStream_t stream);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_PACKED_H_ */
