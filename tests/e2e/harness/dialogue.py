# SPDX-License-Identifier: Apache-2.0
"""The same conversation held with two servers. Both start empty, so every number of every answer
must agree; only what belongs to one run (clock times, session ids) is replaced by a name
first."""
import json
import random
from pathlib import Path

from . import rawzk as z

RECORDED = Path(__file__).resolve().parents[2] / "data" / "client.jsonl"


class Conversation:
    """Several sessions on one fresh server. say() returns an answer in comparable form."""

    def __init__(self, server):
        self.server = server
        self.conns = {}

    def open(self, name):
        conn = self.server.raw(timeout=8000)
        self.conns[name] = conn
        return ("connected", conn.session.timeout, conn.session.read_only)

    def say(self, name, op, body):
        """The answer, and then what every session was told by way of notification."""
        conn = self.conns[name]
        reply = conn.call(op, body)
        if reply is None:
            return "closed"
        answer = (reply.zxid, reply.err, self._plain(op, reply) if reply.err == 0 else None)
        return answer, self._notices()

    def close(self, name):
        reply = self.conns[name].call(z.CLOSE)
        self.conns.pop(name).close()
        # Its ephemerals go in no defined order: Apache's is that of a hash table.
        told = {n: (zxid, sorted(events)) for n, (zxid, events) in self._notices().items()}
        return (reply.zxid, reply.err), told

    def _notices(self):
        """A ping on each session: what was queued for it before has then arrived."""
        told = {}
        for name, conn in self.conns.items():
            zxid = conn.ping().zxid
            told[name] = (zxid, conn.events)
            conn.events = []
        return told

    def _plain(self, op, reply):
        value = z.decode_body(op, reply.body)
        if op == z.MULTI:
            # Apache 3.8.0 answers a create2 inside a multi as a create; later ones do as we do.
            value = [(z.CREATE, v[0]) if kind == z.CREATE2 else (kind, v) for kind, v in value]
        return self._named(value)

    def _named(self, value):
        if isinstance(value, z.Stat):
            owner = next(
                (n for n, c in self.conns.items() if c.session.session == value.owner), value.owner
            )
            times = "same" if value.ctime == value.mtime else "later"
            return value._replace(
                owner=owner, ctime="T", mtime=times if value.mzxid == value.czxid else "T"
            )
        if isinstance(value, (list, tuple)):
            return [self._named(v) for v in value]
        return value


def hold(server, steps):
    """Every answer of one server to a list of steps: ("open", name), ("close", name), (name, op,
    body)."""
    talk = Conversation(server)
    answers = []
    for step in steps:
        if step[0] == "open":
            answers.append(talk.open(step[1]))
        elif step[0] == "close":
            answers.append(talk.close(step[1]))
        else:
            answers.append(talk.say(*step))
    return answers


def first_difference(steps, ours, theirs):
    """None, or a text that shows the first step that was answered differently."""
    for number, (step, a, b) in enumerate(zip(steps, ours, theirs)):
        if a != b:
            before = "\n".join(f"    {s}" for s in steps[max(0, number - 5) : number])
            return f"step {number}: {step}\n  one:   {a}\n  other: {b}\n  after:\n{before}"
    return None


# ---- conversations -------------------------------------------------------------------------------

PATHS = [
    "/a",
    "/b",
    "/c",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/1",
    "/a/x/2",
    "/none/x",
    "/a/",
    "/a//b",
    "",
    "bad",
]
DATA = [None, b"", b"v", b"some longer value", bytes(300)]
ACLS = [
    z.OPEN_ACL,
    [(31, "world", "anyone"), (1, "ip", "10.0.0.1")],
    [(31, "world", "anyone"), (31, "world", "anyone")],
    [(31, "auth", "")],
    [],
]


FLAGS = [4, 4, 5, 5, 6, 0, 1, 2, 3, 7]
TTLS = [60000, 1, 0xFFFFFFFFFF, 0x10000000000, 0, -1]


def random_ttl_body(rng, path, data):
    flags, ttl = rng.choice(FLAGS), rng.choice(TTLS)
    if flags not in (5, 6):
        ttl = abs(ttl)  # Apache's server ends when it applies a TTL node without a TTL
    return z.ttl_body(path, data, flags=flags, ttl=ttl)


def random_op(rng, in_multi=False):
    path, data = rng.choice(PATHS), rng.choice(DATA)
    version = rng.choice([-1, -1, 0, 1, 2])
    writes = [
        (z.CREATE, z.create_body(path, data, rng.choice(ACLS[:3]), rng.choice([0, 0, 0, 1, 2, 3]))),
        (z.CREATE, z.create_body(path, data)),
        (z.CREATE_CONTAINER, z.create_body(path, data, flags=rng.choice(FLAGS))),
        (z.CREATE_TTL, random_ttl_body(rng, path, data)),
        (z.DELETE, z.versioned(path, version)),
        (z.SET_DATA, z.set_body(path, data, version)),
    ]
    if in_multi:
        return rng.choice(writes + [(z.CHECK, z.versioned(path, version))])
    # Apache takes "" for "/" in reads, but files the watch under "", where nothing ever fires.
    watch = rng.random() < 0.5 and path != ""
    others = [
        (z.CREATE2, z.create_body(path, data, rng.choice(ACLS), rng.choice([0, 0, 1, 2, 3, 9]))),
        (z.SET_ACL, z.jstr(path) + z.jacl(rng.choice(ACLS)) + z.jint(version)),
        (z.GET_ACL, z.jstr(path)),
        (z.EXISTS, z.watched(path, watch)),
        (z.GET_DATA, z.watched(path, watch)),
        (z.GET_CHILDREN, z.watched(path, watch)),
        (z.GET_CHILDREN2, z.watched(path, watch)),
        (z.SYNC, z.jstr(path)),
        (z.MULTI, z.multi_body([random_op(rng, True) for _ in range(rng.randint(0, 4))])),
    ]
    return rng.choice(writes + others)


def random_steps(seed, count):
    """Three sessions that do anything to a small tree; now and then one ends and another begins."""
    rng = random.Random(seed)
    names = ["s1", "s2", "s3"]
    steps = [("open", n) for n in names]
    for number in range(count):
        if rng.random() < 0.02:
            gone = rng.choice(names)
            names[names.index(gone)] = f"t{number}"
            steps += [("close", gone), ("open", f"t{number}")]
        else:
            steps.append((rng.choice(names), *random_op(rng)))
    return steps


def recorded_steps(ops):
    """The requests of the recorded captures that use these opcodes and do not end the connection,
    in one session each for the recording's main and other client."""
    steps = [("open", "main"), ("open", "other")]
    for line in RECORDED.read_text().splitlines():
        entry = json.loads(line)
        if entry["section"] == "Connect" or entry["request"] is None:
            continue
        frame = bytes.fromhex(entry["request"])[4:]
        op = int.from_bytes(frame[4:8], "big", signed=True)
        xid = int.from_bytes(frame[:4], "big", signed=True)
        if op in ops and xid > 0 and "createContainer" not in entry["title"]:
            name = "other" if "other session" in entry["title"] else "main"
            steps.append((name, op, frame[8:]))
    return steps
