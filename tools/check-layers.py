#!/usr/bin/python3
"""Fail when a file includes a header of a folder that its own folder may not use.

The table is the one that the build links by: layer_uses in meson.build.
"""
import pathlib
import re
import sys

PUBLIC_OK = {"base": {"error"}, "lib": None, "cli": None}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"(?:(\w+)/)?([\w-]+)\.h"|<(annex)/([\w-]+)\.h>)', re.M)
ROW = re.compile(r"^\t'(\w+)': \[([^\]]*)\],$", re.M)


def layer_uses(root):
    text = (root / "meson.build").read_text()
    body = text.split("layer_uses = {", 1)[1].split("\n}", 1)[0]
    return {name: re.findall(r"'(\w+)'", uses) for name, uses in ROW.findall(body)}


def violations(root):
    uses = layer_uses(root)
    for path in sorted((root / "src").rglob("*.[ch]")):
        folder = path.relative_to(root / "src").parts[0]
        allowed = {folder, *uses[folder]}
        for target, header, public, public_header in INCLUDE.findall(path.read_text()):
            target, header = (public, public_header) if public else (target, header)
            if target == "annex":
                may = PUBLIC_OK.get(folder, set())
                if may is None or header in may:
                    continue
            elif target in allowed:
                continue
            yield f"{path.relative_to(root)}: may not include {target or '?'}/{header}.h"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    found = list(violations(root))
    print("\n".join(found) or "layers: every include is allowed")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
