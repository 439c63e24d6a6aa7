"""What bench/images.py measures with: a Debian of about 750 MB in five gzip layers, as a Dockerfile would make them.

Three tags, all with the same configuration: `latest` has the five layers, `other` shares the first four of them and has
another fifth, `single` has the same tree as `latest` in one layer.

One run of mmdebstrap makes all of it. Its hooks, which are this file run as a program with the new root as an argument,
install a step's packages, and write what is new, changed or gone since the step before as that step's layer.
"""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tarfile

import debian
import oci

INPUTS = ("debian.py",)
STEPS = {
    "base": "systemd systemd-sysv dbus sudo procps iproute2 iputils-ping ca-certificates openssh-server",
    "tools": "gcc libc6-dev make pkg-config",
    "python": "python3 python3-venv python3-requests python3-yaml python3-cryptography",
    "database": "postgresql-15 pkg-config- pkgconf-",  # apt removes a name with a minus
    "documents": "fonts-noto-core fonts-dejavu perl-doc",
    "other": "nodejs",  # instead of what `documents` has
}
LATEST = ("base", "tools", "python", "database", "documents")
OTHER = LATEST[:4] + ("other",)
# Left out with all that is below: what a Dockerfile's steps remove, and what is there only while they run.
EMPTY = ("dev", "proc", "sys", "run", "tmp", "var/tmp", "var/cache/apt", "var/lib/apt/lists", "var/log")
ABSENT = ("etc/hostname", "etc/resolv.conf", "usr/sbin/policy-rc.d")


def inputs():
    return []


def build(layout, scratch):
    bootstrap(scratch)
    layers = {name: layout.layer(scratch / f"{name}.tar") for name in (*STEPS, "single")}
    config = {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"}
    layout.tag("other", layout.image([layers[name] for name in OTHER], config))
    layout.tag("single", layout.image([layers["single"]], config))
    return layout.image([layers[name] for name in LATEST], config)


def bootstrap(scratch):
    """Leaves each step's layer, and all of `latest` as one, in the folder, as NAME.tar."""
    prefix, mode = debian.modes()[0]
    command = prefix + ["mmdebstrap", f"--mode={mode}", "--variant=apt", "--format=null"]
    command += debian.package_options()
    for step in STEPS:
        command.append(f'--customize-hook={sys.executable} {pathlib.Path(__file__).resolve()} "$1" {scratch} {step}')
    with open(scratch / "log", "w+") as log:
        done = subprocess.run([*command, debian.RELEASE, "/dev/null", *debian.sources()], stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log)
        if done.returncode:
            log.seek(0)
            sys.exit("mmdebstrap failed:\n  " + "  ".join(log.readlines()[-20:]) + "\n  hint: run it as root")


def apt(root, *words):
    subprocess.run(["chroot", root, "apt-get", "-q", "-y", "--no-install-recommends", *words], check=True,
                   stdin=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})


def step(root, scratch, name):
    """The hook: makes NAME.tar from what the root is now and what it was in the step before."""
    before = {}
    if name == "other":
        apt(root, "purge", "--autoremove", *STEPS["documents"].split())
    steps = list(OTHER if name == "other" else LATEST)
    if name != steps[0]:
        before = json.loads((scratch / f"{steps[steps.index(name) - 1]}.json").read_bytes())
    apt(root, "install", *STEPS[name].split())
    now = tree(root)
    (scratch / f"{name}.json").write_bytes(oci.encode(now))
    write(root, scratch / f"{name}.tar", before, now)
    if name == LATEST[-1]:
        write(root, scratch / "single.tar", {}, now)


def tree(root):
    """What there is below root: for each path what tells a changed file from one that is as it was."""
    result = {}

    def look(folder, prefix):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = prefix + entry.name
            if path in ABSENT:
                continue
            status = entry.stat(follow_symlinks=False)
            length = 0 if entry.is_dir(follow_symlinks=False) else status.st_size
            result[path] = [status.st_mode, status.st_uid, status.st_gid, length, status.st_mtime_ns, status.st_rdev]
            if entry.is_dir(follow_symlinks=False) and path not in EMPTY:
                look(entry.path, path + "/")

    look(root, "")
    return result


def write(root, target, before, now):
    """A layer: entries of what is new or changed, and whiteouts of what is gone."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for path in sorted(before.keys() | now.keys(), key=lambda path: path.split("/")):
            if path not in now:
                parent, name = os.path.split(path)
                # What has gone with its folder needs no word of its own; what replaced the folder neither.
                if parent == "" or (parent in now and stat.S_ISDIR(now[parent][0])):
                    whiteout = tarfile.TarInfo(os.path.join(parent, ".wh." + name))
                    whiteout.mtime = oci.DATE
                    archive.addfile(whiteout)
            elif before.get(path) != now[path]:
                add(archive, os.path.join(root, path), path)


def add(archive, path, name):
    info = archive.gettarinfo(path, name)  # a second name of a file that the archive has becomes a hard link
    if info is None:  # a socket
        return
    info.mtime, info.uname, info.gname = int(info.mtime), "", ""
    if info.isreg() or info.isdir():
        info.pax_headers = {"SCHILY.xattr." + key: os.getxattr(path, key).decode("utf-8", "surrogateescape")
                            for key in os.listxattr(path)}
    if info.isreg():
        with open(path, "rb") as data:
            archive.addfile(info, data)
    else:
        archive.addfile(info)


if __name__ == "__main__":
    step(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])
