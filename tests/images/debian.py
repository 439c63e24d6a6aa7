"""Debian 12 with systemd, made from Debian's packages by mmdebstrap.

There is no udev in it, as in any image made for containers. sshd is installed but does not run.
"""

import configparser
import os
import pathlib
import re
import subprocess
import sys

import oci

INPUTS = ()
RELEASE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,dbus-user-session,sudo,doas,procps,iproute2,ca-certificates,openssh-server,tzdata"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NEWER = "trixie"
SUITES = (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security")
UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")

UNNAMED = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"\n'
# Runs with the new root as $1, after the packages are installed. The timers would do their work in the midst of a test.
FINISH = """\
set -e
chroot "$1" systemctl --quiet disable ssh.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
""" + UNNAMED


def inputs():
    return []


def build(layout, scratch):
    return image(layout, scratch, options(PACKAGES, FINISH), {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"})


def small(layout, scratch, packages):
    """Essential packages and these, among them an init other than systemd."""
    return image(layout, scratch, options(packages, UNNAMED, "essential"), {"Cmd": ["/sbin/init"]})


def image(layout, scratch, arguments, config):
    archive = scratch / "root.tar"
    bootstrap(archive, arguments)
    # mmdebstrap leaves out all of /dev, or else fills it.
    layers = [layout.layer(archive, "zstd"), layout.layer(oci.Tar().folder("dev"))]
    return layout.image(layers, config)


def bootstrap(archive, options, release=RELEASE):
    """Runs mmdebstrap in the first of the modes that works for this user."""
    failed = []
    for prefix, mode in modes():
        with open(archive, "wb") as output, open(archive.with_suffix(f".{mode}.log"), "w+") as log:
            command = prefix + ["mmdebstrap", f"--mode={mode}"] + options + [release, "-"] + sources(release)
            if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=log).returncode == 0:
                return
            log.seek(0)
            failed.append(f"mmdebstrap --mode={mode} failed:\n  " + "  ".join(log.readlines()[-20:]))
    sys.exit("\n".join(failed) + "\n  hint: run it as root, or as a user with sudo")


def modes():
    if os.getuid() == 0:
        return [([], "root")]
    if subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        return [(["sudo", "-n"], "root")]
    return [([], "unshare"), ([], "fakechroot")]


def options(packages, finish, variant="apt"):
    return [f"--variant={variant}", f"--include={packages}", "--format=tar", "--skip=output/dev", "--customize-hook=" + finish,
            *package_options()]


def package_options():
    """What apt and dpkg of the new root are told."""
    result = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
    result += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    # mmdebstrap's apt does not read the host's settings; without these it may not reach or not accept the mirror.
    dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return result + ["--aptopt=" + line for line in dump.splitlines()
                     if re.match(r'Acquire::(Check-Valid-Until|Check-Date|https?::Proxy\S*) ".+";', line)]


def sources(release):
    """The lines of sources.list: the host's own for this release, where it has any; none: mmdebstrap knows Debian's. The
    newer release is where the older one is."""
    lines = list(dict.fromkeys(host_sources()))
    if not any(f" {RELEASE} " in line for line in lines):
        return []
    if release == NEWER:
        lines = [line.replace(f" {RELEASE} ", f" {NEWER} ") for line in lines if f" {RELEASE} " in line]
    return [f"deb [signed-by={KEYRING}] {line}" for line in lines]


def host_sources():
    folder = pathlib.Path("/etc/apt")
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        for line in path.read_text().splitlines() if path.exists() else ():
            if match := re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line):
                yield from wanted([match[1]], [match[2]], match[3].split())
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        for number, stanza in enumerate(re.split(r"\n\s*\n", path.read_text())):
            # A stanza is nearly a section of an INI file: `Key: value`, with continued lines.
            parser = configparser.RawConfigParser(delimiters=":", comment_prefixes="#", strict=False)
            parser.read_string(f"[{number}]\n{stanza}")
            fields = dict(parser[str(number)])
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false"):
                yield from wanted(*(fields.get(key, "").split() for key in ("uris", "suites", "components")))


def wanted(uris, suites, components):
    """What of a source is Debian's own for the release, and works from anywhere: `URI SUITE main`."""
    for uri in uris:
        for suite in suites:
            if re.match("https?://", uri) and suite in SUITES and "main" in components:
                yield f"{uri} {suite} main"
