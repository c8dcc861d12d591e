#!/usr/bin/env bash
# Measures this machine and writes bench/results/<name>.md: every command, the commit, the machine in general words, and the raw tables.
#
#   bench/run_host.sh              name made from the processor: host-2core-avx512
#   bench/run_host.sh NAME         another name
#   BUILD=build/cpu-release TIME=0.5 bench/run_host.sh
#
# Run it on a machine that does nothing else: with a load of more than half a processor it refuses (FORCE=1 overrides, and the page says so).
set -euo pipefail
cd "$(dirname "$0")/.."

build=${BUILD:-build}
seconds=${TIME:-0.3}
perf=$build/bin/qccl-perf
info=$build/bin/qccl-info
for program in "$perf" "$info"; do
  [[ -x "$program" ]] || { echo "bench/run_host.sh: $program is missing; run scripts/test first, or set BUILD" >&2; exit 1; }
done

processors=$(nproc)
isa=baseline
grep -qw avx2 /proc/cpuinfo && isa=avx2
grep -qw avx512bw /proc/cpuinfo && isa=avx512
name=${1:-host-${processors}core-$isa}
page=bench/results/$name.md

load=$(cut -d ' ' -f 1 /proc/loadavg)
busy=""
if awk "BEGIN { exit !($load > 0.5) }"; then
  if [[ "${FORCE:-0}" != 1 ]]; then
    echo "bench/run_host.sh: the load is $load, so other programs are running; wait for them, or set FORCE=1" >&2
    exit 1
  fi
  busy=" **Other programs were running (load $load): these numbers are too slow.**"
fi

commit=$(git rev-parse --short=12 HEAD)
# The page itself and its neighbours do not change what is measured.
[[ -z "$(git status --porcelain --untracked-files=no -- . ':!bench/results')" ]] || commit="$commit, with uncommitted changes"
ranks=$(( processors < 4 ? processors : 4 ))
(( ranks < 2 )) && ranks=2

draft=$(mktemp)
trap 'rm -f "$draft"' EXIT
failed=0

section() { printf '\n## %s\n' "$1" >>"$draft"; }

# measure ARGUMENTS...: runs qccl-perf and puts the command and its output on the page.
measure() {
  echo "qccl-perf $*" >&2
  { echo; echo '```'; echo "\$ $perf $* --time $seconds"; } >>"$draft"
  "$perf" "$@" --time "$seconds" >>"$draft" || failed=1
  echo '```' >>"$draft"
}

{
  echo "# $name"
  echo
  echo "Written by \`bench/run_host.sh\`. Commit $commit; $(date -u +%Y-%m-%d). $processors processors ($isa), $(free -g | awk '/^Mem:/ {print $2}') GiB of memory," \
    "one machine, all ranks on it.$busy"
  echo
  echo "time is the median over iterations of the slowest rank; busbw is as in nccl-tests; wire is what the rank that sends most hands to the transport. With as many"
  echo "ranks as processors or more, ranks wait for one another's processor, and codecs compete with copies: over memory the exact path can be the faster one. What"
  echo "quantization gains shows where the link is slower than memory."
  echo
  echo '```'
  "$info" | sed -n '/^Build/,/^Settings/p' | sed '$d'
  echo '```'
} >"$draft"

for transport in inproc ucx; do
  section "All-reduce, float32, transport $transport, $ranks ranks"
  for algorithm in oneshot twoshot ring tree; do
    for codec in none int8; do
      measure allreduce --ranks "$ranks" --transport "$transport" --algo "$algorithm" --codec "$codec" --min 1K --max 64M
    done
  done
done

section "All-reduce, bfloat16, transport ucx, $ranks ranks"
for codec in none int8; do
  measure allreduce --ranks "$ranks" --transport ucx --algo auto --codec "$codec" --dtype bfloat16 --min 1K --max 64M
done

section "More ranks than processors: 4 and 8 ranks as threads"
for many in 4 8; do
  for codec in none int8; do
    measure allreduce --ranks "$many" --transport inproc --algo auto --codec "$codec" --min 64K --max 16M --factor 16
  done
done

section "The other collectives, transport ucx, $ranks ranks"
measure reducescatter --ranks "$ranks" --transport ucx --codec none --min 64K --max 64M --factor 16
measure reducescatter --ranks "$ranks" --transport ucx --codec int8 --min 64K --max 64M --factor 16
for collective in allgather broadcast reduce sendrecv; do
  measure "$collective" --ranks "$ranks" --transport ucx --min 64K --max 64M --factor 16
done

if [[ -x $build/bin/codec-bench ]]; then
  section "Codec kernels, one core"
  echo "codec-bench" >&2
  { echo; echo '```'; echo "\$ $build/bin/codec-bench"; } >>"$draft"
  "$build/bin/codec-bench" 2>/dev/null >>"$draft" || failed=1
  echo '```' >>"$draft"
fi

mkdir -p bench/results
cp "$draft" "$page"
chmod 644 "$page"
echo "bench/run_host.sh: wrote $page" >&2
[[ $failed == 0 ]] || { echo "bench/run_host.sh: a check failed; the page shows where" >&2; exit 1; }
