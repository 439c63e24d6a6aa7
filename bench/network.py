"""Benchmarks of the network: what goes through annex-network against QEMU's own user networking, passt and `ssh -L`.

All of it is in one machine: what starts QEMU for it adds two interfaces more, one of QEMU's user networking (slirp) that
forwards ports of the host, one of a passt of its own. So kernel, processors, memory and servers are the same. In every
round, each way is measured in turn.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from machines import resident_mib, ssh_master, ssh_ready
from measure import ROOT, Annex, Comparison, Table, image, spread

NAME = "network"
PROCESSORS = 2
SECONDS = 4  # of one iperf3
RATE_MS = 2000
LATENCIES = 1000
IDLE = 1000
IPERF, PEER, SSH = 5201, 7000, 22  # ports in the machine
DEADLINE = 60
QEMU_USER, PASST, SSH_L = "QEMU's user networking", "passt on QEMU", "`ssh -L`"
SLIRP_NET, PASST_NET = "10.0.77", "10.0.78"  # .2 is the host's loopback, .15 the machine
OUTBOUND = ("iperf3 in the machine, its server on the host: through annex-network with passt and with slirp behind it, against an "
            "interface of QEMU's own user networking and against passt right behind QEMU with frames of 65,520 bytes. ")
INBOUND = ("iperf3 on the host, its server in the machine: to the machine's address (127.88.x.y) against a forwarded port of "
           "QEMU's user networking (`hostfwd`), of passt (`-t`) and of `ssh -L` over a connection that is there already. ")
IDLES = (f"What {IDLE:,} connections more cost after a byte each way: on the host annex-network and the supervisor, QEMU "
         "(without the machine's memory), or ssh; in the machine, by what is available there: the agent, or sshd, and the "
         "kernel's sockets.")
ROUND = "Medians of {} rounds; in each, every way is measured in turn."


class Throughput(Table):
    """annex against a peer, in MB/s, of which more is better."""

    def __init__(self, title, note, about):
        super().__init__(title, ["what", "annex, MB/s", "peer", "peer, MB/s", "annex / peer"], note, about)

    def add(self, what, ours, peer, theirs, digits=0):
        ratio = statistics.median(ours) / statistics.median(theirs)
        self.row(what, spread(ours, digits), peer, spread(theirs, digits), f"{ratio:.2f}")


class Rate(Throughput):
    def __init__(self, title, note, about):
        Table.__init__(self, title, ["what", "annex, 1/s", "peer", "peer, 1/s", "annex / peer"], note, about)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def outward():
    """The host's own address: what is outside, to a machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("1.1.1.1", 9))  # sends nothing
        return probe.getsockname()[0]


def wait_for(address, port):
    """Until a byte that is sent to network-peer comes back."""
    end = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=5) as probe:
            probe.sendall(b"a")
            if probe.recv(1) == b"a":
                return
        if time.monotonic() > end:
            raise RuntimeError(f"nothing answers at {address}:{port}")
        time.sleep(0.1)


