# make lab    set up and open the labs      make test   set up and run all tests (CI: after site)
# make build  rebuild and execute notebooks     make lint   only the style checks
# make results  every lab in full, RESULTS.md   make bench  speed and sizes, as ratios
# make colab-test  LivePlot and every lab in fast mode with Colab's versions
# make other-processors  numbers, answers and labs under other kinds of arithmetic
# make site   the pages in build/site, from the executed labs; runs nothing
# make soak   2½ hours: other-processors about 75 minutes, answers.py (labs on drawn right answers)
#             about 15, classroom.py (submissions of every kind) about 50, soak.py (kill -9, faulty
#             servers, mutilated files) about 17
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two notebooks at a time, each on one thread: two threads of one small network mostly wait.
NBVAL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env \
	--nbval-cell-timeout=600 -p no:cacheprovider -q -n 2 --dist loadfile

.PHONY: lab test build site lint unit labs labs-standin results bench colab-test other-processors soak clean

# The stamp is younger than what it was made from, so a second call does not install again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "labkit needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@

# For one test, and apart, because it would add its menus to the tests' JupyterLab.
build/nbgrader/.installed: constraints.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt --target build/nbgrader \
		--upgrade nbgrader notebook nest-asyncio2 rapidfuzz alembic mako sqlalchemy greenlet
	@touch $@

# What is only measured against is no part of the tests' installation.
$(VENV)/.bench-installed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	@touch $@

$(VENV)/.site-installed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[site]'
	@touch $@

# The student's own copies: an update of the course reaches them without harm to an answer.
lab: $(VENV)/.installed
	$(BIN)/labkit update work
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(JUPYTER) work

test: $(VENV)/.installed lint unit labs labs-standin
	@echo "All tests passed."

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/labkit build --check

# Three at a time with one thread each: many tests wait for a kernel, a browser or a time limit.
unit: $(VENV)/.installed build/nbgrader/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder \
		--durations=25 --durations-min=5 tests

# Every notebook once, as CI's minutes are few: the students' with the data that are there ...
# (the last first: lab 07 takes longest, and neither process shall wait for the other at the end)
labs: $(VENV)/.installed
	LABKIT_FAST=1 LABKIT_STRICT=1 $(NBVAL) $$(ls -r notebooks/*.ipynb)

# ... and the instructors', which hold the same code and stored outputs, with nothing: no mirror, no
# network, an empty cache. `make other-processors` runs them with real data as well.
labs-standin: $(VENV)/.installed
	rm -rf build/no-data
	env -u LABKIT_MIRROR LABKIT_OFFLINE=1 LABKIT_DATA=$(CURDIR)/build/no-data \
		LABKIT_FAST=1 LABKIT_STRICT=1 $(NBVAL) $$(ls -r solutions/*.ipynb)

# Every lab in full; SEEDS=3 for the spread, LABS="05" for some of them. Hours with three seeds:
# JOBS=4 runs labs and seeds side by side here, SCHEDULER=tcp://host:8786 on a Dask cluster.
SEEDS ?= 1
JOBS ?= 1
results: $(VENV)/.installed
	$(BIN)/labkit results --seeds $(SEEDS) --jobs $(JOBS) \
		$(if $(SCHEDULER),--scheduler $(SCHEDULER)) $(LABS)

bench: $(VENV)/.installed $(VENV)/.bench-installed
	$(BIN)/python tests/bench/bench_fit.py
	$(BIN)/python tests/bench/bench_liveplot.py
	$(BIN)/python tests/bench/bench_numpy_framework.py

site: $(VENV)/.site-installed
	$(BIN)/python docs/build.py
	@echo "The site: build/site/index.html"

# An environment of its own with the versions that Colab has; 5 GB, so no part of `make test`.
COLAB := build/colab
$(COLAB)/.installed: pyproject.toml $(wildcard tests/colab/*.*)
	$(PYTHON) -m venv $(COLAB)
	$(COLAB)/bin/python -m pip install --quiet --upgrade pip
	$(COLAB)/bin/python -m pip install --quiet -r tests/colab/requirements.txt
	$(COLAB)/bin/python -m pip install --quiet -e '.[colab]'  # as the labs' set-up cell does
	$(COLAB)/bin/python tests/colab/moved.py
	$(COLAB)/bin/python -m pip install --quiet -e '.[colab,instructor]' pytest hypothesis
	cp -r tests/colab/google $(COLAB)/lib/python3*/site-packages
	echo 'import google.colab' > $$(echo $(COLAB)/lib/python3*/site-packages)/colab.pth
	@touch $@

colab-test: $(COLAB)/.installed
	$(COLAB)/bin/python tests/colab/moved.py
	$(COLAB)/bin/python -m pytest tests/liveplot tests/test_display.py
	for lab in $(notdir $(basename $(wildcard solutions/*.py))); do \
		$(COLAB)/bin/labkit run $$lab || exit 1; done

# What the libraries compute with on older, newer and other processors, on this one: the order of
# additions differs, and with it the last digits. Two kinds on real data where they are.
NUMBERS := tests/training tests/explain tests/models tests/labs tests/exercises \
	tests/test_metrics.py tests/test_statistics.py tests/test_probes.py tests/test_features.py
# (two processes of two threads on two cores must not wait for each other by spinning)
PASSIVE := OMP_WAIT_POLICY=passive
define with-arithmetic
	@echo "== $(1)"
	env $(1) $(PASSIVE) LABKIT_FAST= $(BIN)/python -m pytest -n 2 --dist loadscope $(NUMBERS)
	env $(1) $(PASSIVE) LABKIT_FAST=1 LABKIT_STRICT=1 $(subst OMP_NUM_THREADS=1,,$(NBVAL)) solutions
endef
NO_DATA := LABKIT_OFFLINE=1 LABKIT_MIRROR= LABKIT_DATA=$(CURDIR)/build/no-data
other-processors: $(VENV)/.installed
	$(call with-arithmetic,$(NO_DATA) OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default \
		ONEDNN_MAX_CPU_ISA=SSE41 OPENBLAS_CORETYPE=Nehalem LABKIT_PRECISION=fp32)
	$(call with-arithmetic,$(NO_DATA) OMP_NUM_THREADS=2 ATEN_CPU_CAPABILITY=avx2 \
		ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell LABKIT_PRECISION=bf16)
	$(call with-arithmetic,OMP_NUM_THREADS=2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
		OPENBLAS_CORETYPE=Zen LABKIT_PRECISION=fp32)
	$(call with-arithmetic,OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default \
		OPENBLAS_CORETYPE=SkylakeX LABKIT_PRECISION=bf16)
	@echo "== a graphics card, pretended"
	env $(NO_DATA) OMP_NUM_THREADS=1 $(BIN)/python tests/soak/answers.py --card --rounds 1

# Not part of CI: every lab with right answers of all kinds; submissions of every kind; 50 killed
# trainings, every fault of a server on every file, mutilated files. Its last line is the count of
# the last three.
soak: other-processors
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak/answers.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak/classroom.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak/soak.py

build: $(VENV)/.installed
	$(BIN)/labkit build --execute

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
