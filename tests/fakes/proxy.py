"""An HTTP proxy that records what it is asked for, and knows names that no resolver does.

    with proxy.Proxy({"registry.example:443": fake.host}) as one:
        …, env={"https_proxy": one.url}
        assert one.requests == ["CONNECT registry.example:443"]

It tunnels (CONNECT) and fetches (GET http://…). Names that are not in its table are tried as they are; credentials
("name:password") are asked for when there are some.
"""

import base64
import http.client
import http.server
import select
import socket
import urllib.parse

import background


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def admitted(self):
        proxy = self.server.proxy
        wanted = proxy.credentials and "Basic " + base64.b64encode(proxy.credentials.encode()).decode()
        if not wanted or self.headers.get("Proxy-Authorization") == wanted:
            return True
        self.refuse(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})
        return False

    def refuse(self, status, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": "0", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True

    def address(self, target):
        host, _, port = self.server.proxy.names.get(target, target).rpartition(":")
        return host.strip("[]"), int(port)

    def do_CONNECT(self):
        self.server.proxy.requests.append(f"CONNECT {self.path}")
        if not self.admitted():
            return
        try:
            other = socket.create_connection(self.address(self.path), timeout=60)
        except OSError:
            return self.refuse(502)
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with other:
            self.tunnel(other)

    def tunnel(self, other):
        ways = {self.connection: other, other: self.connection}
        while not self.server.proxy.stopping.is_set():
            for one in select.select(list(ways), [], [], 0.2)[0]:
                data = one.recv(1 << 16)
                if not data:
                    return
                ways[one].sendall(data)

    def do_GET(self):
        self.server.proxy.requests.append(f"{self.command} {self.path}")
        if not self.admitted():
            return
        url = urllib.parse.urlsplit(self.path)
        host, port = self.address(f"{url.hostname}:{url.port or 80}")
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
            connection.request(self.command, self.path[self.path.index("/", 8):], headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            return self.refuse(502)
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass  # somebody went away


class Proxy(background.Background):
    def __init__(self, names=None, credentials=None):
        self.names, self.credentials = names or {}, credentials
        self.requests = []
        server = Server(("127.0.0.1", 0), Handler)
        server.proxy = self
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.start(server)
