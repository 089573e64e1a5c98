# SPDX-License-Identifier: Apache-2.0
"""Random conversations from a seed, for two servers to answer alike: every opcode, odd paths, versions,
ACLs, multis, watches, sessions that end and move. What docs/differences.md lists is left out."""
import random

from . import rawzk as z

OPEN_PATHS = [
    *("/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/a/x/1", "/a/x/2", "/a/x/1/deep", "/"),
    *("/none/x", "/a/", "/a//b", "", "bad", "/a/.", "/a/..", "/.", "/...", "//", "/a/\u0001", "/\0"),
    *("/\u00e4", "/\u65e5\u672c", "/a\uf000", "/a\ufff1", "/a b", "/zookeeper", "/zookeeper/x"),
    *("/zookeeper/config", None),
]
# Mostly those that can exist.
PATH_WEIGHTS = [12] * 9 + [4] + [1] * (len(OPEN_PATHS) - 10)
# Nodes that not everybody may read. exists asks for no permission in Apache 3.8.0.
SECRET_PATHS = ["/s", "/s/x", "/s/y", "/s/x/1"]
# A path that is null, inside a multi: where Apache fails then depends on where its Java reads it first.
NULL = z.jstr(None)
DATA = [None, b"", b"v", b"some longer value", bytes(300)]
BOB, EVE = ("digest", b"bob:pw"), ("digest", b"eve:secret")
BOBS_ID = "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="
OPEN_ACLS = [
    z.OPEN_ACL,
    [(31, "world", "anyone"), (1, "ip", "10.0.0.1")],
    [(31, "world", "anyone"), (31, "world", "anyone")],
    [(31, "auth", ""), (31, "world", "anyone")],
    [(31, "digest", BOBS_ID), (5, "world", "anyone")],
    [(30, "ip", "127.0.0.0/8"), (1, "world", "anyone")],
    [(-1, "world", "anyone")],
]
SECRET_ACLS = [
    [(31, "auth", "")],
    [(31, "digest", BOBS_ID)],
    [(1, "world", "anyone")],
    [(2, "world", "anyone"), (16, "digest", BOBS_ID)],
    [(4, "world", "anyone")],
    [(31, "ip", "127.0.0.1")],
    [(31, "ip", "126.0.0.0/7")],
    [(31, "ip", "10.0.0.0/8")],
    [(0, "world", "anyone")],
    [(31, "digest", "a:b:")],
    [(31, "digest", ":b")],
]
BAD_ACLS = [
    *([], None, [(31, "world", "everyone")], [(31, "super", "")], [(31, "digest", "bob")]),
    *([(31, "ip", "300.0.0.1")], [(31, "ip", "10.0.0.1/33")], [(31, "ip", "")], [(31, "", "")]),
    *([(31, None, "x")], [(31, "world", None)], [(31, "nosuch", "x")], [(31, "digest", "a:b:c")]),
    *([(31, "digest", "a:")], [(31, "x509", "CN=a")], [(31, "sasl", "a")]),
]
# Quotas, one of them below another, with texts in setquota's form: Apache's server ends when it applies a
# change under a text that is not.
QUOTA_NODES = [
    f"/zookeeper/quota{below}" for below in ("/a", "/a/x", "/b") for below in (
        below, f"{below}/zookeeper_limits", f"{below}/zookeeper_stats"
    )
]
QUOTA_TEXTS = [
    *(b"count=3,bytes=10", b"count=-1,bytes=-1=;byteHardLimit=40;countHardLimit=6"),
    *(b"count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=3", b"count=-1,bytes=20=;byteHardLimit=0"),
    b"count=0,bytes=0",
]
FLAGS = [0, 0, 0, 0, 1, 1, 2, 3]
ODD_FLAGS = [4, 4, 5, 5, 6, 0, 1, 2, 3, 7, -1]
TTLS = [60000, 1, 0xFFFFFFFFFF, 0x10000000000, 0, -1]
VERSIONS = [-1, -1, -1, 0, 1, 2, -2, 0x7FFFFFFF]


class Session:
    """What must be known of a session so that nothing is asked that Apache answers differently: in
    3.8.0 a watch takes the place of an earlier one of the same connection on the same path."""

    def __init__(self, name):
        self.name = name
        self.forget()

    def forget(self):
        self.proof = None  # one at most: Apache lists several in no defined order
        self.lasting = {}  # path: mode of addWatch
        self.one_shot = set()


