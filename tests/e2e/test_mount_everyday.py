# SPDX-License-Identifier: Apache-2.0
"""The programs that people use every day, each on a mount, with what it must have left in ZooKeeper."""
import json
import os
import subprocess

import pytest

from harness.waiting import wait_for


@pytest.fixture
def sh(bench, mount):
    """A shell in the mount: fails the test if the script does."""
    (mount / "home").mkdir()
    folder = mount / "home"
    return lambda script, **options: bench.run(
        ["bash", "-c", f"set -e; {script}"], cwd=folder, **options
    ).stdout


@pytest.fixture
def tree(bench):
    """Some directories and files outside the mount."""
    top = bench.path("tree")
    for number in range(12):
        folder = top / f"d{number % 3}" / f"sub{number}"
        folder.mkdir(parents=True)
        (folder / f"file {number}").write_bytes(os.urandom(number * 300))
        (folder / "empty").write_bytes(b"")
    return top


def test_bash(sh, mount, zk):
    out = sh(
        """mkdir -p a/b; cd a; echo one > f; echo two >> f; cat f > b/g; printf %s "$(< b/g)"
        for n in 1 2 3; do echo $n; done > loop; while read -r n; do echo "<$n>"; done < loop
        exec 7> held; echo x >&7; exec 7>&-; [[ -f held && -d b && ! -e none && ! b/g -nt held ]]
        cat <<< here > string; set -o noclobber; ! echo no 2> /dev/null > f; pushd b > /dev/null; pwd"""
    )
    assert out.split()[:5] == ["one", "two<1>", "<2>", "<3>", str(mount / "home/a/b")]
    assert zk.get("/home/a/f")[0] == b"one\ntwo\n" and zk.get("/home/a/string")[0] == b"here\n"


def test_tar_there_and_back(sh, zk, tree, bench):
    sh(f"tar -C {tree} -cf - . | tar -xf -; tar -cf ../../back.tar .; diff -r {tree} .")
    assert len(zk.get_children("/home/d0")) == 4
    bench.sh(f"mkdir back && tar -C back -xf back.tar && diff -r {tree} back")
    sh(f"tar -C {tree} -cf - . | tar -xf - --overwrite; diff -r {tree} .")


def test_cp_a_mv_and_rm_r(sh, zk, tree):
    sh(
        f"cp -a {tree} copy; diff -r {tree} copy; cp -a copy again; mv copy moved; diff -r moved again"
    )
    assert zk.exists("/home/copy") is None and len(zk.get_children("/home/moved")) == 3
    sh(
        "mv moved ../../outside; diff -r ../../outside again; mv ../../outside moved; rm -r moved again"
    )
    assert zk.get_children("/home") == []


def test_rsync_of_a_tree(sh, zk, tree):
    sh(f"rsync -a {tree}/ copy/; diff -r {tree} copy")
    before = {name: zk.get(f"/home/copy/d0/sub0/{name}")[1].version for name in ("empty", "file 0")}
    (tree / "d1/sub1/file 1").write_bytes(b"new")
    (tree / "d2/sub2/empty").unlink()
    sh(f"rsync -ac --delete {tree}/ copy/; diff -r {tree} copy")
    sh(f"rsync -ac --inplace --append-verify {tree}/ copy/; diff -r {tree} copy")
    after = {name: zk.get(f"/home/copy/d0/sub0/{name}")[1].version for name in ("empty", "file 0")}
    assert before == after, "what was equal was not written"


def test_git(sh, zk):
    out = sh(
        """export HOME=$PWD GIT_CONFIG_NOSYSTEM=1; mkdir repo; cd repo; git init -q -b main .
        git config user.name Me; git config user.email me@example.com; git config gc.auto 0
        echo one > f; mkdir d; echo two > d/g; git add .; git commit -qm first
        echo more >> f; git commit -qam second; git checkout -qb side HEAD~1; cat f
        echo three > h; git add h; git commit -qm third; git checkout -q main; git merge -q --no-edit side
        git mv d/g d/k; git commit -qm moved; git gc -q; git fsck --strict 2>&1; git status --short
        git clone -q . ../clone; git -C ../clone log --format=%s""",
        seconds=50,
    )
    lines = out.splitlines()
    assert lines[0] == "one" and set(lines[-5:]) >= {"moved", "first", "second", "third"}
    assert zk.get("/home/clone/h")[0] == b"three\n" and zk.get("/home/clone/d/k")[0] == b"two\n"


def test_find_grep_and_diff(sh, tree):
    sh(f"cp -r {tree} t; echo needle > t/d1/hay; echo needle in a stack > t/d2/hay")
    assert len(sh("find t -type f").splitlines()) == 26
    assert sh("find t -name hay -size -10c -print") == "t/d1/hay\n"
    assert sh("find t -type d -empty | wc -l").strip() == "0"
    assert sorted(sh("grep -rl needle t").split()) == ["t/d1/hay", "t/d2/hay"]
    assert "needle in a stack" in sh("diff -r t/d1/hay t/d2/hay || true")
    sh("find t -name hay -delete; ! grep -r needle t")
    assert sh(f"diff -r {tree} t") == ""


