#!/bin/bash
# Follows docs/label_your_own.md and docs/label_your_own_boxes.md with a Label Studio of its own: .venv-label-studio,
# SQLite, this machine alone.
#   bash tests/label_studio/run.sh
# It takes some minutes, and is no part of the other tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=tests:.
.venv/bin/python tests/label_studio/follow_the_guide.py
.venv/bin/python tests/label_studio/follow_the_boxes.py
