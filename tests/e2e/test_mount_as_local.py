# SPDX-License-Identifier: Apache-2.0
"""Each script of everyday/ must print the same on a mount as on a local file system and leave the
same tree there, which is then ZooKeeper's. test_mount_everyday.py has what is not the same."""
from pathlib import Path

import pytest

from harness.waiting import wait_for

SAMPLE = """
mkdir -p tree/etc tree/logs tree/a/b/c/d "tree/with space"
printf 'colour = red\\nsize = 1\\n' > tree/etc/app.conf
printf '{"size": 1, "colour": "red"}\\n' > tree/etc/app.json
seq 1 3000 > tree/logs/log
seq 5000 5020 > tree/a/b/c/d/deep
: > tree/etc/empty
echo odd > 'tree/with space/..data'
echo Grüße > tree/a/ü.txt
"""

# Beside the tree of SAMPLE, by bash.
SCRIPTS = sorted((Path(__file__).parent / "everyday").glob("*.sh"))


def printed(bench, script, folder):
    """What bash prints, errors and all; all tools of the script must be there."""
    private = bench.path(f"tmp-{folder.parent.name}")
    private.mkdir()
    bench.path("script").write_text(script + "\ntrue\n")
    output = bench.sh(
        f"bash -u {bench.path('script')} 2>&1",
        cwd=folder,
        seconds=50,
        env={"TMPDIR": str(private), "HOME": str(private)},
    )
    assert "not found" not in output
    return output


def tree_on_disk(folder):
    """path -> bytes, or None of a directory."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def tree_in_zookeeper(zk, top):
    """The same of the znodes below top, without the queues of locks."""
    tree = {}
    for name in zk.get_children(top):
        if name.startswith(".zklock."):
            continue
        data, stat = zk.get(f"{top}/{name}")
        tree[name] = None if stat.children_count or data is None else data
        below = tree_in_zookeeper(zk, f"{top}/{name}")
        tree.update({f"{name}/{path}": value for path, value in below.items()})
    return tree


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_same_as_on_a_local_file_system(bench, mount, zk, script):
    ends = []
    for place in (bench.path("local"), mount.path):
        folder = place / "work"
        folder.mkdir(parents=True)
        bench.sh(SAMPLE, cwd=folder)
        ends.append((printed(bench, script.read_text(), folder), tree_on_disk(folder)))
    (local_lines, local), (lines, found) = ends
    assert lines == local_lines
    assert found == local
    wait_for("the same in ZooKeeper", lambda: tree_in_zookeeper(zk, "/work") == local)
