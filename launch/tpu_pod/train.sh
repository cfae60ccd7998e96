#!/usr/bin/env bash
# One experiment on a Cloud TPU pod slice, a process on each of its hosts. From your own machine, with gcloud set up:
#
#   TPU=my-pod ZONE=us-west4-a bash launch/tpu_pod/train.sh --config.num_seeds=5
#
# The slice must be there, with a clone of this repository on each host:
#
#   gcloud compute tpus tpu-vm create my-pod --zone=us-west4-a --accelerator-type=v5litepod-16 \
#     --version=v2-alpha-tpuv5-lite
#   gcloud compute tpus tpu-vm ssh my-pod --zone=us-west4-a --worker=all --command='git clone URL effjax'
#
# Every run's batch_size must be a multiple of the number of chips. SIGTERM (a host that is taken away) makes all
# processes save and exit with code 75: once the slice is back, the same command goes on.
set -euo pipefail

# Edit these, or set them in the environment.
TPU=${TPU:?the name of the slice}
ZONE=${ZONE:?the zone that it is in}
REPOSITORY=${REPOSITORY:-effjax}                # the clone on every host
CONFIG=${CONFIG:-configs/distill/digits.py}     # in the clone
WORKDIR=${WORKDIR:-/mnt/shared/runs/tpu_pod}    # on a disk that all hosts share (Filestore, or a mounted bucket)
DATA_DIR=${DATA_DIR:-/mnt/shared/data}          # likewise; prepared with python -m launch.data

train=(.venv/bin/python -m launch.train --config="$CONFIG" --workdir="$WORKDIR" --config.data.dir="$DATA_DIR" "$@")
# The first call makes .venv on every host; later ones find it. No --coordinator and the like: the hosts of a slice
# find one another.
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --batch-size=all --command="
  set -eo pipefail
  cd $(printf %q "$REPOSITORY")
  . launch/setup.sh requirements.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check 'jax[tpu]'
  exec$(printf ' %q' "${train[@]}")"
