#!/usr/bin/env bash
# Turns a video into everybody's motion, on a fresh machine: environment, install,
# prediction.
#
#   ./launch/predict.sh VIDEO [OUTPUT_FOLDER] [--FLAG=VALUE ...]
#
# The flags are those of mhmr_jax.predict. Without an output folder the files land beside
# the video, in a folder of its name with _motion behind it.
set -euo pipefail

if [ $# -eq 0 ] || [ "${1#--}" != "$1" ]; then
  echo "usage: ./launch/predict.sh VIDEO [OUTPUT_FOLDER] [--FLAG=VALUE ...]" >&2
  exit 2
fi
video=$1
shift
out=${video%.*}_motion
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
  out=$1
  shift
fi

root=$(cd "$(dirname "$0")/.." && pwd)
# Paths on the command line are relative to where it was given.
here=$PWD
cd "$root"
. launch/environment.sh .venv detect
cd "$here"
PYTHONPATH="$root" python -m mhmr_jax.predict --video="$video" --out="$out" "$@"
