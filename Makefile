# The commands of the README, in front of Meson and the test runner. Every target works in a fresh clone and can be
# repeated. `make run ARGS=--once` hands arguments on to what is started.

BUILD ?= build
ARGS ?=
PREFIX ?= /usr/local
COUNT ?= 1000000
DURATION ?= 60
# COUNT, where it was given: the default is the simulator's
KILLS = $(if $(filter command line environment,$(origin COUNT)),$(COUNT),2000)

.PHONY: help build run test test-fast test-asan test-tsan test-clean-root test-redis test-interop sim model coherence store-moves fleet test-kill fuzz bench-hit bench-db bench-tier bench-journal bench-flush bench-write docs install clean

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

build: ## install what is missing, configure, compile: build/forebay
	@tools/setup.sh build
	@tools/build $(BUILD)

run: build ## build, then show Forebay at work in front of a small shop database
	@$(BUILD)/forebay demo $(ARGS)

test: ## build and run all tests; ends with "N passed, N failed"
	@tools/setup.sh build test
	@tools/run-tests $(ARGS)

test-fast: ## the tests of the plain build only: no sanitizers, no sockets
	@tools/setup.sh build test
	@tools/run-tests --only plain $(ARGS)

test-asan: ## all C and wire tests under AddressSanitizer and UBSan, in full
	@tools/setup.sh build test
	@tools/run-tests --only asan --full $(ARGS)

test-tsan: ## all C and wire tests under ThreadSanitizer, in full
	@tools/setup.sh build test
	@tools/run-tests --only tsan --full $(ARGS)

test-clean-root: ## the README's commands in a fresh Debian 12 (debootstrap, needs root, some minutes)
	@tools/fresh-root $(ARGS)

test-redis: ## all of Redis' own tests that we keep (tests/redis-tcl), also the slow ones: about two minutes
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@tools/redis-tests
	@FOREBAY_TEST_FULL=1 tools/run-tests --only wire -k redis_tcl

test-interop: ## all of Redis' own tests with every key passed through (tests/interop): some five minutes
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@tools/redis-tests
	@tests/interop/run build/redis-tests/redis

bench-hit: ## what a hit costs, next to redis-server in the same run: about a minute, two idle cores
	@tools/setup.sh build bench
	@tools/build build-release -Dbuildtype=release -Dwerror=false
	@tools/bench-hit --build build-release $(ARGS)

bench-db: ## what a miss and a write cost, next to PostgreSQL's and MariaDB's own clients: some five minutes
	@tools/setup.sh build test bench
	@tools/build build-release -Dbuildtype=release -Dwerror=false
	@/usr/bin/python3 tools/bench-db --build build-release $(ARGS)

bench-tier: ## what a read costs here, from the shared Redis and from the database, next to a redis-server: some two minutes
	@tools/setup.sh build test bench
	@tools/build build-release -Dbuildtype=release -Dwerror=false
	@/usr/bin/python3 tools/bench-tier --build build-release $(ARGS)

bench-journal: ## what write-behind's journal does on this disk, next to its bare fdatasync, and a recovery of 1000000 records
	@tools/setup.sh build test
	@tools/build build-release -Dbuildtype=release -Dwerror=false -Dtests=enabled
	@build-release/tests/journal/bench_journal $(ARGS)

bench-flush: ## what write-behind writes per second at each database, next to single writes: half a minute
	@tools/setup.sh build test bench
	@tools/build build-release -Dbuildtype=release -Dwerror=false
	@/usr/bin/python3 tools/bench-flush --build build-release $(ARGS)

bench-write: ## what writing behind is worth, next to clients that UPDATE rows themselves: some four minutes, an idle machine
	@tools/setup.sh build test bench
	@tools/build build-release -Dbuildtype=release -Dwerror=false
	@/usr/bin/python3 tools/bench-write --build build-release $(ARGS)

sim: ## the simulator over COUNT seeds (default 1000000, about half a minute)
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@$(BUILD)/tests/sim/sim --count $(COUNT)

model: ## the protocol of several Forebays with one Redis: all configurations (about a minute, 2 GB of memory)
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@$(BUILD)/tests/model/model

coherence: ## 16 workers and a real Redis, DURATION seconds (60) for each of four lives: no stale read
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@$(BUILD)/tests/live/coherence $(DURATION)

store-moves: ## the store paused, killed, failed over and moved under load, DURATION seconds (60) each: no stale read
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@FOREBAY_TEST_FULL=1 FOREBAY_MOVES_SECONDS=$(DURATION) FOREBAY_BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest \
		-p no:cacheprovider -q -s --tb=short tests/wire/test_store_moves.py

fleet: ## three Forebays, one Redis, one PostgreSQL, 16 clients, and all that can be killed: DURATION seconds (60); a table
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@FOREBAY_FLEET_SECONDS=$(DURATION) FOREBAY_BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest -p no:cacheprovider -q -s \
		--tb=short tests/wire/test_fleet_live.py

test-kill: ## write-behind, killed COUNT times over each database and brought back: some 15 minutes for COUNT=2000
	@tools/setup.sh build test
	@tools/build $(BUILD) -Dtests=enabled
	@FOREBAY_KILL_COUNT=$(KILLS) FOREBAY_BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest -p no:cacheprovider -q -s \
		--tb=short tests/wire/test_behind_kill.py

fuzz: ## parser, rules of users, and the whole server under libFuzzer, ASan and UBSan: DURATION seconds each (60)
	@tools/setup.sh build fuzz
	@tools/fuzz $(BUILD) $(DURATION) $(ARGS)

docs: build ## write the reference pages from the program's own tables into docs/
	@tools/docs $(BUILD)

install: build ## install under PREFIX (default /usr/local)
	meson configure $(BUILD) --prefix $(abspath $(PREFIX))
	meson install -C $(BUILD)

clean: ## remove everything that was built
	rm -rf build build-asan build-tsan build-release
