# shellcheck shell=bash
# Sourced by the other scripts: makes a virtual environment and installs the project.
#
#   . launch/environment.sh FOLDER [EXTRAS]
#
# PYTHON names the interpreter (3.11 or newer) to make it with; default python3.

environment_folder=$1
environment_extras=${2:+[$2]}

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or newer is needed: name one by PYTHON=..." >&2
  exit 1
}
[ -x "$environment_folder/bin/python" ] ||
  "${PYTHON:-python3}" -m venv "$environment_folder"
# shellcheck disable=SC1091
. "$environment_folder/bin/activate"
python -m pip install --quiet --disable-pip-version-check --editable ".$environment_extras"
