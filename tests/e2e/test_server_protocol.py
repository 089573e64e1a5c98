# SPDX-License-Identifier: Apache-2.0
"""What a client sees of a server: sessions, node types, numbers, watches, multi, permissions. Raw
frames, so that an answer is what the server sent and not what a library made of it."""
import base64
import hashlib
import time

import pytest

from harness import rawzk as z
from harness.waiting import wait_for

NONODE, NOAUTH, BADVERSION, EPHEMERAL_CHILDREN = -101, -102, -103, -108
EXISTS, NOTEMPTY, INVALIDACL, AUTHFAILED = -110, -111, -114, -115
BADARGUMENTS, UNIMPLEMENTED, MARSHALLING, INCONSISTENT = -8, -6, -5, -2


def digest(user, password):
    hashed = hashlib.sha1(f"{user}:{password}".encode()).digest()
    return f"{user}:{base64.b64encode(hashed).decode()}"


# ---- sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked, given", [(0, 1000), (1, 1000), (3000, 3000), (99_999_999, 10000)])
def test_session_timeout_is_negotiated_between_2_and_20_ticks(server, asked, given):
    assert server.tcp().connect(timeout=asked).timeout == given


def test_W4_W6_session_comes_back_with_its_id_and_password(server):
    first = server.raw()
    first.ok(z.CREATE, z.create_body("/mine", b"", flags=1))
    session = first.session
    assert session.password == z.password_of(session.session)

    second = server.tcp().connect(session=session.session, password=session.password, timeout=2000)
    assert second.session == session.session
    assert second.timeout == 2000
    assert first.is_closed(), "the old connection of a moved session is closed"
    assert server.raw().ok(z.EXISTS, z.watched("/mine")).owner == session.session


def test_wrong_password_is_refused_and_the_session_stays(server):
    owner = server.raw()
    stranger = server.tcp()
    refused = stranger.connect(session=owner.session.session, password=b"x" * 16)
    assert (refused.timeout, refused.session, refused.password) == (0, 0, bytes(16))
    assert stranger.is_closed()
    again = server.tcp().connect(session=owner.session.session, password=owner.session.password)
    assert again.session == owner.session.session


def test_unknown_session_gets_id_zero_never_a_fresh_one(server):
    conn = server.tcp()
    refused = conn.connect(session=0x1234, password=z.password_of(0x1234))
    assert (refused.timeout, refused.session, refused.password) == (0, 0, bytes(16))
    assert conn.is_closed()


def test_client_from_the_future_is_closed_without_an_answer(server):
    assert server.tcp().connect(last_zxid=0x7000000000) is None


def test_old_client_without_the_read_only_byte(server):
    assert server.tcp().connect(read_only=None).read_only is None
    assert server.tcp().connect(read_only=False).read_only is False


def test_closed_session_takes_its_ephemerals_along(server):
    owner, other = server.raw(), server.raw()
    owner.ok(z.CREATE, z.create_body("/e", b"", flags=1))
    other.ok(z.EXISTS, z.watched("/e", True))
    assert owner.call(z.CLOSE).err == 0
    assert owner.is_closed()
    assert other.next_event() == z.Event("deleted", 3, "/e")
    assert other.err(z.EXISTS, z.watched("/e")) == NONODE


def test_silent_session_expires_with_its_ephemerals(server):
    silent, other = server.raw(timeout=1000), server.raw()
    silent.ok(z.CREATE, z.create_body("/e", b"", flags=1))
    other.ok(z.EXISTS, z.watched("/e", True))
    begin = time.monotonic()
    assert other.next_event() == z.Event("deleted", 3, "/e")
    assert 0.9 < time.monotonic() - begin < 3
    assert silent.is_closed()
    late = server.tcp().connect(session=silent.session.session, password=silent.session.password)
    assert late.session == 0


def test_dropped_connection_keeps_the_session_until_it_expires(server):
    dropped = server.raw(timeout=1500)
    dropped.ok(z.CREATE, z.create_body("/e", b"", flags=1))
    dropped.close()
    other = server.raw()
    assert other.ok(z.EXISTS, z.watched("/e")).owner == dropped.session.session
    wait_for("the ephemeral goes", lambda: other.err(z.EXISTS, z.watched("/e")) == NONODE)


