# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a server that reads along: which requests does a client send, and what does
it do when the line is cut or goes silent?"""
import queue
import socket
import struct
import threading
import time
from collections import namedtuple

from . import rawzk
from .bench import BROKEN_LINE

Asked = namedtuple("Asked", "op path")

_WITHOUT_PATH = {
    rawzk.PING,
    rawzk.AUTH,
    rawzk.CLOSE,
    rawzk.MULTI,
    rawzk.SET_WATCHES,
    rawzk.SET_WATCHES2,
}


_Loss = namedtuple("_Loss", "ops before then done")


class Tap:
    """Listens on a port of its own. `asked` is the list of requests, pings left out."""

    def __init__(self, bench, target_port):
        self.bench, self.target_port = bench, target_port
        self.asked = []
        self.reachable = True
        self._answers_get_lost = False
        self.delay = 0.0  # seconds that each piece takes on its way, in either direction
        self._garbage = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._loss = self._lost_xid = None
        self._sockets = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def hosts(self):
        return f"127.0.0.1:{self.port}"

    def forget(self):
        self.asked = []

    def cut(self):
        """Breaks all connections and refuses new ones until mend()."""
        self.bench.expect_log(BROKEN_LINE)
        self.reachable = False
        self._close_all()

    def mend(self):
        self.reachable = True
        self._answers_get_lost = False

    def lose_answers(self):
        """What the server says is lost until cut() and mend(); requests arrive."""
        self.bench.expect_log(BROKEN_LINE)
        self._answers_get_lost = True

    def hold(self):
        """The line goes silent: nothing passes until release(). Requests are seen all the same."""
        self.bench.expect_log(BROKEN_LINE)
        self._flowing.clear()

    def release(self):
        self._flowing.set()

    def lose_answer(self, *ops, before=False, then=None):
        """The server gets the next request of one of these kinds, or, with before, does not get it;
        then() is called, and instead of an answer the line breaks. Returns an event that tells so.
        """
        self.bench.expect_log(BROKEN_LINE)
        self._lost_xid, self._loss = None, _Loss(ops, before, then, threading.Event())
        return self._loss.done

    def _break_line(self, loss):
        if loss.then:
            loss.then()
        self._close_all()
        loss.done.set()

    def garble(self, data):
        """The next frame from the server is replaced by these bytes."""
        self.bench.expect_log(BROKEN_LINE)
        self._garbage = data

    def close(self):
        self._listener.close()
        self._flowing.set()
        self._close_all()

    def _close_all(self):
        for sock in list(self._sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                assert self.reachable
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
                server.settimeout(None)
            except (OSError, AssertionError):
                client.close()
                continue
            self._sockets |= {client, server}
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink, is_request):
        """Reads along without end; what was read is passed on by a thread of its own, in its time."""
        pieces = queue.Queue()
        passing_on = (pieces, sink, is_request)
        threading.Thread(target=self._pass_on, args=passing_on, daemon=True).start()
        pending, frames = b"", 0
        try:
            while piece := source.recv(65536):
                if is_request:
                    pending, frames, passes = self._note(pending + piece, frames)
                    if passes:
                        pieces.put((time.monotonic(), piece))
                else:
                    pending = self._answer(pending + piece, pieces)
        except OSError:
            pass
        pieces.put(None)

    def _pass_on(self, pieces, sink, is_request):
        try:
            while entry := pieces.get():
                arrived, piece = entry
                time.sleep(max(0.0, arrived + self.delay - time.monotonic()))
                self._flowing.wait()
                if is_request or not self._answers_get_lost:
                    sink.sendall(piece)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._sockets.discard(sink)
        sink.close()

    def _answer(self, data, pieces):
        """Passes on whole frames up to the one that is to be lost."""
        while len(data) >= 4:
            end = 4 + struct.unpack(">i", data[:4])[0]
            if len(data) < end:
                break
            if self._lost_xid is not None and data[4:8] == self._lost_xid:
                self._lost_xid = None
                self._break_line(self._loss)
                return b""
            frame, self._garbage = self._garbage or data[:end], None
            pieces.put((time.monotonic(), frame))
            data = data[end:]
        return data

    def _note(self, data, frames):
        passes = True
        while len(data) >= 4:
            length = struct.unpack(">i", data[:4])[0]
            if len(data) < 4 + length:
                break
            frame, data = data[4 : 4 + length], data[4 + length :]
            frames += 1
            if frames > 1 and len(frame) >= 8:  # the first frame is the connect request
                op = struct.unpack(">i", frame[4:8])[0]
                if self._loss and op in self._loss.ops and not self._loss.done.is_set():
                    if self._loss.before:
                        passes = False
                        self._break_line(self._loss)
                    elif self._lost_xid is None:
                        self._lost_xid = frame[:4]
                path = None if op in _WITHOUT_PATH else rawzk.Cursor(frame[8:]).str()
                if op != rawzk.PING:
                    self.asked.append(Asked(op, path))
        return data, frames, passes
