#!/bin/bash
# Follows docs/label_your_own.md with a Label Studio of its own: .venv-label-studio, SQLite, this machine alone.
#   bash tests/label_studio/run.sh
# It takes some minutes, and is no part of the other tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHONPATH=tests:. exec .venv/bin/python tests/label_studio/follow_the_guide.py