def test_tee_dd_truncate_and_install(sh, zk):
    sh("echo 1 | tee f g > /dev/null; echo 2 | tee -a f g > /dev/null")
    assert zk.get("/home/f")[0] == zk.get("/home/g")[0] == b"1\n2\n"
    sh(
        "dd if=/dev/zero of=z bs=1000 count=7 status=none; dd if=f of=z bs=1 seek=3 conv=notrunc status=none"
    )
    assert zk.get("/home/z")[0] == b"\0\0\0" + b"1\n2\n" + b"\0" * 6993
    sh("truncate -s 5 z; truncate -s +2 z; truncate -s 3 new")
    assert (
        zk.get("/home/z")[0] == b"\0\0\0" + b"1\n" + b"\0\0" and zk.get("/home/new")[0] == b"\0\0\0"
    )
    sh(
        "install -d -m 755 dir/sub; install -m 600 f dir/sub/f; install -C f dir/sub/f; cmp f dir/sub/f"
    )
    assert zk.get("/home/dir/sub/f")[0] == b"1\n2\n"


def test_jq_and_python_in_place(sh, zk):
    sh("""echo '{"size": 1}' > c.json; jq .size=2 c.json > c.json.tmp; mv c.json.tmp c.json""")
    assert json.loads(zk.get("/home/c.json")[0]) == {"size": 2}
    created = zk.get("/home/c.json")[1].czxid
    sh("jq .size=3 c.json | tee c.json.new > /dev/null; cat c.json.new > c.json; rm c.json.new")
    sh(
        'python3 -c \'import json; f = open("c.json", "r+"); d = json.load(f); d["n"] = 1;'
        " f.seek(0); json.dump(d, f); f.truncate()'"
    )
    assert json.loads(zk.get("/home/c.json")[0]) == {"size": 3, "n": 1}
    assert zk.get("/home/c.json")[1].czxid == created
    sh(
        'python3 -c \'import fileinput; [print(l, end="") for l in fileinput.input("c.json", inplace=True)]\''
    )
    assert json.loads(zk.get("/home/c.json")[0]) == {"size": 3, "n": 1}


def test_df_du_and_stat(sh):
    sh("mkdir d; head -c 5000 /dev/zero > d/f; head -c 100 /dev/zero > d/g")
    assert int(sh("du -sb --apparent-size d").split()[0]) == 5100
    assert int(sh("du -s --block-size=1 d").split()[0]) >= 5100
    assert "zkfs" in sh("df --output=fstype .") and int(sh("df --output=avail .").split()[-1]) > 0
    assert sh("stat -c '%F %s %h' d/f") == "regular file 5000 1\n"
    assert sh("ls -l d | awk 'NR > 1 { print $5, $9 }'").split("\n")[:2] == ["5000 f", "100 g"]


def test_attributes_and_modes(sh, zk):
    sh("echo 1 > f; chmod 600 f; chmod -R u+w .; chown $(id -u) f; touch -d @1000 f; cat f")
    assert int(sh("getfattr --only-values -n user.zk.version f")) == zk.get("/home/f")[1].version
    assert "user.zk.czxid" in sh("getfattr f")
    sh("setfattr -n user.zk.acl -v 'world:anyone:r' f")
    assert zk.get_acls("/home/f")[0][0].perms == 1
    sh("! setfattr -n user.other -v 1 f 2> /dev/null")
    sh("echo 1 > g; version=$(getfattr --only-values -n user.zk.version g); touch g")
    assert zk.get("/home/g")[1].version == 2


def test_what_ln_cannot_do_is_said(sh):
    out = sh("echo 1 > f; ln f g 2>&1 || ln -s f g 2>&1 || mkfifo p 2>&1 || echo refused")
    assert out.count("Operation not permitted") == 3 and "refused" in out
    assert sh("ls").split() == ["f"]


@pytest.mark.parametrize("flag", ["-f", "-F"])
def test_tail_follows(bench, mount, zk, flag):
    zk.create("/log", b"first\n")
    mount.shows("log")
    argv = ["tail", flag, "-n", "+1", "-s", "0.1", mount / "log"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as tail:
        try:
            assert tail.stdout.readline() == b"first\n"
            bench.sh("echo more >> log", cwd=mount.path)
            assert tail.stdout.readline() == b"more\n"
            zk.set("/log", b"first\nmore\nfrom elsewhere\n")
            assert tail.stdout.readline() == b"from elsewhere\n"
        finally:
            tail.kill()


def test_inotifywait_and_flock(sh, mount, zk):
    watcher = mount.watch("home")
    sh("flock f -c 'echo held > f'; flock -n f true; mkdir d; flock d true; mv f g; rm g")
    watcher.wait("home/g", "DELETE")
    assert {"CREATE", "MODIFY", "MOVED_FROM"} <= {
        k for kind in watcher.kinds("home/f") for k in kind.split(",")
    }
    wait_for("no queue is left listed", lambda: os.listdir(mount / "home") == ["d"])
