"""Damaged files are told from files that cannot be read for another reason."""

import errno

import pytest

from mhmr_jax.files.damage import is_damage


@pytest.mark.parametrize(
  ("error", "expected"),
  [
    (ValueError("wrong magic number"), True),
    (FileNotFoundError(errno.ENOENT, "no such file"), True),
    (OSError(errno.EIO, "Input/output error"), True),
    (MemoryError(), False),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), False),
    (PermissionError(errno.EACCES, "Permission denied"), False),
    (OSError(errno.EMFILE, "Too many open files"), False),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), False),
    (RuntimeError("std::bad_alloc"), False),
  ],
)
def test_only_what_a_file_itself_can_cause_is_damage(error, expected):
  assert is_damage(error) == expected
  outer = ValueError("it cannot be read")
  outer.__cause__ = error
  assert is_damage(outer) == expected
