# SPDX-License-Identifier: Apache-2.0
"""A standalone ZooKeeper server, Debian's Apache package or our zkserver: same face, same
zoo.cfg."""
import random
import socket
from collections import namedtuple

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError, NotEmptyError

from . import rawzk
from .bench import BROKEN_LINE, ZKSERVER
from .waiting import NotComing, wait_for

KINDS = ("apache", "zkserver")

APACHE_CLASSPATH = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"
# Quick to start, small, and happy on two cores.
QUICK_JVM = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]

SUPER = "super:secret"
SUPER_DIGEST = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="

# tickTime 500: session time-outs from 1 to 10 s, so that expiry does not take a test's whole time.
DEFAULTS = {
    "tickTime": 500,
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
    "extendedTypesEnabled": "true",
    "maxClientCnxns": 0,
    "preAllocSize": 1024,
    "DigestAuthenticationProvider.superDigest": SUPER_DIGEST,
}


# Where a server runs: its address, and what to write before a command that shall run there.
Host = namedtuple("Host", "address prefix")
LOOPBACK = Host("127.0.0.1", ())


_given = set()  # ports: whoever was given one may listen on it only later


def free_port():
    """A loopback port that nobody listens on and nobody else was given, below the range that
    outgoing connections come from."""
    while True:
        port = random.randint(20001, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


def free_ports(count):
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


class Server:
    """start, stop, kill9 and start again: always the same data, port and zoo.cfg."""

    def __init__(
        self, bench, kind, name="server", data=None, jvm=QUICK_JVM, host=LOOPBACK, **settings
    ):
        self.bench, self.kind, self.name, self.jvm, self.host = bench, kind, name, jvm, host
        self.folder = bench.path(name)
        self.folder.mkdir(exist_ok=True)
        self.data = data or self.folder / "data"
        self.data.mkdir(exist_ok=True)
        self.port = free_port()
        self.settings = {**DEFAULTS, "dataDir": self.data, "clientPort": self.port}
        self.settings["clientPortAddress"] = host.address
        self.settings.update({k.replace("__", "."): v for k, v in settings.items()})
        self.config = self.folder / "zoo.cfg"
        self.environment = {}
        self.process = None
        self.connections = []
        self.write_config()

    def write_config(self):
        lines = [f"{key}={value}" for key, value in self.settings.items() if value is not None]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def hosts(self):
        return f"{self.host.address}:{self.port}"

    def command(self):
        if self.kind == "zkserver":
            return [*self.host.prefix, ZKSERVER, "start-foreground", self.config]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return [*self.host.prefix, "java", *self.jvm, "-cp", APACHE_CLASSPATH, main, self.config]

    def start(self, wait=True):
        ours = self.kind == "zkserver"
        self.process = self.bench.spawn(
            self.command(), self.name, ours=ours, cwd=self.folder, env=self.environment
        )
        if wait:
            wait_for(self._why_not, self.is_serving, seconds=30)
        return self

    def is_serving(self):
        if not self.process.is_running():
            raise NotComing(f"{self.name} ended:\n{self.process.log()[-2000:]}")
        return self.four_letter("srvr", seconds=0.5).startswith("Zookeeper version")

    def _why_not(self):
        return f"{self.kind} does not answer on port {self.port}:\n{self.process.log()[-2000:]}"

    def stop(self):
        """An orderly end, as systemd would ask for it. Returns the exit status."""
        self.bench.expect_log(BROKEN_LINE)
        return self.process.terminate()

    def kill9(self):
        self.bench.expect_log(BROKEN_LINE)
        self.process.kill9()

    def restart(self):
        self.stop()
        self.start()

    def four_letter(self, word, seconds=5):
        with socket.create_connection((self.host.address, self.port), timeout=seconds) as sock:
            sock.sendall(word.encode())
            text = b""
            while piece := sock.recv(65536):
                text += piece
        return text.decode()

    def srvr(self):
        """srvr's lines as a dictionary."""
        pairs = (
            line.split(": ", 1) for line in self.four_letter("srvr").splitlines() if ": " in line
        )
        return dict(pairs)

    def zxid(self):
        return int(self.srvr()["Zxid"], 16)

    # ---- clients; all are closed with the server ------------------------------------------------

    def raw(self, **fields):
        """A raw connection with a session on it."""
        conn = self.tcp()
        conn.session = conn.connect(**fields)
        assert conn.session, "the server refused the session"
        return conn

    def tcp(self):
        """A raw connection without a session."""
        conn = rawzk.RawConn(self.port, self.host.address)
        self.connections.append(conn)
        return conn

    def client(self, hosts=None, **options):
        """A connected kazoo client."""
        options = {"timeout": 10.0, **options}
        client = KazooClient(hosts or self.hosts, **options)
        self.connections.append(client)
        client.start(timeout=15)
        return client

    def close_clients(self):
        for conn in self.connections:
            if isinstance(conn, KazooClient):
                conn.stop()
                conn.close()
            else:
                conn.close()
        self.connections = []

    def wipe(self):
        """Deletes what another test left in the tree."""
        client = self.client(auth_data=[("digest", SUPER)])
        for child in client.get_children("/"):
            if child != "zookeeper":
                _delete_tree(client, f"/{child}")
        self.close_clients()


def _delete_tree(client, path):
    try:
        client.delete(path, recursive=True)
    except (NoNodeError, NotEmptyError):
        _delete_tree(client, path)
