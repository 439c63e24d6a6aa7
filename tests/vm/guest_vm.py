"""A virtual machine that runs annex-guest, with the test in the supervisor's place: QEMU is started directly, and the
test speaks the protocol on the control port.

    machine = guest_vm.Machine(layout, hostname="box")
    machine.start()                       # up to READY
    machine.run("echo", "hello").output   # b"hello\\n"
    machine.stop()

Files of the host come from tests/tools/share-host:

    machine = guest_vm.Machine(layout, exports={"home": ("rw", folder)}, shares=["home dh /home/ada"])
"""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "images")]

import oci  # noqa: E402
import protocol  # noqa: E402
from annex_test import BUILD  # noqa: E402

CACHE = pathlib.Path(os.environ.get("ANNEX_TEST_CACHE") or f"/var/tmp/annex-test-cache-{os.getuid()}")
SCALE = float(os.environ.get("ANNEX_TIMEOUT_SCALE") or 1)
TERMINAL, DETACH, SHELL, NO_INPUT, DEFAULT_USER = 1, 2, 4, 8, 16
HALTED = {1: "power-off", 2: "reboot", 3: "crash"}


def kernels():
    """The folder of kernels, with one; installed once, into the cache."""
    folder = CACHE / "kernels"
    CACHE.mkdir(exist_ok=True)
    if not list(folder.glob("*/kernel.json")):
        subprocess.run([BUILD / "tests" / "kernel-tool", folder, "install"], check=True, stdout=subprocess.DEVNULL)
    return folder


def kernel(folder=None):
    """The kernel's image and an initramfs with the agent."""
    tool, folder = BUILD / "tests" / "kernel-tool", folder or kernels()
    shown = subprocess.run([tool, folder, "open"], check=True, stdout=subprocess.PIPE, text=True).stdout
    image = next(line.split()[1] for line in shown.splitlines() if line.startswith("image "))
    made = subprocess.run([tool, folder, "initramfs", BUILD / "annex-guest"], check=True, stdout=subprocess.PIPE, text=True)
    return image, made.stdout.strip()


def modules():
    """The folder of the kernel's modules."""
    return next(kernels().glob("*/lib/modules/*"))


def make_disk(layout, target, size):
    """An ext4 image of a layout's image, as a sparse file of the given size."""
    manifest = oci.resolve(layout)
    blobs = [str(pathlib.Path(layout) / "blobs" / "sha256" / layer["digest"].split(":")[1])
             for layer in manifest["layers"]]
    config = json.loads(oci.read_blob(layout, manifest["config"]))
    arguments = [f"{blob},,{diff_id}" for blob, diff_id in zip(blobs, config["rootfs"]["diff_ids"])]
    subprocess.run([BUILD / "tests" / "rootfs-build", target, *arguments], check=True, stdout=subprocess.DEVNULL)
    os.truncate(target, size)
    return config.get("config", {})


class Session:
    """One session; its messages arrive through the machine's reader thread."""

    def __init__(self, machine, stream):
        self.machine, self.stream = machine, stream
        self.output, self.errors, self.id = bytearray(), bytearray(), None
        self.exit = self.failure = None
        self.credit = {"INPUT": protocol.WINDOW}
        self.give_credit = True
        self.ended = set()

    def handle(self, message):
        name = message.name
        if name in ("OUTPUT", "ERRORS"):
            if not message.data:
                self.ended.add(name)
            (self.output if name == "OUTPUT" else self.errors).extend(message.data)
            if self.give_credit and message.data:
                self.send("CREDIT", channel=protocol.NUMBERS[name], bytes=len(message.data))
        elif name == "OPENED":
            self.id = message.id
        elif name == "EXIT":
            self.exit = (message.status, message.signal)
        elif name == "FAILURE":
            self.failure = message
        elif name == "CREDIT":
            self.credit["INPUT"] += message.bytes

    def send(self, name, data=b"", **fields):
        self.machine.send(name, self.stream, data, **fields)

    def over(self):
        return self.exit is not None or self.failure is not None

    def wait(self, timeout=60):
        self.machine.wait_until(self.over, timeout, "a session to end")
        return self

    def wait_for(self, text, timeout=60):
        self.machine.wait_until(lambda: text in self.output or self.over(), timeout, repr(text))
        assert text in self.output, (bytes(self.output[-400:]), self.exit, self.failure)
        return self

    def write(self, data, timeout=60):
        """Send input as the window allows."""
        data = memoryview(data)
        while data:
            self.machine.wait_until(lambda: self.credit["INPUT"] > 0 or self.over(), timeout, "credit")
            if self.over():
                return
            piece = data[:min(self.credit["INPUT"], protocol.DATA_MAX)]
            with self.machine.changed:
                self.credit["INPUT"] -= len(piece)
            self.send("INPUT", bytes(piece))
            data = data[len(piece):]

    def close(self):
        self.send("INPUT", b"")


