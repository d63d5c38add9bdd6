#!/usr/bin/env bash
# Start supervised fine-tuning with torchrun, on one node or on several. Arguments are the recipe's overrides:
#   ./launch/sft.sh model=qwen3_moe_tiny data.path=export/train output_dir=runs/first
# On several nodes run it on each, with the same arguments and a NODE_RANK of its own:
#   NUM_NODES=4 NODE_RANK=1 MASTER_ADDR=node0 ./launch/sft.sh … output_dir=/shared/runs/first
# Settings, from the environment:
#   NUM_PROCESSES  of this node (default: its GPUs; 1 where it has none)
#   NUM_NODES      (default: 1)
#   NODE_RANK      of this node, from 0 up (default: 0)
#   MASTER_ADDR    host name or address of node 0; needed for several nodes
#   MASTER_PORT    of node 0, free there (default: 29500; a run on one node takes any free port)
#   LOG_DIR        gets node_<NODE_RANK>/…/<local rank>/{stdout,stderr}.log (default: logs in output_dir)
#   MAGIC_VENV     environment to use (default: the repository's .venv, else the one that is active)
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

program=sft
# shellcheck source=launch/_node.sh
source "$root/launch/_node.sh"

read_output_dir "$@"
NUM_PROCESSES=${NUM_PROCESSES:-$(num_gpus)}
NUM_PROCESSES=${NUM_PROCESSES:-1}
MASTER_PORT=${MASTER_PORT:-29500}
check_number NUM_PROCESSES 1
check_node
log_dir=${LOG_DIR:-$output_dir/logs}/node_$NODE_RANK

if (( NUM_NODES == 1 )); then
  rendezvous=(--standalone)
else
  rendezvous=(--nnodes "$NUM_NODES" --node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT")
fi

activate_environment torchrun

# torchrun's own choice, made here so that it doesn't warn of it.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# One queue to the GPU: kernels start in the order of their launch, so that Megatron-Core's communication of tensor and
# context parallelism starts before the product that hides it.
export CUDA_DEVICE_MAX_CONNECTIONS=${CUDA_DEVICE_MAX_CONNECTIONS:-1}
# Experts get another number of tokens every step: memory that can grow in place isn't lost to fragments.
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}
# shellcheck disable=SC2016
export TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE='[rank ${rank}] '

mkdir -p "$log_dir" || refuse "LOG_DIR=$log_dir: not a folder that can be written; choose another one"
# USR1 asks the ranks, torchrun's children, for a checkpoint and the end; torchrun would die of it.
trap '' USR1
echo $$ > "$log_dir/torchrun.pid"
command=(torchrun "${rendezvous[@]}" --nproc-per-node "$NUM_PROCESSES"
         --log-dir "$log_dir" --redirects 3 --tee 0:3 -m magic_megatron.sft "$@")
echo "sft: logs of the ranks in $log_dir"
printf 'sft:%s\n' "$(printf ' %q' "${command[@]}")"
exec "${command[@]}"
