# SPDX-License-Identifier: Apache-2.0
"""The same conversation held with two servers. Both start empty, so every number of every answer
must agree; only what belongs to one run (clock times, session ids) is replaced by a name
first."""
import json
from pathlib import Path

from . import rawzk as z

RECORDED = Path(__file__).resolve().parents[2] / "data" / "client.jsonl"


class Conversation:
    """Several sessions on one fresh server. Every step gives an answer in comparable form."""

    def __init__(self, server):
        self.server = server
        self.conns = {}

    def open(self, name):
        conn = self.server.raw(timeout=8000)
        self.conns[name] = conn
        return ("connected", conn.session.timeout, conn.session.read_only)

    def burst(self, name, requests):
        """All requests at once; all answers, and then what every session was told by way of
        notification."""
        conn = self.conns[name]
        for op, body in requests:
            conn.request(op, body)
        answers = []
        for op, _ in requests:
            reply = conn.answer()
            if reply is None:
                return answers + ["closed"]
            told, conn.events = conn.events, []
            plain = self._plain(op, reply) if reply.err == 0 else reply.body
            answers.append((reply.zxid, reply.err, plain, told))
        return answers, self._notices()

    def auth(self, name, scheme, data):
        reply = self.conns[name].auth(scheme, data)
        return (reply.zxid, reply.err), self.conns[name].is_closed() if reply.err else None

    def reconnect(self, name, zxid):
        """The same session over another connection: its watches and ids are gone. zxid: that
        the client has seen, relative to what it has."""
        old = self.conns[name]
        seen = old.ping().zxid if not old.is_over else 0
        old.close()
        conn = self.server.tcp()
        conn.session = conn.connect(
            timeout=8000,
            session=old.session.session,
            password=old.session.password,
            last_zxid=max(seen + zxid, 0),
        )
        self.conns[name] = conn
        if conn.session is None:
            return "refused"
        same = conn.session.session == old.session.session
        return ("resumed", same, conn.session.timeout, conn.session.read_only)

    def close(self, name):
        reply = self.conns[name].call(z.CLOSE)
        self.conns.pop(name).close()
        # Its ephemerals go in no defined order: Apache's is that of a hash table.
        told = {n: (zxid, sorted(events)) for n, (zxid, events) in self._notices().items()}
        return (reply.zxid, reply.err), told

    def _notices(self):
        """A ping on each session: what was queued for it before has then arrived."""
        told = {}
        for conn in self.conns.values():
            conn.request(z.PING, xid=-2)
        for name, conn in self.conns.items():
            zxid = conn.answer().zxid
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
    """Every answer of one server to a list of steps: (what, name, more ...), the methods of
    Conversation."""
    talk = Conversation(server)
    return [getattr(talk, what)(*arguments) for what, *arguments in steps]


def first_difference(steps, ours, theirs):
    """None, or a text that shows the first step that was answered differently, and the answer in it."""
    for number, (step, a, b) in enumerate(zip(steps, ours, theirs)):
        if a == b:
            continue
        request = None
        if step[0] == "burst" and isinstance(a, tuple) and isinstance(b, tuple):
            pairs = [(r, x, y) for r, x, y in zip(step[2], a[0], b[0]) if x != y]
            if pairs:
                request, a, b = pairs[0]
        before = "\n".join(f"    {s}" for s in steps[max(0, number - 3) : number])
        return (
            f"step {number}: {step}\n  request: {request}\n  one:   {a}\n  other: {b}\n"
            f"  after:\n{before}"
        )
    return None


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
        if op in ops and xid > 0:
            name = "other" if "other session" in entry["title"] else "main"
            steps.append(("burst", name, [(op, frame[8:])]))
    return steps
