#!/usr/bin/env bash
# Make the rehearsal environment: Python 3.12 and the packages of docker/constraints-rehearsal.txt.
# Safe to run again: a second run with an unchanged lock ends within a second.
#   MAGIC_VENV  where the environment lies (default: .venv)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MAGIC_VENV:-$root/.venv}
lock=$root/docker/constraints-rehearsal.txt

case "${1:-}" in
  "") ;;
  -h|--help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "setup: unknown argument $1; see --help" >&2; exit 2 ;;
esac

fail() { echo "setup: $*" >&2; exit 1; }

stamp=$( { cat "$lock" "$root/pyproject.toml"; echo "$root"; } | sha256sum | cut -d' ' -f1)
if [[ -x $venv/bin/python && -f $venv/.magic-stamp && $(<"$venv/.magic-stamp") == "$stamp" ]]; then
  echo "setup: $venv is up to date"
  exit 0
fi

[[ $(uname -sm) == "Linux x86_64" ]] || fail "the lock holds for Linux on x86_64, this is $(uname -sm); see docker/ for what it pins"
command -v c++ >/dev/null || fail "no C++ compiler: megatron-core builds a data helper with it; install g++ (Debian: apt-get install g++)"
command -v make >/dev/null || fail "no make: fast-downward-textworld, ALFWorld's planner, is built with it; install make (Debian: apt-get install make)"

# A pyenv shim answers command -v and still fails, so every candidate is run.
is_python312() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; }
find_python312() {
  local candidate
  for candidate in "$(command -v python3.12 || true)" "$(command -v python3 || true)" \
                   "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12; do
    if [[ -n $candidate ]] && is_python312 "$candidate"; then echo "$candidate"; return; fi
  done
}
python312=$(find_python312)

find_uv() {
  local boot=$venv.uv any
  if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then command -v uv; return; fi
  if [[ ! -x $boot/bin/uv ]]; then
    any=${python312:-$(command -v python3 || true)}
    [[ -n $any ]] || fail "neither uv nor any Python 3 found; install one of them"
    "$any" -m venv "$boot" >/dev/null || fail "'$any -m venv' failed; install its venv module (Debian: apt-get install python3-venv) or uv"
    "$boot/bin/pip" install --quiet "uv$(sed -n 's/^uv\(==[^ ]*\).*/\1/p' "$lock")" >&2 || fail "pip could not install uv; is the package registry reachable?"
  fi
  echo "$boot/bin/uv"
}
uv=$(find_uv)

if [[ -z $python312 ]]; then
  echo "setup: no Python 3.12 on PATH or in pyenv; asking uv for one"
  "$uv" python install 3.12 || fail "no Python 3.12: not on PATH, not in ${PYENV_ROOT:-$HOME/.pyenv}/versions, and uv could not download one; install Python 3.12 and run again"
  python312=$("$uv" python find 3.12)
fi

started=$SECONDS
rm -f "$venv/.magic-stamp"
if [[ -e $venv ]] && ! is_python312 "$venv/bin/python"; then
  [[ -f $venv/pyvenv.cfg || -z $(ls -A "$venv") ]] || fail "MAGIC_VENV=$venv exists and is no Python environment; choose another folder"
  rm -rf "$venv"
fi
[[ -x $venv/bin/python ]] || "$uv" venv --quiet --python "$python312" "$venv"
echo "setup: installing $(grep -c '^[A-Za-z0-9].*==' "$lock") packages into $venv; the first time on a machine, ALFWorld's planner is compiled (a minute or two)"
"$uv" pip sync --python "$venv/bin/python" --require-hashes "$lock"
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable "$root"
echo "$stamp" > "$venv/.magic-stamp"
echo "setup: done in $((SECONDS - started)) s; activate with: source $venv/bin/activate"
