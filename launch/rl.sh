#!/usr/bin/env bash
# Start reinforcement learning, on one node or on several. Arguments are the recipe's overrides:
#   ./launch/rl.sh model.path=sft/hf "data.train=[rows/train.parquet]" output_dir=runs/first
# On several nodes run it on each, with the same arguments and a NODE_RANK of its own; output_dir is on a file system
# that all of them share. Node 0 starts a head of Ray and the run, the others join it; each ends what it has started.
#   NUM_NODES=4 NODE_RANK=1 MASTER_ADDR=node0 ./launch/rl.sh … output_dir=/shared/runs/first
# With RAY_ADDRESS set nothing is started: the run joins the cluster there.
# Settings, from the environment:
#   NUM_GPUS       of this node (default: its GPUs; 1, a logical one, where it has none)
#   NUM_CPUS       of this node for Ray, where it has several nodes (default: Ray's count; each of verl's actors takes one)
#   NUM_NODES      (default: 1)
#   NODE_RANK      of this node, from 0 up (default: 0)
#   MASTER_ADDR    host name or address of node 0; needed for several nodes
#   MASTER_PORT    of Ray's head, free on node 0 (default: 6379)
#   NODE_ADDR      address of this node for the others (default: Ray's choice)
#   JOIN_TIMEOUT   seconds for all nodes to join (default: 600)
#   LOG_DIR        gets node_<NODE_RANK>.log and the cluster's token (default: logs in output_dir)
#   MAGIC_VENV     environment to use (default: the repository's .venv, else the one that is active)
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

program=rl
# shellcheck source=launch/_node.sh
source "$root/launch/_node.sh"

read_output_dir "$@"
NUM_GPUS=${NUM_GPUS:-$(num_gpus)}
NUM_GPUS=${NUM_GPUS:-1}
MASTER_PORT=${MASTER_PORT:-6379}
JOIN_TIMEOUT=${JOIN_TIMEOUT:-600}
check_number NUM_GPUS 1
check_node
check_number JOIN_TIMEOUT 1
[[ -z ${NUM_CPUS:-} ]] || check_number NUM_CPUS 1
activate_environment ray
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} RAY_USAGE_STATS_ENABLED=0
size=("nodes=$NUM_NODES" "gpus_per_node=$NUM_GPUS")

run() {
  local command=(python -m magic_megatron.rl "${size[@]}" "$@")
  printf 'rl:%s\n' "$(printf ' %q' "${command[@]}")"
  "${command[@]}"
}

if [[ -n ${RAY_ADDRESS:-} ]]; then
  address=$RAY_ADDRESS
  unset RAY_ADDRESS  # Ray would take it from here, too
  run ray.address="$address" "$@"
  exit
fi
if (( NUM_NODES == 1 )); then
  run "$@"
  exit
fi

log_dir=${LOG_DIR:-$output_dir/logs}
mkdir -p "$log_dir" || refuse "LOG_DIR=$log_dir: not a folder that can be written; choose another one"
log=$log_dir/node_$NODE_RANK.log
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$log_dir/ray_token
host=(--num-gpus "$NUM_GPUS" --disable-usage-stats --block)
[[ -z ${NUM_CPUS:-} ]] || host+=(--num-cpus "$NUM_CPUS")
[[ -z ${NODE_ADDR:-} ]] || host+=(--node-ip-address "$NODE_ADDR")

# `ray start` names its cluster as this machine's, which others' ray.init() would look for when it is gone.
end_ray() {
  local named=/tmp/ray/ray_current_cluster
  kill "$ray_pid" 2>/dev/null || true
  wait "$ray_pid" 2>/dev/null || true
  if [[ -f $named && $(< "$named") == *":$MASTER_PORT" ]]; then rm -f "$named"; fi
}

# Ends with this script in whatever way it ends, and all of Ray on this node that it started with it.
start_ray() {
  python "$root/magic_megatron/platform/supervisor.py" $$ ray start "$@" "${host[@]}" >> "$log" 2>&1 &
  ray_pid=$!
  trap end_ray EXIT
}

# How the run with the token ended; a file of an earlier run has another name.
ended_file() { echo "$log_dir/ended_$(sha256sum < "$RAY_AUTH_TOKEN_PATH" | cut -c -16)"; }
num_joined() { grep -c "runtime started" "$log" 2>/dev/null || true; }

deadline=$((SECONDS + JOIN_TIMEOUT))
if (( NODE_RANK > 0 )); then
  echo "rl: node $NODE_RANK joins $MASTER_ADDR:$MASTER_PORT, log in $log"
  before=$(num_joined)
  while true; do
    until [[ -s $RAY_AUTH_TOKEN_PATH ]] && ended=$(ended_file) && [[ ! -e $ended ]]; do
      (( SECONDS < deadline )) || refuse "MASTER_ADDR=$MASTER_ADDR: no head after $JOIN_TIMEOUT s; is node 0 running?"
      sleep 1
    done
    start_ray --address "$MASTER_ADDR:$MASTER_PORT"
    while kill -0 "$ray_pid" 2>/dev/null && [[ ! -e $ended ]]; do sleep 1; done
    [[ ! -e $ended ]] || exit "$(< "$ended")"
    # What was killed leaves its token: a head that never answered may be one that is yet to come.
    (( $(num_joined) == before && SECONDS < deadline )) || break
    sleep 1
  done
  echo "rl: node $NODE_RANK lost the head; see $log" >&2
  exit 1
fi

rm -f "$log_dir"/ended_* "$RAY_AUTH_TOKEN_PATH"
(umask 077; python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH.part")
mv "$RAY_AUTH_TOKEN_PATH.part" "$RAY_AUTH_TOKEN_PATH"
echo "rl: head of Ray on port $MASTER_PORT, log in $log"
start_ray --head --port "$MASTER_PORT" --include-dashboard=false
trap 'end_ray; rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
status=0
python -m magic_megatron.rl.ray_cluster "$MASTER_ADDR:$MASTER_PORT" "$NUM_NODES" "$JOIN_TIMEOUT" \
  && run ray.address="$MASTER_ADDR:$MASTER_PORT" "$@" || status=$?
ended=$(ended_file)
echo "$status" > "$ended.part"
mv "$ended.part" "$ended"
exit "$status"
