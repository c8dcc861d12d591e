/* A program in plain C11: the public headers are C, and the library links and answers. */
#include <qccl/activations.h>
#include <qccl/fused.h>
#include <qccl/launch.h>
#include <qccl/memory.h>
#include <qccl/qccl.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (!condition) {
    fprintf(stderr, "not so: %s (%s)\n", what, qcclGetLastError(NULL));
    ++failures;
  }
}

int main(void) {
  int version = 0;
  expect(qcclGetVersion(&version) == qcclSuccess, "qcclGetVersion succeeds");
  expect(version == QCCL_VERSION_CODE, "the library has the version of its header");
  expect(qcclGetVersion(NULL) == qcclInvalidArgument, "a null pointer is refused");
  expect(strlen(qcclGetLastError(NULL)) > 0, "and the refusal has a sentence");
  expect(strcmp(qcclEnumName(qcclEnumCodec, qcclCodecInt8), "int8") == 0, "a codec has its name");
  expect(qcclTypeSize(qcclBfloat16) == 2, "bfloat16 has two bytes");

  /* One rank of one: the smallest whole life of a communicator. */
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.name = "c_api";
  config.quant.codec = qcclCodecNone;
  qcclComm_t comm = NULL;
  expect(qcclCommInitAllConfig(&comm, 1, NULL, &config) == qcclSuccess, "one rank can be alone");
  const float in[3] = {1.0f, -2.0f, 0.5f};
  float out[3] = {0.0f, 0.0f, 0.0f};
  expect(qcclAllReduce(in, out, 3, qcclFloat32, qcclSum, comm, NULL) == qcclSuccess, "an all-reduce over one rank");
  expect(memcmp(in, out, sizeof in) == 0, "gives its input");
  expect(qcclCommDestroy(comm) == qcclSuccess, "a communicator can be destroyed");

  /* What a smallest training step does with saved activations. */
  const qcclSavedTensor_t tensor = {"layers.0.gate", 1000, {qcclCodecInt4, qcclScaleFloat32, 256}, qcclFloat32};
  qcclLedger_t ledger = NULL;
  expect(qcclLedgerCreate(&ledger) == qcclSuccess && qcclLedgerAdd(ledger, &tensor) == qcclSuccess, "a ledger takes a tensor");
  qcclPoolConfig_t poolConfig = QCCL_POOL_CONFIG_INITIALIZER;
  poolConfig.ledger = ledger;
  qcclPool_t pool = NULL;
  qcclPlace_t place;
  expect(qcclPoolCreate(&pool, &poolConfig) == qcclSuccess, "a pool is made from it");
  expect(qcclPoolSave(pool, 0, &tensor, NULL, &place) == qcclSuccess && place.scales != NULL, "the tensor has its place");
  expect(qcclPoolRestore(pool, 0, tensor.name, NULL, &place) == qcclSuccess && place.codeBytes == 512, "and is restored");
  expect(qcclPoolDestroy(pool) == qcclSuccess && qcclLedgerDestroy(ledger) == qcclSuccess, "pool and ledger can be destroyed");

  qcclLaunchInfo_t launch;
  expect(qcclLaunchGetInfo(&launch) == qcclSuccess && launch.rank >= 0 && launch.rank < launch.size, "the launch is known");
  return failures == 0 ? 0 : 1;
}
