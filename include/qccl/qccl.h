/* qccl: quantized collective communication. The C API.
 *
 * The functions that NCCL also has keep NCCL's shapes, enum values and semantics under the prefix `qccl`, so that both libraries can stand
 * in one process. What is ours beside them: the choice of quantization (qcclQuantConfig_t), the explanation of a call before it is made
 * (qcclCommExplain) and its account afterwards (qcclCommGetStats).
 *
 * Rules that hold for every function here:
 *  - Pure C. Every function returns a qcclResult_t (exceptions never cross this border). On failure qcclGetLastError() holds one sentence
 *    that says what was wrong and what to do; output arguments are left unchanged unless said otherwise.
 *  - Buffers belong to the caller and need only the alignment of their element type. The buffers of a call are all host memory, or all
 *    memory of one GPU.
 *  - Calls on host memory block: `stream` must be NULL, and a call that is not inside a group has finished with its buffers when it
 *    returns, also when it returns an error.
 *  - Calls on GPU memory are ordered on `stream` (a cudaStream_t; NULL: the default stream), return at once and can be captured in CUDA
 *    graphs. A failure while they run is the communicator's: see qcclCommGetAsyncError. docs/gpu.md says which calls there are.
 *  - A communicator may be used by one thread at a time, and all its ranks must make the same calls in the same order. Different
 *    communicators are independent. qcclCommAbort, qcclCommGetAsyncError and qcclCommGetStats may be called from any thread at any time.
 *  - Every wait is bounded by the communicator's timeout. After a failure (a dead or hung peer, a mismatched call, an abort) the
 *    communicator is unusable on every rank: each later call returns the same error; destroy it and make another.
 */
#ifndef QCCL_QCCL_H_
#define QCCL_QCCL_H_

#include <qccl/version.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define QCCL_API __attribute__((visibility("default")))
#else
#define QCCL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------------------------------------------------
 * Types
 * ------------------------------------------------------------------------------------------------- */

/* A communicator: one rank's membership in a group of ranks. Made by qcclCommInit*, ended by qcclCommDestroy or qcclCommAbort. */
typedef struct qcclComm* qcclComm_t;

/* A cudaStream_t, for calls on GPU memory. */
typedef void* qcclStream_t;

#define QCCL_UNIQUE_ID_BYTES 128
/* Names one communicator to be. Opaque bytes, to be copied to every rank by any means. Carries the address of the rendezvous and a random
 * secret: whoever has it can join, so hand it only to the ranks. */
typedef struct {
  char internal[QCCL_UNIQUE_ID_BYTES];
} qcclUniqueId;

typedef enum {
  qcclSuccess = 0,
  qcclUnhandledCudaError = 1,
  qcclSystemError = 2,     /* the operating system or a library underneath failed */
  qcclInternalError = 3,   /* a defect in qccl */
  qcclInvalidArgument = 4, /* one argument is wrong by itself */
  qcclInvalidUsage = 5,    /* the call does not fit the state, or the ranks' calls do not fit one another */
  qcclRemoteError = 6,     /* another rank died, aborted or failed */
  qcclInProgress = 7,
  qcclTimeout = 8, /* a bounded wait ended without the peer */
  qcclNumResults = 9
} qcclResult_t;

typedef enum {
  qcclInt8 = 0,
  qcclChar = 0,
  qcclUint8 = 1,
  qcclInt32 = 2,
  qcclInt = 2,
  qcclUint32 = 3,
  qcclInt64 = 4,
  qcclUint64 = 5,
  qcclFloat16 = 6,
  qcclHalf = 6,
  qcclFloat32 = 7,
  qcclFloat = 7,
  qcclFloat64 = 8,
  qcclDouble = 8,
  qcclBfloat16 = 9,
  qcclFloat8e4m3 = 10,
  qcclFloat8e5m2 = 11,
  qcclNumTypes = 12,
  qcclPacked = 32 /* no type of elements but codes in a packed buffer: of the functions in packed.h alone */
} qcclDataType_t;

/* Floating types smaller than 32 bits are added, multiplied and averaged in FP32 and rounded once, to nearest even, when a value leaves a
 * rank. qcclAvg on integers is the sum divided by the number of ranks, truncated toward zero. Integer sums and products wrap. qcclMin and
 * qcclMax return NaN if any rank has NaN. */
typedef enum { qcclSum = 0, qcclProd = 1, qcclMax = 2, qcclMin = 3, qcclAvg = 4, qcclNumOps = 5 } qcclRedOp_t;

