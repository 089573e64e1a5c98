#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fsx.py [--seed N] [--runs N] [--count N] DIR...: random operations on files and directories, each held
against a model in memory. Several DIRs are the same tree, as several mounts show it: each operation
goes through one of them, once that shows what the others have done.

A failure names the seed and prints the last operations; the seed alone repeats them."""
import argparse
import errno
import mmap
import os
import random
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from calls import RENAME_EXCHANGE, RENAME_NOREPLACE, rename2  # noqa: E402

NAMES = ["a", "b", "c", "dd", "..data", "e f", "ü"]
SCRATCH_NAMES = ["a~", "b.tmp"]
SIZE_MAX = 40_000
PATIENCE_SECONDS = 20
LAST_SHOWN = 12


class Failure(AssertionError):
    pass


def fail(number):
    raise OSError(number, os.strerror(number))


class Model:
    """A tree: a directory is a dictionary, a file a bytes. Paths are tuples of names."""

    def __init__(self):
        self.root = {}

    def find(self, path):
        """The node at path, or None."""
        node = self.root
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def parent(self, path):
        """The directory that path is in."""
        node = self.root
        for name in path[:-1]:
            if not isinstance(node, dict):
                fail(errno.ENOTDIR)
            node = node.get(name)
            if node is None:
                fail(errno.ENOENT)
        if not isinstance(node, dict):
            fail(errno.ENOTDIR)
        return node

    def file(self, path):
        node = self.parent(path).get(path[-1])
        if node is None:
            fail(errno.ENOENT)
        if isinstance(node, dict):
            fail(errno.EISDIR)
        return node

    def write(self, path, data, flags=0):
        node = self.parent(path).get(path[-1])
        if node is not None and flags & os.O_EXCL:
            fail(errno.EEXIST)
        if isinstance(node, dict):
            fail(errno.EISDIR)
        old = node if flags & os.O_APPEND and node is not None else b""
        self.parent(path)[path[-1]] = old + data

    def truncate(self, path, size):
        self.parent(path)[path[-1]] = self.file(path)[:size].ljust(size, b"\0")

    def unlink(self, path):
        self.file(path)
        del self.parent(path)[path[-1]]

    def mkdir(self, path):
        if path[-1] in self.parent(path):
            fail(errno.EEXIST)
        self.parent(path)[path[-1]] = {}

    def rmdir(self, path):
        node = self.parent(path).get(path[-1])
        if node is None:
            fail(errno.ENOENT)
        if not isinstance(node, dict):
            fail(errno.ENOTDIR)
        if node:
            fail(errno.ENOTEMPTY)
        del self.parent(path)[path[-1]]

    def rename(self, source, target, flags):
        from_dir, to_dir = self.parent(source), self.parent(target)
        node, old = from_dir.get(source[-1]), to_dir.get(target[-1])
        if node is None:
            fail(errno.ENOENT)
        if old is None and flags & RENAME_EXCHANGE:
            fail(errno.ENOENT)
        if old is not None and flags & RENAME_NOREPLACE:
            fail(errno.EEXIST)
        if source != target and target[: len(source)] == source:
            fail(errno.EINVAL)
        if source != target and source[: len(target)] == target:
            fail(errno.EINVAL if flags & RENAME_EXCHANGE else errno.ENOTEMPTY)
        if source == target:
            return
        if flags & RENAME_EXCHANGE:
            from_dir[source[-1]], to_dir[target[-1]] = old, node
            return
        if isinstance(node, dict) and old is not None and not isinstance(old, dict):
            fail(errno.ENOTDIR)
        if isinstance(old, dict) and not isinstance(node, dict):
            fail(errno.EISDIR)
        if isinstance(old, dict) and old:
            fail(errno.ENOTEMPTY)
        del from_dir[source[-1]]
        to_dir[target[-1]] = node

    def listdir(self, path):
        node = self.root if not path else self.parent(path).get(path[-1])
        if node is None:
            fail(errno.ENOENT)
        if not isinstance(node, dict):
            fail(errno.ENOTDIR)
        return sorted(node)


class Run:
    def __init__(self, folders, seed, scratch):
        self.folders = [Path(folder) for folder in folders]
        self.random = random.Random(seed)
        self.names = NAMES + (SCRATCH_NAMES if scratch else [])
        self.seed, self.model, self.story = seed, Model(), []

    # ---- choosing ---------------------------------------------------------------------------------

    def any_path(self):
        """Mostly one that is there."""
        path, node = (), self.model.root
        while isinstance(node, dict) and len(path) < 3:
            known = sorted(node)
            if known and self.random.random() < 0.7:
                name = self.random.choice(known)
            else:
                name = self.random.choice(self.names)
            path, node = path + (name,), node.get(name)
            if self.random.random() < 0.4:
                break
        return path

    def any_data(self):
        size = self.random.choice(
            [0, 1, self.random.randrange(200), self.random.randrange(SIZE_MAX)]
        )
        return self.random.randbytes(size)

    def at(self, folder, path):
        return folder.joinpath(*path)

    # ---- one operation, here and in the model ------------------------------------------------------

    def shows_model(self, folder, path):
        """Whether the mount shows what the model has at path and on the way there."""
        for length in range(1, len(path) + 1):
            node, place = self.model.find(path[:length]), self.at(folder, path[:length])
            if node is None:
                return not os.path.lexists(place)
            if isinstance(node, dict) != place.is_dir():
                return False
        try:
            node = self.model.find(path)
            if isinstance(node, dict):
                return sorted(os.listdir(self.at(folder, path))) == sorted(node)
            return self.at(folder, path).read_bytes() == node
        except OSError as problem:
            if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ESTALE):
                return False
            raise

    def settle(self, folder, *paths):
        """Waits until what other mounts did is here."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(self.shows_model(folder, path) for path in paths):
            if len(self.folders) == 1 or time.monotonic() > deadline:
                raise Failure(f"{folder} does not show {[self.model.find(path) for path in paths]}")
            time.sleep(0.002)

    def same(self, what, real, modelled):
        """Both come to the same end: a value, or an errno."""

        def end(call):
            try:
                return call()
            except OSError as problem:
                return errno.errorcode[problem.errno]

        expected, came = end(modelled), end(real)
        if came != expected:
            raise Failure(f"{what}: {shorten(came)} where {shorten(expected)} was expected")

    def step(self):
        folder = self.random.choice(self.folders)
        kind = self.random.choice(
            ["write"] * 3
            + ["edit"] * 4
            + ["rename"] * 4
            + "append create truncate unlink mkdir rmdir read list stat map exchange".split()
        )
        path, other = self.any_path(), self.any_path()
        self.story.append((kind, str(folder), path, other))
        if len(self.folders) > 1:
            self.settle(folder, path, other)
        getattr(self, f"do_{kind}")(self.at(folder, path), path, folder, other)

    def do_write(self, place, path, *_):
        data = self.any_data()
        if data == self.model.find(path):
            data += b"."  # the others could not tell when they have seen it
        self.same(
            "write", lambda: ignore(place.write_bytes(data)), lambda: self.model.write(path, data)
        )

    def open_and_write(self, place, path, data, flags):
        def real():
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | flags)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)

        self.same("open and write", real, lambda: self.model.write(path, data, flags))

    def do_append(self, place, path, *_):
        self.open_and_write(place, path, self.any_data(), os.O_APPEND)

    def do_create(self, place, path, *_):
        self.open_and_write(place, path, self.any_data(), os.O_EXCL)

    def do_truncate(self, place, path, *_):
        size = self.random.randrange(SIZE_MAX)
        self.same(
            "truncate", lambda: os.truncate(place, size), lambda: self.model.truncate(path, size)
        )

    def do_unlink(self, place, path, *_):
        self.same("unlink", lambda: os.unlink(place), lambda: self.model.unlink(path))

    def do_mkdir(self, place, path, *_):
        self.same("mkdir", lambda: os.mkdir(place), lambda: self.model.mkdir(path))

    def do_rmdir(self, place, path, *_):
        self.same("rmdir", lambda: os.rmdir(place), lambda: self.model.rmdir(path))

    def do_read(self, place, path, *_):
        self.same("read", place.read_bytes, lambda: self.model.file(path))

    def do_list(self, place, path, *_):
        self.same("list", lambda: sorted(os.listdir(place)), lambda: self.model.listdir(path))

    def do_stat(self, place, path, *_):
        node = self.model.find(path)
        if isinstance(node, bytes):
            self.same("size", lambda: place.stat().st_size, lambda: len(node))
        else:
            self.same("is a directory", place.is_dir, lambda: node is not None)

    def do_map(self, place, path, *_):
        node = self.model.find(path)
        if not node or isinstance(node, dict):
            return
        fd = os.open(place, os.O_RDONLY)
        try:
            with mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
                self.same("map", lambda: mapped[:], lambda: node)
        finally:
            os.close(fd)

    def do_rename(self, place, path, folder, other):
        flags = self.random.choice([0, 0, 0, RENAME_NOREPLACE])
        target = self.at(folder, other)
        self.same(
            "rename",
            lambda: ignore(rename2(place, target, flags)),
            lambda: self.model.rename(path, other, flags),
        )

    def do_exchange(self, place, path, folder, other):
        """Of two files; directories and scratch files are refused."""
        ends = [self.model.find(path), self.model.find(other)]
        if any(isinstance(end, dict) for end in ends) or {path[-1], other[-1]} & set(SCRATCH_NAMES):
            return
        target = self.at(folder, other)
        self.same(
            "exchange",
            lambda: ignore(rename2(place, target, RENAME_EXCHANGE)),
            lambda: self.model.rename(path, other, RENAME_EXCHANGE),
        )

    def do_edit(self, place, path, *_):
        """Reads, writes and truncations through one descriptor, as fsx does them."""
        old = self.model.find(path)
        if not isinstance(old, bytes):
            return
        now = bytearray(old)
        fd = os.open(place, os.O_RDWR)
        try:
            for _ in range(self.random.randrange(1, 12)):
                self.edit_once(fd, now)
        finally:
            os.close(fd)
        self.model.parent(path)[path[-1]] = bytes(now)
        self.same("after the close", place.read_bytes, lambda: bytes(now))

    def edit_once(self, fd, now):
        offset = self.random.randrange(len(now) + 500)
        kind = self.random.choice(["pread", "pwrite", "pwrite", "ftruncate", "fsync", "size"])
        self.story.append((kind, offset))
        if kind == "pread":
            size = self.random.randrange(5000)
            self.same(
                "pread", lambda: os.pread(fd, size, offset), lambda: bytes(now[offset:][:size])
            )
        elif kind == "pwrite":
            data = self.random.randbytes(self.random.randrange(1, 3000))
            os.pwrite(fd, data, offset)
            now.extend(bytes(max(0, offset - len(now))))
            now[offset : offset + len(data)] = data
        elif kind == "ftruncate":
            os.ftruncate(fd, offset)
            now.extend(bytes(max(0, offset - len(now))))
            del now[offset:]
        elif kind == "fsync":
            os.fsync(fd)
        else:
            self.same("size", lambda: os.fstat(fd).st_size, lambda: len(now))

    # ---- the whole ---------------------------------------------------------------------------------

    def check_all(self):
        todo = [()]
        while todo:
            path = todo.pop()
            for folder in self.folders:
                self.settle(folder, path)
            node = self.model.find(path)
            if isinstance(node, dict):
                todo += [path + (name,) for name in node]

    def go(self, count):
        """Does count operations; the model at the end. A Failure tells the seed and the story."""
        try:
            for _ in range(count):
                self.step()
            self.check_all()
        except (Failure, OSError) as problem:
            story = "\n".join(f"  {step}" for step in self.story[-LAST_SHOWN:])
            raise Failure(
                f"seed {self.seed}, step {len(self.story)}: {problem}\n{story}"
            ) from problem
        return self.model


def shorten(value):
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


def ignore(_):
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dirs", nargs="+", metavar="DIR")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.runs):
        print(f"fsx: seed {seed}", flush=True)
        here = f"fsx-{seed}"
        os.mkdir(Path(options.dirs[0]) / here)
        folders = [Path(folder) / here for folder in options.dirs]
        run = Run(folders, seed, scratch=len(folders) == 1)
        run.settle(folders[-1], ())
        try:
            run.go(options.count)
        except Failure as problem:
            print(problem)
            return 1
        shutil.rmtree(folders[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
