"""A slow link: a port on loopback that leads to another one, and lets through so many bytes a second and no more."""

import contextlib
import socket
import threading
import time

CHUNK = 64 << 10


class Link:
    """What comes back through all of its connections together is limited; what goes there is not."""

    def __init__(self, target, rate):
        self.target, self.rate = target, rate
        self.lock, self.free = threading.Lock(), time.monotonic()  # when the link has carried all that was put on it
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listening.close()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self.listening.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self.carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self.carry, args=(far, near, True), daemon=True).start()

    def carry(self, source, target, slow):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if slow:
                    self.wait(len(data))
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def wait(self, length):
        with self.lock:
            self.free = max(self.free, time.monotonic()) + length / self.rate
            end = self.free
        time.sleep(max(0, end - time.monotonic()))
