#!/usr/bin/env bash
# Everything once, on a fresh machine: environment, install, clips, training,
# evaluation on held-out clips, overlay video and report page.
#
#   ./launch/demo.sh [OUTPUT_FOLDER] [--config.KEY=VALUE ...]
#
# Running it again resumes where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

out=demo_output
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
  out=$1
  shift
fi

mkdir -p "$out"
out=$(cd "$out" && pwd)

echo "[1/3] environment in .venv"
. launch/environment.sh .venv

begin=$SECONDS
# Optional: keeps glibc from giving large arrays back to the system at every step,
# which takes a fifth of a training step on a CPU.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8000000000:glibc.malloc.trim_threshold=16000000000
echo "[2/3] clips and training"
python -m mhmr_jax.train --config=configs/flow_kp.py --workdir="$out" \
  --config.data.dir="$out/data" "$@"

echo "[3/3] evaluation on held-out clips"
python -m mhmr_jax.evaluate --workdir="$out" --dataset=synthetic_clips \
  --out="$out/evaluation"

echo
echo "finished in $(((SECONDS - begin) / 60)) min $(((SECONDS - begin) % 60)) s"
echo "  figures  $out/evaluation/metrics.json"
echo "  report   $out/evaluation/report.html"
echo "  overlay  $out/evaluation/overlay.mp4"
