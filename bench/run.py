#!/usr/bin/python3
"""Measure annex against its peers, in one run on one machine.

Usage: bench/run.py [--runs N] [--write] [NAME...]

NAME: boot, run, memory, create, stream, sessions (machines), pull, share, cached, stages, link (images), starts, files,
network, idle; all without an argument.

Every number is the median of N runs (5 unless told otherwise) with the lowest and highest; the peer is measured in turn
with annex, so that what disturbs one disturbs the other. --write puts the tables into docs/benchmarks.md, where those of
benchmarks that were not asked for stay as they are.
"""

import argparse
import contextlib
import subprocess
import sys

from files import Files
from idle import Idle
from images import Images
from machines import Machines
from measure import write
from network import Network
from starts import Starts


def main():
    kinds = (Machines, Starts, Images, Files, Network, Idle)
    names = [name for kind in kinds for name in kind.NAMES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    asked = parser.parse_args()
    wanted = asked.names or names
    unknown = set(wanted) - set(names)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    for kind in (Images, Files, Network):
        if set(wanted) & set(kind.NAMES):
            kind.check()
    tables = []
    try:
        with contextlib.ExitStack() as stack:
            all_kinds = [stack.enter_context(kind(asked.runs)) for kind in kinds]
            for name in wanted:
                print(name, flush=True)
                tables += next(kind for kind in all_kinds if name in kind.NAMES).tables(name)
    except subprocess.CalledProcessError as failed:
        said = failed.stderr or b""
        sys.stderr.write(said if isinstance(said, str) else said.decode(errors="replace"))
        raise
    if asked.write:
        write(tables, asked.runs, whole=not asked.names)


if __name__ == "__main__":
    main()
