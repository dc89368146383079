#!/usr/bin/env bash
# Writes the locked, hashed requirement files for every Python that set-up accepts.
# Needs uv on the PATH; `./lock.sh --upgrade` moves to the newest releases.
set -euo pipefail
cd "$(dirname "$0")"

lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
        --no-annotate --no-header --output-file "$@"
}

lock installer.txt installer.in "$@"
lock common.txt base.in dev.in build.in --constraint installer.txt "$@"
lock ros.txt ros.in --constraint common.txt "$@"
