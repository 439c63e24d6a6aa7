"""A machine whose QEMU is tests/fakes/qemu and whose guest is the test: no image, no kernel that boots."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import annex_test
import protocol
from test_kernel import elf_kernel

FAKE_QEMU = annex_test.for_everybody(annex_test.ROOT / "tests" / "fakes" / "qemu")
SUPERVISOR = annex_test.for_everybody(annex_test.BUILD / "annex-supervisor", "annex-guest")
SHARE = annex_test.for_everybody(annex_test.BUILD / "annex-share")
NETWORK = annex_test.for_everybody(annex_test.BUILD / "annex-network")


class Guest:
    """The guest's side of the control port and the console, and a hand on the fake QEMU."""

    def __init__(self, player, greet=True):
        self.player = player
        _, fds, _, _ = socket.recv_fds(player, 16, 4)
        self.link = protocol.Link(socket.socket(fileno=fds[0]))
        self.console = socket.socket(fileno=fds[1])
        self.ports = socket.socket(fileno=fds[2])  # the ports' link
        self.ethernet = socket.socket(fileno=fds[3]) if len(fds) > 3 else None  # a frame each datagram
        self.config = None
        if greet:
            self.link.send("HELLO", version=protocol.VERSION, who="guest test")
            assert self.link.expect("HELLO").who == "supervisor"
            self.config = self.link.expect("CONFIG")

    def ready(self):
        self.link.send("READY", init="/sbin/init")

    def happen(self, word):
        self.player.sendall(word.encode() + b"\n")

    def power_off(self):
        self.link.send("HALTED", reason=1, text="")
        self.happen("off")

    def bind(self, name="BIND", **failure):
        """Answer a BIND or UNBIND: done, or with the fields of a failure. What was asked."""
        asked = self.link.expect(name)
        self.link.send("BOUND", **failure)
        return asked

    def adjust(self, **answer):
        """Answer an ADJUST: with its value, or with the fields of an answer. What was asked."""
        asked = self.link.expect("ADJUST")
        self.link.send("ADJUSTED", **{"value": asked.value, **answer})
        return asked

    def accept(self):
        """A session: its OPEN, answered."""
        opened = self.link.expect("OPEN")
        self.link.send("OPENED", opened.stream, id=str(opened.stream))
        return opened

    def close(self):
        for thing in filter(None, (self.player, self.link, self.console, self.ports, self.ethernet)):
            thing.close()


class Machine:
    def __init__(self, host, name="dev", **settings):
        self.host, self.name = host, name
        self.folder = host.data / "machines" / name
        self.id = os.urandom(16).hex()
        self.runtime = host.folder / "run" / "annex"
        self.socket = self.runtime / (self.id[:12] + ".sock")
        self.helpers = host.folder / "helpers"
        self.started, self.guests = [], []
        self.make(settings)
        self.doorbell = socket.socket(socket.AF_UNIX)
        self.doorbell.bind(str(host.folder / "guest.sock"))
        os.chown(host.folder / "guest.sock", host.account.uid, host.account.gid)
        self.doorbell.listen()
        self.doorbell.settimeout(20)
        self.env = {"ANNEX_QEMU": str(FAKE_QEMU), "ANNEX_LIBEXECDIR": str(self.helpers)}
        self.behave("")

    def make(self, settings):
        host = self.host
        kernel = host.file("kernel", elf_kernel())
        self.helpers.mkdir()
        (self.helpers / "annex-guest").write_bytes(b"\x7fELF nobody runs it")
        (self.helpers / "annex-supervisor").symlink_to(SUPERVISOR)
        (self.helpers / "annex-share").symlink_to(SHARE)
        (self.helpers / "annex-network").symlink_to(NETWORK)
        self.folder.mkdir(parents=True, mode=0o700)
        disk = self.folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
        record = {"version": 1, "id": self.id, "name": self.name, "image": "test:1", "imageId": "sha256:" + "0" * 64,
                  "base": "none", "created": "2026-01-01T00:00:00Z",
                  "settings": {"cpus": 1, "memory": 512 << 20, "disk": 1 << 30, "init": "auto", "kernel": str(kernel),
                               "accel": "tcg", "network": "none", **settings}}
        (self.folder / "machine.json").write_text(json.dumps(record))
        for path in [self.helpers, host.data, *host.data.rglob("*")]:
            os.chown(path, host.account.uid, host.account.gid)

    def behave(self, words):
        """What the fake QEMU does, besides connecting to us."""
        self.env["FAKE_QEMU"] = f"guest={self.host.folder}/guest.sock;{words}"

    @property
    def arguments(self):
        return [SUPERVISOR, "--data", self.host.data, "--config", self.host.folder / "config", "--runtime",
                self.runtime, "--foreground", self.name]

    def supervise(self, **options):
        """Start a supervisor in the foreground."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        process = subprocess.Popen([str(word) for word in self.arguments], stdin=subprocess.DEVNULL, cwd="/",
                                   env=self.host.environment({**self.env, **options.pop("env", {})}),
                                   **self.host.account.switch, **options)
        self.started.append(process)
        return process

    def guest(self, **options):
        """Wait for the fake QEMU to run its guest."""
        player = self.doorbell.accept()[0]
        player.settimeout(20)
        self.guests.append(Guest(player, **options))
        return self.guests[-1]

    def connect(self, **options):
        wait_for(self.socket.exists)
        return protocol.connect(self.socket, **options)

    def run(self):
        """A machine that runs: its supervisor and its guest."""
        supervisor = self.supervise()
        guest = self.guest()
        guest.ready()
        return supervisor, guest

    @property
    def running(self):
        return json.loads((self.folder / "run.json").read_text())

    @property
    def failure(self):
        return json.loads((self.folder / "failure.json").read_text())

    def is_clean(self):
        """Nothing of a run is left."""
        return not self.socket.exists() and not (self.folder / "run.json").exists()

    def close(self):
        """End what still runs. Nothing may have been found by a sanitizer, in builds that have them."""
        said = ""
        for guest in self.guests:
            guest.close()
        self.doorbell.close()
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            said += "".join(text for text in process.communicate() if text)
        log = self.folder / "supervisor.log"
        said += log.read_text() if log.exists() else ""
        assert "runtime error:" not in said and "Sanitizer" not in said, said

    def remove(self):
        """End whatever runs of it, also what a command has started, and take its folder away."""
        self.host.annex("stop", "--time", "0", self.name, env=self.env)
        self.close()
        subprocess.run(["rm", "-rf", self.folder], check=True)


def wait_for(condition, timeout=20):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
