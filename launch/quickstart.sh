#!/usr/bin/env bash
# The whole pipeline in miniature, on two CPU cores: rows of five planning tasks, training files, a Mixture-of-Experts
# model trained by Megatron-Core in several processes, exported, served by vLLM and scored on unseen puzzles, then
# improved by GRPO with verl, vLLM and Ray.
#   ./launch/quickstart.sh [RUN]     RUN is the folder it writes (default: runs/quickstart)
# Finished stages are not run again, an unfinished one goes on where it stopped; a new RUN starts afresh.
#   QUICKSTART_STEPS, QUICKSTART_ROWS, QUICKSTART_HELDOUT   training steps, calendar rows, calendar puzzles asked
#   QUICKSTART_RL_STEPS                                     steps of GRPO
set -euo pipefail
case "${1:-}" in -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
run=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../runs/quickstart}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./launch/setup.sh
source "${MAGIC_VENV:-.venv}/bin/activate"
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

steps=${QUICKSTART_STEPS:-1200}
rows=${QUICKSTART_ROWS:-24000}
heldout=${QUICKSTART_HELDOUT:-200}
rl_steps=${QUICKSTART_RL_STEPS:-10}
processes=2
if [[ $run =~ [^A-Za-z0-9_./+@-] ]]; then
  echo "quickstart: RUN=$run: Hydra reads some of its characters as syntax; give a folder of letters, digits and _./+@-" >&2
  exit 2
fi
mkdir -p "$run"
touch "$run/stages.jsonl"

settings="QUICKSTART_STEPS=$steps QUICKSTART_ROWS=$rows QUICKSTART_HELDOUT=$heldout QUICKSTART_RL_STEPS=$rl_steps"
[[ -f $run/settings ]] || echo "$settings" > "$run/settings"
if [[ $(<"$run/settings") != "$settings" ]]; then
  echo "quickstart: $run was begun with $(<"$run/settings"), not with $settings; give another folder: $0 RUN" >&2
  exit 2
fi

stage() {
  local name=$1 started=$EPOCHREALTIME status=0
  shift
  if grep -q "\"stage\": \"$name\"" "$run/stages.jsonl"; then
    echo "== $name: done before"
    return
  fi
  echo "== $name"
  "$@" || status=$?
  if (( status )); then
    echo "quickstart: stage $name ended with status $status; mend it and run the same command again" >&2
    exit "$status"
  fi
  awk -v name="$name" -v from="$started" -v to="$EPOCHREALTIME" \
    'BEGIN { printf "{\"stage\": \"%s\", \"wall_s\": %.1f}\n", name, to - from }' >> "$run/stages.jsonl"
}

# The four tasks with tools, small: few distractors and steps, a dozen calls at most.
planning=(task=all weights.scheduling=0 weights.long_horizon=0.1 long_horizon.difficulty=short
  decomposition.num_distractors=1 decomposition.compose.max_steps=3
  tool_augmented.num_distractors=1 tool_augmented.compose.max_steps=3
  "procedural.num_distractors={min: 1, max: 2}" "procedural.num_nodes={qa: {min: 2, max: 4}, tools: {min: 2, max: 3}}")

# Meeting and trip get a sixth of the calendar's rows each: the headline is the calendar.
synthesise() {
  local folder=$1 split=$2 seed=$3 calendar=$4 other=$5 tools=$6 subtask number
  for subtask in calendar meeting trip; do
    number=$other
    [[ $subtask == calendar ]] && number=$calendar
    python -m data_synth task=scheduling difficulty=mini subtask="$subtask" split="$split" seed="$seed" \
      num_samples="$number" num_workers=$processes output_dir="$run/$folder/$subtask" || return
  done
  python -m data_synth "${planning[@]}" split="$split" seed="$seed" \
    num_samples="$tools" num_workers=$processes output_dir="$run/$folder/planning"
}

export_rows() {
  local synth=$run/synth heldout=$run/heldout
  python -m data_synth.export "format=[indexed,parquet]" output_dir="$run/export" vocab_size=4096 num_workers=$processes \
    "input=[$synth/calendar/data.jsonl,$synth/meeting/data.jsonl,$synth/trip/data.jsonl,$synth/planning/data.jsonl]" &&
  python -m data_synth.export "format=[indexed,parquet]" tokenizer="$run/export/tokenizer" output_dir="$run/export_heldout" \
    "input=[$heldout/calendar/data.jsonl,$heldout/meeting/data.jsonl,$heldout/trip/data.jsonl,$heldout/planning/data.jsonl]"
}

train() {
  torchrun --standalone --nproc-per-node $processes -m magic_megatron.sft \
    model=qwen3_moe_tiny parallel.ep=$processes data.path="$run/export/train" data.pad_multiple=4 output_dir="$run/sft" \
    data.validation_path="$run/export_heldout/train" train.validation_interval="$steps" data.sequence_length=4096 \
    train.num_steps="$steps" train.global_batch_size=2 train.micro_batch_size=1 \
    train.save_interval=200 train.keep_checkpoints=100 train.routing_interval=25 \
    optim.lr=3e-3 optim.warmup_steps=$((steps / 20)) moe.aux_loss_coeff=1e-2 moe.z_loss_coeff=1e-3
}

convert() {
  python -m magic_megatron.convert direction=to_hf overwrite=true \
    source="$run/sft/checkpoints/step_$(printf %07d "$1")" target="$run/$2"
}

# Asks the server at the address given for every held-out puzzle.
ask() {
  local folder=$1 base_url=$2 subtask
  for subtask in calendar meeting trip; do
    python -m evaluation benchmark=natural_plan subtask="$subtask" data="$run/heldout/$subtask/data.jsonl" \
      endpoint.base_url="$base_url" model=quickstart generation.max_tokens=128 output_dir="$run/$folder/$subtask" || return
  done
}
export -f ask
export run

serve_and_ask() {
  python -m magic_megatron.platform.serve --model "$run/$1" --name quickstart --log "$run/$1.log" \
    -- bash -c 'ask "$@"' ask "$2" '{base_url}'
}

# One GPU, or one process without; calendars, meetings and trips, whose answers this model gives without thoughts.
reinforce() {
  python -m magic_megatron.rl algorithm=grpo model.path="$run/hf_after" output_dir="$run/rl" "data.tasks=[scheduling]" \
    "data.train=[$run/export/train.parquet]" "data.validation=[$run/export_heldout/train.parquet]" data.overlong=drop \
    data.max_prompt_length=896 data.max_response_length=128 reward.scheduling_format=natural_plan \
    nodes=1 gpus_per_node=1 rollout.tensor_parallel_size=1 rollout.num_workers=1 \
    train.num_steps="$rl_steps" train.batch_size=4 train.save_interval="$rl_steps" optim.lr=3e-5 \
    validation.num_prompts="$((heldout < 32 ? heldout : 32))" validation.num_samples=2 validation.interval="$rl_steps"
}

report() {
  python -m evaluation.report runs="$run" output="$run/report.html"
}

stage synth synthesise synth train 1 "$rows" $((rows / 6)) $((rows / 30))
stage heldout synthesise heldout test 2 "$heldout" $((heldout / 4)) $((heldout / 2))
stage export export_rows
stage sft train
stage convert_before convert 0 hf_before
stage convert_after convert "$steps" hf_after
stage eval_before serve_and_ask hf_before eval_before
stage eval_after serve_and_ask hf_after eval_after
stage rl reinforce
echo "== report"
report
echo "quickstart: open $run/report.html"
