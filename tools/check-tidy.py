#!/usr/bin/python3
"""Run clang-tidy over the project's own C files of a build folder, on all processors.

A file whose text, headers and configuration are the same as when it last passed is not looked at again: the key is the
digest of what the compiler's preprocessor makes of it.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys


def key(entry, configuration):
    words = shlex.split(entry["command"])
    for option in ("-o", "-MF", "-MQ"):
        while option in words:
            at = words.index(option)
            del words[at:at + 2]
    words = [word for word in words if word not in ("-c", "-MD")]
    made = subprocess.run([*words, "-E", "-P"], cwd=entry["directory"], capture_output=True, check=False)
    return hashlib.sha256(configuration + made.stdout + entry["command"].encode()).hexdigest()


def tidy(build, entry, configuration):
    path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
    passed = build / "tidy" / key(entry, configuration)
    if passed.exists():
        return path, 0, ""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), path], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        passed.parent.mkdir(exist_ok=True)
        passed.touch()
    return path, done.returncode, done.stdout + ("" if done.returncode == 0 else done.stderr)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    root = pathlib.Path(__file__).resolve().parent.parent
    configuration = (root / ".clang-tidy").read_bytes()
    seen, entries = set(), []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if path not in seen and "/src/" in path:
            seen.add(path)
            entries.append(entry)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, output in pool.map(lambda entry: tidy(build, entry, configuration), entries):
            if status:
                bad += 1
                print(f"{path}:\n{output}", flush=True)
    print(f"clang-tidy: {len(entries)} files, {bad} with findings")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
