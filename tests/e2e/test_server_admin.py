# SPDX-License-Identifier: Apache-2.0
"""The operator's side: zkserver's commands beside zkServer.sh's, the four-letter words beside
Apache's, and zoo.cfg as it is found in the field."""
import re
import shutil

import pytest
from harness import rawzk as z
from harness.bench import ZKSERVER
from harness.servers import QUICK_JVM, SUPER_DIGEST
from harness.waiting import wait_for

ZKSERVER_SH = "/usr/share/zookeeper/bin/zkServer.sh"


class Commands:
    """start, stop, status ... of one server, by zkserver or by Apache's script. Words have their
    numbers replaced, so that both can be held against one text."""

    def __init__(self, bench, server):
        self.bench, self.config = bench, server.config
        self.port, self.data = server.port, server.data
        self.env = {}
        if server.kind == "zkserver":
            self.program = [ZKSERVER]
        else:
            # The script as it is, with an environment that keeps it inside this test.
            folder = bench.path("apache-bin")
            folder.mkdir()
            script = shutil.copy(ZKSERVER_SH, folder)
            (folder / "zkEnv.sh").write_text(
                f"ZOOCFGDIR={folder}\nZOOCFG=zoo.cfg\nZOO_LOG_DIR={folder}\nJMXDISABLE=true\n"
                "JAVA=/usr/bin/java\nCLASSPATH=/usr/share/java/zookeeper.jar\n"
            )
            self.program = ["bash", script]
            self.env = {"SERVER_JVMFLAGS": " ".join(QUICK_JVM)}

    def __call__(self, word):
        """(exit status, words on standard output)"""
        done = self.bench.run(
            self.program + [word, self.config], env=self.env, check=False, seconds=30
        )
        words = done.stdout.replace(str(self.data), "DATA").replace(str(self.config), "CONFIG")
        words = re.sub(r"\b\d+\b", "N", words)
        return done.returncode, " ".join(words.split())

    def stderr(self, word):
        return self.bench.run(self.program + [word, self.config], env=self.env, check=False).stderr


@pytest.fixture
def stopped(new_server, server_kind):
    """A server that is configured but not running."""
    return new_server(server_kind)


@pytest.fixture
def command(bench, stopped):
    command = Commands(bench, stopped)
    yield command
    command("stop")


def test_start_status_stop(command, stopped, bench):
    where = "Client port found: N. Client address: N.N.N.N. Client SSL: false."
    not_running = where + " Error contacting service. It is probably not running."
    assert command("status") == (1, not_running)
    assert command("start") == (0, "Starting zookeeper ... STARTED")
    pid_file = stopped.data / "zookeeper_server.pid"
    first = int(pid_file.read_text())
    wait_for("it answers", lambda: stopped.four_letter("ruok") == "imok")
    assert command("status") == (0, where + " Mode: standalone")
    assert command("start") == (1, "Starting zookeeper ... already running as process N.")
    assert command("restart") == (
        0,
        "Stopping zookeeper ... STOPPED Starting zookeeper ... STARTED",
    )
    wait_for("it answers", lambda: stopped.four_letter("ruok") == "imok")
    assert int(pid_file.read_text()) != first
    assert command("stop") == (0, "Stopping zookeeper ... STOPPED")
    assert not pid_file.exists()
    gone = "no zookeeper to stop (could not find file DATA/zookeeper_server.pid)"
    assert command("stop") == (0, f"Stopping zookeeper ... {gone}")
    wait_for("it is gone", lambda: command("status")[0] == 1)


def test_commands_name_the_config_they_use(command, stopped):
    assert f"Using config: {stopped.config}\n" in command.stderr("status")


def test_version_and_print_cmd(command):
    status, words = command("version")
    assert status == 0
    assert re.match(r"(Apache ZooKeeper, version N\.N\.N|zkserver )", words), words
    status, words = command("print-cmd")
    assert status == 0 and "CONFIG" in words


def test_start_that_cannot_work_says_so(command, stopped, server_kind, new_server, bench):
    """Ours tells it by words and exit status; the script cannot know a second after the start."""
    bench.expect_log(r" ERROR ")
    running = new_server(server_kind, "running").start()
    stopped.settings["clientPort"] = running.port
    stopped.write_config()
    status, words = command("start")
    if server_kind == "zkserver":
        assert (status, words) == (1, "Starting zookeeper ... FAILED TO START")
    else:
        assert words.startswith("Starting zookeeper ...")


# ---- four-letter words ---------------------------------------------------------------------------


def shape(text):
    """A text with what differs between two runs replaced: versions, numbers, addresses, paths."""
    text = re.sub(r"(?m)^(Zookeeper version: ).*", r"\1V", text)
    text = re.sub(r"(Latency min/avg/max: )\d+/[\d.]+/\d+", r"\1L", text)
    text = re.sub(r"0x[0-9a-f]+", "X", text)
    text = re.sub(r"(?m)^((?:dataDir|dataLogDir)=).*/", r"\1/", text)
    text = re.sub(r"\d+(\.\d+)*", "N", text)
    return text


@pytest.fixture
def both(new_server):
    """Our server and Apache's, each with one session, two nodes and a watch."""
    pair = [new_server(kind, kind).start() for kind in ("zkserver", "apache")]
    for server in pair:
        conn = server.raw()
        conn.ok(z.CREATE, z.create_body("/a", b"12345"))
        conn.ok(z.CREATE, z.create_body("/a/e", b"", flags=1))
        conn.ok(z.GET_DATA, z.watched("/a", True))
    return pair


