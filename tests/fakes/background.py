"""What the fake servers have in common: they serve in the background until close(), or to the end of a `with`."""

import threading


class Background:
    def start(self, server):
        """`stopping` is for handlers that wait: they are to end once it is set."""
        self.server, self.stopping = server, threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
