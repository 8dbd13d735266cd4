"""Where detectors' weights are kept, and how they get there."""

import pathlib
import urllib.error
import urllib.request
import zipfile

from absl import logging

from mhmr_jax.errors import InputError

FOLDER = pathlib.Path("~/.cache/mhmr_jax/weights")
_TIMEOUT = 30.0  # s, for the server to answer at all.


def fetch(url: str, folder: pathlib.Path) -> pathlib.Path:
  """Downloads a bundle (a zip file) unless it is there; whole or not at all.

  Raises:
    InputError: it is neither there nor to be had.
  """
  path = folder / url.rsplit("/", 1)[-1]
  if path.is_file():
    return path
  logging.info("Fetching %s to %s", url, path)
  partial = path.with_name(f".{path.name}.partial")
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
      partial.write_bytes(answer.read())
    # What answers in place of the server (a login page) is not kept.
    if not zipfile.is_zipfile(partial):
      raise OSError("the answer is not the file")
    partial.replace(path)
  except OSError as error:
    raise unavailable([url], folder, error) from error
  finally:
    partial.unlink(missing_ok=True)
  return path


def unavailable(urls: list[str], folder: pathlib.Path, error: Exception) -> InputError:
  """What to say where weights are neither there nor to be had."""
  reason = error.reason if isinstance(error, urllib.error.URLError) else error
  return InputError(
    f"The detector's weights are not in {folder} and could not be fetched ({reason}): "
    f"download {' and '.join(urls)} where you can and put what you get, as it is, into "
    f"{folder}, or name other weights by --detector_weights."
  )
