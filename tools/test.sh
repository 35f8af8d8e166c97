#!/usr/bin/env bash
# Runs the tests: makes the environment if need be.
#
#   bash tools/test.sh [ARGUMENTS of pytest]
#   bash tools/test.sh -m slow                            the slow ones
#   bash tools/test.sh tests/color                        one folder; relative to the checkout
#   PYTHON=python3.12 VENV=.venv312 bash tools/test.sh    on another Python
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

environment_make test
cd "$environment_root"
exec "$environment_python" -m pytest "$@"
