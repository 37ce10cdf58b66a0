# What people and CI run. `make` alone lists the targets.
#
# Every target installs what it needs and lacks: system packages with apt-get (as root or with
# sudo), crates through cargo, the two foreign packages that test the specification through npm and pip.

CARGO ?= cargo
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT_GET ?= $(SUDO) apt-get
TOOLS := target/tools
DENY := $(TOOLS)/bin/cargo-deny
FUZZ := $(TOOLS)/bin/cargo-fuzz
SKIP_LOG := target/skipped-tests
# Under nohup, or in the background of a script, signals are ignored. Programs respect that, and tests send them. (So nohup does
# not keep `make test` when its terminal goes; setsid does.)
DEFAULT_SIGNALS := env --default-signal=INT,HUP

# Command, or file, and the package that has it.
# A compiler comes without the C library's headers where recommended packages are left out.
NEEDS_CC := cc=gcc /usr/include/stdio.h=libc6-dev
NEEDS_DEMO_LINUX := $(NEEDS_CC) qemu-system-x86_64=qemu-system-x86 dpkg-deb=dpkg
NEEDS_TEST := $(NEEDS_CC) qemu-system-x86_64=qemu-system-x86 script=bsdutils python3=python3 node=nodejs npm=npm mount=mount unshare=util-linux valgrind=valgrind strace=strace promtool=prometheus prometheus=prometheus victoria-metrics=victoria-metrics prometheus-node-exporter=prometheus-node-exporter setpriv=util-linux
# What reads man pages and completions, and what the documentation's commands are.
NEEDS_DOCUMENTATION := groff=groff-base zsh=zsh fish=fish ip=iproute2 curl=curl
NEEDS_BENCH_HOST := $(NEEDS_CC) prometheus=prometheus prometheus-node-exporter=prometheus-node-exporter setpriv=util-linux ip=iproute2
NEEDS_BENCH_EPHEMERAL := $(NEEDS_CC) prometheus=prometheus setpriv=util-linux

.PHONY: help
help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 22

# Installs the packages of what is missing: $(call install,command=package …). No service of theirs starts before the
# next boot, where nothing else says what may: tests and benchmarks start servers of their own.
define install
@command -v $(CARGO) >/dev/null || { echo "rondo needs Rust: install rustup, then try again" >&2; exit 1; }
@missing=""; for need in $(1); do command -v "$${need%%=*}" >/dev/null || [ -e "$${need%%=*}" ] || missing="$$missing $${need#*=}"; done; \
if [ -n "$$missing" ]; then \
  echo "installing:$$missing"; \
  policy=/usr/sbin/policy-rc.d; if [ ! -e $$policy ]; then \
    trap '$(SUDO) rm -f /usr/sbin/policy-rc.d' EXIT INT TERM; \
    printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$policy >/dev/null && $(SUDO) chmod +x $$policy; \
  fi; \
  { $(APT_GET) update -qq && $(APT_GET) install -y -qq --no-install-recommends $$missing; } >&2 \
    || { echo "cannot install:$$missing; install them by hand, then try again" >&2; exit 1; }; \
fi
endef

.PHONY: demo
demo: build ## VMs record for 45 s, a collector stores it, all is read back (DEMO='--store DIR' keeps it)
	target/release/rondo demo $(DEMO)

.PHONY: demo-linux
demo-linux: build ## A Linux guest works for 45 s, all is read back (about 1 min; DEMO_LINUX='--seconds 90' makes it longer)
	$(call install,$(NEEDS_DEMO_LINUX))
	vmm/guest/demo.sh target/release/rondo target/release/rondo-vmm target/demo-linux $(DEMO_LINUX)