/* How values travel. The formats are written down in docs/wire_format.md, what each costs in precision in docs/numerics.md. All but none
 * and bf16 have one scale a block. */
typedef enum {
  qcclCodecNone = 0,    /* as they are */
  qcclCodecInt8 = 1,    /* integers -127..127 */
  qcclCodecInt6 = 2,    /* integers -31..31, 6 bits a value */
  qcclCodecInt5 = 3,    /* integers -15..15, 5 bits a value */
  qcclCodecInt4 = 4,    /* integers -7..7, 4 bits a value */
  qcclCodecFp8E4m3 = 5, /* floats up to 448, 4 bits of exponent */
  qcclCodecFp8E5m2 = 6, /* floats up to 57344, 5 bits of exponent */
  qcclCodecFp4E2m1 = 7, /* 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, 4 bits a value */
  qcclCodecBf16 = 8,    /* rounded to BF16, no scale */
  qcclNumCodecs = 9
} qcclCodec_t;

/* What the scale of a block is stored as. */
typedef enum {
  qcclScaleFloat32 = 0,  /* the block's largest magnitude, 4 bytes */
  qcclScaleBfloat16 = 1, /* the same rounded up, 2 bytes */
  qcclScaleE8m0 = 2,     /* a power of two, 1 byte: as in the OCP microscaling formats, the factor of the codes */
  qcclNumScales = 3
} qcclScale_t;

/* All-reduce algorithms; docs/algorithms.md has steps, bytes and error bounds, qcclGetAlgorithmInfo the same as data. */
typedef enum {
  qcclAlgoAuto = 0,
  qcclAlgoOneshot = 1,
  qcclAlgoTwoshot = 2,
  qcclAlgoRing = 3,
  qcclAlgoTree = 4,
  qcclAlgoHier = 5,
  qcclAlgoNccl = 6, /* the real NCCL's own collective: exact, its bits, on GPU memory only */
  qcclNumAlgos = 7
} qcclAlgo_t;

typedef enum {
  qcclRoundNearest = 0,    /* to nearest, ties to even */
  qcclRoundStochastic = 1, /* up or down with probability by distance; the noise is a pure function of (seed, rank, step, element) */
  qcclNumRoundings = 2
} qcclRounding_t;

typedef enum {
  qcclCollAllReduce = 0,
  qcclCollReduceScatter = 1,
  qcclCollAllGather = 2,
  qcclCollBroadcast = 3,
  qcclCollReduce = 4,
  qcclCollSendRecv = 5,
  qcclNumColls = 6
} qcclColl_t;

/* Where the buffers of a call lie. */
typedef enum { qcclMemoryHost = 0, qcclMemoryCuda = 1 } qcclMemory_t;

#define QCCL_UNDEF_INT INT32_MIN

/* How a communicator (or one call, qcclAllReduceEx) quantizes. A field left at its QCCL_UNDEF_INT / UINT64_MAX value takes the setting of
 * the same name from the environment (docs/config.md), else the default named here. All ranks must choose alike; a difference is reported,
 * not guessed at. */
typedef struct {
  size_t size; /* of this struct, set by the initializer, so that old programs work with new libraries */
  int codec;   /* qcclCodec_t; default none. Applies to AllReduce and ReduceScatter of FP32, BF16, FP16 with Sum or Avg. Everything else is
                  exact. */
  int blockElems;    /* elements that share a scale: 32, 64, ..., 4096 (a power of two); default 256 */
  int algorithm;     /* qcclAlgo_t of AllReduce; default auto. ReduceScatter uses ring when this is ring, else the direct exchange. */
  int rounding;      /* qcclRounding_t; default nearest */
  uint64_t seed;     /* of stochastic rounding; UINT64_MAX: default 0 */
  uint64_t minBytes; /* a call with fewer bytes of input per rank than this takes the exact path; UINT64_MAX: default 16 KiB */
  int scale;         /* qcclScale_t; default float32 */
  int ranksPerHost;  /* of algorithm hier, for which rank = host * ranksPerHost + index on the host; 0, the default: as the ranks found it
                        when they joined */
  double minSnrDb;  /* least signal-to-noise ratio, in dB, that a quantized call may be expected to have (docs/numerics.md has the model; 0:
                       any). algorithm auto takes the cheapest that reaches it; where none does, a codec that was asked for with the call
                       itself is refused, and otherwise a codec of more bits or the exact path is taken. Negative: setting
                       QCCL_MIN_SNR_DB, default 0 */
  int inspectEvery; /* every so many-th quantized call of the communicator also sums a sample of up to 4096 of its elements exactly, for the
                       signal-to-noise ratio in qcclStats_t; 1: each call (with this very call), 0, the default: none */
  int errorFeedback; /* 1: what this rank's codes of a call lose is kept (8 bits a value) and added to what the next call with the same
                        sendbuff, count and options encodes, so that over many calls nothing is lost. 0, the default: not. The memory is
                        that of the message in int8, for each such buffer, until qcclCommResetFeedback */
} qcclQuantConfig_t;

