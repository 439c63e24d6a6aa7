#!/usr/bin/python3
"""Hold files, functions and programs to their size budgets."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FILE_LINES = 800
FUNCTION_LINES = 80
PROGRAM_BYTES = {"annex-guest": 400 << 10, "annex": 400 << 10, "annex-supervisor": 800 << 10, "annex-unpack": 400 << 10,
                 "annex-share": 200 << 10, "annex-network": 300 << 10,
                 "libannex.so": 1200 << 10}


def functions(path):
    """Name and length of every function: from its line to the closing brace in the first column."""
    lines = path.read_text().splitlines()
    begin = None
    for number, line in enumerate(lines):
        if line == "{" and begin is None:
            begin = number
        elif line == "}" and begin is not None:
            name = re.search(r"(\w+)\(", " ".join(lines[max(0, begin - 4):begin]).split(";")[-1].split("}")[-1])
            yield (name.group(1) if name else "?"), begin + 1, number - begin - 1
            begin = None


def stripped_size(program):
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["objcopy", "--strip-all", str(program), copy.name], check=True)
        return os.stat(copy.name).st_size


def problems(root, build):
    listed = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=root, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        path = root / name
        count = len(path.read_text().splitlines())
        if count > FILE_LINES:
            yield f"{name}: {count} lines, at most {FILE_LINES}"
        for function, at, length in functions(path):
            if length > FUNCTION_LINES:
                yield f"{name}:{at}: {function}() has {length} lines, at most {FUNCTION_LINES}"
    for program, limit in PROGRAM_BYTES.items():
        size = stripped_size(build / program)
        print(f"budgets: {program} has {size >> 10} KiB of {limit >> 10}")
        if size > limit:
            yield f"{program}: {size} bytes, at most {limit}"


def main():
    root = pathlib.Path(sys.argv[1])
    found = list(problems(root, pathlib.Path(sys.argv[2])))
    print("\n".join(found) or "budgets: everything is within its size")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
