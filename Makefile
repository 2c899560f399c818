# Every target that needs Python makes .venv by itself. A stamp file named after the contents of the files below records
# what is installed, so a second call starts at once and a changed requirement is noticed.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BUDGET ?= 120
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
KEY := $(shell cat constraints.txt setup.py pyproject.toml $$(find csrc -name '*.cc' -o -name '*.h' -o -name '*.inc' | sort) | cksum | tr ' ' '-')
step = @printf '== %s\n' "$(1)"

.DEFAULT_GOAL := help
.PHONY: help run test lint nightly sanitize bench clean

help:  ## this list
	@printf 'make TARGET   (PYTHON=%s for a new .venv; tested with 3.11 to 3.13)\n\n' "$(PYTHON)"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

run: $(VENV)/.run-$(KEY)  ## set up, then train, measure and show a small quantized network (qsr demo)
	$(call step,qsr demo)
	@$(BIN)/qsr demo

test: $(VENV)/.test-$(KEY)  ## set up with the tests' tools, then run every test
	$(call step,pytest with $(JOBS) processes)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.lint-$(KEY)  ## ruff (rules and format) and mypy
	@status=0; for tool in "ruff check ." "ruff format --check ." "mypy qsr setup.py"; do \
		printf '== %s\n' "$$tool"; $(BIN)/$$tool || status=1; \
	done; exit $$status

nightly: $(VENV)/.test-$(KEY)  ## the long versions of the tests and of the drills; BUDGET=minutes for the drills
	$(call step,pytest -m "nightly or drill" with $(BUDGET) minutes for the drills)
	@status=0; QSR_NIGHTLY=1 QSR_DRILL_MINUTES=$(BUDGET) HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -q -n $(JOBS) \
		--dist loadfile -m "nightly or drill" --timeout 7200 $(ARGS) || status=$$?; \
	$(BIN)/python tests/drill_table.py; exit $$status

# Under address and undefined-behaviour checks every kernel runs on buffers of exact size with red zones between them; under the
# thread checker only what has threads of its own. In a copy of the tree, so that the extension in use stays. Python itself is not
# instrumented: the checker's library is loaded first, and leaks are not looked for (the interpreter keeps much to its end on
# purpose). Under the thread checker no process forks, and its memory is not what the test of memory expects.
sanitize: $(VENV)/.test-$(KEY)  ## the compiled code's tests under ASan and UBSan, then TSan (g++ needed; about 10 minutes)
	@for kind in address,undefined thread; do \
		here=build/sanitize-$${kind%%,*}; rm -rf $$here; mkdir -p $$here/experiments; \
		$(call say,build with $$kind checks); \
		cp -r qsr tests csrc options setup.py pyproject.toml README.md LICENSE $$here/ && rm -f $$here/qsr/_kernels*; \
		(cd $$here && QSR_SANITIZE=$$kind QSR_REQUIRE_KERNELS=1 $(abspath $(BIN))/python setup.py -q build_ext --inplace) || exit 1; \
		if [ $$kind = thread ]; then library=libtsan.so; chosen="$(SANITIZE_THREADS)"; which="$(ONLY_THREADS)"; \
		else library=libasan.so; chosen="$(SANITIZE_MEMORY)"; which="$(ONLY_MEMORY)"; fi; \
		$(call say,test with $$kind checks); \
		(cd $$here && LD_PRELOAD="$$(g++ -print-file-name=$$library) $$(g++ -print-file-name=libstdc++.so)" \
			ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS="suppressions=tests/tsan.txt" \
			OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
			$(abspath $(BIN))/python -m pytest -q -p no:cacheprovider --timeout 1200 -k "$$which" $$chosen) || exit 1; \
	done
say = printf '== %s\n' "$(1)"
SANITIZE_MEMORY := $(addprefix tests/runtime/,kernels test_engine.py test_engine_threads.py test_model.py test_extension.py packed/test_mutations.py)
ONLY_MEMORY := not numpy
SANITIZE_THREADS := $(addprefix tests/runtime/,test_engine_threads.py test_engine.py test_model.py)
ONLY_THREADS := not numpy and (k6 or thread or tiles or every_instruction_set or swin)

bench: $(VENV)/.run-$(KEY)  ## print what is timed, one file of benchmarks/ after the other
	@for file in benchmarks/*.py; do printf '== %s\n' "$$file"; $(BIN)/python "$$file" || exit 1; done

clean:  ## remove .venv, build results and caches; experiments and results stay
	rm -rf $(VENV) build qsr.egg-info qsr/_kernels*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find qsr tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ----------------------------------------------------------------------------------------------------------
$(BIN)/python:
	$(call step,new virtual environment $(VENV))
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
		"qsr needs Python 3.11 to 3.13, found %d.%d; choose one with: make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv module: install your system's python3-venv package"; exit 1; }

# torch on its own first: it is most of the download, and the extension and basicsr are built against what is there
$(VENV)/.base-$(KEY): | $(BIN)/python
	$(call step,build tools and torch: 200 MB or more and the longest step)
	@$(PIP) install -c constraints.txt setuptools wheel pybind11
	@$(PIP) install -c constraints.txt torch
	@rm -f $(VENV)/.base-* && touch $@

$(VENV)/.run-$(KEY): $(VENV)/.base-$(KEY)
	$(call step,qsr with its C++ kernels and its requirements)
	@$(PIP) install --no-build-isolation -c constraints.txt -e '.[train]'
	@$(BIN)/python -c 'import cv2' || { echo "opencv needs two system libraries: apt-get install libgl1 libglib2.0-0"; exit 1; }
	@$(BIN)/python -c 'from qsr.runtime import backend_info as i; print("   kernels:", i().name, "-", i().reason)'
	@rm -f $(VENV)/.run-* && touch $@

# basicsr without its requirements: tb-nightly would overwrite tensorboard, torchvision would bring another torch
$(VENV)/.test-$(KEY): $(VENV)/.run-$(KEY)
	$(call step,test tools)
	@$(PIP) install -c constraints.txt $(call extra,test) $(call extra,basicsr-needs)
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		printf '== %s\n' "basicsr and torchvision, oracles of the parity tests"; \
		$(PIP) install -c constraints.txt --no-deps torchvision && \
		$(PIP) install -c constraints.txt --no-deps --no-build-isolation basicsr; \
	else echo "   no basicsr on Python 3.13: its parity tests will be skipped"; fi
	@rm -f $(VENV)/.test-* && touch $@

$(VENV)/.lint-$(KEY): $(VENV)/.run-$(KEY)
	$(call step,ruff and mypy)
	@$(PIP) install -c constraints.txt $(call extra,lint)
	@rm -f $(VENV)/.lint-* && touch $@

# names of an extra of pyproject.toml, without installing (and compiling) qsr itself again
extra = $(shell $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"])')