def anonymous_mib(pid):
    """Memory of the process itself; QEMU's without the machine's, which is a file to it."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no RssAnon of process {pid}")


def children(pid, name):
    found = subprocess.run(["pgrep", "-P", str(pid), "-x", name[:15]], stdout=subprocess.PIPE, text=True, check=False).stdout
    return [int(child) for child in found.split()]


class Network:
    NAMES = ("network",)

    def __init__(self, runs):
        self.runs = runs
        self.annex = self.folder = None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
        if self.annex:
            self.annex("stop", "--all", check=False)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def check():
        absent = [name for name in ("iperf3", "passt", "ssh") if not shutil.which(name)]
        if absent:
            sys.exit(f"bench: {', '.join(absent)}: not installed\n  hint: tools/install-deps --bench")

    # What is measured with

    def process(self, *command, **options):
        """Something that runs until the end, with what it starts."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
                   "process_group": 0, **options}
        process = subprocess.Popen([*map(str, command)], **options)

        def end():
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        self.stack.callback(end)
        return process

    def inside(self, *words, **options):
        return self.annex("run", "-n", NAME, "--root", "--workdir", "/", "--", *words, **options)

    def start_passt(self):
        """Of root's it makes nobody's, who then makes the socket."""
        path, ports = self.folder / "passt" / "socket", self.passt_ports
        self.folder.chmod(0o711)
        path.parent.mkdir()
        path.parent.chmod(0o777)
        forwards = [word for here, there in zip(ports, (IPERF, PEER)) for word in ("-t", f"127.0.0.1/{here}:{there}")]
        self.process("passt", "-f", "-q", "-s", path, "-a", f"{PASST_NET}.15", "-n", "255.255.255.0", "-g", f"{PASST_NET}.2",
                     *forwards, "-u", "none")

    def qemu(self):
        """QEMU with the two interfaces of the peers."""
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}"
                           for here, there in zip(self.slirp_ports, (IPERF, PEER, SSH)))
        wrapper = self.folder / "qemu"
        device = "virtio-net-pci,disable-legacy=on,romfile="
        wrapper.write_text(
            "#!/bin/bash\nmore=()\nfor word; do\n"
            f"\t[[ $word != guest={NAME} ]] || more=(\\\n"
            f"\t\t-netdev user,id=peer,net={SLIRP_NET}.0/24,dhcpstart={SLIRP_NET}.15{forwards} \\\n"
            f"\t\t-device {device},netdev=peer,mac=52:54:00:77:00:0f \\\n"
            f"\t\t-netdev stream,id=passt,server=off,addr.type=unix,addr.path={self.folder}/passt/socket \\\n"
            f"\t\t-device {device},netdev=passt,mac=52:54:00:78:00:0f)\n"
            'done\nexec qemu-system-x86_64 "$@" "${more[@]}"\n')
        wrapper.chmod(0o755)
        return wrapper

    def prepare(self):
        print("preparing a machine", flush=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-", dir="/var/tmp"))
        self.peer = self.folder / "network-peer"
        subprocess.run(["musl-gcc", "-static", "-O2", "-D_GNU_SOURCE", "-idirafter", "/usr/include", "-idirafter",
                        f"/usr/include/{os.uname().machine}-linux-gnu", "-o", self.peer,
                        ROOT / "tests/tools/network-peer.c"], check=True)
        ports = free_ports(9)
        self.slirp_ports, self.passt_ports, self.ssh_ports, self.host_ports = ports[:3], ports[3:5], ports[5:7], ports[7:]
        self.start_passt()
        self.annex = Annex(self.folder)
        self.annex("kernel", "install")
        self.annex.environment["ANNEX_QEMU"] = str(self.qemu())
        for address in ("127.0.0.1", outward()):
            self.process("iperf3", "-s", "-B", address, "-p", self.host_ports[0])
        self.annex("create", "-n", NAME, "--memory", "1G", "--cpus", str(PROCESSORS), "--home-mount", "none", "--no-boot",
                   "oci:" + image("services"))

    def begin(self, uplink):
        """The machine, with this uplink and its servers running."""
        self.annex("stop", NAME)
        self.annex("set", "-n", NAME, f"network={uplink}")
        self.annex("start", NAME)
        self.inside("sh", "-ec", "systemctl is-system-running --wait >/dev/null || true; "
                    "systemctl stop nginx 'postgresql*'; cat >/run/network-peer; chmod 755 /run/network-peer; "
                    f"systemd-run -q -p LimitNOFILE=20000 /run/network-peer serve {PEER}; "
                    f"systemd-run -q iperf3 -s -p {IPERF}; "
                    "link() { basename $(dirname $(grep -l $1 /sys/class/net/*/address)); }; "
                    f"user=$(link 52:54:00:77:00:0f) passt=$(link 52:54:00:78:00:0f); "
                    f"ip address add {SLIRP_NET}.15/24 dev $user; ip link set $user up; "
                    f"ip address add {PASST_NET}.15/24 dev $passt; ip link set $passt mtu 65520 up",
                    stdin=open(self.peer, "rb"))
        listed = json.loads(self.annex("list", "--format", "json").stdout)
        self.address = next(machine["ip"] for machine in listed if machine["name"] == NAME)
        ssh = ssh_ready(self.annex, self.slirp_ports[2], self.folder, NAME)
        forward = [word for here, there in zip(self.ssh_ports, (IPERF, PEER))
                   for word in ("-L", f"127.0.0.1:{here}:127.0.0.1:{there}")]
        self.ways = {"annex": (self.address, IPERF, PEER), QEMU_USER: ("127.0.0.1", *self.slirp_ports[:2]),
                     PASST: ("127.0.0.1", *self.passt_ports), SSH_L: ("127.0.0.1", *self.ssh_ports)}
        ways = contextlib.ExitStack()
        ways.enter_context(ssh_master([*ssh[:-1], *forward, ssh[-1]], self.folder))
        for address, _, port in self.ways.values():
            wait_for(address, port)
        return ways

    def iperf(self, run, address, port, back):
        """MB/s. A server that has not seen the end of the last one yet is asked again."""
        for _ in range(20):
            more = ["-R"] if back else []
            said = json.loads(run("iperf3", "-c", address, "-p", str(port), "-t", str(SECONDS), "-J", *more, check=False))
            if "error" not in said:
                return said["end"]["sum_received"]["bits_per_second"] / 8e6
            time.sleep(0.5)
        raise RuntimeError(f"iperf3 to {address}:{port}: {said['error']}")

    def rate(self, address, port, at_once):
        """How many a second, and how many were never answered."""
        rate, lost = self.here(self.peer, "rate", address, port, at_once, RATE_MS).split()
        return float(rate), int(lost)

    def here(self, *words, check=True):
        return subprocess.run([*map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=check).stdout

    def there(self, *words, **options):
        return self.inside(*words, **options).stdout

    # Tables

    def outbound(self, uplink, table):
        ways = {"annex": outward(), QEMU_USER: f"{SLIRP_NET}.2", PASST: f"{PASST_NET}.2"}
        numbers = {(way, back): [] for way in ways for back in (False, True)}
        for _ in range(self.runs):
            for way, back in numbers:
                numbers[way, back].append(self.iperf(self.there, ways[way], self.host_ports[0], back))
        for back, what in ((False, "machine to host"), (True, "host to machine")):
            for way in (QEMU_USER, PASST):
                table.add(f"{what}, {uplink}", numbers["annex", back], way, numbers[way, back])

    def inbound(self, table):
        numbers = {(way, back): [] for way in self.ways for back in (False, True)}
        for _ in range(self.runs):
            for way, back in numbers:
                numbers[way, back].append(self.iperf(self.here, *self.ways[way][:2], back))
        for back, what in ((False, "host to machine"), (True, "machine to host")):
            for way in (QEMU_USER, PASST, SSH_L):
                table.add(f"{what}", numbers["annex", back], way, numbers[way, back])

    def connections(self, rates, latencies):
        for at_once in (1, 50):
            numbers = {way: [] for way in self.ways}
            for _ in range(self.runs):
                for way, (address, _, port) in self.ways.items():
                    rate, lost = self.rate(address, port, at_once)
                    numbers[way].append(rate)
                    if lost:
                        print(f"    {way}: {lost} of {at_once} connections had no answer", flush=True)
            for way in (QEMU_USER, PASST, SSH_L):
                rates.add(f"{at_once} at once", numbers["annex"], way, numbers[way])
        numbers = {way: [] for way in self.ways}
        for _ in range(self.runs):
            for way, (address, _, port) in self.ways.items():
                numbers[way].append(float(self.here(self.peer, "latency", address, port, LATENCIES)))
        for way in (QEMU_USER, PASST, SSH_L):
            latencies.add("one byte and its answer", numbers["annex"], way, numbers[way], 0)

    def holders(self):
        """Who holds memory for connections on the host, by the way they take: how it is counted, and processes."""
        about = self.annex.inspect(NAME)
        supervisor, qemu = about["supervisorPid"], about["vmPid"]
        ssh = [int(pid) for pid in subprocess.run(["pgrep", "-f", f"{self.folder}/ssh -o ControlMaster"], text=True,
                                                  stdout=subprocess.PIPE, check=True).stdout.split()]
        return {"annex": (resident_mib, [supervisor, *children(supervisor, "annex-network")]),
                QEMU_USER: (anonymous_mib, [qemu]), SSH_L: (resident_mib, ssh)}

    def available_mib(self):
        """Of the machine's memory, after it has tidied up."""
        script = "sleep 1; sync; echo 3 >/proc/sys/vm/drop_caches; grep MemAvailable /proc/meminfo"
        return int(self.there("sh", "-c", script).split()[1]) / 1024

    def idle(self, table):
        for way, (measure, pids) in self.holders().items():
            here, there = [], []
            for _ in range(min(self.runs, 3)):
                before = sum(map(measure, pids)), self.available_mib()
                address, _, port = self.ways[way]
                with subprocess.Popen([self.peer, "fill", address, str(port), str(IDLE)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE) as hold:
                    assert int(hold.stdout.readline()) == IDLE
                    here.append(sum(map(measure, pids)) - before[0])
                    there.append(before[1] - self.available_mib())
                    hold.stdin.close()
                    assert int(hold.stdout.readline()) == IDLE
            table.row(way, spread(here, 1), spread(there, 1))

    def tables(self, _name):
        self.prepare()
        about = "accelerator {}"
        rounds = ROUND.format(self.runs)
        out = Throughput("From the machine to the host", OUTBOUND + rounds, about)
        into = Throughput("Through the machine's address", INBOUND + rounds, about)
        rates = Rate("Connections through the machine's address",
                     "Connect, send a byte, have its answer, close; the same ways. " + rounds, about)
        latencies = Comparison("A request on an open connection", "µs",
                               "A byte to a server in the machine and back, by the same ways. " + rounds, about)
        idle = Table("A thousand idle connections", ["through", "on the host, MiB", "in the machine, MiB"], IDLES, about)
        with self.begin("passt"):
            self.outbound("passt", out)
            self.inbound(into)
            self.connections(rates, latencies)
            self.idle(idle)
        with self.begin("slirp"):
            self.outbound("slirp", out)
        made = [out, into, rates, latencies, idle]
        for table in made:
            table.about = about.format(self.annex.inspect(NAME)["accelerator"])
        return made
