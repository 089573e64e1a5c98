# SPDX-License-Identifier: Apache-2.0
"""Unmodified client libraries and their recipes: what applications really do with a server."""
import threading

import pytest
from kazoo.client import KazooState
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, RolledBackError
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.security import make_digest_acl

from harness.waiting import wait_for


def test_lock_is_held_by_one_at_a_time(server):
    inside, most, counted = [0], [0], [0]

    def work(client):
        for _ in range(10):
            with client.Lock("/lock", "me"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                counted[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(server.client(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (most[0], counted[0]) == (1, 40)


def test_election_goes_to_the_next_when_the_leader_dies(server):
    leaders = []
    stepped_down = threading.Event()

    def candidate(name):
        client = server.client()

        def lead():
            leaders.append(name)
            stepped_down.wait(20)
            stepped_down.clear()

        client.Election("/election", name).run(lead)

    threads = [threading.Thread(target=candidate, args=(n,), daemon=True) for n in ("a", "b")]
    for thread in threads:
        thread.start()
    wait_for("a leader", lambda: len(leaders) == 1)
    stepped_down.set()
    wait_for("the other one leads", lambda: len(leaders) == 2)
    stepped_down.set()
    for thread in threads:
        thread.join(10)
    assert sorted(leaders) == ["a", "b"]


def test_counter_queue_and_party(server):
    one, two = server.client(), server.client()

    def count(client):
        counter = client.Counter("/counter")
        for _ in range(20):
            counter += 1

    threads = [threading.Thread(target=count, args=(client,)) for client in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert one.Counter("/counter").value == 40

    queue = one.Queue("/queue")
    for number in range(5):
        queue.put(b"%d" % number)
    assert [two.Queue("/queue").get() for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]

    one.Party("/party", "one").join()
    two.Party("/party", "two").join()
    assert set(one.Party("/party")) == {"one", "two"}
    two.stop()
    wait_for("it left", lambda: set(one.Party("/party")) == {"one"})


def test_watch_recipes_see_every_last_state(server, zk):
    zk.create("/node", b"0")
    values, children = [], []
    watcher = server.client()
    watcher.DataWatch("/node", lambda data, stat: values.append(data) and None)
    watcher.ChildrenWatch("/node", lambda names: children.append(sorted(names)) and None)
    for number in range(1, 51):
        zk.set("/node", b"%d" % number)
    zk.create("/node/a", b"")
    zk.create("/node/b", b"")
    wait_for("the last value", lambda: values[-1] == b"50")
    wait_for("both children", lambda: children[-1] == ["a", "b"])
    assert [int(v) for v in values] == sorted(int(v) for v in values)


def test_tree_cache_follows(server, zk):
    zk.create("/tree", b"root")
    cache = TreeCache(server.client(), "/tree")
    events = []
    cache.listen(lambda event: events.append(event.event_type))
    cache.start()
    wait_for("it is loaded", lambda: TreeEvent.INITIALIZED in events)
    zk.create("/tree/a", b"1")
    zk.create("/tree/a/b", b"2")
    zk.set("/tree/a/b", b"3")
    wait_for(
        "the change",
        lambda: cache.get_data("/tree/a/b") and cache.get_data("/tree/a/b").data == b"3",
    )
    zk.delete("/tree/a", recursive=True)
    wait_for("the delete", lambda: cache.get_data("/tree/a") is None)
    cache.close()


def test_transaction(zk):
    zk.create("/a", b"1")
    transaction = zk.transaction()
    transaction.check("/a", 0)
    transaction.create("/a/b", b"2")
    transaction.set_data("/a", b"3")
    assert transaction.commit()[1] == "/a/b"
    assert zk.get("/a")[0] == b"3"
    transaction = zk.transaction()
    transaction.create("/a/c", b"")
    transaction.check("/a", 0)
    results = transaction.commit()
    assert isinstance(results[0], RolledBackError) and isinstance(results[1], BadVersionError)
    assert zk.exists("/a/c") is None


def test_auth(server, zk):
    client = server.client(auth_data=[("digest", "bob:pw")])
    client.create("/secret", b"s", acl=[make_digest_acl("bob", "pw", all=True)])
    assert client.get("/secret")[0] == b"s"
    with pytest.raises(NoAuthError):
        zk.get("/secret")
    with pytest.raises(NodeExistsError):
        zk.create("/secret", b"")


@pytest.mark.own_server()
def test_client_comes_back_on_its_session_after_kill_9(server, zk):
    states = []
    zk.add_listener(states.append)
    zk.create("/e", b"mine", ephemeral=True)
    session = zk.client_id
    seen = threading.Event()
    zk.get("/e", watch=lambda event: seen.set())
    server.kill9()
    wait_for("it noticed", lambda: KazooState.SUSPENDED in states)
    server.start()
    wait_for("it is back", lambda: zk.connected)
    assert zk.client_id == session
    assert zk.get("/e")[1].ephemeralOwner == session[0]
    server.client().set("/e", b"changed")
    assert seen.wait(10), "its watches were set again"
