"""How programs end early: input that a user can put right, and runs to go on with."""

# The exit status on which launchers start the same command again (EX_TEMPFAIL).
RESTART = 75


class InputError(Exception):
  """Bad input: one sentence that names the file or field and what to do.

  The programs print it and exit with status 1, without a traceback.
  """


class RestartError(Exception):
  """A run that was stopped, or lost another process, and can go on: one sentence.

  The programs print it and exit with status `RESTART`.
  """
