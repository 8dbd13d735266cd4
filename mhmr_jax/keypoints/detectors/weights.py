"""Downloads the weights of detectors, checks them, and keeps them in a folder."""

import hashlib
import http.client
import io
import pathlib
import urllib.error
import urllib.request
import zipfile
from typing import NamedTuple

from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic

FOLDER = pathlib.Path("~/.cache/mhmr_jax/weights")
_TIMEOUT = 30.0  # Seconds without any byte from the server.
_MAX_BYTES = 1 << 30
_ADVICE = "name other weights by --detector_weights"


class Download(NamedTuple):
  """A file on a server, and the digest by which it is checked.

  If `member` is set, the file is a zip archive: the one member whose name ends with it
  is kept, and the digest is that of the member.
  """

  url: str
  sha256: str
  member: str | None = None

  @property
  def name(self) -> str:
    """The name under which the wanted file is kept."""
    name = self.url.rsplit("/", 1)[-1]
    if self.member is None:
      return name
    return str(pathlib.PurePath(name).with_suffix(pathlib.PurePath(self.member).suffix))


def fetch(download: Download, folder: pathlib.Path) -> pathlib.Path:
  """Downloads a file into the folder, unless the folder has it.

  Raises:
    InputError: it cannot be downloaded, is another file, or cannot be written.
  """
  path = folder / download.name
  if path.is_file():
    return path
  logging.info("Downloading %s to %s", download.url, path)
  atomic.make_folder(folder, _ADVICE)
  try:
    with urllib.request.urlopen(download.url, timeout=_TIMEOUT) as answer:
      content = answer.read(_MAX_BYTES)
    if download.member is not None:
      content = _unpack(content, download.member)
    # A proxy or a login page may answer in place of the server.
    if hashlib.sha256(content).hexdigest() != download.sha256:
      raise OSError("the answer is another file")
  except (OSError, http.client.HTTPException, zipfile.BadZipFile) as error:
    raise _unavailable(download, path, error) from error
  atomic.write(path, content, _ADVICE)
  return path


def _unpack(content: bytes, member: str) -> bytes:
  with zipfile.ZipFile(io.BytesIO(content)) as bundle:
    found = [info for info in bundle.infolist() if info.filename.endswith(member)]
    if len(found) != 1 or found[0].file_size > _MAX_BYTES:
      raise OSError(f"the answer has no {member}")
    return bundle.read(found[0])


def _unavailable(
  download: Download, path: pathlib.Path, error: Exception
) -> InputError:
  """The error for weights that the folder lacks and that cannot be downloaded."""
  reason = error.reason if isinstance(error, urllib.error.URLError) else error
  wanted = "it" if download.member is None else f"its {download.member}"
  return InputError(
    f"The detector's weights are not at {path} and could not be fetched ({reason}): "
    f"download {download.url} on another machine and put {wanted} there, or {_ADVICE}."
  )
