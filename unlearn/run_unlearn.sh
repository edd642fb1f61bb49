#!/usr/bin/env bash
# Makes one unlearned model: ./unlearn/run_unlearn.sh METHOD. The environment sets what flags set: BASE, LR, EPOCHS,
# BATCH_SIZE, LAYER_ID, … (uv run unlearn/unlearn.py --help lists them). What is finished is skipped, what was killed
# goes on; further arguments are passed through.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
method=${1:?usage: ./unlearn/run_unlearn.sh METHOD [FLAGS] (uv run brittle methods lists them)}
export BASE=${BASE:-EleutherAI/deep-ignorance-unfiltered}
if [[ -z ${PUSH_TO_HUB:-} ]]; then # finished here or, where W&B is set up, anywhere: nothing to do
  code=0
  uv run unlearn/unlearn.py --use-environment --check-wandb-only --method "$method" "${@:2}" || code=$?
  ((code == 1)) || exit "$code"
fi
exec uv run unlearn/unlearn.py --use-environment --resume --method "$method" "${@:2}"