class Requests:
    """alone: there is one session only. checkWatches in Apache 3.8.0 looks at all connections.
    quotas: on some paths there are some."""

    def __init__(self, seed, alone, quotas):
        self.rng = random.Random(seed)
        self.alone = alone
        self.quotas = quotas
        self.pick = self.rng.choice

    def path(self):
        if self.rng.random() < 0.15:
            return self.pick(SECRET_PATHS)
        return self.rng.choices(OPEN_PATHS, PATH_WEIGHTS)[0]

    def open_path(self):
        return self.rng.choices(OPEN_PATHS, PATH_WEIGHTS)[0]

    def acl(self, path):
        if self.rng.random() < 0.05:
            return self.pick(BAD_ACLS)
        return self.pick(OPEN_ACLS + SECRET_ACLS if path in SECRET_PATHS else OPEN_ACLS)

    # ---- writes ------------------------------------------------------------------------------

    def create(self):
        path = self.path()
        op = self.pick([z.CREATE, z.CREATE, z.CREATE2, z.CREATE_CONTAINER, z.CREATE_TTL])
        flags = self.pick(FLAGS if op in (z.CREATE, z.CREATE2) else ODD_FLAGS)
        if self.rng.random() < 0.05:
            flags = self.pick(ODD_FLAGS)
        body = z.create_body(path, self.pick(DATA), self.acl(path), flags)
        if op == z.CREATE_TTL:
            ttl = self.pick(TTLS)
            # Apache's server ends when it applies a TTL node without a TTL.
            body += z.jlong(ttl if flags in (5, 6) else abs(ttl))
        return op, body

    def delete(self):
        return z.DELETE, z.versioned(self.path(), self.pick(VERSIONS))

    def set_data(self):
        return z.SET_DATA, z.set_body(self.path(), self.pick(DATA), self.pick(VERSIONS))

    def set_acl(self):
        path = self.path()
        return z.SET_ACL, z.jstr(path) + z.jacl(self.acl(path)) + z.jint(self.pick(VERSIONS))

    def check(self):
        return z.CHECK, z.versioned(self.path(), self.pick(VERSIONS))

    def multi(self):
        kinds = [self.create, self.create, self.delete, self.set_data, self.check]
        ops = [self.pick(kinds)() for _ in range(self.rng.randint(0, 5))]
        ops = [(op, body) for op, body in ops if not body.startswith(NULL)]
        if ops and self.rng.random() < 0.03:
            ops.append(self.pick([self.set_acl, self.read_part])())
        return z.MULTI, z.multi_body(ops)

    def reconfig(self):
        """Refused, since reconfigEnabled is false."""
        texts = [self.pick([None, "", "server.2=h:1:2"]) for _ in range(3)]
        return z.RECONFIG, b"".join(z.jstr(t) for t in texts) + z.jlong(-1)

    # ---- reads -------------------------------------------------------------------------------

    def watch(self, session, path):
        """Whether to ask for a watch. Apache takes "" for "/" in reads, but files the watch under "",
        where nothing ever fires."""
        wanted = path and path not in session.lasting and self.rng.random() < 0.5
        if wanted:
            session.one_shot.add(path)
        return wanted

    def exists(self, session):
        path = self.open_path()
        return z.EXISTS, z.watched(path, self.watch(session, path))

    def read(self, session):
        path = self.path()
        op = self.pick([z.GET_DATA, z.GET_CHILDREN, z.GET_CHILDREN2])
        return op, z.watched(path, self.watch(session, path))

    def by_path(self, _):
        op = self.pick([z.GET_ACL, z.SYNC, z.GET_ALL_CHILDREN_NUMBER])
        return op, z.jstr(self.path())

    def ephemerals(self, _):
        prefix = self.pick([None, "", " ", "/", "/a", "/a/", "/a/x", "a", "/b", " /"])
        return z.GET_EPHEMERALS, z.jstr(prefix)

    def who_am_i(self, _):
        return z.WHO_AM_I, b""

    def read_part(self):
        return self.pick([z.GET_DATA, z.GET_CHILDREN]), z.watched(self.path(), True)

    def multi_read(self, _):
        parts = [self.read_part() for _ in range(self.rng.randint(0, 5))]
        parts = [(op, body) for op, body in parts if not body.startswith(NULL)]
        if parts and self.rng.random() < 0.03:
            parts.append(self.check())
        return z.MULTI_READ, z.multi_body(parts)

    # ---- watches -----------------------------------------------------------------------------

    def watched_path(self):
        while True:
            path = self.open_path()
            if path and path.startswith("/"):
                return path

    def add_watch(self, session):
        path = self.watched_path()
        mode = self.pick([0, 1, 1, 2, -1] if self.rng.random() < 0.1 else [0, 1])
        mode = session.lasting.get(path, mode)
        if mode == 1 and path in session.one_shot:
            mode = 0
        if mode in (0, 1):
            session.lasting[path] = mode
        return z.ADD_WATCH, z.jstr(path) + z.jint(mode)

    def remove_watch(self, session):
        path = self.watched_path()
        types = [3, 3, 0, 6] if path in session.lasting else [1, 2, 3, 3, 0, -1, 9]
        kind = self.pick(types)
        if self.alone and self.rng.random() < 0.5:
            return z.CHECK_WATCHES, z.jstr(path) + z.jint(kind)
        if kind == 3:
            session.lasting.pop(path, None)
        return z.REMOVE_WATCHES, z.jstr(path) + z.jint(kind)

    def set_watches(self, session):
        free = [p for p in OPEN_PATHS if p and p not in session.lasting]
        lists = [self.rng.sample(free, self.rng.randint(0, 3)) for _ in range(3)]
        zxid = self.rng.randint(0, 3000)
        session.one_shot.update(*lists)
        if self.rng.random() < 0.5:
            return z.SET_WATCHES, z.set_watches_body(zxid, *lists)
        lasting = {p: self.pick([0, 1]) for p in free if p not in session.one_shot}
        lasting = dict(list(lasting.items())[: self.rng.randint(0, 3)])
        session.lasting.update(lasting)
        modes = [[p for p, mode in lasting.items() if mode == wanted] for wanted in (0, 1)]
        return z.SET_WATCHES2, z.set_watches_body(zxid, *lists, *modes)

    # ---- quotas ------------------------------------------------------------------------------

    def quota(self):
        path = self.pick(QUOTA_NODES)
        text = b"count=0,bytes=0" if path.endswith("stats") else self.pick(QUOTA_TEXTS)
        return self.pick(
            [
                (z.CREATE, z.create_body(path, text)),
                (z.CREATE, z.create_body(path, text)),
                (z.SET_DATA, z.set_body(path, text)),
                (z.GET_DATA, z.watched(path)),
                (z.GET_DATA, z.watched(path)),
                (z.DELETE, z.versioned(path)),
            ]
        )

    # ---- all together ------------------------------------------------------------------------

    def request(self, session):
        writes = [self.create, self.create, self.delete, self.set_data, self.set_acl, self.multi]
        reads = [self.exists, self.read, self.read, self.by_path, self.ephemerals, self.who_am_i]
        watches = [self.add_watch, self.remove_watch, self.multi_read, self.set_watches]
        if self.quotas and self.rng.random() < 0.25:
            op, body = self.quota()
        elif self.rng.random() < 0.01:
            op, body = self.reconfig()
        elif self.rng.random() < 0.5:
            op, body = self.pick(writes)()
        else:
            op, body = self.pick(reads + watches)(session)
        whole = (z.ADD_WATCH, z.REMOVE_WATCHES, z.RECONFIG)  # a broken reconfig takes no zxid
        if self.rng.random() < 0.02 and op not in whole:
            body = body[: self.rng.randint(0, max(0, len(body) - 1))]
        return op, body

    def burst(self, session, count):
        """Behind a setACL under way Apache's leader still sees the old list, and behind a multi that
        failed as a whole what it was about to create: such a one ends a burst."""
        if self.quotas:
            count = 1  # what is under way does not count yet, and how much that is, is chance
        requests = [self.request(session)]
        while len(requests) < count and requests[-1][0] not in (z.SET_ACL, z.MULTI):
            requests.append(self.request(session))
        return requests


