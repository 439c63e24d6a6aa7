"""The statically linked busybox of the host, which small images are made of."""

import os
import shutil
import subprocess
import sys

import oci

FOLDERS = ("bin", "dev", "etc", "home", "mnt", "opt", "proc", "run", "sbin", "srv", "sys", "usr", "usr/bin", "usr/sbin",
           "var", "var/log")


def find():
    """The path of busybox."""
    path = shutil.which("busybox", path="/bin:/usr/bin:/sbin:/usr/sbin")
    if path is None:
        sys.exit("busybox is not installed\n  hint: tools/install-deps")
    with open(path, "rb") as program:
        if b"/ld-linux" in program.read(4096):
            sys.exit(f"{path} is not linked statically\n  hint: tools/install-deps")
    return path


def root(applets=None, without=()):
    """A Tar with the usual folders but for some, busybox, and links to it for the applets named, or for all it has."""
    busybox = os.path.realpath(find())
    tar = oci.Tar()
    for folder in FOLDERS:
        if folder not in without:
            tar.folder(folder)
    for folder, mode in (("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777)):
        if folder not in without:
            tar.folder(folder, mode)
    tar.symlink("var/run", "/run")
    with open(busybox, "rb") as program:
        tar.file("bin/busybox", program.read(), 0o755)
    listed = subprocess.run([busybox, "--list-full"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    # Some builds list every applet without a folder; all of them then go to /bin.
    for path in (path if "/" in path else "bin/" + path for path in listed if path != "linuxrc"):
        if path != "bin/busybox" and (applets is None or os.path.basename(path) in applets):
            tar.symlink(path, "/bin/busybox")
    return tar
