# SPDX-License-Identifier: Apache-2.0
"""Hostile and broken clients: a clear error or a closed connection with one line in the log, and
a server that goes on serving with the memory it had."""
import os
import re
import time

import pytest

from harness import rawzk as z
from harness.waiting import wait_for

MB = 1 << 20


def rss(server):
    """Resident memory in bytes."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024


class Calm:
    """What must hold after an attack: the server serves, has not grown, and said so `lines`
    times."""

    def __init__(self, server, bench, lines):
        self.server, self.lines = server, lines
        bench.expect_log(r" WARN ")
        server.raw().ok(z.CREATE, z.create_body("/before"))
        self.memory = rss(server)

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if failed:
            return
        assert self.server.raw().ok(z.EXISTS, z.watched("/before")).version == 0
        grown = rss(self.server) - self.memory
        assert grown < (60 if self.server.kind == "apache" else 16) * MB, f"grew by {grown} bytes"
        if self.server.kind == "zkserver":
            warnings = [line for line in self.server.process.log().splitlines() if " WARN " in line]
            assert len(warnings) == self.lines, warnings


FRAMES = {
    "over the limit": z.jint(1048576) + bytes(1000),
    "absurd": z.jint(0x7FFFFFFF),
    "negative": z.jint(-1),
    "most negative": z.jint(-0x80000000),
}


@pytest.mark.own_server()
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("in_session", [True, False], ids=["in a session", "at once"])
def test_frame_of_bad_length_closes_the_connection(server, bench, frame, in_session):
    with Calm(server, bench, lines=1):
        conn = server.raw() if in_session else server.tcp()
        conn.send(frame)
        assert conn.is_closed()


def test_frame_of_exactly_the_limit_is_served(server):
    conn = server.raw()
    room = 1048575 - 8 - len(z.set_body("/big", b""))
    conn.ok(z.CREATE, z.create_body("/big"))
    assert conn.ok(z.SET_DATA, z.set_body("/big", bytes(room))).length == room
    assert len(conn.ok(z.GET_DATA, z.watched("/big"))[0]) == room


def test_request_over_the_limit_is_an_error_of_its_own(new_server):
    """Ours only: Apache closes the connection (and reads jute.maxbuffer from a JVM property)."""
    server = new_server("zkserver", jute__maxbuffer=5000).start()
    conn = server.raw()
    assert conn.err(z.CREATE, z.create_body("/x", bytes(4000))) == 0
    conn.request(z.SET_DATA, z.set_body("/x", b"before"))
    conn.request(z.SET_DATA, z.set_body("/x", bytes(5000)))
    conn.request(z.SET_WATCHES, z.set_watches_body(0, ["/x"] * 10000))
    conn.request(z.GET_DATA, z.watched("/x"))
    answers = [conn.answer() for _ in range(4)]
    assert [(a.xid, a.err) for a in answers] == [(2, 0), (3, -5), (4, -5), (5, 0)]
    assert z.decode_body(z.GET_DATA, answers[3].body)[0] == b"before"


@pytest.mark.parametrize("size", [5001, 100_000], ids=["no request", "too large for one"])
def test_what_cannot_be_a_request_closes_the_connection(new_server, bench, size):
    bench.expect_log(r" WARN ")
    server = new_server("zkserver", jute__maxbuffer=5000).start()
    conn = server.raw()
    kind = 999 if size == 5001 else z.SET_DATA
    conn.send(z.jint(size) + z.jint(1) + z.jint(kind) + bytes(100))
    assert conn.is_closed()


def test_no_more_sessions_are_begun_than_there_are_tokens(new_server):
    settings = {
        "connection_throttle_tokens": 5,
        "connection_throttle_fill_time": 1000,
        "connection_throttle_fill_count": 5,
    }
    server = new_server("zkserver", **settings).start()
    begin = time.monotonic()
    let_in = [server.tcp().connect() is not None for _ in range(30)]
    assert sum(let_in) <= 5 + 5 * (1 + time.monotonic() - begin)
    assert not all(let_in)
    wait_for("new tokens", lambda: server.tcp().connect() is not None)


def huge_vectors():
    count = z.jint(0x7FFFFFFF)
    acl_count = z.jstr("/x") + z.jbuf(b"") + count
    return {
        "acl count of a create": (z.CREATE, acl_count),
        "acl count of a setACL": (z.SET_ACL, z.jstr("/before") + count),
        "path length": (z.GET_DATA, count),
        "data length": (z.SET_DATA, z.jstr("/before") + count),
        "negative path length": (z.GET_DATA, z.jint(-2)),
        "watch count": (z.SET_WATCHES, z.jlong(0) + count),
        "multi that never ends": (z.MULTI, z.jint(z.DELETE) + z.jbool(False) + z.jint(-1)),
    }


@pytest.mark.own_server()
@pytest.mark.parametrize("op, body", huge_vectors().values(), ids=huge_vectors().keys())
def test_lengths_inside_a_record_are_not_believed(server, bench, op, body):
    with Calm(server, bench, lines=0):
        conn = server.raw()
        reply = conn.call(op, body)
        assert reply is None or reply.err < 0


@pytest.mark.own_server()
def test_garbage_instead_of_a_connect_request(server, bench):
    with Calm(server, bench, lines=2):
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(100)):
            conn = server.tcp()
            try:
                conn.send(garbage + bytes(2 * MB))
            except OSError:
                pass  # it did not wait for the rest
            assert conn.is_closed()


@pytest.mark.own_server()
def test_half_open_connections_hold_nobody_up(server, bench):
    with Calm(server, bench, lines=0):
        idle = [server.tcp() for _ in range(200)]
        for conn in idle[:100]:
            conn.send(z.jint(44)[:3])
        for conn in idle[50:100]:
            conn.send(z.jint(44)[3:] + b"half a connect request"[:20])
        begin = time.monotonic()
        assert server.raw().ok(z.CREATE, z.create_body("/served"))
        assert time.monotonic() - begin < 2


@pytest.mark.own_server()
def test_client_that_never_reads_its_answers_holds_nobody_up(server, bench):
    with Calm(server, bench, lines=0):
        deaf, other = server.raw(), server.raw()
        deaf.ok(z.CREATE, z.create_body("/big", bytes(500_000)))
        deaf.sock.settimeout(2)
        try:
            for _ in range(2000):  # a gigabyte of answers
                deaf.request(z.GET_DATA, z.watched("/big"))
        except TimeoutError:
            pass
        begin = time.monotonic()
        assert other.ok(z.CREATE, z.create_body("/served"))
        assert time.monotonic() - begin < 2
        deaf.close()


@pytest.mark.own_server(maxClientCnxns=5)
def test_more_connections_from_one_address_than_allowed(server, bench):
    bench.expect_log(r" WARN ")
    kept = [server.raw() for _ in range(5)]

    def is_let_in():
        try:
            return server.tcp().connect() is not None
        except OSError:  # closed before we could even send
            return False

    assert not is_let_in()
    kept.pop().close()
    wait_for("a place becomes free", is_let_in)


def test_sequential_connections_leave_nothing_open(server):
    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    before = descriptors()
    for _ in range(100):
        conn = server.raw()
        conn.call(z.CLOSE)
        conn.close()
    wait_for(lambda: f"{descriptors()} descriptors", lambda: descriptors() <= before + 2)
