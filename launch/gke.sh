#!/usr/bin/env bash
# Trains on a TPU slice of Google Kubernetes Engine by gke_jobset.yaml, in the cluster
# that kubectl points at. It must have JobSet, and a node pool of the slice.
#
#   IMAGE=I ./launch/gke.sh run --workdir=gs://BUCKET/RUN \
#     --config=configs/flow_kp.py:paper [--config.KEY=VALUE ...]
#   ./launch/gke.sh show     # what `run` would submit, with the same arguments
#   ./launch/gke.sh logs     # of the first host, as they come
#   ./launch/gke.sh delete   # saves a checkpoint and ends
set -euo pipefail
cd "$(dirname "$0")/.."

export NAME=${NAME:-mhmr}
export IMAGE=${IMAGE:-} # Made of launch/Dockerfile.
# Also tpu-v4-podslice, tpu-v5p-slice, tpu-v6e-slice.
export ACCELERATOR=${ACCELERATOR:-tpu-v5-lite-podslice}
export TOPOLOGY=${TOPOLOGY:-4x4} # Chips of the slice: the node pool's.
export CHIPS=${CHIPS:-4}         # Of one host.
# Where clips are: of each pod its own, gone at a restart, or a volume that all share,
# DATA='persistentVolumeClaim: {claimName: NAME}'. --workdir may be in /data then.
export DATA=${DATA:-'emptyDir: {}'}
export SERVICE_ACCOUNT=${SERVICE_ACCOUNT:-default} # With access to the bucket.
export RESTARTS=${RESTARTS:-100}

fail() { echo "error: $1" >&2 && exit 1; }
manifest() {
  [ -n "$IMAGE" ] || fail "IMAGE is missing: an image of launch/Dockerfile, in a registry."
  [[ " $*" == *" --workdir="* ]] ||
    fail "--workdir is missing: gs://BUCKET/RUN, or a folder in /data where that is shared."
  [[ " $*" != *" --workdir=/"* || $DATA != emptyDir* ]] ||
    fail "--workdir would go with the pod: give gs://BUCKET/RUN, or a shared volume as DATA."
  [[ $TOPOLOGY =~ ^[1-9][0-9]*(x[1-9][0-9]*)+$ && $CHIPS =~ ^[1-9][0-9]*$ &&
    $((${TOPOLOGY//x/*} % CHIPS)) == 0 ]] ||
    fail "TOPOLOGY=$TOPOLOGY is not made of hosts of CHIPS=$CHIPS: give both as the node pool has them."
  export HOSTS=$((${TOPOLOGY//x/*} / CHIPS))
  python3 - "$@" --config.data.dir=/data <<'PYTHON'
import json, os, pathlib, string, sys

template = string.Template(pathlib.Path("launch/gke_jobset.yaml").read_text())
print(template.substitute(os.environ, FLAGS=json.dumps(sys.argv[1:])))
PYTHON
}

case ${1:-} in
  run | show) text=$(manifest "${@:2}") ;;
esac
case ${1:-} in
  run) kubectl apply --filename=- <<<"$text" ;;
  show) echo "$text" ;;
  logs) kubectl logs --follow --tail=50 --selector="jobset.sigs.k8s.io/jobset-name=$NAME,batch.kubernetes.io/job-completion-index=0" ;;
  delete) kubectl delete jobset "$NAME" ;;
  *) fail "Say what to do: run, show, logs or delete." ;;
esac
