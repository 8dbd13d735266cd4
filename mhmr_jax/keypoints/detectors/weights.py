"""Downloads the weights of detectors and keeps them in a folder."""

import http.client
import io
import pathlib
import urllib.error
import urllib.request
import zipfile

from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic

FOLDER = pathlib.Path("~/.cache/mhmr_jax/weights")
_TIMEOUT = 30.0  # Seconds without any byte from the server.
_ADVICE = "name other weights by --detector_weights"


def fetch(url: str, folder: pathlib.Path) -> pathlib.Path:
  """Downloads a bundle (a zip file) into the folder, unless the folder has it.

  Raises:
    InputError: it cannot be downloaded, or not be written.
  """
  path = folder / url.rsplit("/", 1)[-1]
  if path.is_file():
    return path
  logging.info("Downloading %s to %s", url, path)
  atomic.make_folder(folder, _ADVICE)
  try:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
      bundle = answer.read()
    # A proxy or a login page may answer in place of the server.
    if not zipfile.is_zipfile(io.BytesIO(bundle)):
      raise OSError("the answer is not the file")
  except (OSError, http.client.HTTPException) as error:
    raise unavailable([url], folder, error) from error
  atomic.write(path, bundle, _ADVICE)
  return path


def unavailable(urls: list[str], folder: pathlib.Path, error: Exception) -> InputError:
  """The error for weights that the folder lacks and that cannot be downloaded."""
  reason = error.reason if isinstance(error, urllib.error.URLError) else error
  return InputError(
    f"The detector's weights are not in {folder} and could not be fetched ({reason}): "
    f"download {' and '.join(urls)} on another machine and put the unchanged files "
    f"into {folder}, or {_ADVICE}."
  )
