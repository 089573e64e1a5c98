# SPDX-License-Identifier: Apache-2.0
"""Editors' swap files, backups and temporary copies stay in the mount's memory: the servers' own
transaction logs say whether they did."""
import errno
import os
import pty
import select
import subprocess
import time

import pytest

from harness.txnlog import read_changes
from harness.waiting import wait_for

OLD = b"[colour]\n\tname = red\n[size]\n\tvalue = 1\n"
NEW = OLD.replace(b"red", b"green")


class Config:
    """A directory with one configuration file, and what has happened to it since."""

    def __init__(self, server, zk, mount):
        zk.create("/etc", None)
        zk.create("/etc/app.conf", OLD)
        mount.shows("etc/app.conf")
        self.server, self.zk, self.mount = server, zk, mount
        self.folder = mount / "etc"
        self.before = zk.get("/etc/app.conf")[1]

    def changes(self):
        """(kind, path) of every transaction."""
        log = read_changes(self.server, after=self.before.czxid)
        return [(txn.kind, txn.path) for txn in log]

    def was_saved(self, value=NEW):
        """As the others see it: the same znode was set, and there never was any other."""
        found, after = self.zk.get("/etc/app.conf")
        assert found == value
        assert after.czxid == self.before.czxid, "the znode has kept its identity"
        assert after.version > self.before.version
        assert set(self.changes()) == {("setData", "/etc/app.conf")}


@pytest.fixture
def config(server, zk, mount):
    return Config(server, zk, mount)


