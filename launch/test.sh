#!/usr/bin/env bash
# Everything that must hold, as CI runs it: lint, format, the import contract, types, the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/setup.sh requirements.txt requirements-dev.txt
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/lint-imports
.venv/bin/pyright -p pyright-pure.json
.venv/bin/pyright
.venv/bin/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder "$@"
