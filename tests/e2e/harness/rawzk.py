# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper's client protocol, frame by frame. For what no client library would send, and to see
the bytes of an answer. Nothing is hidden: a closed connection is None, an error is a number."""
import socket
import struct
from collections import namedtuple

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = range(1, 10)
PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG = 11, 12, 13, 14, 15, 16
CHECK_WATCHES, REMOVE_WATCHES, CREATE_CONTAINER, CREATE_TTL, MULTI_READ = 17, 18, 19, 21, 22
AUTH, SET_WATCHES, SET_WATCHES2, ADD_WATCH, CLOSE = 100, 101, 105, 106, -11
GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, WHO_AM_I = 103, 104, 107

OPEN_ACL = [(31, "world", "anyone")]
EVENT_NAMES = {1: "created", 2: "deleted", 3: "changed", 4: "children"}

Connected = namedtuple("Connected", "timeout session password read_only")
Reply = namedtuple("Reply", "xid zxid err body")
Event = namedtuple("Event", "kind state path")
Stat = namedtuple(
    "Stat",
    "czxid mzxid ctime mtime version cversion aversion owner length children pzxid",
)


# ---- writing -------------------------------------------------------------------------------------


def jint(value):
    return struct.pack(">i", value)


def jlong(value):
    return struct.pack(">q", value)


def jbool(value):
    return b"\1" if value else b"\0"


def jbuf(data):
    return jint(-1) if data is None else jint(len(data)) + data


def jstr(text):
    return jbuf(None if text is None else text.encode())


def jvec(items):
    return jint(-1) if items is None else jint(len(items)) + b"".join(items)


def jacl(acl):
    return jvec(None if acl is None else [jint(p) + jstr(s) + jstr(i) for p, s, i in acl])


def create_body(path, data=b"", acl=OPEN_ACL, flags=0):
    return jstr(path) + jbuf(data) + jacl(acl) + jint(flags)


def ttl_body(path, data=b"", acl=OPEN_ACL, flags=5, ttl=60000):
    return create_body(path, data, acl, flags) + jlong(ttl)


def set_body(path, data, version=-1):
    return jstr(path) + jbuf(data) + jint(version)


def versioned(path, version=-1):
    """The body of delete and check."""
    return jstr(path) + jint(version)


def watched(path, watch=False):
    """The body of exists, getData, getChildren, getChildren2."""
    return jstr(path) + jbool(watch)


def multi_body(ops):
    """ops: (type, body) pairs."""
    parts = [jint(kind) + jbool(False) + jint(-1) + body for kind, body in ops]
    return b"".join(parts) + jint(-1) + jbool(True) + jint(-1)


def connect_body(timeout=10000, session=0, password=bytes(16), last_zxid=0, read_only=False):
    """read_only None leaves the byte out, as clients before 3.4 do."""
    body = jint(0) + jlong(last_zxid) + jint(timeout) + jlong(session) + jbuf(password)
    return body if read_only is None else body + jbool(read_only)


def set_watches_body(zxid, data=(), exist=(), child=(), persistent=None, recursive=None):
    """Of setWatches2 if one of the last two is given."""
    lists = [data, exist, child]
    if persistent is not None or recursive is not None:
        lists += [persistent or (), recursive or ()]
    return jlong(zxid) + b"".join(jvec([jstr(path) for path in paths]) for paths in lists)


def password_of(session):
    """The password that every server computes for a session id."""
    state = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    words = []
    for _ in range(4):
        state = (state * 0x5DEECE66D + 11) & ((1 << 48) - 1)
        words.append(struct.pack("<I", (state >> 16) & 0xFFFFFFFF))
    return b"".join(words)


# ---- reading -------------------------------------------------------------------------------------


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def _take(self, count):
        if self.at + count > len(self.data):
            raise AssertionError(
                f"answer too short: wanted {count} bytes at {self.at} of {self.data.hex()}"
            )
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def int(self):
        return struct.unpack(">i", self._take(4))[0]

    def long(self):
        return struct.unpack(">q", self._take(8))[0]

    def bool(self):
        return self._take(1) != b"\0"

    def buf(self):
        length = self.int()
        return None if length < 0 else self._take(length)

    def str(self):
        data = self.buf()
        return None if data is None else data.decode()

    def vec(self, read):
        count = self.int()
        return None if count < 0 else [read() for _ in range(count)]

    def stat(self):
        return Stat(*struct.unpack(">qqqqiiiqiiq", self._take(68)))

    def acl(self):
        return self.vec(lambda: (self.int(), self.str(), self.str()))

    def rest(self):
        return self._take(len(self.data) - self.at)


def decode_multi(body):
    """A list of (type, value or error code)."""
    cursor, results = Cursor(body), []
    while True:
        kind, done, _ = cursor.int(), cursor.bool(), cursor.int()
        if done:
            return results
        if kind == -1:
            results.append((kind, cursor.int()))
        elif kind == CREATE:
            results.append((kind, cursor.str()))
        elif kind == CREATE2:
            results.append((kind, (cursor.str(), cursor.stat())))
        elif kind == SET_DATA:
            results.append((kind, cursor.stat()))
        elif kind == GET_DATA:
            results.append((kind, (cursor.buf(), cursor.stat())))
        elif kind == GET_CHILDREN:
            results.append((kind, sorted(cursor.vec(cursor.str))))
        else:
            results.append((kind, None))


def decode_body(op, body):
    """The record in a good answer to op, as plain python values."""
    cursor = Cursor(body)
    if op in (CREATE, SYNC):
        value = cursor.str()
    elif op in (CREATE2, CREATE_CONTAINER, CREATE_TTL):
        value = (cursor.str(), cursor.stat())
    elif op in (EXISTS, SET_DATA, SET_ACL):
        value = cursor.stat()
    elif op == GET_DATA:
        value = (cursor.buf(), cursor.stat())
    elif op == GET_ACL:
        value = (cursor.acl(), cursor.stat())
    elif op == GET_CHILDREN:
        value = sorted(cursor.vec(cursor.str))
    elif op == GET_CHILDREN2:
        value = (sorted(cursor.vec(cursor.str)), cursor.stat())
    elif op in (MULTI, MULTI_READ):
        return decode_multi(body)
    elif op == GET_EPHEMERALS:
        value = sorted(cursor.vec(cursor.str))
    elif op == GET_ALL_CHILDREN_NUMBER:
        value = cursor.int()
    elif op == WHO_AM_I:
        value = sorted(cursor.vec(lambda: (cursor.str(), cursor.str())))
    else:
        return body
    assert cursor.rest() == b"", f"bytes behind the answer to {op}: {body.hex()}"
    return value


# ---- the connection ------------------------------------------------------------------------------


class RawConn:
    """One TCP connection. Notifications that arrive before an answer are gathered in `events`."""

    def __init__(self, port, host="127.0.0.1", seconds=10):
        self.sock = socket.create_connection((host, port), timeout=seconds)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.events = []
        self.xid = 0
        self.is_over = False  # the server has closed it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_frame(self, body):
        self.send(jint(len(body)) + body)

    def _read(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                self.is_over = True
                return None
            data += piece
        return data

    def read_frame(self):
        """The next frame, or None if the server closed the connection."""
        head = self._read(4)
        return None if head is None else self._read(struct.unpack(">i", head)[0])

    def is_closed(self):
        """Waits for the server's close; whatever it still sends is an answer and means "no"."""
        return self.read_frame() is None

    def connect(self, **fields):
        """The session that the server gave, or None if it closed the connection."""
        self.send_frame(connect_body(**fields))
        frame = self.read_frame()
        if frame is None:
            return None
        cursor = Cursor(frame)
        assert cursor.int() == 0, "protocol version"
        timeout, session, password = cursor.int(), cursor.long(), cursor.buf()
        rest = cursor.rest()
        return Connected(timeout, session, password, None if rest == b"" else rest != b"\0")

    def request(self, op, body=b"", xid=None):
        """Sends without waiting and returns the xid."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send_frame(jint(xid) + jint(op) + body)
        return xid

    def _next(self):
        """The next frame as Reply or Event, or None if the server closed."""
        frame = self.read_frame()
        if frame is None:
            return None
        cursor = Cursor(frame)
        reply = Reply(cursor.int(), cursor.long(), cursor.int(), cursor.rest())
        if reply.xid != -1:
            return reply
        event = Cursor(reply.body)
        kind, state, path = event.int(), event.int(), event.str()
        return Event(EVENT_NAMES.get(kind, kind), state, path)

    def answer(self):
        """The next answer; notifications before it go into `events`."""
        while True:
            item = self._next()
            if not isinstance(item, Event):
                return item
            self.events.append(item)

    def call(self, op, body=b"", xid=None):
        self.request(op, body, xid)
        return self.answer()

    def ok(self, op, body=b""):
        """A call that must succeed; its decoded record."""
        reply = self.call(op, body)
        assert reply is not None, f"the server closed the connection instead of answering {op}"
        assert reply.err == 0, f"op {op} failed with {reply.err}"
        return decode_body(op, reply.body)

    def err(self, op, body=b""):
        """A call's error code."""
        reply = self.call(op, body)
        assert reply is not None, f"the server closed the connection instead of answering {op}"
        return reply.err

    def auth(self, scheme, data):
        return self.call(AUTH, jint(0) + jstr(scheme) + jbuf(data), xid=-4)

    def ping(self):
        return self.call(PING, xid=-2)

    def next_event(self):
        """The oldest notification that nobody took yet; waits for one."""
        if self.events:
            return self.events.pop(0)
        item = self._next()
        assert isinstance(item, Event), f"expected a notification, got {item}"
        return item
