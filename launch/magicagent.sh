#!/usr/bin/env bash
# The paper's chain: SFT, GRPO on planning rows, XXPO in ALFWorld. Each stage begins with the weights of the one before.
#   ./launch/magicagent.sh RUN     RUN is the folder it writes
# Finished stages are not run again, and an unfinished one goes on from its newest checkpoint. On several nodes run it on
# each, as launch/sft.sh and launch/rl.sh want it, with RUN on a file system that all of them share.
# What a stage trains on, from the environment; each is a line of the recipe's overrides:
#   SFT    such as "model=qwen3_30b_a3b parallel=magicagent data.path=/shared/export/train init_from=/shared/qwen3"
#   GRPO   such as "data.train=[/shared/export/train.parquet] data.validation=[/shared/heldout/train.parquet]"
#   XXPO   such as "env.games=/shared/json_2.1.1"
#   RL     for both stages of RL, such as "engine=megatron engine.parallel.tp=4"
# and the settings of launch/sft.sh and launch/rl.sh: NUM_NODES, NODE_RANK, MASTER_ADDR, MAGIC_VENV, …
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

refuse() { echo "magicagent: $*" >&2; exit 2; }

[[ -n ${1:-} ]] || refuse "RUN: missing; give the folder to write: $0 RUN"
run=$(realpath -m "$1")
for setting in SFT GRPO XXPO; do
  [[ -n ${!setting:-} ]] || refuse "$setting: missing; give what the stage trains on, see $0 --help"
done
read -ra sft <<< "$SFT"
read -ra grpo <<< "$GRPO"
read -ra xxpo <<< "$XXPO"
read -ra rl <<< "${RL:-}"
NODE_RANK=${NODE_RANK:-0}
mkdir -p "$run/done"
(( NODE_RANK > 0 )) || rm -f "$run/done/failed"

# Node 0 says when a stage is done, or that it failed; the others wait for its word.
stage() {
  local name=$1 status=0
  shift
  if [[ -e $run/done/$name ]]; then
    echo "== $name: done before"
    return
  fi
  echo "== $name"
  "$@" || status=$?
  if (( status )); then
    (( NODE_RANK > 0 )) || touch "$run/done/failed"
    echo "magicagent: stage $name ended with status $status; mend it and run the same command again" >&2
    exit "$status"
  fi
  if (( NODE_RANK == 0 )); then
    touch "$run/done/$name"
    return
  fi
  until [[ -e $run/done/$name ]]; do
    [[ ! -e $run/done/failed ]] || refuse "stage $name failed on node 0; see its output there"
    sleep 1
  done
}

python_here() {
  local venv=${MAGIC_VENV:-$root/.venv}
  # shellcheck source=/dev/null
  [[ ! -f $venv/bin/activate ]] || source "$venv/bin/activate"
  OMP_NUM_THREADS=1 python "$@"
}

newest() { find "$1" -maxdepth 1 -name "$2" | sort -V | tail -n 1; }

to_huggingface() {
  (( NODE_RANK == 0 )) || return 0
  python_here -m magic_megatron.convert direction=to_hf overwrite=true \
    source="$(newest "$run/sft/checkpoints" 'step_*')" target="$run/sft_hf"
}

# A checkpoint of RL has its weights in Hugging Face format, too.
policy_after() { newest "$run/$1/checkpoints" 'global_step_*' | sed 's|$|/actor/huggingface|'; }

cd "$root"
LOG_DIR=$run/sft/logs stage sft ./launch/sft.sh "${sft[@]}" output_dir="$run/sft"
stage sft_hf to_huggingface
LOG_DIR=$run/grpo/logs stage grpo ./launch/rl.sh algorithm=grpo model.path="$run/sft_hf" "${rl[@]}" "${grpo[@]}" output_dir="$run/grpo"
LOG_DIR=$run/xxpo/logs stage xxpo ./launch/rl.sh algorithm=xxpo env=alfworld model.path="$(policy_after grpo)" "${rl[@]}" "${xxpo[@]}" output_dir="$run/xxpo"
(( NODE_RANK > 0 )) || echo "magicagent: the policy is in $(policy_after xxpo)"
