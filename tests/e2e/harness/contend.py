# SPDX-License-Identifier: Apache-2.0
"""A program that enters critical sections and would be caught in one that it is not alone in:

    contend.py LOCKFILE KIND SECTIONS COUNTER

KIND is flock or lockf. COUNTER is a file outside the mount, incremented by reading and writing it.
A file of that name with ".inside" is made with O_EXCL on entry, which fails if somebody is inside."""
import fcntl
import os
import sys


def main():
    path, kind, sections, counter = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    lock = getattr(fcntl, kind)
    fd = os.open(path, os.O_RDWR)
    for _ in range(sections):
        lock(fd, fcntl.LOCK_EX)
        os.close(os.open(counter + ".inside", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        with open(counter, encoding="ascii") as file:
            number = int(file.read())
        with open(counter, "w", encoding="ascii") as file:
            file.write(str(number + 1))
        os.unlink(counter + ".inside")
        lock(fd, fcntl.LOCK_UN)


if __name__ == "__main__":
    main()
