#!/usr/bin/env bash
# Makes synthetic clips on the workers of a Beam pipeline, byte for byte those that one
# machine would make. Flags are those of `python -m data_builders.synthetic_clips`.
#
#   RUNNER=dataflow BEAM_FOLDER=gs://BUCKET/clips IMAGE=I PROJECT=P REGION=R \
#     ./launch/beam_dataset.sh --num_clips=100000 --variant=full --size=224 --data_dir=DIR
#   RUNNER=flink|spark BEAM_FOLDER=s3://BUCKET/clips IMAGE=I MASTER=HOST:PORT \
#     ./launch/beam_dataset.sh ...
#   RUNNER=local ./launch/beam_dataset.sh ...      # Beam on this machine, to try it
#
# The clips end on this machine, in --data_dir. Running it again resumes.
set -euo pipefail
cd "$(dirname "$0")/.."

RUNNER=${RUNNER:-}
# Where workers leave finished shards: gs://, s3://, or a folder that all have mounted.
BEAM_FOLDER=${BEAM_FOLDER:-}
IMAGE=${IMAGE:-}     # Of the workers, by launch/Dockerfile, in a registry that they reach.
PROJECT=${PROJECT:-} # Dataflow: the Google Cloud project that pays.
REGION=${REGION:-}   # Dataflow: for instance us-central1.
MASTER=${MASTER:-}   # Flink: HOST:8081. Spark: spark://HOST:7077.
WORKERS=${WORKERS:-} # Dataflow: machines at most. Flink: tasks. Local: processes.

fail() { echo "error: $1" >&2 && exit 1; }
need() {
  local name
  for name in "$@"; do
    [ -n "${!name}" ] || fail "$name is missing for RUNNER=$RUNNER: see the top of launch/beam_dataset.sh."
  done
}
case $RUNNER in
  dataflow)
    need BEAM_FOLDER IMAGE PROJECT REGION
    [[ $BEAM_FOLDER == gs://*/* ]] ||
      fail "BEAM_FOLDER is '$BEAM_FOLDER': Dataflow needs gs://BUCKET/FOLDER."
    options="--runner=DataflowRunner --project=$PROJECT --region=$REGION
      --temp_location=$BEAM_FOLDER.tmp --max_num_workers=${WORKERS:-64}
      --sdk_container_image=$IMAGE --sdk_location=container"
    ;;
  flink)
    need BEAM_FOLDER IMAGE MASTER
    options="--runner=FlinkRunner --flink_master=$MASTER --parallelism=${WORKERS:-64}
      --environment_type=DOCKER --environment_config=$IMAGE"
    ;;
  spark)
    need BEAM_FOLDER IMAGE MASTER
    options="--runner=SparkRunner --spark_master_url=$MASTER
      --environment_type=DOCKER --environment_config=$IMAGE"
    ;;
  local)
    options="--runner=DirectRunner --direct_running_mode=multi_processing
      --direct_num_workers=${WORKERS:-$(getconf _NPROCESSORS_ONLN)}"
    ;;
  *) fail "RUNNER is '$RUNNER': choose dataflow, flink, spark or local." ;;
esac
extras=beam
case $BEAM_FOLDER in
  gs://*) extras=beam-gcp ;;
  s3://*) extras=beam-aws ;;
esac
# shellcheck source=launch/environment.sh
[ -n "${VIRTUAL_ENV:-}" ] || . launch/environment.sh .venv "$extras"
python -m data_builders.synthetic_clips --beam_options="$options" \
  ${BEAM_FOLDER:+"--beam_folder=$BEAM_FOLDER"} "$@"
