#!/usr/bin/env bash
# Makes the twelve documented models, one after the other, with default hyper-parameters or those of the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=()
for method in ga_simple ga grad_diff dpo npo simnpo rmu cb lat cb_lat wt_dist wt_dist_reg; do
  ./unlearn/run_unlearn.sh "$method" "$@" || failed+=("$method")
done
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}; a line above says for each what to change. Then run this again: finished models are skipped" >&2
  exit 1
fi
