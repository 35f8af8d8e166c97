#!/usr/bin/env bash
# Pretrains a small encoder for a few epochs: makes the environment if need be, and runs. No GPU needed.
#
#   bash tools/quickstart.sh [FLAGS of sbae_tf.pretrain]
#   PYTHON=python3.10 bash tools/quickstart.sh        with this interpreter
#   VENV=.venv312 bash tools/quickstart.sh            in this environment
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

environment_make ""
# From the caller's folder: paths in the flags are the caller's.
exec "$environment_python" -m sbae_tf.pretrain --strategy=mirrored --epochs=6 "$@"
