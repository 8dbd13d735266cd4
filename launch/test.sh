#!/usr/bin/env bash
# All checks and all tests, in an environment of their own.
#
#   ./launch/test.sh [PYTEST_ARGUMENT ...]
set -euo pipefail
cd "$(dirname "$0")/.."

. launch/environment.sh .venv-test test

ruff check .
ruff format --check .
mypy
shellcheck --external-sources launch/*.sh launch/*.sbatch .ci/run
# A file's tests share a process, for their fixtures, in the order of tests/conftest.py.
python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder "$@"