#define QCCL_QUANT_CONFIG_INITIALIZER                                                                                                  \
  {                                                                                                                                    \
    sizeof(qcclQuantConfig_t), QCCL_UNDEF_INT, QCCL_UNDEF_INT, QCCL_UNDEF_INT, QCCL_UNDEF_INT, UINT64_MAX, UINT64_MAX, QCCL_UNDEF_INT, \
        QCCL_UNDEF_INT, -1.0, QCCL_UNDEF_INT, QCCL_UNDEF_INT                                                                           \
  }

/* Configuration of a communicator. Always start from QCCL_CONFIG_INITIALIZER; `size`, `magic` and `version` make old programs work with new
 * libraries. */
typedef struct {
  size_t size;
  uint32_t magic;
  uint32_t version;
  const char* name; /* shown in errors and logs; NULL: "comm<N>". Copied. */
  const char*
      transport; /* "auto", "inproc" (ranks are threads of one process) or "ucx"; NULL: setting QCCL_TRANSPORT, default auto. Copied. */
  int timeoutMs; /* bound of every wait, > 0; QCCL_UNDEF_INT: setting QCCL_TIMEOUT_MS */
  qcclQuantConfig_t quant; /* default of every call */
} qcclConfig_t;

#define QCCL_CONFIG_MAGIC 0x7163636cu /* "qccl" */
#define QCCL_CONFIG_INITIALIZER \
  { sizeof(qcclConfig_t), QCCL_CONFIG_MAGIC, QCCL_VERSION_CODE, NULL, NULL, QCCL_UNDEF_INT, QCCL_QUANT_CONFIG_INITIALIZER }

/* A part of a message with a codec of its own (qcclAllReduceMapped). */
typedef struct {
  size_t firstElem;
  size_t elems;
  int codec; /* qcclCodec_t; none: exact */
} qcclPrecisionRange_t;

/* What a communicator has done: since it was made, or in one call. Counts are of this rank. */
typedef struct {
  size_t size;              /* set by the caller to sizeof(qcclStats_t) */
  uint64_t calls;           /* collectives and point-to-point operations completed */
  uint64_t quantizedCalls;  /* of these, with a codec other than none */
  uint64_t elems;           /* input elements of all calls */
  uint64_t quantizedElems;  /* input elements of the quantized calls */
  uint64_t wireBytes;       /* payload bytes handed to the transport for other ranks */
  uint64_t exactWireBytes;  /* what the same algorithms would have sent with codec none; saved = exactWireBytes - wireBytes */
  uint64_t nonFiniteBlocks; /* blocks that this rank encoded as non-finite because they held NaN or Inf */
  uint64_t encodedBlocks;   /* blocks that this rank encoded */
  uint64_t sampledElems;    /* elements of one block in 64 of these (by number in the message), which are looked at for the next two */
  uint64_t saturatedElems;  /* of them: cut to the largest code */
  uint64_t flushedElems;    /* of them: not zero, but coded as zero */
  uint64_t inspectedCalls; /* quantized calls that were inspected (qcclQuantConfig_t.inspectEvery); their samples count in wireBytes only */
  uint64_t inspectedElems; /* elements of their results that were compared with the exact sums */
  double signalEnergy;     /* sum of the squares of these exact sums */
  double noiseEnergy;      /* and of their differences from the results */
  double snrDb;            /* 10 log10(signalEnergy / noiseEnergy); NaN if nothing was inspected */
} qcclStats_t;

/* What a call would do on this communicator. */
typedef struct {
  int algorithm;           /* qcclAlgo_t; qcclAlgoAuto where the collective has only one algorithm */
  int codec;               /* qcclCodec_t */
  int blockElems;          /* 0 with codec none */
  uint64_t wireBytes;      /* that this rank will send */
  uint64_t exactWireBytes; /* that it would send with codec none */
  double errorBound;       /* |error| <= errorBound * sum over ranks of the largest magnitude in the element's block; 0 with codec none */
  double predictedSnrDb;   /* signal-to-noise ratio to be expected with independent Gaussian inputs; infinite with codec none */
  char reason[192];        /* one sentence: why this and not something else */
} qcclPlan_t;

