#!/usr/bin/env bash
# Measures all-reduce on two GPUs against the real NCCL, over the three paths between them, and writes the rows of
# bench/results/<machine>/allreduce.jsonl. Four minutes. bench/gpu/plot.py draws them, bench/gpu/tables.py prints them.
#
#   bench/gpu/run.sh LIBNCCL OUT.jsonl        LIBNCCL: PyTorch's is site-packages/nvidia/nccl/lib/libnccl.so.2
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ $# -eq 2 ]] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
library=$(realpath "$1")
out=$2
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
export NCCL_NVLS_ENABLE=0 QCCL_TIMEOUT_MS=8000 QCCL_NCCL_LIBRARY=$library
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$out"

# measure PATH CODEC ARGUMENTS...: rows of one run. CODEC: int8 or none (the communicator's, so that the tuning table may choose), int8-kept, or
# exact (by oneshot). Other settings come from the environment.
measure() {
  local path=$1 configured=$2 codec
  shift 2
  case $configured in
    int8 | none) codec="--codec $configured" ;;
    int8-kept) codec="--codec int8 --keep-codec" ;;
    exact) codec="--codec none --algo oneshot" ;;
  esac
  rm -f "$scratch/rows"
  timeout 60 build/bin/qccl-perf allreduce --ranks 2 --memory cuda --against nccl --nccl-lib "$library" $codec "$@" --json "$scratch/rows" >"$scratch/log" 2>&1 ||
    { echo "bench/gpu/run.sh: $path $configured $*:" >&2; tail -3 "$scratch/log" >&2; return; }
  python3 - "$path" "$commit" "$scratch/rows" "$configured" >>"$out" <<'PY'
import json, sys

path, commit, file, configured = sys.argv[1:]
keep = ("algo", "codec", "dtype", "bytes", "in_place", "graph", "blocks", "transport", "ranks", "time_us", "mean_us", "p95_us", "wire_bytes", "snr_db",
        "max_err_over_bound", "rank_identical", "repeatable")
for line in open(file):
    row = json.loads(line)
    print(json.dumps({"path": path, **{key: row[key] for key in keep}, "configured": configured, "nccl_us": row["against_time_us"],
                      "ratio": row["ratio"], "commit": commit}))
PY
}

threads="--transport inproc --time 0.05"
for dtype in float32 bfloat16; do
  measure peer int8 $threads --dtype $dtype --min 1K --max 16M --factor 4
  measure peer int8 $threads --dtype $dtype --min 64M --max 256M --factor 4 --check 0
  measure peer int8 $threads --dtype $dtype --min 1K --max 256M --factor 4 --check 0 --graph
  measure peer none $threads --dtype $dtype --min 1K --max 16M --factor 4
  measure peer none $threads --dtype $dtype --min 64M --max 256M --factor 4 --check 0
  measure peer none $threads --dtype $dtype --min 1K --max 256M --factor 4 --check 0 --graph
  # What the tuning table chooses between.
  measure peer int8-kept $threads --dtype $dtype --min 64K --max 1M --factor 2 --check 0 --graph
  measure peer exact $threads --dtype $dtype --min 64K --max 1M --factor 2 --check 0 --graph
  for blocks in 8 16 32 64; do
    QCCL_THREAD_BLOCKS=$blocks measure peer int8 $threads --dtype $dtype --min 64M --max 256M --factor 4 --check 0
  done
  export NCCL_P2P_DISABLE=1
  QCCL_GPU_PATH=host measure "host memory" int8 $threads --dtype $dtype --min 1K --max 256M --factor 4 --check 0
  QCCL_GPU_PATH=host measure "host memory" int8 $threads --dtype $dtype --min 1K --max 256M --factor 16 --check 0 --graph
  QCCL_GPU_PATH=host measure "host memory" none $threads --dtype $dtype --min 1K --max 256M --factor 4 --check 0
  QCCL_GPU_PATH=nccl NCCL_SHM_DISABLE=1 measure sockets int8 $threads --dtype $dtype --min 1K --max 64M --factor 4 --check 0
  unset NCCL_P2P_DISABLE
done
measure peer int8 --transport ucx --time 0.05 --min 64K --max 64M --factor 16 --check 0
measure peer int8 $threads --algo twoshot --min 64M --max 64M --check 0
wc -l "$out"
