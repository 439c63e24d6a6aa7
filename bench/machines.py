"""Benchmarks of machines: boots, commands, memory, creation, streams."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import peers
import sessions
from measure import BUILD, Annex, Comparison, image, spread, timed

MEMORY = "1G"
CPUS = 2
PIPED = 64 << 20
# A user whose home is the machine's, and whose shell reads nothing: root's may be the host's. One connection carries ten
# sessions unless it is told otherwise.
SSH_SETUP = ("id bench >/dev/null 2>&1 || useradd --create-home --shell /bin/sh bench; cat >/etc/ssh/bench-keys; printf 'AuthorizedKeysFile /etc/ssh/bench-keys\\nMaxSessions 200\\n' "
             ">/etc/ssh/sshd_config.d/bench.conf; systemctl restart ssh")
MARKS = {
    "busybox": f"mkdir -p /etc/init.d; printf '#!/bin/sh\\necho {peers.MARKER} >/dev/console\\n' >/etc/init.d/rcS; "
               "chmod 755 /etc/init.d/rcS; sync",
    "debian": "printf '[Unit]\\nAfter=dbus.service systemd-logind.service systemd-user-sessions.service\\n[Service]\\n"
              f"Type=oneshot\\nExecStart=/bin/sh -c \"echo {peers.MARKER} >/dev/console\"\\n[Install]\\n"
              "WantedBy=multi-user.target\\n' >/etc/systemd/system/bench-mark.service; "
              "systemctl enable bench-mark.service; sync",
}


def make_machine(annex, kind, environment=None):
    annex.environment.update(environment or {})
    annex("create", "-n", kind, "--memory", MEMORY, "--cpus", str(CPUS), "oci:" + image(kind))
    annex("run", "-n", kind, "--root", "--", "sh", "-c", MARKS[kind])


def bench_boot(annex, runs):
    table = Comparison("Boot to the first command", "s",
                       "From stopped until `annex run NAME true` has ended, against the same kernel and disk started by a "
                       "plain QEMU command line whose initramfs goes over to the image's init as PID 1, until a line that "
                       "the init's last steps write arrives on the console.")
    for kind in MARKS:
        ours, theirs = [], []
        annex("stop", kind)
        for _ in range(runs):
            ours.append(timed(annex, "run", "-n", kind, "--", "true"))
            annex("stop", kind)
            with peers.plain_qemu(annex, kind, MEMORY, CPUS) as peer:
                theirs.append(peer.seconds)
        table.add(kind, ours, "plain QEMU", theirs)
        annex("start", kind)
    return table


def ssh_ready(annex, port, folder, name="debian"):
    """Lets a user into a Debian machine by a key; gives the ssh command."""
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    annex("run", "-n", name, "--root", "--", "sh", "-c",
          SSH_SETUP, input=None, stdin=open(f"{key}.pub", "rb"))
    return ["ssh", "-i", key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "bench@127.0.0.1"]


@contextlib.contextmanager
def ssh_master(ssh, folder):
    control = ["-o", f"ControlPath={folder}/ssh"]
    master = subprocess.Popen([*ssh[:-1], *control, "-o", "ControlMaster=yes", "-N", ssh[-1]], stdin=subprocess.DEVNULL)
    while not (folder / "ssh").exists() and master.poll() is None:
        time.sleep(0.05)
    try:
        yield [*ssh[:-1], *control, ssh[-1]]
    finally:
        master.terminate()
        master.wait()


def bench_run(annex, runs, ssh, folder):
    table = Comparison("A command in a machine that runs", "ms",
                       "`annex run -- true` against ssh into the same machine (Debian).")
    runs = max(runs, 5) * 3
    call = lambda command: timed(subprocess.run, [*command, "true"], stdin=subprocess.DEVNULL, check=True) * 1000
    with ssh_master(ssh, folder) as shared:
        ours, fresh, kept = [], [], []
        for _ in range(runs):
            ours.append(timed(annex, "run", "-n", "debian", "--", "true") * 1000)
            fresh.append(call(ssh))
            kept.append(call(shared))
    table.add("`annex run -- true`", ours, "ssh", fresh, 0)
    table.add("`annex run -- true`", ours, "ssh, connection kept", kept, 0)
    return table


def pipe_seconds(command, environment=None):
    """Zeros into the command's standard input; it must give them back."""
    start = time.monotonic()
    source = subprocess.Popen(["head", "-c", str(PIPED), "/dev/zero"], stdout=subprocess.PIPE)
    done = subprocess.run(["sh", "-c", '"$@" | wc -c', "sh", *map(str, command)], env=environment, stdin=source.stdout,
                          stdout=subprocess.PIPE, check=True)
    source.wait()
    assert int(done.stdout) == PIPED, "bytes got lost"
    return time.monotonic() - start


