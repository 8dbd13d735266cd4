#!/usr/bin/env bash
# One table of the paper: trains its rows, tests them, and writes it into docs/paper.md.
#
#   ./launch/paper_tables.sh NAME [--size=small|paper] [--quick] [OPTION ...]
#
# NAME is inputs, dann, clips, context, kinetics, flow or 3dpw. Work directories and
# clips lie in paper_output, or in --runs=FOLDER. Running it again resumes where it
# stopped. `python -m tests.benchmarks.paper_tables --help` lists the options.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ] || [ "${1#--}" != "$1" ]; then
  echo "usage: ./launch/paper_tables.sh NAME [--size=small|paper] [--quick] [OPTION ...]" >&2
  exit 1
fi
name=$1
shift

. launch/environment.sh .venv
exec nice python -m tests.benchmarks.paper_tables --table="$name" "$@"
