#!/usr/bin/env bash
# Runs a sweep's models side by side: ./unlearn/parallel_sweep.sh SWEEP [ITS ARGUMENTS]. SWEEP is ./unlearn/sweep_unlearn.sh, a script of
# your own that calls run_unlearn.sh in its loops, or a file of sweeps/. Groups of GPUs are sized by the memory plan, or GPUS_PER_JOB=2
# says how large. No file of the checkout is touched: run_unlearn.sh notes what it is called with, and then all of it is run.
set -euo pipefail
sweep=${1:?usage: ./unlearn/parallel_sweep.sh SWEEP (./unlearn/sweep_unlearn.sh, a script of your own, or a file of sweeps/)}
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [[ "$sweep" == *.y*ml ]]; then
  cd "$here"
  exec uv run brittle sweep "$@"
fi
notes="$(mktemp -d)"
trap 'rm -rf "$notes"' EXIT
BRITTLE_NOTES="$notes" "$sweep" "${@:2}"
cd "$here"
[[ -z "$(ls "$notes")" ]] || uv run brittle sweep --noted "$notes"
