# Sourced by quickstart.sh and test.sh: makes .venv and installs what the named requirement files list.
# A second call finds everything there and does nothing. Usage: . launch/setup.sh requirements.txt …
PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: effjax needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version 2>&1). Set PYTHON=/path/to/python3" >&2
  exit 1
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
wanted=$(cat "$@" | sha256sum | cut -c1-16)
installed=.venv/installed
if ! grep -qsx "$wanted" "$installed"; then
  echo "installing $* into .venv (a minute or two) …"
  arguments=()
  for file in "$@"; do arguments+=(-r "$file"); done
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
  echo "$wanted" >> "$installed"
fi