/* ----------------------------------------------------------------------------------------------------
 * Library
 * ------------------------------------------------------------------------------------------------- */

/* *version = QCCL_VERSION_CODE of the library that is loaded: major * 10000 + minor * 100 + patch. */
QCCL_API qcclResult_t qcclGetVersion(int* version);

/* A fixed sentence for a result code; never NULL, valid for ever. */
QCCL_API const char* qcclGetErrorString(qcclResult_t result);

/* The story of the last failure: of `comm` when given, else of the calling thread. "" if there was none. Valid until the next qccl call of
 * this thread. */
QCCL_API const char* qcclGetLastError(qcclComm_t comm);

/* ----------------------------------------------------------------------------------------------------
 * Communicators
 * ------------------------------------------------------------------------------------------------- */

/* Makes an id and starts, in this process, the rendezvous that the ranks of one communicator will meet at. The rendezvous ends when all
 * have left the communicator again, or after QCCL_TIMEOUT_MS if not all have come. The process that called this must live until then: it is
 * the middle of the communicator's control channel. The address is that of QCCL_INTERFACE if set, else of the first interface that is up
 * and not loopback, else loopback. */
QCCL_API qcclResult_t qcclGetUniqueId(qcclUniqueId* id);

/* Joins communicator `id` as `rank` of `nranks`. Collective over the ranks: returns when all have joined, or an error after the timeout
 * that names who is missing. Inside a group, *comm is valid after qcclGroupEnd. */
QCCL_API qcclResult_t qcclCommInitRank(qcclComm_t* comm, int nranks, qcclUniqueId id, int rank);

/* The same with a configuration (NULL: all defaults). */
QCCL_API qcclResult_t qcclCommInitRankConfig(qcclComm_t* comm, int nranks, qcclUniqueId id, int rank, const qcclConfig_t* config);

/* Makes all `nranks` ranks of a communicator in this process; comms is an array of nranks. Each rank is then driven by a thread of its own,
 * or all by one thread inside qcclGroupStart / qcclGroupEnd. Transport inproc unless config (NULL allowed) says otherwise. `devices` must
 * be NULL on the host backend. */
QCCL_API qcclResult_t qcclCommInitAll(qcclComm_t* comms, int nranks, const int* devices);
QCCL_API qcclResult_t qcclCommInitAllConfig(qcclComm_t* comms, int nranks, const int* devices, const qcclConfig_t* config);

QCCL_API qcclResult_t qcclCommCount(qcclComm_t comm, int* count);
QCCL_API qcclResult_t qcclCommUserRank(qcclComm_t comm, int* rank);

/* Ends this rank's membership and frees the communicator. Between processes it returns when every rank has called it (bounded by the
 * timeout), so that nothing a rank has sent is lost; a thread that drives several ranks over ucx must destroy them in one group. After a
 * failure it returns at once. NULL is allowed. */
QCCL_API qcclResult_t qcclCommDestroy(qcclComm_t comm);

/* Ends whatever any rank is doing on the communicator: calls in flight return qcclRemoteError on the other ranks and qcclInvalidUsage here.
 * From any thread. Frees the communicator once no call of this rank is inside it. NULL is allowed. */
QCCL_API qcclResult_t qcclCommAbort(qcclComm_t comm);

/* *result = the error that made the communicator unusable, or qcclSuccess. Never blocks. */
QCCL_API qcclResult_t qcclCommGetAsyncError(qcclComm_t comm, qcclResult_t* result);

/* Copies the counters. stats->size must be set. Never blocks. */
QCCL_API qcclResult_t qcclCommGetStats(qcclComm_t comm, qcclStats_t* stats);

/* The same for the last completed call alone (the last group of point-to-point operations counts as one); all zero before the first. */
QCCL_API qcclResult_t qcclCommGetLastCallStats(qcclComm_t comm, qcclStats_t* stats);

/* Says what AllReduce or ReduceScatter (count = recvcount) of host memory with these arguments would do on `comm`; quant as in
 * qcclAllReduceEx. Local: no communication. */
