"""Names of datasets' folders, which tell datasets with different settings apart."""

import hashlib
import json
import os
from collections.abc import Mapping


def of_settings(shown: str, settings: Mapping[str, str | int | float]) -> str:
  """Returns a readable part, and a digest of all settings."""
  text = json.dumps(settings, sort_keys=True)
  return f"{shown}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def absolute(path: str) -> str:
  """Returns the path in the form that folder names depend on; '' stays ''."""
  return os.path.abspath(os.path.expanduser(path)) if path else ""
