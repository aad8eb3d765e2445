# SPDX-License-Identifier: PostgreSQL
# The front door. Every target is one line that calls meson or a script in tools/.
#
#	make demo      the main job on a private PostgreSQL (installs what it needs); KEEP=1: until Ctrl-C
#	make test      all tests (installs what it needs)
#	make build     build/tine, build/libtine-preload.so, build/libtine.so
#	make install   PREFIX=/usr/local DESTDIR=

BUILD ?= build
PREFIX ?= /usr/local

.PHONY: all build demo test install lint fuzz suites bench-guard bench-pool bench-board \
	bench-driver bench-service soak recycle setup-build setup-test clean

all: build

build: setup-build
	@tools/build '$(BUILD)' '$(PREFIX)'

demo: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/demo $(if $(KEEP),--keep)

test: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/test $(TESTS)

install: build
	@DESTDIR='$(DESTDIR)' meson install -C '$(BUILD)' --no-rebuild

lint: setup-test build
	@tools/lint '$(BUILD)'

fuzz: setup-test
	@tools/fuzz $(SECONDS_EACH)

suites: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/suites

bench-guard: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/bench-guard

bench-pool: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/bench-pool

bench-board: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/bench-board

bench-driver: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/bench-driver

bench-service: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/bench-service

soak: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/soak $(if $(SECONDS),--seconds $(SECONDS))
	@TINE_BUILD='$(CURDIR)/$(BUILD)' tools/soak-board
	@TINE_BUILD='$(CURDIR)/$(BUILD)' RECORDS_SECONDS='$(or $(TROUBLE_SECONDS),30)' RECORDS_PAGES=1000 \
		/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/records/test_records_troubles.py \
		tests/records/test_records_curl.py

recycle: setup-test build
	@TINE_BUILD='$(CURDIR)/$(BUILD)' TINE_RECYCLED='$(or $(WORKERS),10000)' /usr/bin/python3 -m pytest \
		-q -p no:cacheprovider tests/prefork/test_prefork_faults.py -k recycled

setup-build:
	@tools/setup build

setup-test:
	@tools/setup build test

clean:
	rm -rf '$(BUILD)' '$(BUILD)'-*
