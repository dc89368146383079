#!/usr/bin/env bash
# Every benchmark of `make bench`, into out/bench/; run it in the environment that set-up made.
# ROBO_STOW_INSTANCES: folder of public traffic instances (*.json); ROBO_STOW_ORDERS: an order file
# of several months. What needs one of them is left out, and said so, where it is not named; space
# is then measured on days drawn from the shipped ones.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out/bench

echo "bench: RMFS-16"
robo-stow bench rmfs --jobs "$(nproc)" --out out/bench/rmfs16.json

for units in 100 300 1000 3000; do
    echo "bench: floor, $units units"
    robo-stow bench floor dupont --units "$units" --out "out/bench/floor_dupont_$units.json"
done
echo "bench: headline"
robo-stow bench headline --jobs "$(nproc)" --out out/bench/headline.json

if [[ -n "${ROBO_STOW_INSTANCES:-}" ]]; then
    for instance in "$ROBO_STOW_INSTANCES"/*.json; do
        name=$(basename "$instance" .json)
        echo "bench: traffic, $name"
        robo-stow bench traffic --instance "$instance" --out "out/bench/traffic_$name.json"
    done
else
    echo "bench: traffic left out: ROBO_STOW_INSTANCES names no folder of instances" >&2
fi

echo "bench: more time for a step"
python bench/anytime.py
echo "bench: ledger"
python bench/inventory.py
echo "bench: space"
python bench/space.py
if [[ -n "${ROBO_STOW_ORDERS:-}" ]]; then
    echo "bench: forecast"
    robo-stow forecast backtest "$ROBO_STOW_ORDERS" --out out/bench/forecast.json
fi
echo "bench: anticipation"
python bench/anticipation.py
