# Every target that needs Python makes .venv by itself. A stamp file named after the contents of the files below records
# what is installed, so a second call starts at once and a changed requirement is noticed.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BUDGET ?= 120
LOCKED ?= 1
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
KEY := $(shell cat constraints.txt supply/locked/*.txt setup.py pyproject.toml $$(find csrc -name '*.cc' -o -name '*.h' -o -name '*.inc' | sort) | cksum | tr ' ' '-')
step = @printf '== %s\n' "$(1)"

.DEFAULT_GOAL := help
.PHONY: help run test lint nightly sanitize fuzz coverage mutants bench dist lock clean

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
	@status=0; for tool in "ruff check ." "ruff format --check ." "mypy qsr setup.py supply"; do \
		printf '== %s\n' "$$tool"; $(BIN)/$$tool || status=1; \
	done; exit $$status

nightly: $(VENV)/.test-$(KEY) $(VENV)/.release-$(KEY)  ## the long versions of the tests and of the drills; BUDGET=minutes for the drills
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
SANITIZE_MEMORY := $(addprefix tests/runtime/,kernels test_engine.py test_engine_threads.py test_model.py test_extension.py packed/test_mutations.py) \
	tests/runtime/test_engine_checks.py tests/fuzz/test_packed.py::test_what_is_accepted_runs
ONLY_MEMORY := not numpy
SANITIZE_THREADS := $(addprefix tests/runtime/,test_engine_threads.py test_engine.py test_model.py)
ONLY_THREADS := not numpy and (k6 or thread or tiles or every_instruction_set or swin)

# Coverage-guided: the compiled engine by libFuzzer under ASan and UBSan, what reads files by atheris. A quarter of the time each.
# It begins where the last one ended (build/fuzz) and with tests/fuzz/corpus; each stops at its first finding, kept in build/fuzz.
fuzz: $(VENV)/.test-$(KEY) build/fuzz/engine  ## fuzz the engine, packed files, options and pictures; BUDGET=minutes (clang needed)
	@$(call install,fuzz,$(call extra,fuzz))
	@mkdir -p build/fuzz/corpus; seconds=$$(($(BUDGET) * 15)); status=0; \
	$(call say,engine: $$seconds s); build/fuzz/engine -max_total_time=$$seconds $(FUZZ) build/fuzz/corpus tests/fuzz/corpus || status=1; \
	for target in packed options picture; do \
		$(call say,$$target: $$seconds s); \
		$(BIN)/python tests/fuzz/atheris_target.py $$target -max_total_time=$$seconds -artifact_prefix=build/fuzz/ build/fuzz/$$target || status=1; \
	done; exit $$status
CLANG ?= clang++
FUZZ := -timeout=30 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 -artifact_prefix=build/fuzz/
CHECKS := -std=c++17 -O1 -g -pthread -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -I. -Icsrc
ENGINE := $(patsubst %.cc,build/fuzz/%.o,$(wildcard csrc/base/*.cc csrc/kernels/*.cc csrc/graph/*.cc) tests/fuzz/engine_target.cc)
build/fuzz/%.o: %.cc $(wildcard csrc/*/*.h csrc/*/*.inc tests/fuzz/*.h)
	@command -v $(CLANG) >/dev/null || { echo "fuzzing needs clang: apt-get install clang libclang-rt-dev"; exit 1; }
	@mkdir -p $(@D) && $(CLANG) $(CHECKS) -fsanitize=fuzzer-no-link -c $< -o $@
build/fuzz/engine: $(ENGINE)
	@$(CLANG) $(CHECKS) -fsanitize=fuzzer $^ -o $@

# One run of the tests in a copy of the tree counts both: lines and branches of qsr/ (processes that tests start count too), and lines
# of csrc/, compiled for it. ROOMS=tests/quant takes fewer tests. Numba's loops are run once by the interpreter, or nothing would see
# them. Tests of time fail here, for counting takes some: they are `make test`'s to judge, here only the shares are.
coverage: $(VENV)/.test-$(KEY)  ## what tests reach of qsr/ and csrc/: tables here, pages in build/coverage; fails below the shares asked for
	@$(call install,coverage,$(call extra,coverage))
	@rm -rf build/coverage && $(BIN)/python tests/tree_copy.py $(COVERED) && rm -f $(COVERED)/qsr/_kernels*
	@$(call say,build with counters)
	@cd $(COVERED) && QSR_COVERAGE=1 QSR_REQUIRE_KERNELS=1 $(abspath $(BIN))/python setup.py -q build_ext --inplace
	@status=0; export COVERAGE_FILE=$(abspath build/coverage/data) $$($(BIN)/python tests/tree_copy.py --environment $(COVERED)); cd $(COVERED); \
	$(call say,test); $(COUNT) run -m pytest -q -p no:cacheprovider -n $(JOBS) --dist loadfile --timeout 1800 $(UNCOUNTED) $(ROOMS) $(ARGS); \
	$(call say,test the loops of numba); NUMBA_DISABLE_JIT=1 $(COUNT) run -m pytest -q -p no:cacheprovider --timeout 1800 $(LOOPS); \
	$(call say,qsr/); $(COUNT) combine -q && $(COUNT) html -q -d ../python; $(COUNT) report; \
	$(COUNT) json -q -o ../python.json && $(abspath $(BIN))/python tests/coverage_shares.py ../python.json || status=1; \
	$(call say,csrc/); mkdir -p ../cpp && $(GCOVR) --txt --html-details ../cpp/index.html || status=1; exit $$status
ROOMS ?= tests
COVERED := build/coverage/tree
COUNT = $(abspath $(BIN))/python -m coverage
LOOPS := $(addprefix tests/,quant/test_numba_loops.py data/test_resize_numba.py runtime/test_numba_kernels.py)
UNCOUNTED := $(addprefix --ignore=tests/,supply test_architecture.py test_build.py test_import_budget.py test_wheel.py runtime/packed/test_check_cost.py)
GCOVR = $(abspath $(BIN))/gcovr -r . --filter csrc/ --merge-lines --exclude-throw-branches --fail-under-line 95

mutants: $(VENV)/.test-$(KEY)  ## break quant/, the packed loader and the checkpoint writer a little, see who notices; BUDGET=minutes
	@$(BIN)/python tests/mutate.py --budget $(BUDGET) $(ARGS)

bench: $(VENV)/.run-$(KEY)  ## print what is timed, one file of benchmarks/ after the other
	@for file in benchmarks/*.py; do printf '== %s\n' "$$file"; $(BIN)/python "$$file" || exit 1; done

dist: $(VENV)/.release-$(KEY)  ## wheel, sdist and bill of materials, to dist/
	$(call step,dist/)
	@$(BIN)/python supply/dist.py

lock: $(VENV)/.release-$(KEY)  ## write supply/locked/ and docs/licences.md again (after changes of constraints.txt)
	$(call step,supply/locked/)
	@$(BIN)/python supply/lock.py
	$(call step,docs/licences.md)
	@$(BIN)/python supply/licences.py

clean:  ## remove .venv, build results and caches; experiments and results stay
	rm -rf $(VENV) build dist qsr.egg-info qsr/_kernels*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find qsr tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ----------------------------------------------------------------------------------------------------------
$(BIN)/python:
	$(call step,new virtual environment $(VENV))
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
		"qsr needs Python 3.11 to 3.13, found %d.%d; choose one with: make PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv module: install your system's python3-venv package"; exit 1; }

# $(call install,LIST,NAMES): what LIST of supply/locked/ names, nothing beside it, every file compared with its recorded hash (and
# nothing is fetched to build something with). LOCKED=0: NAMES and what they need in the versions of constraints.txt, unchecked.
ifeq ($(LOCKED),1)
install = $(PIP) install --no-deps --no-build-isolation --require-hashes -r supply/locked/$(1).txt || { $(other_files); exit 1; }
other_files = echo "a file is not to be had as it was tested; 'make LOCKED=0 ...' installs what pip finds, unchecked"
build_of_torch = list=$$($(BIN)/python supply/torch_build.py) && { $(call install,$$list); }
qsr_itself = { $(call install,run); } && $(PIP) install --no-deps --no-build-isolation -e . && $(PIP) check
else
install = $(PIP) install -c constraints.txt $(2)
build_of_torch = true
qsr_itself = $(PIP) install --no-build-isolation -c constraints.txt -e '.[train]'
endif

# torch on its own first: it is most of the download, and the extension and basicsr are built against what is there
$(VENV)/.base-$(KEY): | $(BIN)/python
	$(call step,build tools and torch: 200 MB or more and the longest step)
	@$(call install,build,setuptools wheel pybind11)
	@$(call install,torch,torch)
	@$(build_of_torch)
	@rm -f $(VENV)/.base-* && touch $@

$(VENV)/.run-$(KEY): $(VENV)/.base-$(KEY)
	$(call step,qsr with its C++ kernels and its requirements)
	@$(qsr_itself)
	@$(BIN)/python -c 'import cv2' || { echo "opencv needs two system libraries: apt-get install libgl1 libglib2.0-0"; exit 1; }
	@$(BIN)/python -c 'from qsr.runtime import backend_info as i; print("   kernels:", i().name, "-", i().reason)'
	@rm -f $(VENV)/.run-* && touch $@

# basicsr without its requirements: tb-nightly would overwrite tensorboard, torchvision would bring another torch
$(VENV)/.test-$(KEY): $(VENV)/.run-$(KEY)
	$(call step,test tools)
	@$(call install,test,$(call extra,test) $(call extra,basicsr-needs))
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		printf '== %s\n' "basicsr and torchvision, oracles of the parity tests"; \
		$(call install,oracles,--no-deps --no-build-isolation torchvision basicsr); \
	else echo "   no basicsr on Python 3.13: its parity tests will be skipped"; fi
	@rm -f $(VENV)/.test-* && touch $@

$(VENV)/.lint-$(KEY): $(VENV)/.run-$(KEY)
	$(call step,ruff and mypy)
	@$(call install,lint,$(call extra,lint))
	@rm -f $(VENV)/.lint-* && touch $@

$(VENV)/.release-$(KEY): $(VENV)/.run-$(KEY)
	$(call step,tools for wheels and lists)
	@$(call install,release,$(call extra,release))
	@rm -f $(VENV)/.release-* && touch $@

# names of an extra of pyproject.toml, without installing (and compiling) qsr itself again
extra = $(shell $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$(1)"])')
