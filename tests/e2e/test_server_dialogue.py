# SPDX-License-Identifier: Apache-2.0
"""Differential tests: our server and Apache's are told the same and must answer the same, zxids,
Stat fields, error codes, notifications and their order included."""
import os

import pytest

from harness import rawzk as z
from harness.dialogue import first_difference, hold, recorded_steps
from harness.requests import has_quotas, random_steps
from harness.servers import QUICK_JVM

ANSWERED_ALIKE = {
    *(z.CREATE, z.CREATE2, z.DELETE, z.EXISTS, z.GET_DATA, z.SET_DATA, z.GET_ACL, z.SET_ACL),
    *(z.GET_CHILDREN, z.GET_CHILDREN2, z.SYNC, z.MULTI, z.CREATE_CONTAINER, z.CREATE_TTL),
    *(z.MULTI_READ, z.GET_EPHEMERALS, z.GET_ALL_CHILDREN_NUMBER, z.WHO_AM_I, z.ADD_WATCH),
    *(z.REMOVE_WATCHES, z.SET_WATCHES, z.SET_WATCHES2),
}

# Nothing is deleted behind the conversation's back.
JVM = [*QUICK_JVM, "-Dznode.container.checkIntervalMs=3600000"]


def compare(new_server, steps, **settings):
    settings["znode.container.checkIntervalMs"] = 3600000
    ours = hold(new_server("zkserver", "ours", **settings).start(), steps)
    theirs = hold(new_server("apache", "theirs", jvm=JVM, **settings).start(), steps)
    difference = first_difference(steps, ours, theirs)
    assert difference is None, difference


# DIALOGUES=400 is a million requests.
@pytest.mark.parametrize("seed", range(1, 1 + int(os.environ.get("DIALOGUES", "8"))))
def test_random_conversation(new_server, seed):
    quotas = {"enforceQuota": str(has_quotas(seed)).lower()}
    compare(new_server, random_steps(seed, 2500), **quotas)


def test_recorded_conversation(new_server):
    compare(new_server, recorded_steps(ANSWERED_ALIKE))


def test_conversations_are_the_same_each_time(new_server):
    """Apache against Apache: nothing in the comparison depends on the run."""
    steps = random_steps(99, 500)
    first = hold(new_server("apache", "one").start(), steps)
    second = hold(new_server("apache", "two").start(), steps)
    assert first_difference(steps, first, second) is None
    spoilt = list(second)
    spoilt[30] = "something else"
    assert first_difference(steps, first, spoilt).startswith("step 30:")
