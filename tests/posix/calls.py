#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""calls.py DIR: which calls of POSIX and Linux work on the files below DIR as the manual pages say, and
which are refused, with which errno. Names each call and errno that it checks; docs/posix.md is this
program's output on a mount. With --local on a file system that refuses nothing: the checks themselves are
right if they pass there.

Exit status 0 if all came as expected."""
import argparse
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

Check = namedtuple("Check", "call error text refused run")
CHECKS = []
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2


def works(call, text):
    """The call does what its manual page says."""
    return lambda run: CHECKS.append(Check(call, "", text, False, run)) or run


def fails(call, error, text):
    """The call fails with the errno that its manual page gives for this."""
    return lambda run: CHECKS.append(Check(call, error, text, False, run)) or run


def refused(call, error, why):
    """The call is allowed elsewhere, but not here."""
    return lambda run: CHECKS.append(Check(call, error, why, True, run)) or run


def libc(name, *args):
    """A system call that Python has no function for, or one that does more."""
    result = getattr(LIBC, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def rename2(source, target, flags):
    return libc("renameat2", AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags)


class Open:
    """with Open(path, flags) as fd"""

    def __init__(self, path, flags, mode=0o666):
        self.fd = os.open(path, flags, mode)

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)


def make(path, data=b"0123456789"):
    path.write_bytes(data)
    return path


# ---- open, close -----------------------------------------------------------------------------------


@works("open", "O_CREAT makes an empty file")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_WRONLY):
        assert (d / "f").stat().st_size == 0


@works("open", "O_CREAT opens what is there, and keeps its data")
def _(d):
    with Open(make(d / "f"), os.O_CREAT | os.O_RDWR) as fd:
        assert os.read(fd, 100) == b"0123456789"


@works("open", "O_CREAT | O_EXCL makes a new file")
def _(d):
    os.close(os.open(d / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))


@works("open", "O_TRUNC empties the file")
def _(d):
    os.close(os.open(make(d / "f"), os.O_WRONLY | os.O_TRUNC))
    assert (d / "f").read_bytes() == b""


@works("open", "O_DIRECTORY, and openat of a name in it")
def _(d):
    make(d / "f")
    with Open(d, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.close(os.open("f", os.O_RDONLY, dir_fd=fd))


@works("open", "O_PATH, and fstat of it")
def _(d):
    with Open(make(d / "f"), os.O_PATH) as fd:
        assert os.fstat(fd).st_size == 10


@works("open", "O_DIRECT reads and writes")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_RDWR | os.O_DIRECT) as fd:
        buffer = mmap.mmap(-1, 4096)
        buffer.write(b"x" * 4096)
        assert os.writev(fd, [buffer]) == 4096
        assert os.preadv(fd, [buffer], 0) == 4096 and buffer[:] == b"x" * 4096


@fails("open", "ENOENT", "no such name")
def _(d):
    os.open(d / "none", os.O_RDONLY)


@fails("open", "ENOENT", "no such directory on the way")
def _(d):
    os.open(d / "none" / "f", os.O_CREAT | os.O_WRONLY)


@fails("open", "ENOTDIR", "a file on the way")
def _(d):
    os.open(make(d / "f") / "g", os.O_RDONLY)


@fails("open", "ENOTDIR", "O_DIRECTORY of a file")
def _(d):
    os.open(make(d / "f"), os.O_RDONLY | os.O_DIRECTORY)


@fails("open", "EEXIST", "O_CREAT | O_EXCL of what is there")
def _(d):
    os.open(make(d / "f"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@fails("open", "EISDIR", "a directory for writing")
def _(d):
    os.open(d, os.O_WRONLY)


@fails("open", "EISDIR", "O_CREAT of a directory")
def _(d):
    os.open(d, os.O_CREAT | os.O_RDWR)


@fails("open", "ENAMETOOLONG", "a name of 256 bytes")
def _(d):
    os.open(d / ("x" * 256), os.O_CREAT | os.O_WRONLY)


@refused("open", "EOPNOTSUPP", "O_TMPFILE: a znode has a name from the start")
def _(d):
    os.open(d, os.O_TMPFILE | os.O_RDWR)


@refused(
    "open", "EINVAL", "a name that ZooKeeper refuses: control characters, beyond the basic plane"
)
def _(d):
    os.open(d / "tab\tname", os.O_CREAT | os.O_WRONLY)


@refused("open", "EILSEQ", "a name that is not UTF-8")
def _(d):
    os.open(os.fsencode(d) + b"/\xff", os.O_CREAT | os.O_WRONLY)


@works("dup, close", "a file is written whichever of its descriptors is closed last")
def _(d):
    fd = os.open(d / "f", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    other = os.dup(fd)
    os.close(fd)
    os.write(other, b"data")
    os.close(other)
    assert (d / "f").read_bytes() == b"data"


@works("fork, close", "a child goes on at the same offset")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_WRONLY) as fd:
        os.write(fd, b"one")
        child = os.fork()
        if child == 0:
            os.write(fd, b"two")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        os.write(fd, b"three")
    assert (d / "f").read_bytes() == b"onetwothree"


# ---- read, write, lseek ----------------------------------------------------------------------------


@works("read", "to the end, then 0 bytes")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        assert [os.read(fd, 6), os.read(fd, 6), os.read(fd, 6)] == [b"012345", b"6789", b""]


@works("pread", "at an offset, and beyond the end 0 bytes")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        assert (os.pread(fd, 3, 4), os.pread(fd, 3, 10), os.pread(fd, 3, 99)) == (b"456", b"", b"")


@works("write", "in the middle keeps the rest")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        os.lseek(fd, 4, os.SEEK_SET)
        assert os.write(fd, b"AB") == 2
    assert (d / "f").read_bytes() == b"0123AB6789"


@works("write", "what was written is read back through the same descriptor")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        os.pwrite(fd, b"AB", 9)
        assert os.pread(fd, 100, 0) == b"012345678AB"


@works("pwrite", "beyond the end leaves zeros")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        os.pwrite(fd, b"AB", 13)
    assert (d / "f").read_bytes() == b"0123456789\0\0\0AB"


@works("writev, readv", "several buffers")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_RDWR) as fd:
        assert os.writev(fd, [b"ab", b"", b"cde"]) == 5
        os.lseek(fd, 0, os.SEEK_SET)
        buffers = [bytearray(3), bytearray(9)]
        assert os.readv(fd, buffers) == 5 and bytes(buffers[0]) == b"abc"


@works("write", "O_APPEND goes to the end wherever the offset is")
def _(d):
    with Open(make(d / "f"), os.O_WRONLY | os.O_APPEND) as fd:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"AB")
        os.write(fd, b"CD")
    assert (d / "f").read_bytes() == b"0123456789ABCD"


@works("write", "O_APPEND of two descriptors: both are there")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_WRONLY | os.O_APPEND) as one:
        with Open(d / "f", os.O_WRONLY | os.O_APPEND) as two:
            os.write(one, b"1")
            os.fsync(one)
            os.write(two, b"2")
    assert (d / "f").read_bytes() == b"12"


@works("write", "0 bytes change nothing")
def _(d):
    with Open(make(d / "f"), os.O_WRONLY) as fd:
        assert os.write(fd, b"") == 0
    assert (d / "f").read_bytes() == b"0123456789"


@fails("read", "EBADF", "a descriptor for writing")
def _(d):
    with Open(make(d / "f"), os.O_WRONLY) as fd:
        os.read(fd, 1)


@fails("write", "EBADF", "a descriptor for reading")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.write(fd, b"x")


@fails("read", "EISDIR", "a directory")
def _(d):
    with Open(d, os.O_RDONLY) as fd:
        os.read(fd, 1)


@refused("write", "EFBIG", "more than ZooKeeper takes in one request; the old value stays")
def _(d):
    make(d / "f")
    try:
        make(d / "f", b"x" * (1 << 20))
    finally:
        assert (d / "f").read_bytes() == b"0123456789"


@works("lseek", "SEEK_SET, SEEK_CUR, SEEK_END")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        seeks = [(3, os.SEEK_SET), (2, os.SEEK_CUR), (-1, os.SEEK_END), (5, os.SEEK_END)]
        assert [os.lseek(fd, *seek) for seek in seeks] == [3, 5, 9, 15]


@fails("lseek", "EINVAL", "before the start")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.lseek(fd, -1, os.SEEK_SET)


@works("fsync, fdatasync", "of a file and of a directory")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        os.write(fd, b"x")
        os.fsync(fd)
        os.fdatasync(fd)
    with Open(d, os.O_RDONLY) as fd:
        os.fsync(fd)


@works("copy_file_range", "between two files")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as source:
        with Open(d / "g", os.O_CREAT | os.O_WRONLY) as target:
            assert os.copy_file_range(source, target, 100) == 10
    assert (d / "g").read_bytes() == b"0123456789"


@works("sendfile", "from a file, and into one")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as source:
        with Open(d / "g", os.O_CREAT | os.O_WRONLY) as target:
            assert os.sendfile(target, source, 2, 5) == 5
    assert (d / "g").read_bytes() == b"23456"


@works("splice", "through a pipe, out of a file and into one")
def _(d):
    pipe_out, pipe_in = os.pipe()
    with Open(make(d / "f"), os.O_RDONLY) as source:
        assert libc("splice", source, None, pipe_in, None, 7, 0) == 7
    with Open(d / "g", os.O_CREAT | os.O_WRONLY) as target:
        assert libc("splice", pipe_out, None, target, None, 7, 0) == 7
    os.close(pipe_in)
    os.close(pipe_out)
    assert (d / "g").read_bytes() == b"0123456"


@refused("fallocate", "EOPNOTSUPP", "a znode has no room to reserve")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        libc("fallocate", fd, 0, ctypes.c_int64(0), ctypes.c_int64(100))


# ---- truncate --------------------------------------------------------------------------------------


@works("truncate", "shorter, and longer with zeros")
def _(d):
    os.truncate(make(d / "f"), 4)
    assert (d / "f").read_bytes() == b"0123"
    os.truncate(d / "f", 6)
    assert (d / "f").read_bytes() == b"0123\0\0"


@works("ftruncate", "between two writes; the offset stays")
def _(d):
    with Open(d / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.write(fd, b"0123456789")
        os.ftruncate(fd, 4)
        assert os.fstat(fd).st_size == 4
        os.write(fd, b"x")
    assert (d / "f").read_bytes() == b"0123\0\0\0\0\0\0x"


@fails("truncate", "ENOENT", "no such name")
def _(d):
    os.truncate(d / "none", 0)


@fails("truncate", "EISDIR", "a directory")
def _(d):
    os.truncate(d, 0)


@fails("ftruncate", "EINVAL", "a descriptor for reading")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.ftruncate(fd, 0)


@refused("truncate", "EFBIG", "beyond the largest value")
def _(d):
    os.truncate(make(d / "f"), 1 << 20)


# ---- stat ------------------------------------------------------------------------------------------


@works("stat", "type, size, links and blocks of a file")
def _(d):
    st = make(d / "f").stat()
    assert stat.S_ISREG(st.st_mode) and (st.st_size, st.st_nlink) == (10, 1)
    assert st.st_blocks * 512 >= 10


@works("stat", "a directory's links count its subdirectories")
def _(d):
    (d / "sub").mkdir()
    (d / "sub" / "a").mkdir()
    (d / "sub" / "b").mkdir()
    assert (d / "sub").stat().st_nlink == 4


@works("stat", "mtime moves when the data changes, and not when it is read")
def _(d):
    before = make(d / "f").stat().st_mtime_ns
    (d / "f").read_bytes()
    assert (d / "f").stat().st_mtime_ns == before
    time.sleep(0.01)
    make(d / "f", b"other")
    assert (d / "f").stat().st_mtime_ns > before


@works("stat", "a new file of an old name has another inode")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.unlink(d / "f")
        assert make(d / "f").stat().st_ino != os.fstat(fd).st_ino


@works("fstat", "an open file that was deleted: no links left")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.unlink(d / "f")
        assert os.fstat(fd).st_nlink == 0


@fails("stat", "ENOENT", "no such name")
def _(d):
    os.stat(d / "none")


@fails("stat", "ENOTDIR", "a file on the way")
def _(d):
    os.stat(make(d / "f") / "g")


@fails("stat", "ENAMETOOLONG", "a name of 256 bytes")
def _(d):
    os.stat(d / ("x" * 256))


@works("access", "F_OK, R_OK, W_OK")
def _(d):
    assert os.access(make(d / "f"), os.F_OK | os.R_OK | os.W_OK) and not os.access(d / "g", os.F_OK)


@fails("execve", "EACCES", "a file without x bits, which no znode has")
def _(d):
    os.execv(make(d / "f", b"#!/bin/sh\n"), ["f"])


@works("statfs", "a size, free room, NAME_MAX")
def _(d):
    st = os.statvfs(d)
    assert st.f_bavail > 0 and st.f_files > 0 and st.f_namemax == 255


# ---- attributes that are set -----------------------------------------------------------------------


@works("utimensat", "to the present: mtime moves, the data stays")
def _(d):
    before = make(d / "f").stat().st_mtime_ns
    time.sleep(0.01)
    os.utime(d / "f")
    assert (d / "f").stat().st_mtime_ns > before and (d / "f").read_bytes() == b"0123456789"


@works(
    "utimensat, chmod, chown",
    "succeed, so that cp -p, tar and rsync -a do; not kept without strict",
)
def _(d):
    make(d / "f")
    os.utime(d / "f", (1, 1))
    os.chmod(d / "f", 0o600)
    os.chown(d / "f", os.getuid(), os.getgid())


@fails("chmod", "ENOENT", "no such name")
def _(d):
    os.chmod(d / "none", 0o600)


# ---- directories -----------------------------------------------------------------------------------


@works("mkdir", "makes an empty directory")
def _(d):
    os.mkdir(d / "sub")
    assert stat.S_ISDIR((d / "sub").stat().st_mode) and os.listdir(d / "sub") == []


@fails("mkdir", "EEXIST", "a directory is there")
def _(d):
    os.mkdir(d)


@fails("mkdir", "EEXIST", "a file is there")
def _(d):
    os.mkdir(make(d / "f"))


@fails("mkdir", "ENOENT", "no such directory on the way")
def _(d):
    os.mkdir(d / "none" / "sub")


@fails("mkdir", "ENOTDIR", "a file on the way")
def _(d):
    os.mkdir(make(d / "f") / "sub")


@works("rmdir", "of an empty directory")
def _(d):
    os.mkdir(d / "sub")
    os.rmdir(d / "sub")
    assert not (d / "sub").exists()


@fails("rmdir", "ENOTEMPTY", "something is in it")
def _(d):
    os.mkdir(d / "sub")
    make(d / "sub" / "f")
    os.rmdir(d / "sub")


@fails("rmdir", "ENOENT", "no such name")
def _(d):
    os.rmdir(d / "none")


@fails("rmdir", "ENOTDIR", "a file")
def _(d):
    os.rmdir(make(d / "f"))


@fails("rmdir", "EINVAL", "a path that ends in .")
def _(d):
    os.mkdir(d / "sub")
    os.rmdir(str(d / "sub") + "/.")


@works("readdir", "each name once, with its type and inode")
def _(d):
    names = {f"f{number}" for number in range(300)}
    for name in names:
        make(d / name, b"")
    os.mkdir(d / "sub")
    entries = list(os.scandir(d))
    assert {e.name for e in entries} == names | {"sub"} and len(entries) == 301
    assert [e.name for e in entries if e.is_dir(follow_symlinks=False)] == ["sub"]
    assert all(e.inode() == e.stat().st_ino for e in entries[:20])


@works("readdir", "what is there from start to end is listed once while others come and go")
def _(d):
    for number in range(300):
        make(d / f"keep{number}", b"")
    seen = []
    with os.scandir(d) as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number < 50:
                make(d / f"new{number}", b"")
                os.unlink(d / f"new{number}")
    assert sorted(n for n in seen if n.startswith("keep")) == sorted(f"keep{n}" for n in range(300))


@works("rewinddir", "a directory that is opened again shows what is new")
def _(d):
    make(d / "one")
    assert os.listdir(d) == ["one"]
    make(d / "two")
    assert sorted(os.listdir(d)) == ["one", "two"]


@fails("opendir", "ENOTDIR", "a file")
def _(d):
    os.listdir(make(d / "f"))


@fails("opendir", "ENOENT", "no such name")
def _(d):
    os.listdir(d / "none")


# ---- unlink, rename --------------------------------------------------------------------------------


@works("unlink", "the name is gone")
def _(d):
    os.unlink(make(d / "f"))
    assert os.listdir(d) == []


@works("unlink", "an open file can still be read")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        os.unlink(d / "f")
        assert os.read(fd, 100) == b"0123456789"


@refused(
    "close", "ESTALE", "of what was written to a file that was deleted: there is no znode for it"
)
def _(d):
    fd = os.open(make(d / "f"), os.O_RDWR)
    os.unlink(d / "f")
    os.write(fd, b"x")
    os.close(fd)


@fails("unlink", "ENOENT", "no such name")
def _(d):
    os.unlink(d / "none")


@fails("unlink", "EISDIR", "a directory")
def _(d):
    os.mkdir(d / "sub")
    os.unlink(d / "sub")


@works("rename", "to a new name; an open descriptor goes on")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        os.rename(d / "f", d / "g")
        os.pwrite(fd, b"X", 0)
    assert (d / "g").read_bytes() == b"X123456789" and not (d / "f").exists()


@works("rename", "over a file")
def _(d):
    make(d / "f", b"new")
    make(d / "g", b"old")
    os.rename(d / "f", d / "g")
    assert (d / "g").read_bytes() == b"new" and os.listdir(d) == ["g"]


@works("rename", "over an open file, whose descriptor keeps the old data")
def _(d):
    make(d / "f", b"new")
    with Open(make(d / "g", b"old"), os.O_RDONLY) as fd:
        os.rename(d / "f", d / "g")
        assert os.read(fd, 10) == b"old"


@works("rename", "to itself changes nothing")
def _(d):
    make(d / "f")
    os.rename(d / "f", d / "f")
    assert (d / "f").read_bytes() == b"0123456789"


@works("rename", "a directory with all that is in it, into another one")
def _(d):
    (d / "a" / "b").mkdir(parents=True)
    make(d / "a" / "b" / "f")
    os.mkdir(d / "target")
    os.rename(d / "a", d / "target" / "a")
    assert (d / "target" / "a" / "b" / "f").read_bytes() == b"0123456789"
    assert os.listdir(d) == ["target"]


@works("rename", "a directory over an empty one")
def _(d):
    os.mkdir(d / "a")
    make(d / "a" / "f")
    os.mkdir(d / "b")
    os.rename(d / "a", d / "b")
    assert os.listdir(d / "b") == ["f"]


@works("renameat2", "RENAME_NOREPLACE to a new name")
def _(d):
    rename2(make(d / "f"), d / "g", RENAME_NOREPLACE)
    assert os.listdir(d) == ["g"]


@works("renameat2", "RENAME_EXCHANGE of two files")
def _(d):
    rename2(make(d / "f", b"F"), make(d / "g", b"G"), RENAME_EXCHANGE)
    assert (d / "f").read_bytes() == b"G" and (d / "g").read_bytes() == b"F"


@fails("renameat2", "EEXIST", "RENAME_NOREPLACE over a file")
def _(d):
    rename2(make(d / "f"), make(d / "g"), RENAME_NOREPLACE)


@fails("renameat2", "ENOENT", "RENAME_EXCHANGE with nothing")
def _(d):
    rename2(make(d / "f"), d / "none", RENAME_EXCHANGE)


@fails("rename", "ENOENT", "no such name")
def _(d):
    os.rename(d / "none", d / "f")


@fails("rename", "EISDIR", "a file over a directory")
def _(d):
    os.mkdir(d / "sub")
    os.rename(make(d / "f"), d / "sub")


@fails("rename", "ENOTDIR", "a directory over a file")
def _(d):
    os.mkdir(d / "sub")
    os.rename(d / "sub", make(d / "f"))


@fails("rename", "ENOTEMPTY", "a directory over one that is not empty")
def _(d):
    os.mkdir(d / "a")
    os.mkdir(d / "b")
    make(d / "b" / "f")
    os.rename(d / "a", d / "b")


@fails("rename", "EINVAL", "a directory into itself")
def _(d):
    (d / "a" / "b").mkdir(parents=True)
    os.rename(d / "a", d / "a" / "b" / "c")


@fails("rename", "ENAMETOOLONG", "a name of 256 bytes")
def _(d):
    os.rename(make(d / "f"), d / ("x" * 256))


@refused("renameat2", "EINVAL", "RENAME_EXCHANGE of directories")
def _(d):
    os.mkdir(d / "a")
    os.mkdir(d / "b")
    rename2(d / "a", d / "b", RENAME_EXCHANGE)


@refused("rename", "EXDEV", "a directory too large for one request; mv copies it then")
def _(d):
    os.mkdir(d / "a")
    make(d / "a" / "1", b"1" * 600_000)
    make(d / "a" / "2", b"2" * 600_000)
    os.rename(d / "a", d / "b")


# ---- what ZooKeeper has not ------------------------------------------------------------------------


@refused("symlink", "EPERM", "ZooKeeper has no links")
def _(d):
    os.symlink("target", d / "link")


@refused("link", "EPERM", "a znode has one name")
def _(d):
    os.link(make(d / "f"), d / "g")


@refused("mkfifo", "EPERM", "a znode is data or a directory")
def _(d):
    os.mkfifo(d / "fifo")


@refused("mknod", "EPERM", "of a device")
def _(d):
    os.mknod(d / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))


@refused("bind", "EPERM", "a socket")
def _(d):
    here = os.open(".", os.O_RDONLY)
    os.chdir(d)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("s")
    finally:
        os.fchdir(here)
        os.close(here)


@works("mknod", "of a regular file")
def _(d):
    os.mknod(d / "f", 0o666 | stat.S_IFREG)
    assert (d / "f").read_bytes() == b""


@fails("readlink", "EINVAL", "a file")
def _(d):
    os.readlink(make(d / "f"))


@fails("getxattr", "ENODATA", "an attribute that nobody has set")
def _(d):
    os.getxattr(make(d / "f"), "user.none")


@refused("setxattr", "EOPNOTSUPP", "other attributes than user.zk.acl and user.zk.kind")
def _(d):
    os.setxattr(make(d / "f"), "user.mine", b"1")


@refused("setxattr", "EOPNOTSUPP", "POSIX ACLs: a znode has an ACL of another kind")
def _(d):
    acl = b"\2\0\0\0" + b"".join(
        bytes([tag, 0, perm, 0]) + b"\xff\xff\xff\xff" for tag, perm in [(1, 6), (4, 4), (32, 4)]
    )
    os.setxattr(make(d / "f"), "system.posix_acl_access", acl)


# ---- mmap, poll, locks -----------------------------------------------------------------------------


@works("mmap", "MAP_PRIVATE, also for writing, which stays private")
def _(d):
    with Open(make(d / "f"), os.O_RDONLY) as fd:
        mapped = mmap.mmap(fd, 10, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        mapped[0:1] = b"X"
        assert mapped[:] == b"X123456789"
    assert (d / "f").read_bytes() == b"0123456789"


@works("mmap", "MAP_SHARED for reading")
def _(d):
    make(d / "f")
    time.sleep(0.4)  # a file that has just changed is read directly, and cannot be mapped shared
    with Open(d / "f", os.O_RDONLY) as fd:
        assert mmap.mmap(fd, 10, mmap.MAP_SHARED, mmap.PROT_READ)[:] == b"0123456789"


@refused("mmap", "ENODEV", "MAP_SHARED for writing: a znode is set as a whole")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        mmap.mmap(fd, 10, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


@works("poll", "a file is always ready to be read and written")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLOUT)
        assert poll.poll(0)[0][1] & (select.POLLIN | select.POLLOUT)


@works("flock", "LOCK_EX, LOCK_SH, LOCK_UN, and down from one to the other")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as one, Open(d / "f", os.O_RDWR) as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(one, fcntl.LOCK_SH)
        fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)


@fails("flock", "EAGAIN", "LOCK_NB of what another descriptor has locked")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as one, Open(d / "f", os.O_RDWR) as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB)


@works("fcntl", "F_SETLK of the whole file, and its end with the process")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        child = os.fork()
        if child == 0:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            os._exit(0)
        os.waitpid(child, 0)
        fcntl.lockf(fd, fcntl.LOCK_EX)


@refused("fcntl", "ENOLCK", "a lock of a range of bytes: the lock recipes lock a znode")
def _(d):
    with Open(make(d / "f"), os.O_RDWR) as fd:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 3, 2)


# ---- whole programs --------------------------------------------------------------------------------


@works("a reader and a writer", "a reader sees the old data or the new, never a mix")
def _(d):
    make(d / "f", b"a" * 5000)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(bytes(sorted(set((d / "f").read_bytes()))))

    reader = threading.Thread(target=read)
    reader.start()
    for letter in b"bcdefgh" * 10:
        temporary = make(d / "g", bytes([letter]) * 5000)
        os.rename(temporary, d / "f")
    stop.set()
    reader.join()
    assert all(len(letters) == 1 for letters in seen), seen


@works("umask, sh", "redirections, here documents, test and set -C")
def _(d):
    script = """set -eu
        echo one > f; echo two >> f; : > empty; cat > doc <<X
