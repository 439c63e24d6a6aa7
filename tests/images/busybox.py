"""BusyBox with its own init; two layers, so that layering is tested wherever this image is used.

The first layer is gzip, the second zstd. The second changes /etc/motd, removes /etc/removed, replaces all of
/opt/replaced, and adds /etc/added.
"""

import programs

INPUTS = ("programs.py",)

# No getty: as PID 1 of a machine's namespaces init has no terminal that would be its own.
INITTAB = """\
::sysinit:/etc/init.d/rcS
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
::restart:/sbin/init
"""

START = """\
#!/bin/sh
# Starts what /etc/init.d has, in the order of the names.
for service in /etc/init.d/S[0-9]*; do
	[ ! -x "$service" ] || "$service" start
done
"""

STOP = """\
#!/bin/sh
# Stops what /etc/init.d has, the last name first.
for service in $(ls -r /etc/init.d); do
	case $service in
	S[0-9]*) [ ! -x "/etc/init.d/$service" ] || "/etc/init.d/$service" stop ;;
	esac
done
"""


def inputs():
    return [programs.find()]


def build(layout, _scratch):
    first = programs.root()
    first.file("etc/inittab", INITTAB)
    first.folder("etc/init.d").file("etc/init.d/rcS", START, 0o755).file("etc/init.d/rcK", STOP, 0o755)
    first.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    first.file("etc/group", "root:x:0:\ntty:x:5:\nshadow:x:42:\nnogroup:x:65534:\n")
    first.file("etc/shadow", "root:*:19358:0:99999:7:::\nnobody:*:19358:0:99999:7:::\n", 0o640, gid=42)
    first.file("etc/os-release", 'NAME="BusyBox"\nID=busybox\nPRETTY_NAME="BusyBox test image"\nVERSION_ID=1\n')
    first.file("etc/profile", "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
    first.file("etc/motd", "from the first layer\n").file("etc/removed", "removed by the second layer\n")
    first.folder("opt/replaced").file("opt/replaced/old", "hidden by the second layer\n")

    second = layout.layer(
        type(first)().file("etc/motd", "from the second layer\n").whiteout("etc/removed").file("etc/added", "added\n")
        .folder("opt/replaced").opaque("opt/replaced").file("opt/replaced/new", "new\n"), "zstd")
    return layout.image([layout.layer(first, "gzip"), second], {"Cmd": ["/sbin/init"], "StopSignal": "SIGUSR2"})
