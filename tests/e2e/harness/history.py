# SPDX-License-Identifier: Apache-2.0
"""What clients asked and were told, and whether a correct ensemble could have told them that.

A register is a znode; its state is the pair (value, version). Each operation has to take effect at
one moment between its begin and its end, in one order for all clients (linearizability: Herlihy and
Wing 1990). The search is Wing and Gong's with Lowe's memory of configurations already seen."""
import heapq
import math
import time
from collections import namedtuple

SET, GET, CREATE, SEQUENCE, EPHEMERAL = "set", "get", "create", "sequence", "ephemeral"
# unknown: the connection was lost before the answer came. It may have happened, or happen later.
OK, FAIL, UNKNOWN = "ok", "fail", "unknown"

State = namedtuple("State", "value version")

# begin, end: seconds of the machine's monotonic clock. An operation without an answer never ends.
# value: what set and the creates wrote, what get read.
# expected: the version that set asked for, -1: any. version: the one it made, or that get read.
# path: the register, or what was created (of a sequence node: as it was answered).
Op = namedtuple(
    "Op",
    "client kind path begin end outcome value version expected",
    defaults=(OK, None, None, -1),
)

# What a client that is watching a register read when it was told of a change, or began to watch.
Saw = namedtuple("Saw", "client session path value version")


class Undecided(AssertionError):
    """The search took too long to say whether the history is good."""


# ---- one register --------------------------------------------------------------------------------


class _Register:
    """The sequential specification, and what the whole history says about versions."""

    def __init__(self, ops, initial):
        # A version has one value. Who claims another one is caught by the search; here this only
        # saves it from trying lost answers where they cannot have been.
        self.known = {initial.version: {initial.value}}
        for op in ops:
            if op.outcome == OK:
                self.known.setdefault(op.version, set()).add(op.value)

    def apply(self, state, op):
        """The state after op, or None if op cannot happen in this state with this outcome."""
        fits = op.expected in (-1, state.version)
        if op.kind == GET:
            return state if (op.value, op.version) == state else None
        if op.outcome == FAIL:
            return None if fits else state
        if not fits:
            return None
        after = State(op.value, state.version + 1)
        if op.outcome == OK:
            return after if op.version == after.version else None
        values = self.known.get(after.version)
        return after if values is None or op.value in values else None


def _is_past(state, op):
    """Versions only grow: this answer cannot be given any more."""
    return op.outcome == OK and op.version < state.version + (op.kind == SET)


# A point of the search: the answered operations before `first` are all done, of those behind it the
# ones in the bit set `done` (bit 0: first); of those without an answer the ones in `late`.
_Point = namedtuple("_Point", "first done late state")


class _Search:
    def __init__(self, ops, initial, seconds):
        self.register = _Register(ops, initial)
        self.answered = sorted((o for o in ops if o.outcome != UNKNOWN), key=lambda o: o.begin)
        self.late = sorted(
            (o for o in ops if o.outcome == UNKNOWN and o.kind == SET), key=lambda o: o.begin
        )
        self.start = _Point(0, 0, 0, initial)
        self.deadline = time.monotonic() + seconds
        self.best = self.start

    def candidates(self, point):
        """The operations that may be the next one: those that began before any open one ended."""
        limit, chosen = math.inf, []
        for index in range(point.first, len(self.answered)):
            op = self.answered[index]
            if op.begin > limit:
                break
            if not point.done >> (index - point.first) & 1:
                limit = min(limit, op.end)
                chosen.append(index)
        return [i for i in chosen if self.answered[i].begin <= limit], limit

    def after_answered(self, point, index, state):
        done, first = point.done | 1 << (index - point.first), point.first
        while done & 1:
            done, first = done >> 1, first + 1
        return _Point(first, done, point.late, state)

    def successors(self, point):
        """The most promising one last."""
        answered, limit = self.candidates(point)
        if any(_is_past(point.state, self.answered[index]) for index in answered):
            return  # or else every lost answer could come next, in any order
        for bit, op in enumerate(self.late):
            if op.begin > limit:
                break
            if not point.late >> bit & 1:
                state = self.register.apply(point.state, op)
                if state is not None:
                    yield point._replace(late=point.late | 1 << bit, state=state)
        for index in reversed(answered):
            state = self.register.apply(point.state, self.answered[index])
            if state is not None:
                yield self.after_answered(point, index, state)

    def run(self):
        todo, seen = [self.start], {self.start}
        while todo:
            point = todo.pop()
            if point.first == len(self.answered):
                return True
            if point.first > self.best.first:
                self.best = point
            if time.monotonic() > self.deadline:
                raise Undecided(f"not decided in time: {self.explain()}")
            for successor in self.successors(point):
                if successor not in seen:
                    seen.add(successor)
                    todo.append(successor)
        return False

    def explain(self):
        """How far the search came, and what nobody could put next."""
        open_ones = "\n".join(f"  {self.answered[i]}" for i in self.candidates(self.best)[0])
        return (
            f"{self.best.first} of {len(self.answered)} answers explained, the last state is "
            f"{self.best.state}; none of these can be next:\n{open_ones}"
        )


def check_register(ops, initial, seconds=20):
    """The complaints about one register's operations, none if they are linearizable."""
    search = _Search(ops, initial, seconds)
    return [] if search.run() else [f"not linearizable: {search.explain()}"]


# ---- nodes that were created ---------------------------------------------------------------------


def check_sequence(ops):
    """Sequence nodes are unique, and one that was asked for after another's answer is later."""
    answered = [o for o in ops if o.kind == SEQUENCE and o.outcome == OK]
    complaints, seen = [], {}
    for op in answered:
        if op.path in seen:
            complaints.append(f"the same node twice: {seen[op.path]} and {op}")
        seen[op.path] = op
    ended, largest = [], None  # by time of answer; the last node of those that ended in time
    for op in sorted(answered, key=lambda o: o.begin):
        while ended and ended[0][0] < op.begin:
            other = heapq.heappop(ended)[1]
            largest = max(largest or other, other, key=number_of)
        if largest and number_of(largest) > number_of(op):
            complaints.append(f"asked for later, but an earlier node: {largest} and {op}")
        heapq.heappush(ended, (op.end, op))
    return complaints


def number_of(op):
    return int(op.path[-10:])


def check_created(ops, tree):
    """tree: path -> value at the end. Every acknowledged node is there, with the value it was
    given; ephemeral ones go with their session and are not asked for."""
    complaints = []
    for op in ops:
        if op.kind in (CREATE, SEQUENCE) and op.outcome == OK and tree.get(op.path) != op.value:
            complaints.append(f"lost: {op}, at the end it is {tree.get(op.path)!r}")
        if op.kind == CREATE and op.outcome == FAIL:
            complaints.append(f"refused, but nobody else uses that name: {op}")
    return complaints


# ---- watches -------------------------------------------------------------------------------------


def check_watches(saws, tree):
    """tree: path -> State at the end. In each session what is read does not go back, and everybody
    who watches has been told of the last change."""
    complaints, last, latest = [], {}, {}
    for saw in saws:
        key = (saw.client, saw.session, saw.path)
        if key in last and last[key].version > saw.version:
            complaints.append(f"a session's reads go back: {last[key]} and {saw}")
        last[key] = latest[saw.client, saw.path] = saw
    for saw in latest.values():
        if (saw.value, saw.version) != tree[saw.path]:
            complaints.append(f"the last that was told: {saw}, it is {tree[saw.path]}")
    return complaints