here
X
        [ -f f ] && [ ! -s empty ] && [ -d . ] && [ "$(cat f doc | tr '\\n' ' ')" = 'one two here ' ]
        set -C; ! (echo three > f) 2> /dev/null; [ "$(wc -l < f)" = 2 ]"""
    subprocess.run(["sh", "-c", script], cwd=d, check=True)


# ---- running them ----------------------------------------------------------------------------------


def outcome(check, folder):
    """What came: an errno's name, "" for success, or how it was wrong."""
    folder.mkdir()
    try:
        check.run(folder)
    except OSError as problem:
        if problem.errno == errno.EOPNOTSUPP:
            return "EOPNOTSUPP"  # Python knows the number as ENOTSUP
        return errno.errorcode.get(problem.errno, str(problem.errno))
    except AssertionError as problem:
        return f"wrong {problem}".strip()
    except subprocess.CalledProcessError as problem:
        return f"wrong {problem.stderr or problem}"
    return ""


def row(check):
    kind = "refused" if check.refused else "as POSIX"
    return f"| {check.call} | {check.error or '-'} | {check.text} | {kind} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dir", nargs="?", type=Path)
    parser.add_argument("--local", action="store_true", help="leave out what is refused")
    parser.add_argument("--markdown", action="store_true", help="print the table, run nothing")
    options = parser.parse_args()
    checks = [check for check in CHECKS if not (options.local and check.refused)]
    if options.markdown:
        print("\n".join(row(check) for check in checks))
        return 0
    failed = 0
    for number, check in enumerate(checks):
        came = outcome(check, options.dir / f"posix-{os.getpid()}-{number}")
        is_right = came == check.error
        failed += not is_right
        print(
            "ok  " if is_right else "FAIL", row(check), "" if is_right else f"came: {came or 'ok'}"
        )
    print(f"posix: {len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
