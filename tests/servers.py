"""Servers on the host that machines talk to, each on a free port of its own, of loopback unless told otherwise.

    with servers.Iperf() as iperf:            # .port; real programs: Iperf, Dnsmasq, Squid
        …
    with servers.Hashing() as hashing:        # reads to the end, answers with the SHA-256 of it; Returning: with all of it
    with servers.Sending(data) as sending:    # sends this and ends
    with servers.Echo() as echo:              # UDP: gives each datagram back

They end with the block: programs by their pid, threads by their socket.
"""

import contextlib
import getpass
import hashlib
import pathlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time

START = 60  # seconds for a program to listen: only ends a test that has failed


def free_port(kind=socket.SOCK_STREAM, address="127.0.0.1"):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Program:
    """A program that runs in the foreground until the block ends."""

    def start(self, *argv, **options):
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
                                        **options)

    def wait_until(self, ready):
        end = time.monotonic() + START
        while not ready():
            assert self.process.poll() is None and time.monotonic() < end, f"{self.process.args}: {self.output()}"
            time.sleep(0.02)

    def output(self):
        self.said.seek(0)
        return self.said.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.said.close()


def answers(port, address="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


class Iperf(Program):
    def __init__(self, address="127.0.0.1"):
        self.port = free_port(address=address)
        self.start("iperf3", "-s", "-B", address, "-p", self.port)
        self.wait_until(lambda: answers(self.port, address))


class Peer(Program):
    """network-peer of the build folder: gives back what it is sent, to thousands at once; on every address."""

    def __init__(self, program):
        self.port = free_port()
        self.start(program, "serve", self.port)
        self.wait_until(lambda: answers(self.port))


class Dnsmasq(Program):
    """A resolver that knows these names, {"name": "address" or [addresses]}, asks others for these domains, {"domain":
    "resolver"}, and says NXDOMAIN to all else. `at`: what a resolv.conf for annex calls it, and what others have as a resolver."""

    def __init__(self, names, domains=None):
        self.port, self.names, self.domains = free_port(), dict(names), dict(domains or {})
        self.at = f"127.0.0.1#{self.port}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-dnsmasq-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.run()

    def run(self):
        records = [f"--host-record={name},{value}" for name, values in self.names.items()
                   for value in ([values] if isinstance(values, str) else values)]
        records += [f"--server=/{domain}/{resolver}" for domain, resolver in self.domains.items()]
        # --local=/#/: what it does not know is not asked anywhere else.
        self.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/#/",
                   f"--user={getpass.getuser()}", "--bind-interfaces", "--listen-address=127.0.0.1", f"--port={self.port}",
                   "--log-queries", "--log-facility=-", f"--pid-file={self.folder}/pid", *records)
        self.wait_until(lambda: answers(self.port))

    def was_asked(self, name):
        return f"] {name} from " in self.output()

    def change(self, names):
        """It comes back with other names."""
        super().close()
        self.names = dict(names)
        self.run()

    def close(self):
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Squid(Program):
    """A proxy that looks into TLS: what it shows instead of a site's certificate is of the authority (of registries.py).
    Names are looked up in `hosts`, {"name": "address"}, alone. `account` runs it, of annex_test; it is not for root."""

    CONFIG = """\
http_port 127.0.0.1:{port} ssl-bump tls-cert={folder}/authority.pem generate-host-certificates=on
sslcrtd_program /usr/lib/squid/security_file_certgen -s {folder}/certificates -M 4MB
sslcrtd_children 1
acl first at_step SslBump1
ssl_bump peek first
ssl_bump bump all
tls_outgoing_options flags=DONT_VERIFY_PEER
http_access allow all
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
access_log stdio:{folder}/access
cache_log /dev/null
cache deny all
cache_mem 1 MB
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
max_filedescriptors 256
"""

    def __init__(self, authority, hosts, account):
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-squid-", dir="/var/tmp"))
        (self.folder / "authority.pem").write_text(authority.ca.read_text() + (authority.folder / "ca.key").read_text())
        (self.folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
        (self.folder / "squid.conf").write_text(self.CONFIG.format(port=self.port, folder=self.folder))
        for path in (self.folder, *self.folder.iterdir()):
            shutil.chown(path, account.uid, account.gid)
        subprocess.run(["/usr/lib/squid/security_file_certgen", "-c", "-s", self.folder / "certificates", "-M", "4MB"],
                       stdout=subprocess.DEVNULL, check=True, **account.switch)
        self.start("/usr/sbin/squid", "-N", "-n", f"annex{self.port}", "-f", self.folder / "squid.conf", cwd=self.folder, **account.switch)
        self.wait_until(lambda: answers(self.port))

    def log(self):
        return (self.folder / "access").read_text()

    def close(self):
        self.process.terminate()  # it has files in /dev/shm to remove
        self.process.wait()
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Threads:
    """A server of threads."""

    kind = socketserver.ThreadingTCPServer

    def __init__(self, address="127.0.0.1"):
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    outer.serve(self.request, self.client_address)

        class Server(self.kind):
            daemon_threads = True
            request_queue_size = 128
            max_packet_size = 65535

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Hashing(Threads):
    """Reads to the end, and only then answers with the SHA-256 of it."""

    def serve(self, connection, _client):
        digest = hashlib.sha256()
        while piece := connection.recv(1 << 16):
            digest.update(piece)
        connection.sendall(digest.hexdigest().encode() + b"\n")


class Returning(Threads):
    """Reads to the end, and only then gives all of it back."""

    def serve(self, connection, _client):
        data = bytearray()
        while piece := connection.recv(1 << 16):
            data += piece
        connection.sendall(data)


class Sending(Threads):
    def __init__(self, data, address="127.0.0.1"):
        self.data, self.digest = data, hashlib.sha256(data).hexdigest()
        super().__init__(address)

    def serve(self, connection, _client):
        connection.sendall(self.data)


class Web(Threads):
    """Any request is answered with this; by TLS with a certificate of registries.py."""

    def __init__(self, text, certificate):
        self.text = text.encode()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.chain, certificate.key)
        super().__init__()

    def serve(self, connection, _client):
        with self.context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1 << 16)
            secured.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(self.text) + self.text)


class Echo(Threads):
    kind = socketserver.ThreadingUDPServer

    def serve(self, request, client):
        data, sender = request
        sender.sendto(data, client)
