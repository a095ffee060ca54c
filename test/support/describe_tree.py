"""Prints a line for each file below a folder: path, attributes, extended attributes, link, digest of the content.

Two trees that print the same show the same. Holes are passed over where the file says that they are holes; what is zeros counts
as a hole. Usage: describe_tree.py FOLDER [WITHOUT-FIELD]..."""

import errno
import hashlib
import os
import stat
import sys

STEP = 65536
ZEROS = bytes(STEP)


def digest(path):
    total = hashlib.sha256()
    file = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while True:
            try:
                begin = os.lseek(file, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return total.hexdigest()
                raise
            end = os.lseek(file, begin, os.SEEK_HOLE)
            assert end > begin >= at
            at = max(at, begin - begin % STEP)
            while at < end:
                piece = os.pread(file, STEP, at)
                if piece != ZEROS[: len(piece)]:
                    total.update(b"%d:" % at)
                    total.update(piece)
                at += STEP
    finally:
        os.close(file)


def describe(path, name, without):
    found = os.lstat(path)
    fields = {
        "mode": oct(found.st_mode),
        "links": found.st_nlink,
        "owner": (found.st_uid, found.st_gid),
        "size": found.st_size,
        "blocks": found.st_blocks,
        "device": (os.major(found.st_rdev), os.minor(found.st_rdev)),
        "modified": found.st_mtime_ns,
        "changed": found.st_ctime_ns,
        "accessed": found.st_atime_ns,
    }
    fields["attributes"] = sorted(
        (key, os.getxattr(path, key, follow_symlinks=False).hex())
        for key in os.listxattr(path, follow_symlinks=False)
    )
    if stat.S_ISLNK(found.st_mode):
        fields["target"] = os.readlink(path).hex()
    if stat.S_ISREG(found.st_mode):
        fields["digest"] = digest(path)
    shown = " ".join(f"{key}={value}" for key, value in fields.items() if key not in without)
    print(f"{name.decode('latin1')!r} {shown}")


def walk(path, name, without):
    describe(path, name, without)
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        return
    for entry in sorted(os.listdir(path)):
        walk(os.path.join(path, entry), os.path.join(name, entry), without)


walk(os.fsencode(sys.argv[1]), b".", set(sys.argv[2:]))
