#!/usr/bin/env bash
# Trains on a Cloud TPU VM, of one host or a slice of many: creates it, copies this
# folder to every host, installs, trains, and deletes it.
#
#   PROJECT=P ZONE=Z ./launch/tpu_vm.sh run --workdir=gs://BUCKET/RUN \
#     --config=configs/flow_kp.py:paper [--config.KEY=VALUE ...]
#   PROJECT=P ZONE=Z ./launch/tpu_vm.sh logs|delete
#
# A VM that is preempted, or loses a host, is created anew, and training goes on from the
# last checkpoint, for as long as this script runs: start it in tmux. Ctrl-C saves and ends.
set -euo pipefail
cd "$(dirname "$0")/.."

PROJECT=${PROJECT:-} # The Google Cloud project that pays.
ZONE=${ZONE:-}       # Where TYPE is to be had: gcloud compute tpus accelerator-types list.
NAME=${NAME:-mhmr}   # Of the VM.
TYPE=${TYPE:-v5litepod-16}
VERSION=${VERSION:-v2-alpha-tpuv5-lite} # For v5p v2-alpha-tpuv5, for v6e v2-alpha-tpuv6e.
SPOT=${SPOT:-1}                         # 0: a VM that is not preempted, and costs more.
DELETE=${DELETE:-1}                     # 0: leaves the VM at the end, and its costs.
TRIES=${TRIES:-60}                      # To create it, while there is no capacity.
WAIT=${WAIT:-60}                        # Seconds between them.
RESTARTS=${RESTARTS:-100}               # Of training.

fail() { echo "error: $1" >&2 && exit "${2:-1}"; }
[ -n "$PROJECT" ] || fail "PROJECT is missing: the Google Cloud project that pays."
[ -n "$ZONE" ] || fail "ZONE is missing: for instance ZONE=us-west4-a."
vm() { gcloud compute tpus tpu-vm "$@" --project="$PROJECT" --zone="$ZONE" --quiet; }
state() { vm describe "$NAME" --format='value(state)' 2>/dev/null || echo NONE; }
on_all() { vm ssh "$NAME" --worker=all --command="$1"; }

create() {
  local try kind=(--spot)
  [ "$SPOT" = 1 ] || kind=()
  for ((try = 1; try <= TRIES; try++)); do
    case $(state) in
      READY) return ;;
      PREEMPTED | TERMINATED) vm delete "$NAME" || true ;; # It still has the name.
    esac
    vm create "$NAME" --accelerator-type="$TYPE" --version="$VERSION" "${kind[@]}" && return
    echo "[tpu_vm] no VM in try $try of $TRIES" >&2
    sleep "$WAIT"
  done
  fail "No $TYPE could be had in $ZONE in $TRIES tries: try another zone, or later."
}

case ${1:-} in
  logs) vm ssh "$NAME" --command='tail -n 50 -F mhmr_jax/train.log' && exit ;;
  delete) vm delete "$NAME" && exit ;;
  run) arguments=$(printf '%q ' "${@:2}") ;;
  *) fail "Say what to do: run, logs or delete." ;;
esac
[[ $arguments == *--workdir=gs://* ]] ||
  fail "--workdir=gs://BUCKET/RUN is missing: the disks of a VM go with it."
vm list >/dev/null || fail "gcloud does not reach TPU VMs of $PROJECT in $ZONE: see above."

folder=$(mktemp -d)
trap 'rm -r "$folder"; [ "$DELETE" = 0 ] || [ "$(state)" = NONE ] || vm delete "$NAME"' EXIT
trap 'on_all "mhmr_jax/launch/tpu_host.sh stop" || true; exit 75' INT TERM
git ls-files -z --cached --others --exclude-standard |
  tar -czf "$folder/mhmr_jax.tgz" --null --files-from=-

attempt() {
  vm scp "$folder/mhmr_jax.tgz" "$NAME:" --worker=all &&
    on_all "mkdir -p mhmr_jax && tar -xzf mhmr_jax.tgz -C mhmr_jax &&
      mhmr_jax/launch/tpu_host.sh install" &&
    on_all "mhmr_jax/launch/tpu_host.sh train $arguments"
}
for ((restart = 1; ; restart++)); do
  create
  attempt & # While it waits, the script hears signals.
  status=0
  wait $! || status=$?
  case $status in
    0) exit ;;
    75 | 255) ;; # Stopped, or without a host that it needs; or the connection broke.
    *) [ "$(state)" != READY ] || fail "Training ended with exit code $status." "$status" ;;
  esac
  ((restart <= RESTARTS)) || fail "Training has stopped $restart times." 75
  echo "[tpu_vm] going on from the last checkpoint (restart $restart of $RESTARTS)" >&2
done
