// The table that every library has. The rows for host memory are rules that hold on any machine within reason; those for GPU memory were
// measured on two H200s (bench/results/h200x2.md). The format: docs/tuning.md.
#include "collectives/tuning_table.hpp"

namespace qccl::collectives {

const char* builtInTuningText() {
  return R"(qccl-tuning 1
# collective  memory path         ranks ranksPerHost dtype    asked     upToBytes codec algorithm requested

# Two GPUs that reach one another: values whose words carry their flag, then codes. What stays exact is NCCL's only where little is left
# to gain and its kernels take fewer multiprocessors.
allreduce     cuda   peer         2     any          float32  quantized 262144    none  oneshot   oneshot
allreduce     cuda   peer         2     any          bfloat16 quantized 524288    none  oneshot   oneshot
allreduce     cuda   peer         2     any          float16  quantized 524288    none  oneshot   oneshot
allreduce     cuda   peer         2     any          any      none      4194304   none  oneshot   -
allreduce     cuda   peer         2     any          any      none      67108864  none  twoshot   -
allreduce     cuda   peer         2     any          any      none      max       none  nccl      -

# Two that do not, on one host, whose memory carries the messages.
allreduce     cuda   host         2     any          float32  quantized 131072    none  oneshot   oneshot
allreduce     cuda   host         2     any          bfloat16 quantized 262144    none  oneshot   oneshot
allreduce     cuda   host         2     any          float16  quantized 262144    none  oneshot   oneshot
allreduce     cuda   host         2     any          any      none      262144    none  oneshot   -
allreduce     cuda   host         2     any          any      none      max       none  twoshot   -
allreduce     cuda   host         any   any          any      none      max       none  nccl      -

# Others: NCCL carries the codes, and small messages are its own.
allreduce     cuda   nccl         2     any          any      quantized 131072    none  nccl      oneshot
allreduce     cuda   nccl         any   any          any      none      max       none  nccl      -

# Between two ranks oneshot sends no more than the others and quantizes once.
allreduce     cuda   any          2     any          any      quantized max       asked oneshot   -
allreduce     host   any          2     any          any      quantized max       asked oneshot   -

# Small messages: few steps.
allreduce     cuda   any          1-8   any          any      quantized 32768     asked oneshot   -
allreduce     cuda   any          1-8   any          any      none      32768     none  oneshot   -
allreduce     cuda   any          9-max any          any      quantized 32768     asked tree      -
allreduce     cuda   any          9-max any          any      none      32768     none  tree      -
allreduce     host   any          1-8   any          any      quantized 32768     asked oneshot   -
allreduce     host   any          1-8   any          any      none      32768     none  oneshot   -
allreduce     host   any          9-max any          any      quantized 32768     asked tree      -
allreduce     host   any          9-max any          any      none      32768     none  tree      -

# Fewest bytes between hosts; else fewest bytes with two quantizations at any number of ranks.
allreduce     host   severalHosts any   2-max        any      quantized max       asked hier      -
allreduce     host   severalHosts any   2-max        any      none      max       none  hier      -
allreduce     cuda   nccl         any   2-max        any      quantized max       asked hier      -
allreduce     cuda   nccl         any   2-max        any      none      max       none  hier      -
allreduce     host   any          any   any          any      quantized max       asked twoshot   -
allreduce     host   any          any   any          any      none      max       none  twoshot   -
allreduce     cuda   any          any   any          any      quantized max       asked twoshot   -
allreduce     cuda   any          any   any          any      none      max       none  twoshot   -

# The first half of twoshot.
reducescatter host   any          any   any          any      quantized max       asked direct    -
reducescatter host   any          any   any          any      none      max       none  direct    -
reducescatter cuda   any          any   any          any      quantized max       asked direct    -
reducescatter cuda   any          any   any          any      none      max       none  direct    -
)";
}

}  // namespace qccl::collectives