QCCL_API qcclResult_t qcclCommExplain(qcclComm_t comm, qcclColl_t coll, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                      const qcclQuantConfig_t* quant, qcclPlan_t* plan);

/* The same for buffers in `memory`. */
QCCL_API qcclResult_t qcclCommExplainIn(qcclComm_t comm, qcclMemory_t memory, qcclColl_t coll, size_t count, qcclDataType_t dtype,
                                        qcclRedOp_t op, const qcclQuantConfig_t* quant, qcclPlan_t* plan);

/* What rows of a tuning table (docs/tuning.md) are found by, besides the call. */
typedef struct {
  const char*
      path; /* how the ranks reach one another: "oneHost" or "severalHosts" in host memory, "peer" or "nccl" in GPU memory; static */
  int ranks;
  int ranksPerHost; /* 0: the ranks do not lie on hosts in equal numbers, those of a host one after another */
} qcclTuningKey_t;

/* *key = that of calls on buffers in `memory`. Local. */
QCCL_API qcclResult_t qcclCommGetTuningKey(qcclComm_t comm, qcclMemory_t memory, qcclTuningKey_t* key);

/* ----------------------------------------------------------------------------------------------------
 * Collectives. Counts are elements. A count of 0 is a valid call that touches no buffer.
 * ------------------------------------------------------------------------------------------------- */

/* recvbuff[i] = op over ranks of sendbuff[i], the same bits on every rank. In place if sendbuff == recvbuff; otherwise they must not
 * overlap. */
QCCL_API qcclResult_t qcclAllReduce(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                    qcclComm_t comm, qcclStream_t stream);

/* The same with a quantization of its own: fields of `quant` that are not UNDEF replace the communicator's. A request that cannot be met
 * (an integer type with codec int8, say) is refused with qcclInvalidArgument; the communicator's own default would take the exact path
 * instead, and does so as well where that is faster (docs/tuning.md), which a codec requested here is not replaced by. */
QCCL_API qcclResult_t qcclAllReduceEx(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                      const qcclQuantConfig_t* quant, qcclComm_t comm, qcclStream_t stream);

/* The same where parts of the message have a codec of their own, in one collective: norm weights exact among int8 matrices, say. `ranges`
 * (numRanges, in any order, copied) may not overlap; elements in none of them have the codec of `quant`. Blocks lie on the message's grid
 * of blockElems and end where a range ends. Sums and averages of float32, bfloat16 and float16 only. All ranks must pass the same ranges.
 */
QCCL_API qcclResult_t qcclAllReduceMapped(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                          const qcclPrecisionRange_t* ranges, size_t numRanges, const qcclQuantConfig_t* quant,
                                          qcclComm_t comm, qcclStream_t stream);

/* Forgets what error feedback remembers (qcclQuantConfig_t.errorFeedback), and frees its memory: when buffers are to be freed, or at a jump
 * in what they hold, such as after loading a checkpoint. Local. */
QCCL_API qcclResult_t qcclCommResetFeedback(qcclComm_t comm);

/* recvbuff (recvcount elements) = op over ranks of sendbuff[rank * recvcount + i]. In place if recvbuff == sendbuff + rank * recvcount. */
QCCL_API qcclResult_t qcclReduceScatter(const void* sendbuff, void* recvbuff, size_t recvcount, qcclDataType_t dtype, qcclRedOp_t op,
                                        qcclComm_t comm, qcclStream_t stream);

/* The same with a quantization of its own, as qcclAllReduceEx. */
QCCL_API qcclResult_t qcclReduceScatterEx(const void* sendbuff, void* recvbuff, size_t recvcount, qcclDataType_t dtype, qcclRedOp_t op,
                                          const qcclQuantConfig_t* quant, qcclComm_t comm, qcclStream_t stream);

/* recvbuff[r * sendcount + i] = rank r's sendbuff[i]; always exact. In place if sendbuff == recvbuff + rank * sendcount. */
QCCL_API qcclResult_t qcclAllGather(const void* sendbuff, void* recvbuff, size_t sendcount, qcclDataType_t dtype, qcclComm_t comm,
                                    qcclStream_t stream);

/* recvbuff on every rank = root's sendbuff; sendbuff is read on root only. Always exact. */
QCCL_API qcclResult_t qcclBroadcast(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, int root, qcclComm_t comm,
                                    qcclStream_t stream);

