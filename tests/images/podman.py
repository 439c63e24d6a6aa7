"""Debian 12 with systemd and Podman, as its packages leave them; and the image of a container, busybox, as an
archive: /usr/share/busybox.tar."""

import debian
import oci
import programs

INPUTS = ("debian.py", "programs.py")
PACKAGES = ("systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,sudo,procps,iproute2,"
            "podman,crun,uidmap,slirp4netns,fuse-overlayfs,netavark,iptables")
# Services that are only wanted when a test asks for them, and timers that would do their work in the midst of one.
FINISH = """\
set -e
chroot "$1" systemctl --quiet disable podman.service podman.socket podman-restart.service \\
	podman-auto-update.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
""" + debian.UNNAMED


def inputs():
    return [programs.find()]


def container(scratch):
    """An archive of the container's image, as `docker save` makes it."""
    inner = oci.Layout(scratch / "container")
    root = programs.root({"sh", "cat", "echo", "wget", "nc", "ip", "id", "ls", "mount", "sleep", "touch", "true", "uname"})
    root.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").file("etc/group", "root:x:0:\n")
    inner.tag("latest", inner.image([inner.layer(root, "gzip")], {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/usr/bin:/sbin"]},
                                    docker=True)).save()
    archive = scratch / "container.tar"
    oci.docker_archive(scratch / "container", archive, "localhost/busybox:latest")
    return archive


def build(layout, scratch):
    archive = scratch / "root.tar"
    debian.bootstrap(archive, debian.options(PACKAGES, FINISH))
    more = oci.Tar().folder("dev").file("usr/share/busybox.tar", container(scratch).read_bytes())
    layers = [layout.layer(archive, "zstd"), layout.layer(more)]
    return layout.image(layers, {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"})
