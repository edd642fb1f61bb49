#!/usr/bin/env bash
# The documented sweep: 96 models, one after the other, each evaluated; the weights go afterwards (NO_SAVE=0 keeps them). What is
# finished, here or in W&B, is skipped. The environment sets what the file does not: BASE, DTYPE, EVAL_TASKS, …
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
order=(--local)
[[ -z "${BRITTLE_NOTES:-}" ]] || order=() # parallel_sweep.sh
NO_SAVE="${NO_SAVE:-1}" exec uv run brittle sweep sweeps/documented.yaml ${order[@]+"${order[@]}"} "$@"