def fails_with(number, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == number, caught.value


# backupskip= : vim's default makes no backup below /tmp, where the mount of this test is.
VIM = "vim -N -u NONE -i NONE -es -c 'set backupskip= {options}' -c '%s/red/green/' -c wq app.conf"
VIM_OPTIONS = [
    "",
    "backup",
    "writebackup backupcopy=no",
    "writebackup backupcopy=yes",
    "nobackup nowritebackup",
    "backup backupcopy=no",
]


@pytest.mark.parametrize("options", VIM_OPTIONS)
def test_vim(bench, config, options):
    # A pty: with one vim makes its swap file as it does for people.
    script = VIM.format(options=options)
    argv = ["script", "-qec", script, "/dev/null"]
    bench.run(argv, cwd=config.folder, env={"TERM": "dumb"})
    config.was_saved()
    has_backup = "backup" in options.split()
    names = ["app.conf", "app.conf~"] if has_backup else ["app.conf"]
    assert sorted(os.listdir(config.folder)) == names
    if has_backup:
        assert (config.folder / "app.conf~").read_bytes() == OLD
        os.unlink(config.folder / "app.conf~")
        config.was_saved()


def talk(bench, argv, folder, dialogue):
    """Types at a terminal, each of the keys once the text before them is on the screen."""
    ours, theirs = pty.openpty()
    environment = bench.environment({"TERM": "xterm"})
    with subprocess.Popen(
        argv, cwd=folder, env=environment, stdin=theirs, stdout=theirs, start_new_session=True
    ) as editor:
        os.close(theirs)
        deadline = time.monotonic() + 20
        try:
            for text, keys in dialogue:
                seen = b""
                while text not in seen:
                    wait = max(0, deadline - time.monotonic())
                    assert select.select([ours], [], [], wait)[0], (text, seen)
                    seen += os.read(ours, 4096)
                os.write(ours, keys)
            assert editor.wait(10) == 0
        finally:
            editor.kill()
            os.close(ours)


@pytest.mark.parametrize("backup", [False, True])
def test_nano(bench, config, backup):
    """Keys as a person types them: replace, save, leave."""
    argv = ["nano", "-I", "app.conf"] + (["--backup"] if backup else [])
    dialogue = [
        (b"name", b"\x1br"),
        (b"Search", b"red\r"),
        (b"Replace with", b"green\r"),
        (b"this instance", b"a"),
        (b"Replaced", b"\x13"),
        (b"Wrote", b"\x18"),
    ]
    talk(bench, argv, config.folder, dialogue)
    config.was_saved()
    assert (config.folder / "app.conf~").exists() == backup


@pytest.mark.parametrize("by_copying", ["nil", "t"])
def test_emacs(bench, config, by_copying):
    lisp = (
        f"(progn (setq backup-by-copying {by_copying} auto-save-default t"
        " backup-enable-predicate (lambda (name) t))"  # also below /tmp
        ' (find-file "app.conf") (while (search-forward "red" nil t) (replace-match "green"))'
        " (do-auto-save) (save-buffer))"
    )
    bench.run(["emacs", "--batch", "-Q", "--eval", lisp], cwd=config.folder)
    config.was_saved()
    assert (config.folder / "app.conf~").read_bytes() == OLD


SAVES = {
    "sed -i": "sed -i s/red/green/ app.conf",
    "sed -i~": "sed -i~ s/red/green/ app.conf",
    "rsync": "rsync -a NEW app.conf",
    "rsync --inplace": "rsync -a --inplace NEW app.conf",
    "tmp+mv": "cp NEW app.conf.tmp && mv app.conf.tmp app.conf",
    "mktemp+mv": "t=$(mktemp .app.conf.XXXXXX) && cat NEW > $t && mv $t app.conf",
    "perl -i": "perl -i~ -pe s/red/green/ app.conf",
}


@pytest.mark.parametrize("script", SAVES.values(), ids=SAVES.keys())
def test_saves(bench, config, script):
    new = bench.path("new")
    new.write_bytes(NEW)
    bench.sh(script.replace("NEW", str(new)), cwd=config.folder)
    config.was_saved()


def test_git_config(bench, config):
    """git locks FILE.lock, which is a scratch file for the files that are git's own."""
    os.rename(config.folder / "app.conf", config.folder / "config")
    config.before = config.zk.get("/etc/config")[1]
    bench.sh("git config -f config colour.name green", cwd=config.folder)
    assert b"green" in config.zk.get("/etc/config")[0]
    assert config.changes() == [("setData", "/etc/config")]


def test_scratch_file_is_a_file_in_this_mount_only(config, new_mount, zk):
    other = new_mount("other")
    path = config.folder / "notes~"
    path.write_bytes(b"one\n")
    with open(path, "ab") as file:
        file.write(b"two\n")
    os.truncate(path, 6)
    assert path.read_bytes() == b"one\ntw" and path.stat().st_size == 6
    assert sorted(os.listdir(config.folder)) == ["app.conf", "notes~"]
    assert os.listdir(other / "etc") == ["app.conf"] and not (other / "etc/notes~").exists()
    fails_with(errno.ENODATA, os.getxattr, path, "user.zk.czxid")
    fails_with(errno.ENOTEMPTY, os.rmdir, config.folder)
    os.rename(path, config.folder / "more~")
    assert (config.folder / "more~").read_bytes() == b"one\ntw" and not path.exists()
    os.unlink(config.folder / "more~")
    assert zk.get_children("/etc") == ["app.conf"] and config.changes() == []


def test_events_of_scratch_files(config, mount):
    watcher = mount.watch("etc")
    path = config.folder / "x~"
    path.write_bytes(b"")
    os.rename(path, config.folder / "y~")
    os.unlink(config.folder / "y~")
    watcher.wait("etc/y~", "DELETE")
    assert watcher.kinds("etc/x~")[0] == "CREATE" and "MOVED_FROM" in watcher.kinds("etc/x~")
    assert watcher.kinds("etc/y~") == ["MOVED_TO", "DELETE"]


def test_scratch_file_becomes_a_znode_when_it_gets_a_name(config, zk):
    path = config.folder / ".new.conf.swp"
    with open(path, "wb") as file:
        file.write(b"value")
        file.flush()
        os.rename(path, config.folder / "new.conf")
        file.write(b" and more")
    assert zk.get("/etc/new.conf")[0] == b"value and more"
    assert [kind for kind, name in config.changes() if name == "/etc/new.conf"][0] == "create"
    assert {name for _, name in config.changes()} == {"/etc/new.conf"}


def test_file_renamed_away_and_not_written_again_is_renamed(config, zk):
    """mv by a process that has ended: no editor's save."""
    subprocess.run(["mv", "app.conf", "app.conf~"], cwd=config.folder, check=True)
    assert os.listdir(config.folder) == ["app.conf~"]
    assert (config.folder / "app.conf~").read_bytes() == OLD
    wait_for("the znode is renamed", lambda: zk.exists("/etc/app.conf") is None)
    assert zk.get("/etc/app.conf~")[0] == OLD
    assert set(config.changes()) == {("create", "/etc/app.conf~"), ("delete", "/etc/app.conf")}
    assert (config.folder / "app.conf~").read_bytes() == OLD
    zk.set("/etc/app.conf~", b"by another")
    wait_for("it is read", lambda: (config.folder / "app.conf~").read_bytes() == b"by another")


def test_file_renamed_away_and_changed_elsewhere_is_shown_again(config, zk):
    script = "import os, sys; os.rename('app.conf', 'app.conf~'); print(flush=True); input()"
    with subprocess.Popen(
        ["python3", "-c", script], cwd=config.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as editor:
        editor.stdout.readline()
        zk.set("/etc/app.conf", b"by another")
        assert not (config.folder / "app.conf").exists()
        editor.communicate(b"\n")
    wait_for("it is back", lambda: (config.folder / "app.conf").exists(), 15)
    assert (config.folder / "app.conf").read_bytes() == b"by another"
    assert (config.folder / "app.conf~").read_bytes() == OLD
    assert zk.get_children("/etc") == ["app.conf"]


def test_rmdir_and_mkdir_of_what_is_away(config, zk):
    os.rename(config.folder / "app.conf", config.folder / "app.conf~")
    os.unlink(config.folder / "app.conf~")
    os.mkdir(config.folder / "app.conf")
    assert zk.get("/etc/app.conf")[1].czxid != config.before.czxid
    os.rmdir(config.folder / "app.conf")
    (config.folder / "f").write_bytes(b"")
    os.rename(config.folder / "f", config.folder / "f~")
    os.unlink(config.folder / "f~")
    os.rmdir(config.folder)
    assert zk.exists("/etc") is None


def test_what_is_away_is_renamed_before_the_mount_ends(config, zk):
    os.rename(config.folder / "app.conf", config.folder / "app.conf~")
    config.mount.unmount()
    assert zk.get_children("/etc") == ["app.conf~"] and zk.get("/etc/app.conf~")[0] == OLD


def test_scratch_files_die_with_their_directory(config, zk):
    (config.folder / "x~").write_bytes(b"1" * 1000)
    with open(config.folder / "y~", "w+b") as held:
        held.write(b"held")
        held.flush()
        zk.delete("/etc", recursive=True)
        wait_for("it is gone", lambda: not config.folder.exists())
        held.seek(0)
        assert held.read() == b"held"
    wait_for("their memory is free", lambda: metric(config.mount, "zkfs_scratch_files") == 0)
    assert metric(config.mount, "zkfs_scratch_bytes") == 0


def metric(mount, name):
    lines = (mount / ".zk" / "stats").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + " ")).split()[1])


