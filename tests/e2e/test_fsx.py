# SPDX-License-Identifier: Apache-2.0
"""tests/posix/fsx.py on one mount and on two of the same tree. FSX_SEED=, FSX_RUNS= and FSX_COUNT= make
it longer: each run's seed is printed, and repeats it."""
import os
import sys
from pathlib import Path

import pytest

from harness.waiting import wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "posix"))
import fsx  # noqa: E402

SEED = int(os.environ.get("FSX_SEED", "1"))
RUNS = int(os.environ.get("FSX_RUNS", "2"))
COUNT = int(os.environ.get("FSX_COUNT", "150"))
SEEDS = range(SEED, SEED + RUNS)


def tree_of(zk, path="/fsx"):
    """What ZooKeeper has, in the model's form."""
    data, stat = zk.get(path)
    if stat.numChildren == 0 and data is not None:
        return data
    return {name: tree_of(zk, f"{path}/{name}") for name in zk.get_children(path)}


def without_scratch(node):
    """What the others can see of a model."""
    if isinstance(node, bytes):
        return node
    names = set(node) - {name for name in fsx.SCRATCH_NAMES if isinstance(node.get(name), bytes)}
    return {name: without_scratch(node[name]) for name in names}


def run(seed, zk, *mounts):
    print(f"fsx: seed {seed}, {COUNT} operations, {len(mounts)} mounts")
    os.mkdir(mounts[0] / "fsx")
    model = fsx.Run([mount / "fsx" for mount in mounts], seed, scratch=len(mounts) == 1).go(COUNT)
    wait_for("the same in ZooKeeper", lambda: shown(zk) == without_scratch(model.root))


def shown(zk):
    return without_scratch(tree_of(zk)) or {}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(60 + COUNT)
def test_one_mount(mount, zk, seed):
    run(seed, zk, mount)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(60 + COUNT)
def test_two_mounts(new_mount, zk, seed):
    run(seed, zk, new_mount("one"), new_mount("two"))
