#!/usr/bin/env bash
# The main job on a fresh machine: sets up .venv, prepares 5,000 real digits, trains a teacher, a small student alone and
# the same student distilled, over several seeds, and reports into runs/quickstart/. Run again, it finds what is done.
# Arguments are handed on: bash launch/quickstart.sh --config.num_seeds=5
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/setup.sh requirements.txt
.venv/bin/python -m launch.data --dataset=digits --data_dir=data
.venv/bin/python -m launch.train --config=configs/distill/quickstart.py --workdir=runs/quickstart "$@"
echo
echo "summary: runs/quickstart/summary.json"
echo "report:  runs/quickstart/report.html (open it in a browser)"
