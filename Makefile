# One command for each thing people do here. `make` alone lists them.
NODE = node --import tsx
VITEST = npx vitest run --project

.DEFAULT_GOAL := help
.PHONY: help setup build verify test integration simulation sim chaos browser demo down clean bench bench-quick bench-full bench-guard \
	bench-readme

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# npm writes this file at the end of an install, so it is older than the lock only when an install is due.
node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

setup: node_modules/.package-lock.json ## install the dependencies, if the lock file is newer

build: setup ## compile the package to dist/
	rm -rf dist
	npm run --silent build

verify: setup ## format, lint, types, arrows, and all tests that need no server (under a minute)
	@$(NODE) ops/verify.ts

test: setup ## everything: verify, provision, integration, simulation, chaos, browser, guard
	@$(NODE) ops/test.ts

integration: setup ## tests against real servers
	$(VITEST) integration

simulation: setup ## the engine under seeded faults; SEED=<n> repeats one, SEEDS=<n> runs as many
	$(VITEST) simulation

sim: simulation ## the same, shorter to type: SEEDS=1000 make sim

chaos: setup ## kill -9 of every part in the middle of 100 runs
	$(VITEST) chaos

browser: setup ## the console in a real browser
	$(VITEST) browser

demo: setup ## the whole product on real data, from nothing to a summary
	@$(NODE) ops/demo/main.ts

down: setup ## stop what `make demo` started
	@$(NODE) ops/main.ts down

bench: setup ## side-by-side benchmarks with peers, written to bench/results/ (BENCH=<name> runs one)
	@$(NODE) bench/main.ts $(BENCH)

bench-quick: setup ## a tenth of the work in five minutes at most, to see that it works; writes nothing
	@$(NODE) bench/main.ts --quick $(BENCH)

bench-full: setup ## all of them, also the long ones: a million sleeping runs, 30 minutes of soak
	@$(NODE) bench/main.ts --full $(BENCH)

bench-guard: setup ## ratios that must not fall below half of the committed ones (a part of make test)
	@$(NODE) bench/guard.ts

bench-readme: setup ## write the README's tables anew from bench/results/latest.json
	@$(NODE) bench/main.ts --readme

clean: down ## stop the demo, remove what was built and everything provisioned
	rm -rf dist .millrace coverage *.tgz
