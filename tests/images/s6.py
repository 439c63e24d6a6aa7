"""Debian 12 with s6 and nothing around it: s6-svscan is PID 1, and ends in a script of the image's."""

import debian
import oci

INPUTS = ("debian.py",)

# The folder that is scanned is made anew at each start, as it holds the state of each service.
INIT = """\
#!/bin/sh
mkdir -p /run/service
cp -R /etc/s6/. /run/service/
exec s6-svscan /run/service
"""
# The services have ended; all others are asked to.
FINISH = """\
#!/bin/sh
kill -TERM -1
for i in $(seq 100); do
	kill -0 -1 2>/dev/null || break
	sleep 0.1
done
exec busybox "$(cat /run/s6-end 2>/dev/null || echo poweroff)" -f
"""
END = """\
#!/bin/sh
basename "$0" >/run/s6-end
exec s6-svscanctl -t /run/service
"""


def inputs():
    return []


def build(layout, scratch):
    archive = scratch / "root.tar"
    debian.bootstrap(archive, debian.options("s6,busybox-static", debian.UNNAMED, "essential"))
    own = oci.Tar().folder("dev").folder("etc/s6").folder("etc/s6/.s6-svscan")
    own.file("etc/s6/.s6-svscan/finish", FINISH, 0o755).file("usr/sbin/init", INIT, 0o755)
    for name in ("poweroff", "reboot"):
        own.file(f"usr/sbin/{name}", END, 0o755)
    return layout.image([layout.layer(archive, "zstd"), layout.layer(own)], {"Cmd": ["/usr/sbin/init"]})
