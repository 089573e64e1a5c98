# SPDX-License-Identifier: Apache-2.0
"""Who may, and how a client proves who it is: the settings that change it, on both servers."""
import base64
import hashlib

import pytest

from harness import rawzk as z

NO_AUTH, REQUIRES_AUTH = -102, -124


@pytest.mark.own_server(enforce__auth__enabled="true", enforce__auth__schemes="digest")
def test_nothing_is_answered_before_the_client_has_proved_itself(server):
    stranger = server.raw()
    assert stranger.call(z.EXISTS, z.watched("/")) == (1, 0, REQUIRES_AUTH, b"")
    assert stranger.is_closed()
    for op in (z.PING, z.CLOSE):
        stranger = server.raw()
        assert stranger.err(op) == REQUIRES_AUTH
    known = server.raw()
    assert known.auth("digest", b"bob:pw").err == 0
    known.ok(z.CREATE, z.create_body("/x"))
    assert known.ping().err == 0


@pytest.mark.own_server(enforce__auth__enabled="true", enforce__auth__schemes="digest,ip")
def test_one_of_several_schemes_is_enough(server):
    server.raw().ok(z.EXISTS, z.watched("/"))


@pytest.mark.own_server(DigestAuthenticationProvider__digestAlg="SHA-256")
def test_other_hash_for_digest_ids(server):
    conn = server.raw()
    conn.auth("digest", b"bob:pw")
    conn.ok(z.CREATE, z.create_body("/x", acl=[(31, "auth", "")]))
    expected = "bob:" + base64.b64encode(hashlib.sha256(b"bob:pw").digest()).decode()
    assert conn.ok(z.GET_ACL, z.jstr("/x"))[0] == [(31, "digest", expected)]
    assert server.raw().err(z.GET_DATA, z.watched("/x")) == NO_AUTH


def test_unknown_hash_is_refused_at_the_start(new_server, bench):
    """Ours only: Apache's server ends too, but says so in a stack trace."""
    bench.expect_log(r" ERROR ")
    server = new_server("zkserver", DigestAuthenticationProvider__digestAlg="SHA-7")
    server.start(wait=False)
    assert server.process.wait() != 0
    assert "digestAlg" in server.process.log()


@pytest.mark.own_server(skipACL="yes")
def test_skip_acl_lets_everybody_in(server):
    conn = server.raw()
    conn.ok(z.CREATE, z.create_body("/x", b"secret", acl=[(31, "ip", "10.0.0.1")]))
    assert conn.ok(z.GET_DATA, z.watched("/x"))[0] == b"secret"
    conn.ok(z.SET_ACL, z.jstr("/x") + z.jacl([(0, "world", "anyone")]) + z.jint(-1))
    conn.ok(z.DELETE, z.versioned("/x"))


def test_ipv6_ranges(new_server):
    """Ours only: Apache 3.8.0 knows IPv4."""
    server = new_server("zkserver").start()
    conn = server.raw()
    for number, (acl, err) in enumerate(
        [
            ([(31, "ip", "::1/64")], NO_AUTH),
            ([(31, "ip", "fe80::/10"), (1, "ip", "127.0.0.0/8")], 0),
        ]
    ):
        conn.ok(z.CREATE, z.create_body(f"/{number}", acl=acl))
        assert conn.err(z.GET_DATA, z.watched(f"/{number}")) == err


@pytest.mark.own_server(enforceQuota="true")
def test_hard_quotas_refuse_and_soft_ones_do_not(server):
    conn = server.raw()
    for path in ("/a", "/zookeeper/quota/a", "/soft", "/zookeeper/quota/soft"):
        conn.ok(z.CREATE, z.create_body(path))
    hard, soft = b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3", b"count=1,bytes=1"
    for name, limits in (("a", hard), ("soft", soft)):
        for leaf, text in (("limits", limits), ("stats", b"count=0,bytes=0")):
            conn.ok(z.CREATE, z.create_body(f"/zookeeper/quota/{name}/zookeeper_{leaf}", text))
    conn.ok(z.CREATE, z.create_body("/a/1", b"12345"))
    conn.ok(z.CREATE, z.create_body("/a/2", b"12345"))
    assert conn.err(z.CREATE, z.create_body("/a/3")) == -125
    assert conn.err(z.SET_DATA, z.set_body("/a/1", b"123456")) == -125
    conn.ok(z.SET_DATA, z.set_body("/a/1", b"1234"))
    conn.ok(z.SET_DATA, z.set_body("/a/2", b"123456"))
    conn.ok(z.DELETE, z.versioned("/a/1"))
    conn.ok(z.CREATE, z.create_body("/a/3", b"1234"))
    stats = conn.ok(z.GET_DATA, z.watched("/zookeeper/quota/a/zookeeper_stats"))
    assert stats[0] == b"count=3,bytes=10"
    conn.ok(z.CREATE, z.create_body("/soft/1", bytes(100)))
    server.restart()
    stats = server.raw().ok(z.GET_DATA, z.watched("/zookeeper/quota/a/zookeeper_stats"))
    assert stats[0] == b"count=3,bytes=10"
