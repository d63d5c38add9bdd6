# What launch/sft.sh and launch/rl.sh have in common: settings of a node, read from the environment, and Python's own.
# Sourced with `program` and `root` set; gives output_dir, NUM_NODES and NODE_RANK.
# shellcheck shell=bash

# shellcheck disable=SC2154
refuse() { echo "$program: $*" >&2; exit 2; }

num_gpus() { { command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus | grep --count ^GPU; } || true; }

# check_number NAME LEAST: the variable of that name
check_number() {
  if ! [[ ${!1} =~ ^(0|[1-9][0-9]*)$ ]] || (( ${!1} < $2 )); then
    refuse "$1=${!1}: must be a whole number, at least $2"
  fi
}

# read_output_dir OVERRIDE...: the last one counts
read_output_dir() {
  local argument
  output_dir=
  for argument in "$@"; do
    [[ $argument == output_dir=* ]] && output_dir=${argument#output_dir=}
  done
  [[ -n $output_dir ]] || refuse "output_dir: missing; give it as output_dir=VALUE"
}

# The node's place among the others; MASTER_PORT has its default already.
check_node() {
  NUM_NODES=${NUM_NODES:-1}
  NODE_RANK=${NODE_RANK:-0}
  check_number NUM_NODES 1
  check_number NODE_RANK 0
  check_number MASTER_PORT 1
  (( NODE_RANK < NUM_NODES )) || refuse "NODE_RANK=$NODE_RANK: must be below NUM_NODES=$NUM_NODES"
  (( NUM_NODES == 1 )) || [[ -n ${MASTER_ADDR:-} ]] \
    || refuse "MASTER_ADDR: missing; NUM_NODES=$NUM_NODES needs the host name of node 0"
}

# activate_environment COMMAND: the environment that has it
activate_environment() {
  # shellcheck disable=SC2154
  local venv=${MAGIC_VENV:-$root/.venv}
  if [[ -f $venv/bin/activate ]]; then
    # shellcheck source=/dev/null
    source "$venv/bin/activate"
  elif [[ -n ${MAGIC_VENV:-} ]]; then
    refuse "MAGIC_VENV=$MAGIC_VENV: no Python environment; make it with ./launch/setup.sh"
  fi
  command -v "$1" >/dev/null || refuse "no $1; run ./launch/setup.sh, or start this inside the image of docker/"
}
