#!/usr/bin/env bash
# The whole experiment of docs/numerics.md: trains a small model on text of this machine to have real gradients, measures everything, and writes
# results.jsonl, tables.md and the plots.
#
#   bench/numerics/run.sh [--bin build/bin] [--out build/numerics] [--gradients FOLDER]
#
# --out: folder for all results, with the gradients (90 MB) in it; --gradients: take those of an earlier run. Needs what scripts/setup installs; a few minutes
# on two cores. For the pages of the repository:
#   bench/numerics/run.sh && cp build/numerics/*.png docs/images/ && cp build/numerics/{results.jsonl,tables.md} bench/results/numerics/
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=build/bin
out=build/numerics
gradients=
while [[ $# -gt 0 ]]; do
  case "$1" in
    --bin) bin=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --gradients) gradients=$2; shift 2 ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
done
mkdir -p "$out"

if [[ -z "$gradients" ]]; then
  gradients=$out/run/gradients
  text=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  "$bin/qccl-train" prepare --out "$out/data" --vocab 1024 --max-bytes 4M --val-fraction 0.03 "$text" >"$out/prepare.log"
  "$bin/qccl-train" train --data "$out/data" --out "$out/run" --overwrite --ranks 8 --comm exact --seed 1 \
    --hidden 128 --layers 4 --heads 4 --ffn 352 --batch 2 --seq 128 --steps 300 --lr 1e-3 --min-lr 1e-4 --warmup 30 \
    --eval-every 0 --eval-batches 4 --print-every 50 --check-every 0 --save-gradients 5,50,300
fi

"$bin/qccl-numerics" --gradients "$gradients" --json "$out/results.jsonl" >"$out/results.txt"
python3 bench/numerics/tables.py "$out/results.jsonl" --plots "$out" >"$out/tables.md"
echo "wrote $out/results.jsonl, $out/results.txt, $out/tables.md and $out/*.png"
