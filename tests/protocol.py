"""The protocol of docs/protocol.md, for tests that play a client or the guest."""

import socket
import struct

VERSION = 4
WINDOW = 256 * 1024
DATA_MAX = 32 * 1024
FRAME_MORE = 0x8000

# Per message: its number and its fields; 4 and 8 are numbers of that many bytes, "t" texts, "l" lists of texts, "b" bytes.
MESSAGES = {
    "HELLO": (1, {"version": 4, "who": "t"}),
    "FAILURE": (2, {"kind": 4, "os": 4, "message": "t", "hint": "t"}),
    "WATCH": (10, {}),
    "START": (18, {}),
    "STOP": (11, {"timeout_ms": 8}),
    "MOUNT": (12, {"volume": "t", "kept": 4}),
    "UMOUNT": (13, {"target": "t", "force": 4, "kept": 4}),
    "APPLY": (14, {"settings": "l"}),
    "LIST_SESSIONS": (15, {}),
    "KILL": (16, {"id": "t", "signal": 4}),
    "STATS": (17, {}),
    "STATE": (20, {"state": 4, "waiting": "t", "failure": "t", "hint": "t", "failure_kind": 4, "pid": 4, "vm_pid": 4,
                   "cpus": 4, "memory": 8, "started": 8, "accelerator": "t", "settings": "t", "shares": "t",
                   "restarts": 4, "reasons": "t", "network": "t"}),
    "DONE": (21, {}),
    "SESSIONS": (22, {"sessions": "l"}),
    "USAGE": (24, {"known": 4, "state": 4, "cpus": 4, "sessions": 4, "started": 8, "at_ns": 8, "cpu_ns": 8, "resident": 8,
                   "memory": 8, "disk_read": 8, "disk_written": 8, "memory_total": 8, "memory_available": 8,
                   "disk_size": 8, "disk_used": 8, "received": 8, "sent": 8, "tasks": 8, "load": 8}),
    "CONFIG": (30, {"hostname": "t", "machine_id": "t", "user_name": "t", "uid": 4, "gid": 4, "group_name": "t",
                    "home": "t", "shell": "t", "environment": "l", "init": "t", "init_argv": "l", "stop_signal": 4,
                    "network": "t", "address": "t", "gateway": "t", "dns": "t", "realtime_ns": 8,
                    "deadline_factor": 4, "debug": 4, "shares": "l", "image_environment": 4, "time_zone": "t",
                    "time_zone_rule": "t", "service": 4, "service_user": "t", "service_folder": "t",
                    "address6": "t", "gateway6": "t", "dns6": "t", "mtu": 4, "domain": "t", "search": "l",
                    "marker": "b", "trust": 4, "certificates": "b", "proxies": "l"}),
    "SHUTDOWN": (31, {"timeout_ms": 8}),
    "CLOCK": (32, {"realtime_ns": 8, "slew_ns": 8}),
    "BIND": (33, {"share": "t"}),
    "UNBIND": (34, {"target": "t", "force": 4}),
    "ADJUST": (35, {"what": 4, "value": 8}),
    "MEASURE": (36, {}),
    "NAMES": (37, {"search": "l"}),
    "MARK": (38, {"marker": "b"}),
    "WAITING": (40, {"what": "t"}),
    "READY": (41, {"init": "t"}),
    "HALTED": (42, {"reason": 4, "text": "t"}),
    "LOG": (43, None),
    "BOUND": (44, {"kind": 4, "os": 4, "message": "t", "hint": "t"}),
    "ADJUSTED": (45, {"kind": 4, "os": 4, "message": "t", "hint": "t", "value": 8}),
    "MEASURED": (46, {"realtime_ns": 8, "disciplined": 4, "memory_total": 8, "memory_available": 8, "disk_size": 8,
                      "disk_used": 8, "received": 8, "sent": 8, "tasks": 8, "load": 8}),
    "OPEN": (50, {"flags": 4, "argv": "l", "environment": "l", "user": "t", "folder": "t", "rows": 4, "columns": 4,
                  "forwards": "l", "login": "l", "time_zone_rule": "t", "terminfo": "b"}),
    "INPUT": (51, None),
    "RESIZE": (52, {"rows": 4, "columns": 4}),
    "SIGNAL": (53, {"number": 4, "all": 4}),
    "HANGUP": (54, {}),
    "OPENED": (60, {"id": "t"}),
    "OUTPUT": (61, None),
    "ERRORS": (62, None),
    "EXIT": (63, {"status": 4, "signal": 4}),
    "CREDIT": (70, {"channel": 4, "bytes": 4}),
    "CONNECT": (71, {"connection": 4, "forward": 4}),
    "TRANSFER": (72, None),
    "DISCONNECT": (73, {"connection": 4}),
    "PORT_CONNECT": (100, {"connection": 4, "protocol": 4, "address": "t", "port": 4}),
    "PORT_SCAN": (101, {}),
    "PORT_LISTENING": (102, {"sockets": "l"}),
    "PORT_DATAGRAM": (103, None),
    "LIST_PORTS": (110, {}),
    "PUBLISH": (111, {"port": "t", "kept": 4}),
    "UNPUBLISH": (112, {"port": "t", "kept": 4}),
    "PORTS": (113, {"ports": "l"}),
}
NUMBERS = {name: number for name, (number, _) in MESSAGES.items()}
NAMES = {number: name for name, number in NUMBERS.items()}
STATES = ["stopped", "starting", "booting", "running", "stopping", "failed", "restarting"]
KINDS = {"SYSTEM": 1, "USAGE": 2, "NOT_FOUND": 3, "BUSY": 5, "UNSUPPORTED": 9, "TIMEOUT": 10, "GUEST": 12}
OPEN_DETACH, OPEN_NO_INPUT = 2, 8