def test_pings_keep_a_session_alive(server):
    conn = server.raw(timeout=1000)
    conn.ok(z.CREATE, z.create_body("/e", b"", flags=1))
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert conn.ping().xid == -2
        time.sleep(0.2)
    assert conn.ok(z.EXISTS, z.watched("/e")).owner == conn.session.session


# ---- nodes and numbers ---------------------------------------------------------------------------


def test_four_kinds_of_nodes(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/d"))
    assert conn.ok(z.CREATE, z.create_body("/d/plain")) == "/d/plain"
    assert conn.ok(z.CREATE, z.create_body("/d/e", flags=1)) == "/d/e"
    assert conn.ok(z.CREATE, z.create_body("/d/s-", flags=2)) == "/d/s-0000000002"
    path, stat = conn.ok(z.CREATE2, z.create_body("/d/es-", flags=3))
    assert (path, stat.owner) == ("/d/es-0000000003", conn.session.session)
    assert conn.ok(z.EXISTS, z.watched("/d/plain")).owner == 0
    assert conn.err(z.CREATE, z.create_body("/d/e/child")) == EPHEMERAL_CHILDREN


def test_every_created_child_moves_the_sequence_and_no_deleted_one_does(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/q"))
    assert conn.ok(z.CREATE, z.create_body("/q/n-", flags=2)) == "/q/n-0000000000"
    conn.ok(z.CREATE, z.create_body("/q/other"))
    conn.ok(z.DELETE, z.versioned("/q/other"))
    assert conn.ok(z.CREATE, z.create_body("/q/m-", flags=2)) == "/q/m-0000000002"
    assert conn.ok(z.CREATE, z.create_body("/q/", flags=2)) == "/q/0000000003"


def test_stat_arithmetic(server):
    conn = server.raw()
    created = conn.call(z.CREATE, z.create_body("/p", b"12345"))
    p = conn.ok(z.EXISTS, z.watched("/p"))
    assert (p.czxid, p.mzxid, p.pzxid) == (created.zxid,) * 3
    assert (p.version, p.cversion, p.aversion, p.length, p.children) == (0, 0, 0, 5, 0)
    assert p.ctime == p.mtime and abs(p.ctime / 1000 - time.time()) < 60

    child = conn.call(z.CREATE, z.create_body("/p/c"))
    p = conn.ok(z.EXISTS, z.watched("/p"))
    assert (p.pzxid, p.cversion, p.children, p.version, p.mzxid) == (
        child.zxid,
        1,
        1,
        0,
        created.zxid,
    )

    conn.call(z.SET_DATA, z.set_body("/p/c", b"x"))
    assert (
        conn.ok(z.EXISTS, z.watched("/p")) == p
    ), "setData on a child touches nothing of the parent"

    same = conn.call(z.SET_DATA, z.set_body("/p", b"12345"))
    p = conn.ok(z.EXISTS, z.watched("/p"))
    assert (p.version, p.mzxid, p.pzxid) == (
        1,
        same.zxid,
        child.zxid,
    ), "the same bytes count as a change"

    conn.ok(z.SET_ACL, z.jstr("/p") + z.jacl(z.OPEN_ACL) + z.jint(0))
    after = conn.ok(z.EXISTS, z.watched("/p"))
    assert after == p._replace(aversion=1)

    gone = conn.call(z.DELETE, z.versioned("/p/c"))
    p = conn.ok(z.EXISTS, z.watched("/p"))
    assert (p.pzxid, p.cversion, p.children) == (gone.zxid, 2, 0)


def test_versions_are_checked(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/v"))
    assert conn.ok(z.SET_DATA, z.set_body("/v", b"1", 0)).version == 1
    assert conn.err(z.SET_DATA, z.set_body("/v", b"2", 0)) == BADVERSION
    assert conn.ok(z.SET_DATA, z.set_body("/v", b"3", -1)).version == 2
    assert conn.err(z.DELETE, z.versioned("/v", 1)) == BADVERSION
    assert conn.err(z.DELETE, z.versioned("/v", 2)) == 0


def test_null_data_is_not_empty_data(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/null", None))
    conn.ok(z.CREATE, z.create_body("/empty", b""))
    assert conn.ok(z.GET_DATA, z.watched("/null"))[0] is None
    assert conn.ok(z.GET_DATA, z.watched("/empty"))[0] == b""
    conn.ok(z.SET_DATA, z.set_body("/null", b""))
    conn.ok(z.SET_DATA, z.set_body("/empty", None))
    assert conn.ok(z.GET_DATA, z.watched("/null"))[0] == b""
    assert conn.ok(z.GET_DATA, z.watched("/empty"))[0] is None


@pytest.mark.own_server()
def test_null_and_empty_data_survive_a_restart(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/null", None))
    conn.ok(z.CREATE, z.create_body("/empty", b""))
    server.close_clients()
    server.restart()
    conn = server.raw()
    assert conn.ok(z.GET_DATA, z.watched("/null"))[0] is None
    assert conn.ok(z.GET_DATA, z.watched("/empty"))[0] == b""


BAD_PATHS = [
    "",
    "a",
    "//",
    "/a/",
    "/a//b",
    "/./x",
    "/../x",
    "/a\x01",
    "/a\ue000",
    "/a\uffff",
    "/a\x00",
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=[repr(p) for p in BAD_PATHS])
def test_bad_paths_are_refused(server, path):
    conn = server.raw()
    assert conn.err(z.CREATE, z.create_body(path)) in (BADARGUMENTS, NONODE)
    assert conn.err(z.SET_DATA, z.set_body(path, b"")) == BADARGUMENTS
    assert conn.ping().err == 0


def test_good_names_are_taken_as_they_are(server):
    conn = server.raw()
    for name in ["...", "a.b", "ä", "日本", "a b", "%41", "a:b", "x" * 300]:
        assert conn.ok(z.CREATE, z.create_body(f"/{name}")) == f"/{name}"
        assert name in conn.ok(z.GET_CHILDREN, z.watched("/"))


def test_errors_of_the_tree(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/a"))
    conn.ok(z.CREATE, z.create_body("/a/b"))
    assert conn.err(z.CREATE, z.create_body("/a")) == EXISTS
    assert conn.err(z.CREATE, z.create_body("/no/x")) == NONODE
    assert conn.err(z.DELETE, z.versioned("/a")) == NOTEMPTY
    assert conn.err(z.DELETE, z.versioned("/none")) == NONODE
    assert conn.err(z.DELETE, z.versioned("/")) == BADARGUMENTS
    assert conn.err(z.DELETE, z.versioned("/zookeeper")) == BADARGUMENTS
    assert conn.err(z.GET_DATA, z.watched("/none")) == NONODE
    assert conn.err(z.GET_CHILDREN, z.watched("/none")) == NONODE
    assert conn.err(z.CREATE, z.create_body("/f", flags=9)) == BADARGUMENTS
    assert conn.ok(z.SYNC, z.jstr("/")) == "/"


def test_answers_of_one_session_come_in_order(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/n", b"0"))
    asked = []
    for i in range(200):
        asked.append(conn.request(z.SET_DATA, z.set_body("/n", b"%d" % i)))
        asked.append(conn.request(z.GET_DATA, z.watched("/n")))
    for i in range(200):
        written, read = conn.answer(), conn.answer()
        assert (written.xid, read.xid) == (asked[2 * i], asked[2 * i + 1])
        assert (
            z.decode_body(z.GET_DATA, read.body)[0] == b"%d" % i
        ), "a read sees its session's writes"


# ---- watches -------------------------------------------------------------------------------------


def test_watches_fire_once(server):
    watcher, writer = server.raw(), server.raw()
    writer.ok(z.CREATE, z.create_body("/w"))
    watcher.ok(z.GET_DATA, z.watched("/w", True))
    writer.ok(z.SET_DATA, z.set_body("/w", b"1"))
    writer.ok(z.SET_DATA, z.set_body("/w", b"2"))
    assert watcher.next_event() == z.Event("changed", 3, "/w")
    assert watcher.ok(z.GET_DATA, z.watched("/w"))[0] == b"2"
    assert watcher.events == []


def test_each_kind_of_watch_fires_for_its_changes(server):
    watcher, writer = server.raw(), server.raw()
    assert watcher.err(z.EXISTS, z.watched("/w", True)) == NONODE
    watcher.ok(z.GET_CHILDREN2, z.watched("/", True))
    writer.ok(z.CREATE, z.create_body("/w"))
    assert [watcher.next_event() for _ in range(2)] == [
        z.Event("created", 3, "/w"),
        z.Event("children", 3, "/"),
    ]
    watcher.ok(z.GET_CHILDREN, z.watched("/w", True))
    watcher.ok(z.EXISTS, z.watched("/w", True))
    writer.ok(z.SET_ACL, z.jstr("/w") + z.jacl(z.OPEN_ACL) + z.jint(-1))
    writer.ok(z.CREATE, z.create_body("/w/c"))
    assert watcher.next_event() == z.Event("children", 3, "/w")
    writer.ok(z.DELETE, z.versioned("/w/c"))
    watcher.ok(z.GET_CHILDREN, z.watched("/w", True))
    writer.ok(z.DELETE, z.versioned("/w"))
    assert watcher.next_event() == z.Event("deleted", 3, "/w")
    watcher.ping()
    assert watcher.events == [], "a data and a child watch give one notice of a delete"


def test_event_comes_before_the_answer_that_shows_the_change(server):
    """Rule W7: for the writer itself, and for a reader that polls while the other writes."""
    watcher, writer = server.raw(), server.raw()
    writer.ok(z.CREATE, z.create_body("/w", b"0"))
    writer.ok(z.GET_DATA, z.watched("/w", True))
    writer.ok(z.SET_DATA, z.set_body("/w", b"1"))
    assert [e.kind for e in writer.events] == ["changed"], "before the write's own answer"
    for value in range(2, 300):
        watcher.events = []
        before = watcher.ok(z.GET_DATA, z.watched("/w", True))[0]
        assert not watcher.events
        writer.request(z.SET_DATA, z.set_body("/w", b"%d" % value))
        while watcher.ok(z.GET_DATA, z.watched("/w"))[0] == before:
            assert not watcher.events or watcher.ok(z.GET_DATA, z.watched("/w"))[0] != before
        assert [e.path for e in watcher.events] == ["/w"], "the new value was seen before its event"
        assert writer.answer().err == 0


def test_events_come_in_the_order_of_the_changes(server):
    watcher, writer = server.raw(), server.raw()
    paths = [f"/w{i:02}" for i in range(50)]
    for path in paths:
        watcher.call(z.EXISTS, z.watched(path, True))
    for path in paths:
        writer.request(z.CREATE, z.create_body(path))
    assert [watcher.next_event().path for _ in paths] == paths


def test_W8_watches_set_again_after_a_reconnect(server):
    writer = server.raw()
    for path in ("/same", "/changed", "/parent", "/gone"):
        writer.ok(z.CREATE, z.create_body(path))
    seen = writer.ping().zxid
    writer.ok(z.SET_DATA, z.set_body("/changed", b"x"))
    writer.ok(z.CREATE, z.create_body("/parent/child"))
    writer.ok(z.DELETE, z.versioned("/gone"))
    writer.ok(z.CREATE, z.create_body("/appeared"))

    def set_watches(op, tail=b""):
        conn = server.raw()
        lists = [
            ["/same", "/changed", "/gone"],
            ["/appeared", "/missing"],
            ["/same", "/parent", "/gone"],
        ]
        body = z.jlong(seen) + b"".join(z.jvec([z.jstr(p) for p in paths]) for paths in lists)
        assert conn.call(op, body + tail, xid=-8).xid == -8
        return conn

    for op, tail in ((z.SET_WATCHES, b""), (z.SET_WATCHES2, z.jvec([]) + z.jvec([]))):
        conn = set_watches(op, tail)
        assert [(e.kind, e.path) for e in conn.events] == [
            ("changed", "/changed"),
            ("deleted", "/gone"),
            ("created", "/appeared"),
            ("children", "/parent"),
            ("deleted", "/gone"),
        ]
        conn.events = []
        writer.ok(z.SET_DATA, z.set_body("/same", b"now"))
        writer.ok(z.CREATE, z.create_body("/missing"))
        assert conn.next_event() == z.Event("changed", 3, "/same")
        assert conn.next_event() == z.Event("created", 3, "/missing")
        writer.ok(z.DELETE, z.versioned("/missing"))
        seen = writer.ok(z.SET_DATA, z.set_body("/changed", b"again")).mzxid - 1
        writer.ok(z.CREATE, z.create_body("/parent/again"))
        writer.ok(z.DELETE, z.versioned("/parent/again"))


# ---- multi ---------------------------------------------------------------------------------------


def test_multi_is_one_transaction(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/m"))
    reply = conn.call(
        z.MULTI,
        z.multi_body(
            [
                (z.CHECK, z.versioned("/m", 0)),
                (z.CREATE, z.create_body("/m/a", b"1")),
                (z.CREATE, z.create_body("/m/s-", flags=2)),
                (z.SET_DATA, z.set_body("/m/a", b"2", 0)),
                (z.DELETE, z.versioned("/m/s-0000000001")),
            ]
        ),
    )
    assert reply.err == 0
    results = z.decode_multi(reply.body)
    assert [kind for kind, _ in results] == [z.CHECK, z.CREATE, z.CREATE, z.SET_DATA, z.DELETE]
    assert (results[1][1], results[2][1]) == ("/m/a", "/m/s-0000000001")
    assert results[3][1].version == 1
    a = conn.ok(z.EXISTS, z.watched("/m/a"))
    m = conn.ok(z.EXISTS, z.watched("/m"))
    assert (a.czxid, a.mzxid, m.pzxid) == (reply.zxid,) * 3
    assert (m.children, m.cversion) == (1, 3)


def test_failed_multi_changes_nothing_and_says_which(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/m"))
    before = conn.ok(z.EXISTS, z.watched("/m"))
    reply = conn.call(
        z.MULTI,
        z.multi_body(
            [
                (z.CREATE, z.create_body("/m/a")),
                (z.SET_DATA, z.set_body("/m", b"x")),
                (z.CHECK, z.versioned("/m", 7)),
                (z.DELETE, z.versioned("/none")),
            ]
        ),
    )
    assert reply.err == 0
    assert z.decode_multi(reply.body) == [(-1, 0), (-1, 0), (-1, BADVERSION), (-1, INCONSISTENT)]
    assert conn.ok(z.EXISTS, z.watched("/m")) == before
    assert conn.ping().zxid == reply.zxid, "a failed write consumes a zxid"


def test_watches_see_a_multi_as_its_parts(server):
    watcher, writer = server.raw(), server.raw()
    watcher.call(z.EXISTS, z.watched("/a", True))
    watcher.ok(z.GET_CHILDREN, z.watched("/", True))
    ops = [(z.CREATE, z.create_body("/a")), (z.SET_DATA, z.set_body("/a", b"1"))]
    assert writer.call(z.MULTI, z.multi_body(ops)).err == 0
    assert [watcher.next_event().kind for _ in range(2)] == ["created", "children"]


# ---- permissions ---------------------------------------------------------------------------------


def test_digest_acl_lets_in_who_knows_the_password(server):
    owner, stranger = server.raw(), server.raw()
    assert owner.auth("digest", b"bob:pw").err == 0
    acl = [(31, "digest", digest("bob", "pw"))]
    owner.ok(z.CREATE, z.create_body("/secret", b"s", acl=acl))
    assert owner.ok(z.GET_DATA, z.watched("/secret"))[0] == b"s"
    for op, body in [
        (z.GET_DATA, z.watched("/secret")),
        (z.SET_DATA, z.set_body("/secret", b"")),
        (z.GET_CHILDREN, z.watched("/secret")),
        (z.CREATE, z.create_body("/secret/c")),
        (z.SET_ACL, z.jstr("/secret") + z.jacl(z.OPEN_ACL) + z.jint(-1)),
        (z.GET_ACL, z.jstr("/secret")),
    ]:
        assert stranger.err(op, body) == NOAUTH, op
    assert stranger.auth("digest", b"bob:pw").err == 0
    assert stranger.ok(z.GET_DATA, z.watched("/secret"))[0] == b"s"
    assert stranger.ok(z.GET_ACL, z.jstr("/secret"))[0] == acl
    stranger.ok(z.DELETE, z.versioned("/secret"))


def test_delete_needs_permission_on_the_parent(server):
    owner, stranger = server.raw(), server.raw()
    owner.auth("digest", b"bob:pw")
    mine = [(31, "digest", digest("bob", "pw")), (1, "world", "anyone")]
    owner.ok(z.CREATE, z.create_body("/dir", acl=mine))
    owner.ok(z.CREATE, z.create_body("/dir/open"))
    assert stranger.err(z.DELETE, z.versioned("/dir/open")) == NOAUTH
    assert stranger.err(z.CREATE, z.create_body("/dir/new")) == NOAUTH
    assert stranger.ok(z.GET_CHILDREN, z.watched("/dir")) == ["open"]
    stranger.ok(z.SET_DATA, z.set_body("/dir/open", b"x"))


def test_auth_scheme_becomes_the_callers_ids(server):
    conn = server.raw()
    assert conn.err(z.CREATE, z.create_body("/x", acl=[(31, "auth", "")])) == INVALIDACL
    conn.auth("digest", b"bob:pw")
    conn.ok(z.CREATE, z.create_body("/x", acl=[(31, "auth", "")]))
    assert conn.ok(z.GET_ACL, z.jstr("/x"))[0] == [(31, "digest", digest("bob", "pw"))]


@pytest.mark.parametrize(
    "network, allowed", [("127.0.0.1", 1), ("127.0.0.0/8", 1), ("10.0.0.0/8", 0)]
)
def test_ip_acl(server, network, allowed):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/ip", b"", acl=[(31, "ip", network)]))
    assert conn.err(z.GET_DATA, z.watched("/ip")) == (0 if allowed else NOAUTH)


@pytest.mark.parametrize(
    "acl",
    [
        None,
        [],
        [(31, "world", "somebody")],
        [(31, "nosuch", "x")],
        [(31, "ip", "1.2.3")],
        [(31, "digest", "x")],
    ],
    ids=str,
)
def test_bad_acls_are_refused(server, acl):
    assert server.raw().err(z.CREATE, z.create_body("/x", acl=acl)) == INVALIDACL


def test_unknown_auth_scheme_fails_and_closes(server):
    conn = server.raw()
    assert conn.auth("nosuch", b"x").err == AUTHFAILED
    assert conn.is_closed()


def test_superuser_passes_every_acl(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/locked", b"s", acl=[(31, "digest", digest("a", "b"))]))
    assert conn.err(z.GET_DATA, z.watched("/locked")) == NOAUTH
    conn.auth("digest", b"super:secret")
    assert conn.ok(z.GET_DATA, z.watched("/locked"))[0] == b"s"


# ---- deliberate difference -----------------------------------------------------------------------


def test_unknown_opcode_is_answered(server, server_kind):
    conn = server.raw()
    assert conn.call(555).err == UNIMPLEMENTED
    if server_kind == "zkserver":
        assert conn.ping().err == 0, "ours keeps the connection"
    else:
        assert conn.is_closed(), "Apache's server closes"


def test_malformed_record_is_an_error_and_no_end(server):
    conn = server.raw()
    assert conn.err(z.CREATE, b"\0\0") == MARSHALLING
    assert conn.err(z.GET_DATA, z.jint(100) + b"/x") == MARSHALLING
    assert conn.ping().err == 0