def test_memory_is_bounded(new_mount, zk):
    mount = new_mount(options=["scratch_max=100000"])
    fails_with(errno.ENOSPC, mount.write, "big~", b"x" * 100_000)
    mount.write("big~", b"x" * 90_000)
    fails_with(errno.ENOSPC, mount.write, "more~", b"x" * 20_000)
    assert mount.read("big~") == b"x" * 90_000
    os.unlink(mount / "big~")
    os.unlink(mount / "more~")
    assert metric(mount, "zkfs_scratch_bytes") == 0
    with pytest.raises(OSError):
        for number in range(200):
            mount.write(f"{number}~", b"")
    assert 150 < len(os.listdir(mount.path)) < 200
    mount.write("real", b"not limited by it")
    assert zk.get("/real")[0] == b"not limited by it"


def test_znode_of_such_a_name_is_a_znode(mount, zk):
    zk.create("/made-elsewhere~", b"1")
    mount.shows("made-elsewhere~")
    mount.write("made-elsewhere~", b"2")
    assert zk.get("/made-elsewhere~")[0] == b"2"
    # Only what mkstemp makes has a name that is made up.
    mount.write("sedentary", b"a word")
    mount.write(".foo.backup", b"another")
    assert zk.get("/sedentary")[0] == b"a word" and zk.get("/.foo.backup")[0] == b"another"


def test_options(new_mount, zk):
    off = new_mount("off", options=["scratch=off"])
    off.write("x~", b"1")
    assert zk.get("/x~")[0] == b"1"
    mine = new_mount("mine", options=["scratch=*.new:*.part"])
    mine.write("x.part", b"1")
    mine.write("y~", b"1")
    assert sorted(set(zk.get_children("/"))) == ["x~", "y~", "zookeeper"]
    os.rename(mine / "x.part", mine / "x")
    assert zk.get("/x")[0] == b"1"
