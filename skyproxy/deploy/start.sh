#!/bin/sh
# Starts skyproxy from this folder: makes an environment the first time, then serves until Ctrl-C.
# Use: put it beside setup.cfg, then: sh start.sh
# Tried: on Linux.
set -e
cd "$(dirname "$0")"
if [ ! -x .venv/bin/skyproxy ]; then
    python3 -m venv .venv
    .venv/bin/pip install .
fi
exec .venv/bin/skyproxy run "$@"
