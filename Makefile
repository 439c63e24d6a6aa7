# annex: everything is built by Meson; these are the words for it.
BUILD ?= build
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local

.PHONY: all demo check install bench format clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

# SETUP: more options for meson, such as --libdir.
$(BUILD)/build.ninja:
	@tools/install-deps
	@meson setup $(BUILD) --prefix $(PREFIX) $(SETUP)

demo: ## set up this machine, build, and show a machine at work
	@tools/demo

check: ## set up this machine, build every variant, and run every test
	@tools/check

# A prefix that is asked for counts in a folder that has been set up too.
install: $(BUILD)/build.ninja
	@$(if $(findstring command,$(origin PREFIX)),meson configure $(BUILD) --prefix $(PREFIX))
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

bench: all ## measure against other tools, as root, and write docs/benchmarks.md
	@tools/install-deps --bench
	@$(PYTHON) bench/run.py --write

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf build build-*
