# SPDX-License-Identifier: Apache-2.0
"""Writers that never wait for one answer before the next request, and remember what was
acknowledged."""
import threading

from . import rawzk as z


class Writer:
    """One session that alternates creates of new nodes and sets of one node, pipelined. After the
    server died, `created` and `last_set` say what it had acknowledged."""

    DEPTH = 32

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.created = []  # paths whose create was acknowledged
        self.last_set = -1  # highest number whose set was acknowledged
        self.refused = []  # answers that were errors: must stay empty
        self._conn = server.raw()
        self._conn.ok(z.CREATE, z.create_body(f"/{name}", b"-1"))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def acknowledged(self):
        return len(self.created) + self.last_set + 1

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self):
        asked = []
        number = 0
        try:
            while True:
                while len(asked) < self.DEPTH:
                    asked.append(self._ask(number))
                    number += 1
                reply = self._conn.answer()
                if reply is None:
                    return
                self._note(asked.pop(0), reply)
        except OSError:
            return

    def _ask(self, number):
        if number % 2:
            self._conn.request(z.SET_DATA, z.set_body(f"/{self.name}", b"%d" % number))
            return ("set", number)
        path = f"/{self.name}/n{number}"
        self._conn.request(z.CREATE, z.create_body(path, b"%d" % number))
        return ("create", path)

    def _note(self, request, reply):
        kind, what = request
        if reply.err != 0:
            self.refused.append((request, reply.err))
        elif kind == "set":
            self.last_set = what
        else:
            self.created.append(what)

    def missing(self, conn):
        """What was acknowledged and is not there, as texts."""
        lost = []
        children = set(conn.ok(z.GET_CHILDREN, z.watched(f"/{self.name}")))
        for path in self.created:
            if path.rpartition("/")[2] not in children:
                lost.append(path)
        value = int(conn.ok(z.GET_DATA, z.watched(f"/{self.name}"))[0])
        if value < self.last_set:
            lost.append(f"/{self.name} is {value}, {self.last_set} was acknowledged")
        return lost