.PHONY: test
test: setup check loom ## Everything CI runs: checks, tests, model checking
	@mkdir -p target && : > $(SKIP_LOG)
	RONDO_SKIP_LOG=$(abspath $(SKIP_LOG)) $(DEFAULT_SIGNALS) $(CARGO) test --locked
	tests/benches/instructions.sh --check
	@cat $(SKIP_LOG); echo "skipped tests: $$(wc -l < $(SKIP_LOG))"

.PHONY: build
build: ## The commands rondo and rondo-vmm, into target/release (about 3 min)
	$(call install,$(NEEDS_CC))
	RONDO_REVISION=$$(git rev-parse --short=12 HEAD 2>/dev/null) $(CARGO) build --locked --release --quiet -p rondo-collector -p rondo-vmm

.PHONY: manual
manual: ## Man pages and shell completions, into target/manual as they stand below /usr/share (3 min if nothing is built)
	$(call install,$(NEEDS_CC))
	$(CARGO) run --locked --quiet -p rondo-manual -- target/manual

.PHONY: setup
setup: $(DENY)
	$(call install,$(NEEDS_TEST) $(NEEDS_DOCUMENTATION))
	@python3 -c 'import ensurepip' 2>/dev/null || \
	  { $(APT_GET) update -qq && $(APT_GET) install -y -qq --no-install-recommends python3-venv; } >&2 || \
	  { echo "cannot install: python3-venv; install it by hand, then try again" >&2; exit 1; }
	tests/foreign.sh

$(FUZZ):
	$(call install,$(NEEDS_CC) c++=g++)
	@mkdir -p $(TOOLS)
	$(CARGO) install --quiet --locked --debug --root $(TOOLS) cargo-fuzz --version 0.13.2

$(DENY):
	$(call install,$(NEEDS_CC))
	@mkdir -p $(TOOLS)
	$(CARGO) install --quiet --locked --debug --root $(TOOLS) cargo-deny --version 0.20.2

.PHONY: check
check: $(DENY) ## Format, lints, documentation, licences
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	$(CARGO) clippy --locked --quiet -p rondo-collector --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet
	$(DENY) --log-level error check licenses bans sources
	@found=$$($(DENY) --log-level error check advisories 2>&1) && echo "advisories: none" || \
	  if echo "$$found" | grep -q "failed to fetch"; then \
	    echo "SKIPPED advisories: the advisory database is out of reach"; \
	  else echo "$$found" >&2; exit 1; fi

.PHONY: loom
loom: ## Explore the protocol's interleavings (about 1 min)
	RUSTFLAGS="--cfg loom" $(CARGO) test --locked --release --target-dir target/loom -p rondo-shm-layout --test loom

# Its sanitizer and its coverage need a compiler that is not stable yet.
FUZZ_SECONDS ?= 120
.PHONY: fuzz
fuzz: $(FUZZ) ## Hostile guests at the disk, and hostile slabs, for FUZZ_SECONDS=120 each (installs a nightly Rust)
	@rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
	@for target in virtio_block slab; do echo "$$target:"; \
	  PATH="$(abspath $(TOOLS)/bin):$$PATH" $(CARGO) +nightly fuzz run --target-dir target/fuzz $$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit 1; done

.PHONY: test-guest-kernel
test-guest-kernel: ## Compile a minimal kernel for guests and boot it as `make test` boots a stock one (about 10 min, once)
	$(call install,$(NEEDS_TEST))
	$(CARGO) test --locked -p rondo-vmm --test linux -- --ignored --nocapture a_kernel_without_modules

# Figures of benchmarks stand in this page, each between the markers of its name.
PAGE := docs/benchmarks.md
BENCH_PAGE := target/release/bench-page --into $(PAGE)
# In turn: two at once would measure each other.
BENCHES := bench-record bench-calls bench-instructions bench-reader bench-vmm bench-collector bench-remote-write bench-host bench-ephemeral

.PHONY: bench
bench: ## Every benchmark below in turn, and their figures into docs/benchmarks.md (about 75 min)
	@for benchmark in $(BENCHES); do echo "$$benchmark:"; $(MAKE) --no-print-directory $$benchmark || exit 1; done

