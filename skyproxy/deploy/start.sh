#!/bin/sh
# Starts skyproxy from a checkout: makes an environment the first time, then serves until Ctrl-C.
# Use: sh start.sh, here or beside setup.cfg (skyproxy deploy start.sh --output start.sh). Delete .venv after an update.
# Tried: on Linux, from a checkout to the first answer.
set -e
cd "$(dirname "$0")"
if [ ! -e setup.cfg ] && [ -e ../../setup.cfg ]; then cd ../..; fi
if [ ! -x .venv/bin/skyproxy ]; then
    python3 -m venv .venv
    .venv/bin/python -m pip install .
fi
exec .venv/bin/skyproxy run "$@"
