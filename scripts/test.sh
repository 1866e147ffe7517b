#!/usr/bin/env bash
# bash scripts/test.sh [pytest arguments]: from a fresh checkout to the tests' result. `-m slow` runs the slow ones.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

install "[test]"
fashion_mnist
# Tests use no network beyond loopback. Small models run fastest on one thread, tests on two processes, which take
# whole files in the order of tests/conftest.py.
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec .venv/bin/python -m pytest -n "${ZOO_TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