def put_text(text):
    raw = text.encode("utf-8", "surrogateescape") + b"\0"
    return struct.pack("<I", len(raw)) + raw


def put_field(kind, value):
    if kind == "t":
        return put_text(value or "")
    if kind == "l":
        items = value or []
        return struct.pack("<I", len(items)) + b"".join(map(put_text, items))
    if kind == "b":
        return struct.pack("<I", len(value or b"")) + (value or b"")
    return (int(value or 0) & (1 << 8 * kind) - 1).to_bytes(kind, "little")


def encode(name, stream=0, data=b"", **fields):
    number, rows = MESSAGES[name]
    payload = data if rows is None else b"".join(put_field(kind, fields.get(field)) for field, kind in rows.items())
    frames = b""
    while len(payload) > 65528:
        frames += struct.pack("<IHH", 65532, number | FRAME_MORE, stream) + payload[:65528]
        payload = payload[65528:]
    return frames + struct.pack("<IHH", len(payload) + 4, number, stream) + payload


def take_text(payload):
    size = struct.unpack_from("<I", payload)[0]
    return payload[4:3 + size].decode("utf-8", "surrogateescape"), payload[4 + size:]


def decode(number, payload):
    rows = MESSAGES[NAMES[number]][1]
    if rows is None:
        return {"data": payload}
    fields = {}
    for field, kind in rows.items():
        if kind == "t":
            fields[field], payload = take_text(payload)
        elif kind == "l":
            count, payload = struct.unpack_from("<I", payload)[0], payload[4:]
            fields[field] = []
            for _ in range(count):
                text, payload = take_text(payload)
                fields[field].append(text)
        elif kind == "b":
            size = struct.unpack_from("<I", payload)[0]
            fields[field], payload = payload[4:4 + size], payload[4 + size:]
        else:
            fields[field], payload = int.from_bytes(payload[:kind], "little"), payload[kind:]
    assert payload == b""
    return fields


class Message:
    def __init__(self, name, stream, fields):
        self.name, self.stream, self.fields = name, stream, fields

    def __getattr__(self, field):
        try:
            return self.fields[field]
        except KeyError:
            raise AttributeError(field) from None

    def __repr__(self):
        return f"{self.name}[{self.stream}]{self.fields}"


class Link:
    """One end of a link, blocking. Reading times out."""

    def __init__(self, sock, timeout=20):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.waiting = b""
        self.parts = b""

    def close(self):
        self.sock.close()

    def send(self, name, stream=0, data=b"", **fields):
        self.sock.sendall(encode(name, stream, data, **fields))

    def send_raw(self, raw):
        self.sock.sendall(raw)

    def read(self):
        """The next message, or None when the other end has closed."""
        while True:
            size = struct.unpack_from("<I", self.waiting)[0] if len(self.waiting) >= 4 else None
            if size is not None and len(self.waiting) >= 4 + size:
                break
            try:
                piece = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not piece:
                return None
            self.waiting += piece
        number, stream = struct.unpack_from("<HH", self.waiting, 4)
        payload, self.waiting = self.waiting[8:4 + size], self.waiting[4 + size:]
        self.parts += payload
        if number & FRAME_MORE:
            return self.read()
        payload, self.parts = self.parts, b""
        return Message(NAMES[number], stream, decode(number, payload))

    def expect(self, name, stream=None):
        """The next message but STATE, and MEASURE, by which the supervisor checks the clock now and then; it must be this
        one."""
        message = self.read()
        while message and message.name in ("STATE", "MEASURE") and message.name != name:
            message = self.read()
        assert message and message.name == name, f"{message} instead of {name}"
        assert stream is None or message.stream == stream
        return message

    def expect_state(self, wanted):
        """Read until this state is told; every other message in between is a mistake."""
        while True:
            message = self.expect("STATE")
            if STATES[message.state] == wanted:
                return message

    def expect_end(self):
        while message := self.read():
            assert message.name == "STATE", message


def connect(path, watch=False, greet=True, timeout=20):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    link = Link(sock, timeout)
    if greet:
        try:
            link.send("HELLO", version=VERSION, who="test")
            if watch:
                link.send("WATCH")
        except BrokenPipeError:
            pass  # refused: what it says about that can still be read
    assert link.read().name == "HELLO"
    return link
