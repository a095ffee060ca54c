# Everything that is done to this checkout has one name here. Without a name: the list of them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

# Real outputs are the stamps: npm writes the first when it is done, node-gyp and tsc write the others.
modules := node_modules/.package-lock.json
addon := native/build/Release/basalt_native.node
program := dist/daemon/main.js

vitest := vitest run --config test/vitest.config.ts
# Real devices, mounts and sockets of other users: these kinds of test are root's.
tests := unit contract property
tests_of_root := scenario platform

.PHONY: help install build quickstart test test-guest test-guest-short test-cinder test-ceph test-gluster check format bench bench-peers clean packages

help: ## list these names
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

install: packages $(modules) ## install what is missing: Debian packages and npm modules

packages:
	@.ci/packages

# The lock file says it all, and no module needs its install script: the native ones come built.
$(modules): package-lock.json | packages
	@echo 'Installing npm modules'
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

build: $(addon) $(program) ## compile the addon and the two programs

$(addon): native/binding.gyp $(wildcard native/src/* native/reader/*) $(modules) | packages
	@echo 'Compiling the addon'
	@headers=$$(.ci/node-headers); JOBS=max npm run --silent build:native -- --nodedir="$$headers" >/dev/null
	@touch $@

$(program): tsconfig.json $(shell find $(wildcard daemon client native bench) -path native/build -prune -o -name '*.ts' -print) $(modules)
	@echo 'Compiling basaltd and basaltctl'
	@tsc
	@chmod +x dist/*/main.js
	@touch $@

quickstart: build ## back up, change, restore, mount and verify a sample volume, step by step
	@docs/quickstart.sh

test: build check ## install, build, check and run every test
ifeq ($(shell id -u),0)
	$(vitest) $(addprefix --project ,$(tests) $(tests_of_root))
else
	$(vitest) $(addprefix --project ,$(tests))
	@echo 'NOT RUN: the tests "$(tests_of_root)" need root (loop devices, mounts, FUSE). All of them: sudo env PATH="$$PATH" make test'
endif
	@$(MAKE) test-guest-short

test-guest-short: build ## devices on a kernel of their own, in a guest that is a process
	@.ci/packages guest || true
	test/guest/run uml

test-guest: test-guest-short ## the same, the long form: every scenario, in all machines (root for the first run; an hour)
	@.ci/packages guest emulated || true
	test/guest/run long
	test/guest/run qemu

test-cinder: build ## let the driver of a real Cinder, from Debian, restore what Basalt writes (root)
	@dpkg -s python3-cinder python3-zstd >/dev/null 2>&1 || apt-get install -y --no-install-recommends python3-cinder python3-zstd
	$(vitest) --project cinder

test-ceph: build ## attach images of a real Ceph cluster, from Debian, that runs for it (root)
	@dpkg -s ceph-mon ceph-osd ceph-common qemu-system-common qemu-block-extra >/dev/null 2>&1 || apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-common qemu-system-common qemu-block-extra
	$(vitest) --project ceph

test-gluster: build ## attach files of a real GlusterFS server, from Debian, that runs for it (root)
	@dpkg -s glusterfs-server glusterfs-client >/dev/null 2>&1 || apt-get install -y --no-install-recommends glusterfs-server glusterfs-client
	$(vitest) --project gluster

check: install ## formatting, lint, types and the rules of the house
	npm run --silent check

format: install ## format all sources
	npm run --silent format

bench: build ## measure Basalt, its peers and the limit in turn, and write bench/RESULTS.md (root; about an hour)
	node dist/bench/main.js

bench-peers: ## install the other backup programs that bench measures, from Debian
	apt-get install -y --no-install-recommends python3-cinder restic borgbackup python3-pyfuse3 zstd

clean: ## remove what build and quickstart have made
	docs/quickstart.sh --clean
	rm -rf dist native/build native/build.lock
