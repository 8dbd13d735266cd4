"""Whatever goes wrong while a file is read becomes one sentence."""

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted


@pytest.mark.parametrize(
  ("error", "match"),
  [
    (untrusted.RefusedError("a bomb"), r"^w\.npz is refused: it has a bomb; give "),
    (
      OSError(2, "No such file"),
      r"^w\.npz cannot be read as an \.npz: No such file\.$",
    ),
    (OSError("truncated"), r"^w\.npz cannot be read as an \.npz: truncated\.$"),
    (KeyError("a\nb"), r"^w\.npz cannot be read .* may be damaged \('a\\nb'\): fetch"),
    (ValueError("two\nlines"), r"damaged \(two lines\)"),
    (RecursionError(), r"damaged \(RecursionError\)"),
    (MemoryError(), r"damaged \(MemoryError\)"),
  ],
)
def test_every_error_is_one_sentence(error, match):
  with pytest.raises(InputError, match=match) as refused:  # noqa: SIM117
    with untrusted.reading("w.npz", "an .npz"):
      raise error
  assert "\n" not in str(refused.value)
  assert refused.value.__cause__ is error


def test_programs_are_still_interrupted():
  with pytest.raises(KeyboardInterrupt), untrusted.reading("w.npz", "an .npz"):
    raise KeyboardInterrupt
