#!/usr/bin/env bash
# Runs a program as two hosts of one or more ranks each that only a slow link joins: two network namespaces of this machine and a pair of virtual interfaces between them, held to a rate in
# both directions. Everything is taken down at the end, also after Ctrl-C or a failure. Needs root, iproute2 and Open MPI's mpirun.
#
#   bench/limited_link.sh build/bin/qccl-perf allreduce --codec int8 --against mpi --min 1M
#   bench/limited_link.sh --rate 10gbit build/bin/qccl-perf allreduce --codec int8 --against gloo --min 1M
#   bench/limited_link.sh --ranks-per-host 2 build/bin/qccl-perf allreduce --codec int8 --algo hier --min 1M
#
# --rate: as tc writes it (default 1gbit). Each host is a namespace with shared memory, System V segments and a host's name of its own, so that qccl, Open MPI and
# Gloo have no way but the link; the last lines say how many bytes crossed it. --ranks-per-host: 1 by default.
set -euo pipefail

refuse() {
  echo "bench/limited_link.sh: $*" >&2
  exit 2
}

rate=1gbit
ranks=1 # of each host
while [[ $# -gt 0 && "$1" == -* ]]; do
  case $1 in
    --rate)
      [[ $# -ge 2 ]] || refuse "--rate needs a value such as 1gbit or 500mbit"
      rate=$2
      ;;
    --ranks-per-host)
      [[ $# -ge 2 && "$2" =~ ^[1-9][0-9]?$ ]] || refuse "--ranks-per-host needs a number from 1 to 99"
      ranks=$2
      ;;
    *) break ;;
  esac
  shift 2
done
[[ $# -gt 0 && "$1" != -* ]] || refuse "usage: bench/limited_link.sh [--rate 1gbit] [--ranks-per-host 1] PROGRAM ARGUMENTS..."
[[ "$rate" =~ ^([0-9]+)(mbit|gbit)$ ]] || refuse "--rate $rate: give whole mbit or gbit, such as 1gbit or 500mbit"
case ${BASH_REMATCH[2]} in
  mbit) bits=$((BASH_REMATCH[1] * 1000000)) ;;
  gbit) bits=$((BASH_REMATCH[1] * 1000000000)) ;;
esac
[[ $bits -ge 10000000 && $bits -le 100000000000 ]] || refuse "--rate $rate: must be from 10mbit to 100gbit"
[[ $(id -u) -eq 0 ]] || refuse "making network namespaces needs root; run it through sudo"
for tool in ip tc mpirun unshare; do
  command -v $tool >/dev/null || refuse "$tool is missing; scripts/setup installs iproute2 and openmpi-bin"
done

link=link0 # the interface's name in both namespaces
first=qccl-link-$$-0
second=qccl-link-$$-1
folder=$(mktemp -d)
job=""

take_down() {
  trap '' INT TERM
  if [[ -n "$job" ]] && kill -0 "$job" 2>/dev/null; then
    kill -TERM "$job" 2>/dev/null || true
    for _ in {1..50}; do
      kill -0 "$job" 2>/dev/null || break
      sleep 0.1
    done
  fi
  for namespace in "$first" "$second"; do
    [[ -e /run/netns/$namespace ]] || continue
    for process in $(ip netns pids "$namespace"); do kill -KILL "$process" 2>/dev/null || true; done
    ip netns del "$namespace" || true # and with it the link
  done
  rm -rf "$folder"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ip netns add "$first" || refuse "this machine lets root make no network namespaces (a container without CAP_SYS_ADMIN?)"
ip netns add "$second"
ip -n "$first" link add $link type veth peer name $link netns "$second"
# A quarter of a millisecond of the rate may pass at once: packets must fit, and messages should not.
burst=$((bits / 8 / 4000))
[[ $burst -ge 16384 ]] || burst=16384
address=1
for namespace in "$first" "$second"; do
  ip -n "$namespace" link set lo up
  # Large packets would have to be cut before they fit into the bucket.
  ip -n "$namespace" link set $link gso_max_size 16384
  ip -n "$namespace" address add 10.213.0.$((address++))/24 dev $link
  ip -n "$namespace" link set $link up
  tc -n "$namespace" qdisc add dev $link root tbf rate "$rate" burst $burst latency 20ms
done

# The kernel takes a moment to say that the link runs, and UCX looks for that.
for namespace in "$first" "$second"; do
  for _ in {1..50}; do
    [[ "$(ip netns exec "$namespace" cat /sys/class/net/$link/operstate)" != up ]] || continue 2
    sleep 0.1
  done
  refuse "the link between the namespaces does not come up"
done

# enter.sh NAMESPACE COMMAND...: runs the command there, with shared memory and a host name of its own.
cat >"$folder/enter.sh" <<'END'
#!/bin/sh
namespace=$1
shift
exec ip netns exec "$namespace" unshare --uts --ipc sh -c 'hostname "$0" && mount -t tmpfs -o size=50% none /dev/shm && exec "$@"' "$namespace" "$@"
END
# What mpirun calls instead of ssh: HOST COMMAND-LINE.
cat >"$folder/agent.sh" <<END
#!/bin/sh
shift
exec "$folder/enter.sh" "$second" sh -c "\$*"
END
chmod +x "$folder"/*.sh
mkdir "$folder/rendezvous"

export UCX_TLS=tcp,self UCX_NET_DEVICES=$link QCCL_INTERFACE=$link QCCL_RENDEZVOUS=dir:$folder/rendezvous
passed=()
for variable in $(compgen -e | grep -E '^(QCCL|UCX)_'); do passed+=(-x "$variable"); done

counter() { ip netns exec "$1" cat /sys/class/net/$link/statistics/tx_bytes; }
before=("$(counter "$first")" "$(counter "$second")")

# In the background, so that a signal to this script is answered at once.
"$folder/enter.sh" "$first" mpirun --allow-run-as-root -np $((2 * ranks)) --host "10.213.0.1:$ranks,10.213.0.2:$ranks" --bind-to none \
  --mca plm_rsh_agent "$folder/agent.sh" --mca oob_tcp_if_include $link \
  --mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include $link "${passed[@]}" "$@" &
job=$!
status=0
wait $job || status=$?

after=("$(counter "$first")" "$(counter "$second")")
echo "# link of $rate (tbf, burst $burst bytes): host 0 sent $((after[0] - before[0])) bytes, host 1 sent $((after[1] - before[1]))"
exit $status
