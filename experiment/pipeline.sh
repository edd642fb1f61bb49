#!/usr/bin/env bash
# Compares models, attacks them and writes the report. Environment: UNLEARNED, BASE, FILTERED, OUTROOT, SEEDS and the
# others that `./experiment/pipeline.sh --help` shows. Flags: --force, --laboratory and the same names as flags.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec uv run ${UV_RUN_FLAGS:-} brittle pipeline "$@"