class ShareHost:
    """The virtio-fs server of a machine; what it shares can change."""

    def __init__(self, uid, gid, exports):
        self.device, served = socket.socketpair()
        self.process = subprocess.Popen([BUILD / "tests" / "share-host", str(served.fileno()), str(uid), str(gid)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[served.fileno()], text=True)
        served.close()
        for name, (mode, path) in exports.items():
            self.add(name, path, mode)

    def command(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer == "ok\n", answer

    def add(self, name, path, mode="rw"):
        self.command("add", name, mode, path)

    def remove(self, name):
        self.command("remove", name)

    def close(self):
        self.device.close()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Machine:
    def __init__(self, layout, size=4 << 30, cpus=1, memory=512, exports=None, kernels=None, **config):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-guest-", dir="/var/tmp"))
        self.image, self.initramfs = kernel(kernels)
        self.disk = self.folder / "disk"
        image = make_disk(layout, self.disk, size)
        self.cpus, self.memory = cpus, memory
        self.config = dict(
            hostname="box", machine_id="0123456789abcdef0123456789abcdef", user_name="ada", uid=4321, gid=4322,
            group_name="ada", home="/home/ada", shell="/bin/bash", environment=image.get("Env") or [], init="auto",
            init_argv=(image.get("Entrypoint") or []) + (image.get("Cmd") or []), stop_signal=0, deadline_factor=10, debug=1,
            # As QEMU's user networking has it.
            network="ethernet", address="10.0.2.15/24", gateway="10.0.2.2", dns="10.0.2.3", address6="fec0::15/64",
            gateway6="fec0::2", dns6="fec0::3", mtu=1400, domain="annex.internal", search=["example.com"])
        self.config.update(config)
        self.process = self.link = self.share_host = None
        self.exports = exports
        self.changed = threading.Condition()
        self.reset()

    def reset(self):
        self.sessions, self.next_stream = {}, 1
        self.messages, self.waiting, self.ready, self.halted, self.failures = [], [], [], [], []
        self.bound, self.adjusted = [], []
        self.log = bytearray()
        self.link_closed = False

    def launch(self):
        """Start QEMU and connect the port, which then waits for CONFIG."""
        self.reset()
        port = self.folder / "port"
        port.unlink(missing_ok=True)
        shared = self.share_options()
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine",
            "q35,memory-backend=memory", "-object", f"memory-backend-memfd,id=memory,size={self.memory}M,share=on", "-accel",
            "tcg,thread=multi,tb-size=256", "-cpu", "max", "-smp", str(self.cpus), "-m", str(self.memory), "-no-reboot",
            "-serial", f"file:{self.folder}/console", "-kernel", self.image, "-initrd", self.initramfs, "-append",
            "console=ttyS0 quiet panic=-1 rdinit=/init random.trust_cpu=on no_timer_check",
            "-blockdev", f"driver=raw,node-name=disk,discard=unmap,file.driver=file,file.filename={self.disk}",
            "-device", "virtio-blk-pci,drive=disk,serial=root,disable-legacy=on", "-device",
            "virtio-serial-pci,id=ports,disable-legacy=on", "-chardev",
            f"socket,id=port,path={port},server=on,wait=off", "-device",
            "virtserialport,bus=ports.0,chardev=port,name=org.annex.guest", "-netdev", "user,id=network", "-device",
            "virtio-net-pci,netdev=network,disable-legacy=on,romfile=", *shared],
            pass_fds=[self.share_host.device.fileno()] if shared else [])
        self.connect()
        return self

    def share_options(self):
        """What QEMU needs for the shares, whose server this starts."""
        if self.exports is None:
            return []
        if self.share_host:
            self.share_host.close()
        self.share_host = ShareHost(self.config["uid"], self.config["gid"], self.exports)
        return ["-chardev", f"socket,id=share,fd={self.share_host.device.fileno()}", "-device",
                "vhost-user-fs-pci,chardev=share,tag=annex,queue-size=1024,num-request-queues=1"]

    def connect(self):
        deadline = time.monotonic() + 20 * SCALE
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(str(self.folder / "port"))
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, "QEMU did not start"
                time.sleep(0.02)
        self.link = protocol.Link(sock, None)
        self.link_closed = False
        threading.Thread(target=self.read, args=(self.link,), daemon=True).start()

    def disconnect(self):
        self.link.sock.shutdown(socket.SHUT_RDWR)
        self.link.close()

    def read(self, link):
        """The reader: a faster one than Link.read(), since a gigabyte passes through it."""
        buffer, at, parts = bytearray(), 0, b""
        while True:
            try:
                piece = link.sock.recv(1 << 18)
            except OSError:
                piece = b""
            if not piece:
                with self.changed:
                    self.link_closed = True
                    self.changed.notify_all()
                return
            buffer += piece
            messages = []
            while len(buffer) - at >= 8:
                size, number, stream = struct.unpack_from("<IHH", buffer, at)
                if len(buffer) - at < size + 4:
                    break
                payload = bytes(buffer[at + 8:at + 4 + size])
                at += size + 4
                parts += payload
                if not number & protocol.FRAME_MORE:
                    messages.append(protocol.Message(protocol.NAMES[number], stream, protocol.decode(number, parts)))
                    parts = b""
            del buffer[:at]
            at = 0
            with self.changed:
                for message in messages:
                    self.handle(message)
                self.changed.notify_all()

    def handle(self, message):
        name = message.name
        if message.stream:
            self.sessions[message.stream].handle(message)
        elif name == "LOG":
            self.log += message.data
        else:
            self.messages.append(message)
            lists = {"WAITING": self.waiting, "READY": self.ready, "HALTED": self.halted, "FAILURE": self.failures,
                     "BOUND": self.bound, "ADJUSTED": self.adjusted}
            if name in lists:
                lists[name].append(message)

    def send(self, name, stream=0, data=b"", **fields):
        self.link.send(name, stream, data, **fields)

    def wait_until(self, condition, timeout, what):
        with self.changed:
            done = self.changed.wait_for(lambda: condition() or self.link_closed, timeout * SCALE)
            assert done and condition(), f"waited for {what}; {self.describe()}"

    def describe(self):
        console = (self.folder / "console").read_bytes()[-3000:].decode(errors="replace")
        return f"messages {self.messages[-5:]}\nconsole:\n{console}"

    def configure(self, **changes):
        self.wait_until(lambda: any(m.name == "HELLO" for m in self.messages), 60, "HELLO")
        self.send("HELLO", version=protocol.VERSION, who="supervisor")
        self.send("CONFIG", **dict(self.config, realtime_ns=time.time_ns(), **changes))

    def start(self, timeout=120, **changes):
        self.launch()
        self.configure(**changes)
        self.wait_until(lambda: self.ready or self.failures, timeout, "READY")
        assert self.ready, self.failures
        return self

    def open(self, *argv, flags=DEFAULT_USER, environment=(), user="", folder="", rows=0, columns=0):
        with self.changed:
            stream, self.next_stream = self.next_stream, self.next_stream + 1
            session = self.sessions[stream] = Session(self, stream)
        if user:
            flags &= ~DEFAULT_USER
        self.send("OPEN", stream, flags=flags, argv=list(argv), environment=list(environment), user=user, folder=folder,
                  rows=rows, columns=columns)
        return session

    def run(self, *argv, timeout=60, input=None, flags=DEFAULT_USER, **options):
        """Run to its end."""
        session = self.open(*argv, flags=flags | (NO_INPUT if input is None else 0), **options)
        if input is not None:
            session.write(input)
            session.close()
        return session.wait(timeout)

    def root(self, script, **options):
        """The output of a shell script as root, which must succeed."""
        session = self.run("sh", "-c", script, user="root", **options)
        assert session.exit == (0, 0), (session.exit, session.failure, bytes(session.output), bytes(session.errors))
        return session.output.decode()

    def bind(self, share):
        """The answer to BIND."""
        return self.ask("BIND", share=share)

    def unbind(self, target, force=0):
        return self.ask("UNBIND", target=target, force=force)

    def ask(self, name, **fields):
        before = len(self.bound)
        self.send(name, **fields)
        self.wait_until(lambda: len(self.bound) > before, 60, "BOUND")
        return self.bound[before]

    def adjust(self, what, value):
        """The answer to ADJUST."""
        before = len(self.adjusted)
        self.send("ADJUST", what=what, value=value)
        self.wait_until(lambda: len(self.adjusted) > before, 60, "ADJUSTED")
        return self.adjusted[before]

    def wait_for_end(self, timeout=60):
        return self.process.wait(timeout * SCALE)

    def shutdown(self, timeout_ms=60000, timeout=90):
        self.send("SHUTDOWN", timeout_ms=timeout_ms)
        return self.wait_for_end(timeout)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.share_host:
            self.share_host.close()
        shutil.rmtree(self.folder, ignore_errors=True)
