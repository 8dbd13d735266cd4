"""The flags by which the processes of one run find each other.

  --distributed                                 on TPU pods, under SLURM, on Kubernetes
  --coordinator=HOST:PORT --num_processes=2 --process_id=0              anywhere else

Every program that can run as several processes imports this module.
"""

from absl import flags, logging

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import processes

_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Join the processes that the environment describes."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT of process 0, where the environment does not tell it."
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "The number of processes, with --coordinator."
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "The number of this process, from 0, with --coordinator."
)


def connect() -> None:
  """Joins the other processes if the flags say that there are any.

  Raises:
    InputError: the flags are incomplete, or the others cannot be reached.
  """
  explicit = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  if all(value is None for value in explicit) and not _DISTRIBUTED.value:
    return
  if any(value is None for value in explicit) and not _DISTRIBUTED.value:
    raise InputError(
      "--coordinator, --num_processes and --process_id go together: give all three, or "
      "--distributed where the environment provides them."
    )
  processes.connect(*explicit)
  if not processes.is_first():
    logging.set_verbosity(logging.WARNING)  # The first process logs for all.
