#!/usr/bin/env bash
# Set up, check style and types, then run the tests. Arguments go to pytest:
#   ./launch/test.sh -m slow            the longer checks
#   ./launch/test.sh tests/unit -k moe  some of them
# Two files of tests run at a time, since many wait for processes to start, in their order: the long ones of
# tests/distributed and tests/e2e first. MAGIC_TEST_WORKERS=0 runs them one by one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./launch/setup.sh
source "${MAGIC_VENV:-.venv}/bin/activate"
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1

ruff check .
ruff format --check .
mypy
workers=(-n "${MAGIC_TEST_WORKERS:-2}" --dist loadfile --no-loadscope-reorder)
case " $* " in
  *" -m "*) exec pytest "${workers[@]}" "$@" ;;
  *) exec pytest "${workers[@]}" -m "not slow and not gpu" "$@" ;;
esac
