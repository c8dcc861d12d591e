/* How a program learns that it is one rank of many, and how it starts its own ranks on one machine. Used by qccl-perf and qccl-train; pure
 * C.
 *
 * Understood, in this order: our own local launcher (QCCL_LAUNCH_*), torchrun (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR,
 * MASTER_PORT), Open MPI (OMPI_COMM_WORLD_*), MPICH and other PMI launchers (PMI_RANK, PMI_SIZE), Slurm's srun (SLURM_PROCID, SLURM_NTASKS,
 * SLURM_LOCALID).
 */
#ifndef QCCL_LAUNCH_H_
#define QCCL_LAUNCH_H_

#include <qccl/qccl.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int rank;             /* 0 where there is no launcher */
  int size;             /* 1 where there is no launcher */
  int localRank;        /* among the ranks of this host */
  int localSize;        /* ranks on this host; 0 if the launcher does not say */
  const char* launcher; /* "none", "qccl", "torchrun", "openmpi", "pmi", "slurm"; static */
} qcclLaunchInfo_t;

/* Reads the environment. qcclInvalidUsage with a sentence if the variables contradict one another (a rank that is not below the size, text
 * for a number). */
QCCL_API qcclResult_t qcclLaunchGetInfo(qcclLaunchInfo_t* info);

/* Gives every rank of the launch the same unique id. Collective over the launch, bounded by QCCL_TIMEOUT_MS. May be called once per launch
 * for each communicator: the n-th call of every rank meets. How they meet: the local launcher's ranks inherit it; otherwise QCCL_RENDEZVOUS
 * decides:
 *  - "dir:/path": rank 0 writes the id there (a shared file system when there are several hosts). A rank that arrives at a file left by an
 *    earlier job ignores it.
 *  - "tcp://host:port": rank 0 listens on that address; the secret is derived from QCCL_SECRET, which must be set to the same text on all
 *    ranks.
 *  - not set: a private folder below the temporary directory, named after the job; only when all ranks are on one host. */
QCCL_API qcclResult_t qcclLaunchGetUniqueId(const qcclLaunchInfo_t* info, qcclUniqueId* id);

/* Starts this program again `nranks` times as ranks 0..nranks-1 (same executable, arguments argv) and waits for them. *exitCode = 0 if all
 * ended with 0, else the first failing rank's code (128 + signal if it was killed); then the other ranks get SIGTERM, and SIGKILL after 5
 * s. Ranks die with the launcher. SIGINT and SIGTERM are passed on. In a rank, qcclLaunchGetInfo()'s launcher is "qccl": check that before
 * calling this. */
QCCL_API qcclResult_t qcclLaunchLocal(int nranks, char* const argv[], int* exitCode);

#ifdef __cplusplus
}
#endif
#endif /* QCCL_LAUNCH_H_ */
