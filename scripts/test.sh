#!/usr/bin/env bash
# bash scripts/test.sh [pytest arguments]: from a fresh checkout to the tests' result. `-m slow` runs the slow ones.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

install "[test]"
fashion_mnist
# Tests must not depend on what is on the Hub; loopback is all they use. Small models run fastest on one thread.
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec .venv/bin/python -m pytest "$@"