.PHONY: bench-record
bench-record: ## Benchmark A: a record against its peers (about 1 min, and 5 to build them all)
	$(call install,$(NEEDS_CC))
	$(CARGO) run --locked --release --quiet -p rondo-benches -- --page $(PAGE)

.PHONY: bench-page
bench-page:
	$(call install,$(NEEDS_CC))
	$(CARGO) build --locked --release --quiet -p rondo-host --bin bench-page

.PHONY: bench-calls
bench-calls: bench-page ## Single calls of a record by the clock that everyone has, 10 million (under 1 min)
	$(CARGO) build --locked --release --quiet -p rondo-collector
	$(BENCH_PAGE) --name calls -- target/release/rondo bench

.PHONY: bench-instructions
bench-instructions: bench-page ## Instructions and cache lines of hot loops, rondo's and its peers' (about 3 min)
	$(call install,valgrind=valgrind)
	$(BENCH_PAGE) --name instructions --markdown -- tests/benches/instructions.sh --table

.PHONY: bench-reader
bench-reader: bench-page ## Memory and time that attached slabs cost a reader, 10,000 machines (under 1 min)
	$(CARGO) test --locked --release --quiet -p rondo-reader --test footprint --no-run
	RONDO_FOOTPRINT_SLABS=10000 $(BENCH_PAGE) --name reader -- $(CARGO) test --locked --release -p rondo-reader --test footprint -- --nocapture a_series_costs

.PHONY: bench-vmm
bench-vmm: bench-page ## What recording costs an exit of a vCPU, against the target of 2 % (about 1 min, needs /dev/kvm)
	$(call install,valgrind=valgrind)
	$(CARGO) bench --locked --quiet -p rondo-vmm --bench exits --no-run
	$(BENCH_PAGE) --name vmm -- $(CARGO) bench --locked --quiet -p rondo-vmm --bench exits

.PHONY: bench-collector
bench-collector: bench-page ## The collector at 100 and 10,000 machines, full store (about 16 min, 4.3 GB of /dev/shm, 2 GiB of disk)
	$(CARGO) build --locked --release --quiet -p rondo-collector
	$(BENCH_PAGE) --name collector -- target/release/rondo bench --collector --machines 100,10000 --seconds 400 --full-store

.PHONY: bench-remote-write
bench-remote-write: bench-page ## Remote write: a backlog of 50 minutes, and 100 and 10,000 machines (about 5 min, 4.3 GB of /dev/shm)
	$(CARGO) build --locked --release --quiet -p rondo-collector
	$(BENCH_PAGE) --name remote-write -- target/release/rondo bench --remote-write --machines 100,10000

.PHONY: bench-host
bench-host: ## Benchmark B: rondo beside Prometheus with exporters, 10 to 100 machines (about 25 min; BENCH_HOST='--rounds 3')
	$(call install,$(NEEDS_BENCH_HOST))
	$(CARGO) build --locked --release --quiet -p rondo-collector -p rondo-host --bin rondo --bin bench-host --bin bench-machine --bin bench-exporter
	target/release/bench-host --page $(PAGE) --plot docs/images/benchmark-host.svg $(BENCH_HOST)

.PHONY: bench-ephemeral
bench-ephemeral: ## Benchmark C: 800 machines of 5 to 45 s, rondo beside scrapes (about 10 min; BENCH_EPHEMERAL='--seed 2')
	$(call install,$(NEEDS_BENCH_EPHEMERAL))
	$(CARGO) build --locked --release --quiet -p rondo-collector -p rondo-vmm -p rondo-host --bin rondo --bin rondo-vmm --bin bench-ephemeral --bin bench-guestless
	target/release/bench-ephemeral --page $(PAGE) --plot docs/images/benchmark-ephemeral.svg $(BENCH_EPHEMERAL)
