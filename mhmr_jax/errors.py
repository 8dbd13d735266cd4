"""The errors that end a program early, with one sentence and without a traceback."""

# The exit status (EX_TEMPFAIL) that has launchers start the same command again.
RESTART = 75


class InputError(Exception):
  """The input is bad; the message names the file or field and what to do about it.

  The programs print the message and exit with status 1.
  """


class RestartError(Exception):
  """A run was stopped or lost another process; the same command continues it.

  The programs print the message and exit with status `RESTART`.
  """
