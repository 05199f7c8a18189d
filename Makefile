# Everything needs only Python 3.11 and a package index: the first target that runs installs `.venv/` from the locks.
#
#   make demo [ARGS='--rows 4000 --encoding numeric']   train one model between a bank and a platform on this machine
#   make test [ARGS='-k link']                          everything that is not marked
#   make test-slow                                      the rest: test-federations, test-crash (killed processes), test-network
#   make test-network                                   networks with torch, in `.venv-network/` of its own (a CPU build, 190 MB)
#   make bench [ARGS='training primitives']             measurements, one JSON
#   make mutants [ARGS='--only flood']                  take protections out one at a time: do the tests notice?
#   make lint                                           style, import contracts, generated code
#   make proto | lock [ARGS=--upgrade] | clean          regenerate the wire's Python | all lock files | forget both environments
#
# PYTHON=/path/to/python3.11 chooses the interpreter.

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help install install-dev demo test test-slow test-federations test-crash test-network bench mutants lint proto lock clean

PYTHON ?= python3.11
ARGS ?=

VENV := .venv
NETWORK_VENV := .venv-network
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Hashes, no builds and no resolving: what is installed is what is in the lock, or nothing.
PIP_LOCKED := $(PIP) install --quiet --require-hashes --no-deps --only-binary :all:
PYTEST := $(BIN)/python -m pytest
PARALLEL := --dist loadscope --numprocesses
PROTOS := $(sort $(shell find protocols parties -name '*.proto'))
PROTOC := $(BIN)/python -m grpc_tools.protoc -I .

IS_311 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
NO_311 := make: Sealscore needs Python 3.11, and '$(PYTHON)' is not that; install it or say where it is: make PYTHON=/path/to/python3.11

help:
	@sed -n 's/^#  *make/make/p' Makefile

install: $(VENV)/core.stamp
install-dev: $(VENV)/dev.stamp

# An environment whose interpreter is gone, or that came here with a moved or copied checkout, is made again.
ifneq ($(shell $(BIN)/python -c 'print(open("$(VENV)/made.stamp").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/made.stamp
endif
$(VENV)/made.stamp:
	@$(PYTHON) -c '$(IS_311)' 2>/dev/null || { echo "$(NO_311)" >&2; exit 2; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "$(CURDIR)" > $@

$(VENV)/core.stamp: $(VENV)/made.stamp requirements.lock pyproject.toml
	@echo "installing $$(grep -c '^[a-z]' requirements.lock) pinned packages; a slow connection takes some minutes"
	@$(PIP_LOCKED) -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@$(PIP) check
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp requirements-dev.lock
	@echo "installing the packages of requirements-dev.lock"
	@$(PIP_LOCKED) -r requirements-dev.lock
	@$(PIP) check
	@touch $@

# torch stays out of the environment in which everything else is tested: nothing but one module may need it.
$(VENV)/network.stamp: $(VENV)/dev.stamp requirements-network.lock
	@echo "installing torch for the CPU"
	@$(PIP_LOCKED) -r requirements-network.lock
	@$(PIP) check
	@touch $@

# A network needs torch, which has an environment of its own.
ifneq ($(findstring network,$(ARGS)),)
demo:
	@$(MAKE) --no-print-directory VENV=$(NETWORK_VENV) $(NETWORK_VENV)/network.stamp
	$(NETWORK_VENV)/bin/sealscore demo --out demo-out $(ARGS)
else
demo: install
	$(BIN)/sealscore demo --out demo-out $(ARGS)
endif

test: install-dev
	$(PYTEST) $(PARALLEL) 2 $(ARGS)

test-slow:
	$(MAKE) --no-print-directory test-federations
	$(MAKE) --no-print-directory test-crash
	$(MAKE) --no-print-directory test-network

# Whole federations share two cores, and kills meet Flower at points of their own choosing: what failed is run once
# more, alone, and must pass then.
test-federations: install-dev
	$(PYTEST) -m slow $(PARALLEL) 3 --no-loadscope-reorder $(ARGS) || $(call AGAIN,slow)

test-crash: install-dev
	$(PYTEST) -m crash --dist load --numprocesses 2 $(ARGS) || $(call AGAIN,crash)

test-network:
	@$(MAKE) --no-print-directory VENV=$(NETWORK_VENV) $(NETWORK_VENV)/network.stamp
	$(NETWORK_VENV)/bin/python -m pytest $(PARALLEL) 2 -m 'not crash and not bench' tests/protocols/network tests/attacks/test_networks.py tests/end_to_end/test_network.py $(ARGS)

AGAIN = { code=$$?; [ $$code = 1 ] && $(PYTEST) -m $(1) --last-failed --last-failed-no-failures none $(ARGS); }

bench: install-dev
	@$(BIN)/python -m tests.benchmarks $(ARGS)

mutants: install-dev
	@$(BIN)/python -m tests.attacks.mutate $(ARGS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT \
	&& $(PROTOC) --python_out="$$fresh" --pyi_out="$$fresh" $(PROTOS) \
	&& for file in $(PROTOS:.proto=_pb2.py) $(PROTOS:.proto=_pb2.pyi); do \
	  cmp "$$fresh/$$file" "$$file" || { echo "$$file is not what its .proto generates; run: make proto" >&2; exit 1; }; \
	done && echo "generated code is up to date"

proto: install-dev
	$(PROTOC) --python_out=. --pyi_out=. $(PROTOS)

# The tool comes from an environment of its own: a lock that does not install must not keep anybody from making a new one.
UV_COMPILE := uv pip compile --quiet --no-config --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --only-binary :all: --generate-hashes --no-emit-index-url --no-annotate
# A build without CUDA: pip finds it where its configuration says, the index's own is another of the same version.
TORCH = $(shell sed -n 's/^network = \["\(torch==[^"]*\)"\].*/\1/p' pyproject.toml)
lock: export UV_CUSTOM_COMPILE_COMMAND = make lock
lock:
	@$(PYTHON) -c '$(IS_311)' 2>/dev/null || { echo "$(NO_311)" >&2; exit 2; }
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT \
	&& $(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet uv==0.12.24 \
	&& "$$tools/bin/"$(UV_COMPILE) pyproject.toml --group build --output-file requirements.lock $(ARGS) \
	&& "$$tools/bin/"$(UV_COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS) \
	&& $(PYTHON) -m pip download --quiet --no-deps --only-binary :all: --dest "$$tools/wheels" "$(TORCH)" \
	&& echo "$(TORCH)+cpu" | "$$tools/bin/"$(UV_COMPILE) - --find-links "$$tools/wheels" --constraint requirements.lock \
	  --constraint requirements-dev.lock --output-file requirements-network.lock $(ARGS)

clean:
	rm -rf $(VENV) $(NETWORK_VENV)
