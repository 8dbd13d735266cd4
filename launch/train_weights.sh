#!/usr/bin/env bash
# Makes the weights that come with the package, from the first byte: environment,
# training on motion alone, and one packed file.
#
#   MOTION=FOLDER ./launch/train_weights.sh OUTPUT_FOLDER [--config.KEY=VALUE ...]
#
# MOTION holds BVH, CMU's ASF and AMC, or AMASS files, at any depth; without it the
# motion is procedural. Running it again resumes where it stopped. EXTRAS=gpu installs
# JAX for a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -eq 0 ] || [ "${1#--}" != "$1" ]; then
  echo "usage: MOTION=FOLDER ./launch/train_weights.sh OUTPUT_FOLDER [--config.KEY=VALUE ...]" >&2
  exit 1
fi
out=$1
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
motion=${MOTION:-}

echo "[1/3] environment in .venv"
. launch/environment.sh .venv "${EXTRAS:-}"

echo "[2/3] training"
python -m mhmr_jax.train --config=configs/kp_video.py --workdir="$out" \
  --config.data.motion="$motion" "$@"

echo "[3/3] packing"
python -m mhmr_jax.inference.pack_weights --workdir="$out" --out="$out/kp.safetensors"
