# For machines without ROS 2: the targets themselves set everything up, in this folder.
# With ROS 2 installed, use colcon as for any other package.

PYTHON ?= python3
SETUP = $(PYTHON) workspace/set_up.py $(if $(filter file,$(origin PYTHON)),--keep-python)
IN_WORKSPACE = . install/setup.sh && exec
BIN = .venv/bin
# Test files run beside each other, each graph on a ROS domain of its own. Half of their time is
# waiting, so three of them fill two cores.
JOBS ?= 3

# Another ROS 2 that is sourced in this shell must not leak into this one.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH
unexport PYTHONHOME PYTHONPATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
# A node starts a third faster from compiled files.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:  ## list the targets (the default)
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

.PHONY: sim
sim: base  ## start the humanoid and its policy; options: make sim ARGS="--mode lockstep"
	@$(IN_WORKSPACE) humanoid sim $(ARGS)

.PHONY: bench
bench: base  ## measure the speed of the loop
	@$(IN_WORKSPACE) humanoid bench $(ARGS)

.PHONY: test
test: all  ## run the test suite, three files at a time (JOBS=3); options: make test ARGS="-k observation"
	@$(IN_WORKSPACE) python3 -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(COVERAGE) $(ARGS)

.PHONY: check
check: COVERAGE = --cov --cov-report=term:skip-covered
check: lint test  ## lint, format, types and tests: what CI runs

.PHONY: lint
lint: all  ## lint, format and types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: all  ## format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: base  ## write docs/parameters.md from the code
	@$(IN_WORKSPACE) python3 tools/parameter_tables.py

.PHONY: picture
picture: all  ## record the pictures of the docs
	@$(IN_WORKSPACE) python3 tools/record_picture.py $(ARGS)

.PHONY: measure
measure: all  ## measure what the browser view costs
	@$(IN_WORKSPACE) python3 tools/measure_browser.py $(ARGS)

.PHONY: soak
soak: all  ## count what a recording loses in 5 minutes at full load
	@$(IN_WORKSPACE) python3 tools/soak.py $(ARGS)

.PHONY: attack
attack: all  ## attack the running nodes for 10 minutes and tell what held
	@$(IN_WORKSPACE) python3 tools/attack.py $(ARGS)

.PHONY: setup
setup: base  ## set up and build only
	@echo "Ready. For this shell: . install/setup.sh   Then: humanoid --help"

.PHONY: torch
torch: python  ## add PyTorch: training, and checkpoints in torch's own format
	@$(SETUP) torch

.PHONY: robots
robots: python  ## add other robots and policies for them: Unitree G1 and Go1, ONNX files
	@$(SETUP) robots

.PHONY: interfaces
interfaces: python  ## add simulation_interfaces, the services that simulators have in common
	@$(SETUP) interfaces

.PHONY: pins
pins: all  ## bring the exact pins in line with workspace/requirements/*.in; newer ones: ARGS=--upgrade
	@cd workspace/requirements && for name in ros runtime dev torch robots; do \
	    ../../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
	        --no-emit-index-url --output-file $$name.txt $(ARGS) \
	        $$(test $$name != robots || echo --no-deps) $$name.in && sed -E -i \
	        -e "s/( ;| and) platform_machine == 'x86_64'( and [^=]* != 'PyPy')? and sys_platform == 'linux'//" \
	        -e "/^(cuda|nvidia|triton)-?/d" $$name.txt || exit 1; done

.PHONY: clean
clean:  ## remove everything that the targets made
	rm -rf .venv build install log .coverage* .mypy_cache .pytest_cache .ruff_cache

# What the targets above stand on.

.PHONY: base
base: python
	@$(SETUP)

.PHONY: all
all: python
	@$(SETUP) dev torch robots interfaces

.PHONY: python
python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is missing. On Debian and Ubuntu:" >&2; \
	    echo "    sudo apt-get install python3 python3-venv python3-dev gcc g++" >&2; exit 1; }
