#!/usr/bin/env bash
# Every check of `make test`; run it in the environment that set-up made (robo-stow-env).
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "test: linters"
ruff check .
ruff format --check .
mypy

echo "test: C core without warnings"
find src -name '*.c' -print0 | xargs -0 --no-run-if-empty -n 1 -P 2 \
    cc -std=c11 -O2 -Isrc -Wall -Wextra -Wpedantic -Wshadow -Werror -c -o /dev/null

echo "test: C core under sanitizers"
make --no-print-directory --jobs 2 -C test/c BUILD=../../build/test-c

echo "test: Python"
pytest "$@"
