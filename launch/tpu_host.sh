#!/usr/bin/env bash
# What tpu_vm.sh runs on every host of a TPU VM, in the copy of this folder there.
#
#   launch/tpu_host.sh install | train [FLAG ...] | stop
set -euo pipefail
cd "$(dirname "$0")/.."

running() { grep -qs mhmr_jax.train "/proc/$(cat train.pid 2>/dev/null)/cmdline"; }

# Asks training for a checkpoint and its end, and waits for both.
stop() {
  local second
  ! running || kill -TERM "$(cat train.pid)"
  for ((second = 0; second < 120; second++)); do
    running || return 0
    sleep 1
  done
  echo "error: training on $(hostname) has not stopped in two minutes." >&2
  return 1
}

case ${1:-} in
  install) # The VM's own Python is too old. What a broken connection left behind is stopped.
    stop
    python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --allow-existing --python 3.12
    python3 -m uv pip install --quiet --editable '.[tpu,gcs]'
    ;;
  train)
    .venv/bin/python -m mhmr_jax.train --distributed "${@:2}" > >(tee -a train.log) 2>&1 &
    echo $! >train.pid
    wait $!
    ;;
  stop) stop ;;
  *)
    echo "error: Say what to do: install, train or stop." >&2
    exit 1
    ;;
esac
