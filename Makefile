# annex: everything is built by Meson; these are the words for it.
BUILD ?= build
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local

.PHONY: all demo check install bench format clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/install-deps
	@meson setup $(BUILD) --prefix $(PREFIX)

demo: ## set up this machine, build, and show a machine at work
	@tools/demo

check: ## set up this machine, build every variant, and run every test
	@tools/check

install: all
	@meson install -C $(BUILD) --no-rebuild

bench: all
	@$(PYTHON) bench/run.py

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf build build-*
