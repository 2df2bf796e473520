# make train    - install into .venv and train the nut oracle; ARGS="--steps 100000" passes options to the trainer
# make teleop   - install into .venv and steer a twin from the browser; ARGS="--task screwdriver" passes options
# make test     - install into .venv, then lint, type check and test
# make quick    - install into .venv, then run what a minute is enough for, without a network
# make real-eval - install into .venv, then evaluate two policies on twins as the paper does on hardware
# make newcomer - follow README.md in a fresh environment
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRAIN_STAMP := $(VENV)/.installed-train
TELEOP_STAMP := $(VENV)/.installed-teleop

.PHONY: install train teleop test quick newcomer check docs pictures benchmark real-eval
install: $(STAMP)

$(TRAIN_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[train]"
	touch $@

$(TELEOP_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[real,teleop]"
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[train,real,teleop,gpu,export,ablation,view,data,lerobot,mcap,dev]"
	touch $@

train: $(TRAIN_STAMP)
	$(BIN)/python -m baselines.ppo_oracle --task nut $(ARGS)
	@echo 'activate the environment with: source $(BIN)/activate'

teleop: $(TELEOP_STAMP)
	$(BIN)/python -m real.teleop $(ARGS)

test: check
	$(BIN)/python -m pytest tests --ignore tests/test_readme.py -m "not real_time" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest tests/real tests/benchmark -m real_time
	# The benchmarks work; how fast, nobody asserts.
	$(BIN)/python -m pytest benchmark/test_throughput.py benchmark/test_throughput_warp.py -k 64

# Something of every package, while one writes; CONTRIBUTING.md says what it leaves out. Importing Warp takes seconds.
quick: install
	$(BIN)/python -m pytest tests -m "not slow and not gpu and not network and not real_time" -n 2 --dist loadfile \
		--ignore-glob "*/test_warp*.py"

# A walk through README.md in a fresh environment: minutes of installations, so not a part of `make test`.
newcomer: install
	$(BIN)/python -m pytest tests/test_readme.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(BIN)/python -m dexscrew_envs.reference docs/tasks.md
	$(BIN)/python -m real.twin.reference docs/twin.md

# The pictures of docs/results, from the JSON files beside them.
pictures: install
	$(BIN)/python -m benchmark.pictures docs/results

# Small, but complete: tables beside the paper's, pictures, recordings. Give it again to go on after an interruption.
real-eval: install
	$(BIN)/python -m benchmark.real_eval --task nut --policies direct full=nut-bc --shapes square cross --trials 3 \
		--out runs/real-eval-small --json $(ARGS)

benchmark: install
	$(BIN)/python -m pytest benchmark
