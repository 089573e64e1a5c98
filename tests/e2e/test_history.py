# SPDX-License-Identifier: Apache-2.0
"""The checkers of recorded histories, held against histories that are known to be good and bad."""
import pytest

from harness import history as h


def op(kind, begin, end, value=None, version=None, expected=-1, outcome=h.OK):
    return h.Op("c", kind, "/r", begin, end, outcome, value, version, expected)


def lost(begin, value, expected=-1):
    """A set whose answer was lost."""
    return op(h.SET, begin, h.math.inf, value, expected=expected, outcome=h.UNKNOWN)


START = h.State("0", 0)

GOOD = {
    "nothing": [],
    "one after the other": [op("set", 0, 1, "a", 1), op("get", 2, 3, "a", 1)],
    "a get beside a set sees either": [
        op("set", 0, 9, "a", 1),
        op("get", 1, 2, "0", 0),
        op("get", 3, 4, "a", 1),
    ],
    "sets at the same time, in the order of versions": [
        op("set", 0, 9, "a", 2),
        op("set", 1, 8, "b", 1),
        op("get", 10, 11, "a", 2),
    ],
    "a lost answer never happened": [lost(0, "a"), op("get", 5, 6, "0", 0)],
    "a lost answer happened late": [
        lost(0, "a"),
        op("get", 5, 6, "0", 0),
        op("get", 7, 8, "a", 1),
    ],
    "two lost answers, one happened unseen": [
        lost(0, "a"),
        lost(1, "b"),
        op("set", 2, 3, "c", 2),
        op("get", 4, 5, "c", 2),
    ],
    "refused while another one's set is on its way": [
        op("set", 0, 9, "a", 1),
        op("set", 1, 2, "b", expected=0, outcome=h.FAIL),
    ],
}

BAD = {
    "an acknowledged set is gone": [op("set", 0, 1, "a", 1), op("get", 2, 3, "0", 0)],
    "a get goes back": [
        op("set", 0, 9, "a", 1),
        op("get", 1, 2, "a", 1),
        op("get", 3, 4, "0", 0),
    ],
    "seen before it was asked for": [op("get", 0, 1, "a", 1), op("set", 2, 3, "a", 1)],
    "two leaders: the same version twice": [
        op("set", 0, 1, "a", 1, expected=0),
        op("set", 0, 1, "b", 1, expected=0),
    ],
    "a later set has the smaller version": [
        op("set", 0, 1, "a", 2),
        op("set", 2, 3, "b", 1),
    ],
    "a set that nobody asked for": [op("get", 0, 1, "x", 1)],
    "refused, and it happened": [
        op("set", 0, 1, "a", expected=5, outcome=h.FAIL),
        op("get", 2, 3, "a", 1),
    ],
    "refused although the version fits": [
        op("set", 0, 1, "a", expected=0, outcome=h.FAIL),
    ],
    "accepted although the version does not fit": [op("set", 0, 1, "a", 1, expected=3)],
    "a lost answer happened twice": [
        lost(0, "a"),
        op("get", 1, 2, "a", 1),
        op("set", 3, 4, "b", 2),
        op("get", 5, 6, "a", 3),
    ],
    "a lost answer with the wrong version happened": [
        lost(0, "a", expected=7),
        op("get", 1, 2, "a", 1),
    ],
    "a version is left out": [op("set", 0, 1, "a", 1), op("set", 2, 3, "b", 3)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_passes(name):
    assert h.check_register(GOOD[name], START) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_history_is_found(name):
    assert len(h.check_register(BAD[name], START)) == 1


def test_search_ends_in_time():
    """Thirty lost answers that nobody saw can be put in any order: too many for any search."""
    ops = [lost(0, f"v{n}") for n in range(30)] + [op("get", 1, 2, "x", 29)]
    with pytest.raises(h.Undecided):
        h.check_register(ops, START, seconds=0.2)


def test_lost_answers_at_the_end_do_not_hide_what_comes_first():
    """A get that must come before a set, and thirty sets after the last version anybody saw."""
    ops = [op("set", 0, 5, "a", 1), op("get", 1, 6, "0", 0)]
    assert h.check_register(ops + [lost(1, f"v{n}") for n in range(30)], START, seconds=1) == []


def test_long_history_is_searched_in_time():
    """Three clients beside one another, and some answers lost."""
    ops = []
    for n in range(1, 3001):
        ops.append(op("set", n, n + 2.5, f"v{n}", n) if n % 50 else lost(n, f"v{n}"))
    assert h.check_register(ops, START) == []
    ops.append(op("get", 4000, 4001, "v2998", 2998))
    assert len(h.check_register(ops, START)) == 1


def node(kind, begin, end, path, value="v", outcome=h.OK):
    return h.Op("c", kind, path, begin, end, outcome, value)


def test_sequence_check():
    first, second = "/s/n-0000000001", "/s/n-0000000002"
    assert h.check_sequence([node("sequence", 0, 1, first), node("sequence", 2, 3, second)]) == []
    assert h.check_sequence([node("sequence", 0, 2, second), node("sequence", 1, 3, first)]) == []
    assert h.check_sequence([node("sequence", 0, 1, second), node("sequence", 2, 3, first)])
    assert h.check_sequence([node("sequence", 0, 2, first), node("sequence", 1, 3, first)])


def test_created_check():
    ops = [node("create", 0, 1, "/p/a", "1"), node("create", 0, 1, "/p/b", outcome=h.UNKNOWN)]
    assert h.check_created(ops, {"/p/a": "1"}) == []
    assert h.check_created(ops, {"/p/a": "1", "/p/b": "v"}) == []
    assert h.check_created(ops, {"/p/a": "2"})
    assert h.check_created(ops, {})
    assert h.check_created([node("create", 0, 1, "/p/a", outcome=h.FAIL)], {})


def saw(version, value="v", client="c1", session=1):
    return h.Saw(client, session, "/r", value, version)


def test_watches_check():
    end = {"/r": h.State("v", 3)}
    assert h.check_watches([saw(1), saw(3), saw(2, client="c2"), saw(3, client="c2")], end) == []
    assert h.check_watches([saw(2), saw(1, session=2), saw(3, session=2)], end) == []
    assert h.check_watches([saw(2), saw(1), saw(3)], end)  # back in one session
    assert h.check_watches([saw(3), saw(2, client="c2")], end)  # c2 was not told
    assert h.check_watches([saw(3, value="x")], end)