@pytest.mark.parametrize("word", ["ruok", "isro", "srvr", "stat", "conf"])
def test_four_letter_word_has_apaches_shape(both, word):
    ours, theirs = (server.four_letter(word) for server in both)
    assert shape(ours) == shape(theirs)


def test_srvr_numbers(both):
    ours, theirs = (server.srvr() for server in both)
    for key in ("Zxid", "Mode", "Node count"):
        assert ours[key] == theirs[key], key
    assert int(ours["Connections"]) >= 1 and int(ours["Received"]) >= 4


def test_conf_values(both):
    def values(server):
        return dict(line.split("=", 1) for line in server.four_letter("conf").splitlines())

    ours, theirs = values(both[0]), values(both[1])
    for key in ("tickTime", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "serverId"):
        assert ours[key] == theirs[key], key
    assert ours["clientPort"] == str(both[0].port)
    assert ours["dataDir"] == f"{both[0].data}/version-2"


MONITORED = """
version server_state avg_latency max_latency min_latency packets_received packets_sent
num_alive_connections outstanding_requests znode_count watch_count ephemerals_count
approximate_data_size open_file_descriptor_count max_file_descriptor_count uptime global_sessions
local_sessions""".split()


def test_mntr_has_the_keys_that_monitors_read(both):
    def values(server):
        lines = server.four_letter("mntr").splitlines()
        assert all(re.fullmatch(r"zk_\w+\t.+", line) for line in lines), lines
        return dict(line.split("\t") for line in lines)

    ours, theirs = values(both[0]), values(both[1])
    for key in MONITORED:
        assert f"zk_{key}" in theirs, f"Apache has no {key}"
        assert f"zk_{key}" in ours, key
    same = "server_state znode_count watch_count ephemerals_count approximate_data_size"
    for key in same.split() + ["global_sessions"]:
        assert ours[f"zk_{key}"] == theirs[f"zk_{key}"], key
    assert list(ours)[:2] == list(theirs)[:2]


def test_envi_keys(both):
    ours, theirs = (server.four_letter("envi").splitlines() for server in both)
    assert ours[0] == theirs[0] == "Environment:"
    wanted = {line.split("=")[0] for line in theirs[1:] if not line.startswith("java.")}
    assert wanted <= {line.split("=")[0] for line in ours[1:]}


@pytest.mark.own_server(**{"4lw.commands.whitelist": "ruok"})
def test_word_that_is_not_on_the_whitelist(server):
    assert server.four_letter("ruok") == "imok"
    refused = server.four_letter("stat")
    assert refused == "stat is not executed because it is not in the whitelist.\n"


@pytest.mark.own_server(**{"4lw.commands.whitelist": None})
def test_only_srvr_is_allowed_without_a_whitelist(server):
    assert server.four_letter("srvr").startswith("Zookeeper version")
    assert "not in the whitelist" in server.four_letter("ruok")


# ---- zoo.cfg -------------------------------------------------------------------------------------

FOUND_IN_THE_FIELD = """\
# The number of milliseconds of each tick
tickTime = 500
initLimit=10
syncLimit=5
    dataDir={data}
dataLogDir = {log}
! another kind of comment
clientPort:{port}
clientPortAddress=127.0.0.1
maxClientCnxns=60
minSessionTimeout=3000
maxSessionTimeout=4000
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
4lw.commands.whitelist=*
admin.enableServer=false
preAllocSize=1024
snapCount=100000
forceSync=yes
zookeeper.some.property=kept
"""


def test_zoo_cfg_as_found_in_the_field(bench, stopped, server_kind):
    log = bench.path("txnlog")
    if server_kind == "zkserver":
        bench.expect_log(r" WARN .*some\.property")
    text = FOUND_IN_THE_FIELD.format(data=stopped.data, log=log, port=stopped.port)
    stopped.config.write_text(text)
    stopped.start()
    assert stopped.tcp().connect(timeout=1).timeout == 3000
    assert stopped.tcp().connect(timeout=60000).timeout == 4000
    stopped.raw().ok(z.CREATE, z.create_body("/x"))
    assert list((log / "version-2").glob("log.*"))
    assert not list((stopped.data / "version-2").glob("log.*"))
    assert "maxClientCnxns=60\n" in stopped.four_letter("conf")


def test_unknown_key_warns_and_the_server_starts(bench, new_server):
    bench.expect_log(r" WARN .*noSuchKey")
    server = new_server("zkserver", noSuchKey="1").start()
    assert [
        line
        for line in server.process.log().splitlines()
        if " WARN " in line and "noSuchKey" in line
    ]


@pytest.mark.parametrize(
    "key, value", [("tickTime", "fast"), ("clientPort", "x"), ("dataDir", None)]
)
def test_config_that_cannot_be_meant_stops_the_start(bench, stopped, server_kind, key, value):
    bench.expect_log(r" ERROR ")
    stopped.settings[key] = value
    stopped.write_config()
    stopped.start(wait=False)
    assert stopped.process.wait() != 0
    if server_kind == "zkserver":
        errors = [line for line in stopped.process.log().splitlines() if " ERROR " in line]
        assert len(errors) == 1 and key in errors[0], errors


def test_skip_acl(new_server, server_kind):
    server = new_server(server_kind, skipACL="yes").start()
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/x", b"s", acl=[(31, "digest", SUPER_DIGEST)]))
    assert conn.ok(z.GET_DATA, z.watched("/x"))[0] == b"s"