/* recvbuff on root = op over ranks of sendbuff; recvbuff is not used on other ranks and may be NULL there. Always exact. */
QCCL_API qcclResult_t qcclReduce(const void* sendbuff, void* recvbuff, size_t count, qcclDataType_t dtype, qcclRedOp_t op, int root,
                                 qcclComm_t comm, qcclStream_t stream);

/* Point to point. Outside a group a send may block until its receive is posted; put sends and receives that depend on one another into one
 * group. Operations between the same two ranks match in the order in which they are made. */
QCCL_API qcclResult_t qcclSend(const void* sendbuff, size_t count, qcclDataType_t dtype, int peer, qcclComm_t comm, qcclStream_t stream);
QCCL_API qcclResult_t qcclRecv(void* recvbuff, size_t count, qcclDataType_t dtype, int peer, qcclComm_t comm, qcclStream_t stream);

/* Calls between the outermost Start and End of a thread are checked at once but run at End, as one: all their sends and receives progress
 * together, and operations of several communicators (several ranks driven by one thread) run side by side. End returns the first error of
 * the group; its buffers are in use until then. */
QCCL_API qcclResult_t qcclGroupStart(void);
QCCL_API qcclResult_t qcclGroupEnd(void);

/* ----------------------------------------------------------------------------------------------------
 * What the library is: read by qccl-info, by tuners and by tests
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
  int algorithm;             /* qcclAlgo_t */
  const char* name;          /* "ring" */
  const char* summary;       /* one sentence: how it works */
  const char* wireBytes;     /* a formula in N (message bytes), W (ranks) and b (bytes on the wire for each byte of data) */
  const char* quantizations; /* on the path of an element, as a formula in W */
  const char* bestFor;
} qcclAlgoInfo_t;

/* Row `index` (0, 1, ...) of the algorithm table; qcclInvalidArgument past its end. Strings are static. */
QCCL_API qcclResult_t qcclGetAlgorithmInfo(int index, qcclAlgoInfo_t* info);

/* *factor so that, in an all-reduce with this algorithm and codec over nranks ranks, every element satisfies
 * |result - exact sum| <= *factor * sum over ranks r of max|x_r| over the element's block, apart from the rounding of the result to the
 * data type (derivation: docs/numerics.md). */
QCCL_API qcclResult_t qcclGetErrorBound(qcclAlgo_t algorithm, qcclCodec_t codec, qcclScale_t scale, qcclRounding_t rounding, int nranks,
                                        double* factor);

typedef struct {
  const char* name;         /* the environment variable, "QCCL_TIMEOUT_MS" */
  const char* type;         /* "integer", "number", "bytes", "enum", "string", "boolean" */
  const char* defaultValue; /* as text */
  const char* value;        /* in force in this process, as text; valid until the next call on this thread */
  const char* unit;         /* "ms", "bytes", or "" */
  const char* allowed;      /* "1..86400000", "none|int8" */
  const char* doc;
  int isSet; /* 1 if the environment sets it */
} qcclSettingInfo_t;

/* Row `index` of the table of settings; qcclInvalidArgument past its end, or when the environment holds a bad value (the message names it).
 */
QCCL_API qcclResult_t qcclGetSettingInfo(int index, qcclSettingInfo_t* info);

/* *text = a tuning table (docs/tuning.md) with the rows that are built in behind its own. path: its file; "": none, only the rows built in;
 * NULL: what QCCL_TUNING_TABLE names. qcclInvalidArgument with the line and what to write there if the file is wrong. Valid until the next
 * call of this function on this thread. */
QCCL_API qcclResult_t qcclGetTuningTable(const char* path, const char** text);

/* *info = static text, "key: value" lines: version, compiler, build type, CPU kernels in use (avx512, avx2, baseline), transports built in
 * (UCX itself is opened when it is first used). */
QCCL_API qcclResult_t qcclGetBuildInfo(const char** info);

/* Name <-> value of the enums above ("float32", "sum", "int8", "ring", "nearest"): for command lines and logs. The first returns NULL for
 * an unknown value; the second returns -1 for an unknown name. */
typedef enum { qcclEnumDataType, qcclEnumRedOp, qcclEnumCodec, qcclEnumAlgo, qcclEnumRounding, qcclEnumColl, qcclEnumScale } qcclEnum_t;
QCCL_API const char* qcclEnumName(qcclEnum_t kind, int value);
QCCL_API int qcclEnumValue(qcclEnum_t kind, const char* name);

/* Bytes of one element; 0 for an unknown type. */
QCCL_API size_t qcclTypeSize(qcclDataType_t dtype);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_QCCL_H_ */
