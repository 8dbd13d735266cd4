#!/usr/bin/env bash
# The same training with different inputs, tested on clips like those it was trained on
# and on clips of another domain: two tables, and the errors side by side.
#
#   ./launch/compare_inputs.sh [OUTPUT_FOLDER] [--config.KEY=VALUE ...]
#
# Running it again resumes where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

inputs=(rgb flow kp flow_kp) # Of configs/; dann sees `shifted` clips in training.
seeds=(0)                    # Of the network and of the order of clips.
steps=1500
clips=2000
test_fraction=0.1
train_on=full
test_on=(full shifted)

out=compare_inputs_output
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
  out=$1
  shift
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)

. launch/environment.sh .venv

runs=()
for name in "${inputs[@]}"; do
  for seed in "${seeds[@]}"; do
    run=$out/${name}_seed$seed
    echo "[train] $run"
    python -m mhmr_jax.train --config="configs/$name.py" --workdir="$run" \
      --config.seed="$seed" --config.train.steps=$steps --config.data.num_clips=$clips \
      --config.data.test_fraction=$test_fraction --config.data.variant=$train_on \
      --config.data.dir="$out/data" "$@"
    runs+=("$run")
  done
done

workdirs=$(IFS=,; echo "${runs[*]}")
for variant in "${test_on[@]}"; do
  echo "[evaluate] held-out clips of the variant $variant"
  python -m mhmr_jax.evaluate --workdir="$workdirs" --dataset=synthetic_clips \
    --config.data.variant="$variant" --out="$out/$variant"
done

echo
echo "PA-MPJPE, mm, trained on $train_on:"
python - "$out" "${test_on[@]}" <<'PYTHON'
import json
import pathlib
import sys

out, *variants = sys.argv[1:]
tables = [
  json.loads(pathlib.Path(out, variant, "comparison.json").read_text())
  for variant in variants
]
print(" " * 20 + "".join(variant.rjust(12) for variant in variants))
for run in tables[0]:
  errors = [f"{table[run]['pa_mpjpe_mm']:12.1f}" for table in tables]
  print(run.ljust(20) + "".join(errors))
PYTHON
