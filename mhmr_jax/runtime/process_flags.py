"""How the processes of a run find each other, of every program that can be several.

--distributed                                   on TPU pods, under SLURM, Kubernetes
--coordinator=HOST:PORT --num_processes=2 --process_id=0            anywhere else
"""

from absl import flags, logging

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import processes

_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Join the processes that the environment tells of."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator", None, "HOST:PORT at which process 0 can be reached, in place of that."
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "How many processes there are, with --coordinator."
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Which of them this is, from 0, with --coordinator."
)


def connect() -> None:
  """Joins the other processes, if flags say that there are any.

  Raises:
    InputError: the flags are incomplete, or the others cannot be reached.
  """
  explicit = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  if all(value is None for value in explicit) and not _DISTRIBUTED.value:
    return
  if any(value is None for value in explicit) and not _DISTRIBUTED.value:
    raise InputError(
      "--coordinator, --num_processes and --process_id go together: give all three, or "
      "--distributed where the environment tells them."
    )
  processes.connect(*explicit)
  if not processes.is_first():
    logging.set_verbosity(logging.WARNING)  # The first one says it for all.
