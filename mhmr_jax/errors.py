"""The one exception for input that a user can put right."""


class InputError(Exception):
  """Bad input: one sentence that names the file or field and what to do.

  The programs print it and exit with status 1, without a traceback.
  """