def bench_stream(annex, runs, ssh):
    table = Comparison("Bytes through a command", "s", f"{PIPED >> 20} MiB into `cat` in the machine and back out, at once.")
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(pipe_seconds([BUILD / "annex", "run", "-n", "debian", "--", "cat"], annex.environment))
        theirs.append(pipe_seconds([*ssh, "cat"]))
    table.add("`annex run -- cat`", ours, "`ssh … cat`", theirs)
    return table


def resident_mib(pid):
    """Proportional set size: shared pages count by their share."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss of process {pid}")


def bench_memory(annex, runs):
    table = Comparison("Memory on the host", "MiB",
                       f"Proportional set size of idle machines of {MEMORY}, just after their boot.")
    for kind in MARKS:
        supervisor, qemu, plain = [], [], []
        for _ in range(runs):
            annex("stop", kind)
            annex("start", kind)
            about = annex.inspect(kind)
            time.sleep(3)
            supervisor.append(resident_mib(about["supervisorPid"]))
            qemu.append(resident_mib(about["vmPid"]))
            annex("stop", kind)
            with peers.plain_qemu(annex, kind, MEMORY, CPUS) as peer:
                time.sleep(3)
                plain.append(resident_mib(peer.pid))
        annex("start", kind)
        table.add(f"QEMU, {kind}", qemu, "plain QEMU", plain, 0)
        table.add(f"QEMU and supervisor, {kind}", [a + b for a, b in zip(qemu, supervisor)], "plain QEMU", plain, 0)
        table.row(f"supervisor alone, {kind}", spread(supervisor, 1), "none", "0", "-")
    return table


def bench_create(annex, runs, folder):
    table = Comparison("A machine from an image that is here", "ms",
                       "`annex create --no-boot` of the Debian image against copying its base disk with its holes.")
    base = max((annex.data / "images" / "bases").glob("*.ext4"), key=lambda path: path.stat().st_blocks)  # Debian's
    name = annex.inspect("debian")["imageId"]
    ours, theirs = [], []
    for number in range(runs):
        ours.append(timed(annex, "create", "--no-boot", "-n", f"copy-{number}", name) * 1000)
        theirs.append(timed(subprocess.run, ["cp", "--sparse=always", base, folder / "copy"], check=True) * 1000)
        annex("delete", "-f", f"copy-{number}")
        (folder / "copy").unlink()
    table.add("`annex create --no-boot`", ours, "`cp --sparse=always`", theirs, 0)
    return table


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machines:
    """The machines that the benchmarks use, made when the first of them asks."""

    NAMES = ("boot", "run", "memory", "create", "stream", "sessions")

    def __init__(self, runs):
        self.runs = runs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-"))
        self.annex = Annex(self.folder)
        self.port = free_port()
        self.about = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.about is not None:
            self.annex("stop", "--all", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        if self.about:
            return
        self.about = ""
        print("preparing machines", flush=True)
        self.annex("kernel", "install")
        wrapper = peers.forwarding_qemu(self.folder, self.port)
        for kind in MARKS:
            make_machine(self.annex, kind, {"ANNEX_QEMU": str(wrapper)})
        self.about = f"accelerator {self.annex.inspect('debian')['accelerator']}"

    def tables(self, name):
        self.prepare()
        annex, runs, folder = self.annex, self.runs, self.folder
        if name == "boot":
            table = bench_boot(annex, runs)
        elif name == "run":
            table = bench_run(annex, runs, ssh_ready(annex, self.port, folder), folder)
        elif name == "memory":
            table = bench_memory(annex, runs)
        elif name == "create":
            table = bench_create(annex, runs, folder)
        elif name == "sessions":
            return self.sessions(ssh_ready(annex, self.port, folder))
        else:
            table = bench_stream(annex, runs, ssh_ready(annex, self.port, folder))
        table.about = self.about
        return [table]

    def sessions(self, ssh):
        with ssh_master(ssh, self.folder) as shared:
            tables = [sessions.bench_start(self.annex, self.runs, shared),
                      sessions.bench_output(self.annex, self.runs, shared)]
        for table in tables:
            table.about = self.about
        return tables
