#!/usr/bin/env bash
# Measures this machine and writes bench/results/<name>.md: every command, the commit, the machine in general words, and the raw tables.
#
#   bench/run_host.sh              name made from the processor: host-2core-avx512
#   bench/run_host.sh NAME         another name
#   BUILD=build/cpu-release TIME=0.5 bench/run_host.sh
#
# Compares with Open MPI and Gloo where the build has them, and, as root, over links of 1 and 10 Gbit/s (bench/limited_link.sh).
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

# on_page COMMAND...: runs it and puts the command and its output on the page.
on_page() {
  echo "$*" >&2
  { echo; echo '```'; echo "\$ $*"; } >>"$draft"
  "$@" >>"$draft" || failed=1
  echo '```' >>"$draft"
}

# measure ARGUMENTS...: qccl-perf.
measure() { on_page "$perf" "$@" --time "$seconds"; }

# Is this library part of the build? (Without it --against says so.)
has_peer() { [[ "$("$perf" allreduce --against "$1" --ranks 1 --max 1K --iters 1 2>&1 || true)" != *"built without"* ]]; }

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

# Both libraries take turns inside one run, so that ratios hold where times depend on the day. As root mpirun wants to be told that this is meant.
as_root=()
[[ $(id -u) -ne 0 ]] || as_root=(--allow-run-as-root)
if has_peer mpi && command -v mpirun >/dev/null; then
  section "Exact against Open MPI in its defaults, shared memory, 2 ranks"
  on_page mpirun "${as_root[@]}" -np 2 "$perf" allreduce --codec none --against mpi --min 64K --max 64M --time "$seconds"
fi
if has_peer gloo; then
  section "Exact against Gloo over loopback TCP (it has no shared memory), 2 ranks"
  measure allreduce --ranks 2 --transport ucx --codec none --against gloo --min 64K --max 64M
fi
if [[ $(id -u) -eq 0 ]] && command -v mpirun >/dev/null; then
  for rate in 1gbit 10gbit; do
    section "int8 over a link of $rate between two network namespaces, against float32"
    for peer in mpi gloo; do
      has_peer $peer || continue
      on_page bench/limited_link.sh --rate $rate "$perf" allreduce --codec int8 --against $peer --min 256K --max 64M --time "$seconds"
    done
  done
else
  echo "bench/run_host.sh: not root or no mpirun, so nothing is measured over a limited link" >&2
fi

if [[ -x $build/bin/codec-bench ]]; then
  section "Codec kernels, one core"
  on_page "$build/bin/codec-bench" --benchmark_min_time=0.01 2>/dev/null
fi

mkdir -p bench/results
cp "$draft" "$page"
chmod 644 "$page"
echo "bench/run_host.sh: wrote $page" >&2
[[ $failed == 0 ]] || { echo "bench/run_host.sh: a check failed; the page shows where" >&2; exit 1; }
