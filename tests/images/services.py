"""Debian 13, for its newer systemd, with PostgreSQL and nginx as their packages set them up, with what tests and measures
of the network need (sshd and iperf3 do not run), and with the packages of Redis in a folder that apt takes for a
repository: to be installed in a machine."""

import debian
import oci

INPUTS = ("debian.py",)
PACKAGES = ("systemd,systemd-sysv,dbus,procps,iproute2,postgresql,nginx-light,openssh-server,openssh-client,iperf3,socat,curl,"
            "ldnsutils,iputils-ping,ca-certificates")

# With the new root as $1, after the packages are installed.
FINISH = """\
set -e
chroot "$1" sh -ec 'apt-get -q -o APT::Install-Recommends=false --download-only -y install redis-server
	mkdir /srv/packages
	mv /var/cache/apt/archives/*.deb /srv/packages
	cd /srv/packages
	for package in *.deb; do
		dpkg-deb -f "$package"
		echo "Filename: ./$package"
		echo "Size: $(stat -c %s "$package")"
		echo "SHA256: $(sha256sum <"$package" | cut -c -64)"
		echo
	done >Packages
	rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
	echo "deb [trusted=yes] file:/srv/packages ./" >/etc/apt/sources.list
	systemctl --quiet disable ssh.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service'
""" + debian.UNNAMED


def inputs():
    return []


def build(layout, scratch):
    archive = scratch / "root.tar"
    debian.bootstrap(archive, debian.options(PACKAGES, FINISH), debian.NEWER)
    layers = [layout.layer(archive, "zstd"), layout.layer(oci.Tar().folder("dev"))]
    return layout.image(layers, {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"})