def has_quotas(seed):
    """Whether the servers are to be started with enforceQuota."""
    return seed % 4 == 1


def random_steps(seed, count):
    """About count requests: one session or three that do anything to a small tree, in bursts; now and
    then one proves who it is, moves to another connection, or ends and another begins."""
    alone = seed % 4 == 0
    make = Requests(seed, alone, has_quotas(seed))
    rng = make.rng
    sessions = [Session(n) for n in (["s1"] if alone else ["s1", "s2", "s3"])]
    steps = [("open", s.name) for s in sessions]
    while count > 0:
        session = rng.choice(sessions)
        chance = rng.random()
        if chance < 0.02:
            sessions.remove(session)
            sessions.append(Session(f"t{len(steps)}"))
            steps += [("close", session.name), ("open", sessions[-1].name)]
        elif chance < 0.05:
            session.forget()
            steps.append(("reconnect", session.name, rng.choice([0, 0, -5])))
        elif chance < 0.08:
            session.proof = session.proof or rng.choice([BOB, BOB, EVE])
            steps.append(("auth", session.name, *rng.choice([session.proof, ("ip", b"")])))
        elif chance < 0.085:
            session.forget()
            steps += [("auth", session.name, "nosuch", b"x"), ("reconnect", session.name, 0)]
        else:
            requests = make.burst(session, rng.choice([1, 1, 2, 5, 20]))
            count -= len(requests)
            steps.append(("burst", session.name, requests))
    return steps
