#!/usr/bin/env bash
# Makes one unlearned model: ./unlearn/run_unlearn.sh METHOD. The environment and .env set what flags set: BASE, LR,
# EPOCHS, BATCH_SIZE, LAYER_ID, … (uv run unlearn/unlearn.py --help lists them). What is finished is skipped, what was
# killed goes on; further arguments are passed through.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
method=${1:?usage: ./unlearn/run_unlearn.sh METHOD [FLAGS] (uv run brittle methods lists them)}
if [[ -n "${BRITTLE_NOTES:-}" ]]; then # parallel_sweep.sh runs all that was noted side by side
  note="$(mktemp "$BRITTLE_NOTES/XXXXXXXX")"
  { printf '%s\0' "$#" "$@" && env -0; } >"$note"
  exit 0
fi
code=0 # finished here or, where W&B is set up, anywhere: nothing to do
uv run unlearn/unlearn.py --check-wandb-only --method "$method" "${@:2}" || code=$?
((code == 1)) || exit "$code"
exec uv run unlearn/unlearn.py --resume --method "$method" "${@:2}"
