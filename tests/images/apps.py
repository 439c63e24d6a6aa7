"""Debian 12 without an init, and with programs that ask much of a file system: git, a compiler, rsync, SQLite,
PostgreSQL, Python; and the source of a small program, /usr/src/bzip2.tar.gz, to build."""

import debian
import oci

INPUTS = ("debian.py",)
PACKAGES = "sudo,procps,util-linux,mount,git,gcc,libc6-dev,make,rsync,acl,attr,libcap2-bin,sqlite3,postgresql-15,python3"
# The sanitizers' libraries, and what PostgreSQL compiles its queries with; half of the image, and not needed.
UNWANTED = ("/usr/lib/gcc/*/*/lib*san*", "/usr/lib/gcc/*/*/lto1", "/usr/lib/*/lib*san.so*", "/usr/lib/*/libLLVM*",
            "/usr/lib/*/libz3.so*", "/usr/lib/postgresql/*/lib/bitcode/*", "/usr/lib/postgresql/*/lib/llvmjit*")

# With the new root as $1: before the packages are installed, and after.
PREPARE = """\
mkdir -p "$1/etc/postgresql-common"
echo create_main_cluster = false >"$1/etc/postgresql-common/createcluster.conf"
"""
FINISH = """\
set -e
sed -n 's/^deb /deb-src /p' "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"
chroot "$1" sh -ec 'cd /usr/src
	apt-get -q update
	apt-get -q source --download-only bzip2
	mv bzip2_*.orig.tar.gz bzip2.tar.gz
	rm bzip2_*
	apt-get -q clean
	rm -r /var/lib/apt/lists/*'
rm "$1/etc/apt/sources.list.d/source.list"
rm -f "$1/etc/hostname" "$1/etc/resolv.conf"
"""


def inputs():
    return []


def build(layout, scratch):
    archive = scratch / "root.tar"
    options = debian.options(PACKAGES, FINISH) + [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
    debian.bootstrap(archive, options + ["--essential-hook=" + PREPARE])
    layers = [layout.layer(archive, "zstd"), layout.layer(oci.Tar().folder("dev"))]
    return layout.image(layers, {"Cmd": ["/bin/bash"]})
