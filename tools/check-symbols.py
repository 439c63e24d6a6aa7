#!/usr/bin/python3
"""Fail unless a shared library exports exactly the functions that the public headers declare.

Usage: tools/check-symbols.py LIBRARY HEADER...
"""
import pathlib
import re
import subprocess
import sys

COMMENT = re.compile(r"/\*.*?\*/", re.S)
# A declaration begins in the first column, and goes on up to the semicolon.
DECLARED = re.compile(r"^(?!typedef\b|static\b)\w[^;{}#]*?\b(\w+)\([^;{}]*\)[^;{}()]*(?:\([^;{}]*\))*\s*;", re.M)


def declared(headers):
    return {name for header in headers for name in DECLARED.findall(COMMENT.sub("", pathlib.Path(header).read_text()))}


def exported(library):
    listed = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", library], capture_output=True,
                            text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    # The version itself is an absolute symbol, ANNEX_0.
    return {row[0].split("@")[0] for row in rows if row[1] != "A"}


def main():
    library, *headers = sys.argv[1:]
    promised, given = declared(headers), exported(library)
    problems = [f"{name}: declared, but not exported" for name in sorted(promised - given)]
    problems += [f"{name}: exported, but in no public header" for name in sorted(given - promised)]
    problems += [f"{name}: not named annex_*" for name in sorted(promised | given) if not name.startswith("annex_")]
    if not promised:
        problems.append("no declaration found")
    print("\n".join(problems) or f"symbols: {len(given)}, all declared")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
