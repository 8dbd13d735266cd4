"""Tells files that are damaged from files that could not be read for another reason."""

import errno
from collections.abc import Iterator

# What a machine or its owner can mend, without any change to the file.
_OTHER_REASONS = {
  *(errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
  *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT),
}
# The same in errors of libraries in C++, which have no number.
_OTHER_WORDS = (
  *("resource_exhausted", "out of memory", "bad_alloc", "cannot allocate memory"),
  *("permission denied", "permission_denied", "too many open files", "unavailable"),
)


def is_damage(error: BaseException) -> bool:
  """Whether an error of reading may come from a damaged file.

  If it may not, for example because memory is short, nobody should be told to delete
  the file.
  """
  for each in _causes(error):
    if isinstance(each, MemoryError):
      return False
    if isinstance(each, OSError) and each.errno in _OTHER_REASONS:
      return False
    if any(words in str(each).lower() for words in _OTHER_WORDS):
      return False
  return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
  while error is not None:
    yield error
    error = error.__cause__ or error.__context__
