#!/usr/bin/env bash
# Trains on this machine, on its CPU or its GPUs, in one process or in several.
#
#   [PROCESSES=N] ./launch/local.sh --config=configs/flow_kp.py --workdir=DIR \
#     [--config.KEY=VALUE ...]
#
# Ctrl-C or SIGTERM saves a checkpoint and ends; the same command then goes on from it.
set -euo pipefail
cd "$(dirname "$0")/.."

PROCESSES=${PROCESSES:-1} # One drives all GPUs; several share them out.
RESTARTS=${RESTARTS:-10}  # After exit code 75: a process stopped or lost another.
EXTRAS=${EXTRAS:-}        # gpu: installs JAX for CUDA. Used where no venv is active.

fail() {
  echo "error: $1" >&2
  exit 1
}
[[ $PROCESSES =~ ^[1-9][0-9]*$ ]] ||
  fail "PROCESSES is '$PROCESSES': give the number of processes, for instance PROCESSES=2."
[[ " $*" == *" --workdir"* ]] ||
  fail "--workdir is missing: the folder that the run's checkpoints go to."
# Without GPUs, or without their driver's tool, the list is empty.
gpus=${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader \
  2>/dev/null | tr '\n' ',' || true)}
IFS=, read -ra gpus <<<"$gpus" || true
((${#gpus[@]} % PROCESSES == 0)) ||
  fail "PROCESSES=$PROCESSES does not divide the ${#gpus[@]} GPUs: choose a number that does."

# shellcheck source=launch/environment.sh
[ -n "${VIRTUAL_ENV:-}" ] || . launch/environment.sh .venv "$EXTRAS"

pids=()
start() {
  local share=$((${#gpus[@]} / PROCESSES)) port i
  # Another one at each start: the last one may still be taken.
  port=$(python -c 'import socket; s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])')
  pids=()
  for ((i = 0; i < PROCESSES; i++)); do
    local group=() own=()
    ((PROCESSES == 1)) ||
      group=("--coordinator=127.0.0.1:$port" "--num_processes=$PROCESSES" "--process_id=$i")
    ((share == 0)) ||
      own=("CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${gpus[*]:i*share:share}")")
    env "${own[@]}" python -m mhmr_jax.train "$@" "${group[@]}" &
    pids+=($!)
  done
}

stopped=''
signalled=''
trap 'stopped=1 signalled=1; kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM

for ((restart = 1; ; restart++)); do
  start "$@"
  status=0
  for pid in "${pids[@]}"; do
    while # A signal ends the waiting, not the process: wait on.
      signalled='' code=0
      wait "$pid" || code=$?
      [ -n "$signalled" ]
    do :; done
    # A process that failed by itself tells more than those that then missed it.
    ((code == 0 || (status != 0 && status != 75))) || status=$code
  done
  [ -z "$stopped" ] && ((status == 75 && restart <= RESTARTS)) || exit "$status"
  echo "[local] going on from the last checkpoint (restart $restart of $RESTARTS)" >&2
done
