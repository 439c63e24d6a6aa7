#!/usr/bin/python3
"""Run every check of the project, stage by stage, and end with "N passed, N failed, N skipped".

Usage: tools/check.py [STAGE...]    (all stages without an argument; --list names them)

Every stage counts what it ran: meson's tests, pytest's tests, or itself as one. A stage that cannot run has failed; a
skipped test says why in its own output.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "--durations=8", "-rs"]
# Most of a test's time is waiting. A file's tests stay together: they share machines and servers.
WORKERS = ["-n", str(min(4, max(2, os.cpu_count() or 1))), "--dist", "loadfile"]
ASAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __add__(self, other):
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Terminated(KeyboardInterrupt):
    pass


def terminate(number, _frame):
    raise Terminated(number)


def run(command, env=None):
    """The status of a program. It may take its time when it is interrupted: tests end what they started.

    It has a process group, so that what interrupts us reaches all of its workers, whether it came from a terminal or not.
    """
    print("+", " ".join(map(str, command)), flush=True)
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                               process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        raise
    finally:
        process.wait()


def as_one(status):
    return Count(failed=1) if status else Count(passed=1)


def build(folder, *options, env=None):
    """A variant, configured once; again when it was before the packages came that the tests need."""
    tests = ROOT / folder / "meson-info" / "intro-tests.json"
    if not (ROOT / folder / "build.ninja").exists():
        if run(["meson", "setup", folder, *options], env):
            return 1
    elif tests.read_text().strip() == "[]" and run(["meson", "setup", "--reconfigure", folder]):
        return 1
    return run(["ninja", "-C", folder, "--quiet"])


def meson_test(folder, env=None):
    log = ROOT / folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = run(["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs"], env)
    if not log.exists():
        return Count(failed=1)
    tests = [json.loads(line) for line in log.read_text().splitlines()]
    results = [test["result"] for test in tests]
    count = Count(passed=results.count("OK"), skipped=results.count("SKIP"))
    count.failed = len(results) - count.passed - count.skipped
    # Of a program's tests, cmocka skips some.
    for test in tests:
        for said in re.findall(r"\[  SKIPPED \] (\d+) test\(s\)", test.get("stdout", "") + test.get("stderr", "")):
            print(f"{test['name']}: {said} skipped")
            count.skipped += int(said)
    if (status or not results) and not count.failed:
        count.failed = 1
    return count


def pytest(folder, env=None, extra=()):
    report = ROOT / "build" / f"pytest-{folder.replace('/', '-')}-{os.getpid()}.xml"
    with tempfile.TemporaryDirectory(prefix="annex-check-") as temporary:
        status = run([*PYTEST, *WORKERS, f"--junitxml={report}", f"--basetemp={temporary}/tests", folder, *extra], env)
    if not report.exists():
        return Count(failed=1)
    count = Count()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        number = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        bad = number["failures"] + number["errors"]
        count += Count(number["tests"] - bad - number["skipped"], bad, number["skipped"])
    report.unlink()
    # No test at all has a status of its own, 5.
    if status and not count.failed:
        count.failed = 1
    return count


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def stage_build():
    return as_one(build("build"))


def stage_build_clang():
    return as_one(build("build-clang", env={"CC": "clang"}))


def stage_build_asan():
    # A confined process can't read UBSAN_OPTIONS when it needs them: that errors end a program is built in.
    options = ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debugoptimized",
               "-Dc_args=-fno-sanitize-recover=undefined"]
    return as_one(build("build-asan", *options))


def stage_format():
    return as_one(run(["clang-format", "--dry-run", "-Werror", *tracked("*.c", "*.h")]))


def stage_layers():
    return as_one(run(["tools/check-layers.py", "."]))


def stage_budgets():
    return as_one(run(["tools/check-budgets.py", ".", "build"]))


def stage_tidy():
    return as_one(run(["/usr/bin/python3", "tools/check-tidy.py", "build-clang"]))


def stage_unit():
    return meson_test("build")


def stage_unit_asan():
    return meson_test("build-asan", ASAN_ENV)


def stage_integration():
    return pytest("tests/integration", {"ANNEX_BUILD": str(ROOT / "build")})


def stage_integration_asan():
    # Those are about how images, installations and test registries are made, and not about what our programs do.
    others = [f"--ignore=tests/integration/test_{name}.py" for name in ("images", "install", "registry_fake")]
    return pytest("tests/integration", {"ANNEX_BUILD": str(ROOT / "build-asan"), **ASAN_ENV}, others)


def stage_vm():
    return pytest("tests/vm", {"ANNEX_BUILD": str(ROOT / "build-asan"), **ASAN_ENV})


STAGES = {name[len("stage_"):].replace("_", "-"): function
          for name, function in list(globals().items()) if name.startswith("stage_")}


def main():
    # Whoever runs us in the background, or by nohup, may have these ignored, which tests of them would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    signal.signal(signal.SIGTERM, terminate)
    wanted = sys.argv[1:] or list(STAGES)
    if wanted == ["--list"]:
        print("\n".join(STAGES))
        return 0
    unknown = [name for name in wanted if name not in STAGES]
    if unknown:
        print(f"check.py: no such stage: {', '.join(unknown)}\nhint: tools/check.py --list", file=sys.stderr)
        return 2
    total, lines = Count(), []
    for name in wanted:
        start = time.monotonic()
        print(f"\n=== {name}", flush=True)
        try:
            count = STAGES[name]()
        except Exception:
            traceback.print_exc()
            count = Count(failed=1)
        lines.append(f"{name:20} {time.monotonic() - start:6.0f} s   {count}")
        print(f"=== {lines[-1]}", flush=True)
        total += count
    print("\n" + "\n".join(lines) + f"\n\n{total}", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("check.py: interrupted")
