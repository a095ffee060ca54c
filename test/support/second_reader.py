#!/usr/bin/python3
"""A second reader of native repositories, written from daemon/format/FORMAT.md alone; tests compare it with the daemon.

    second_reader.py list REPOSITORY
    second_reader.py restore REPOSITORY BACKUP_ID OUTPUT

It needs the Python module `zstandard` and the program `b3sum`. Promises: a byte is written only after the block that it is
of, and every page above it, matched its address; damage ends with status 65 and one sentence. Memory grows with the
number of blocks in the repository, and not with the size of a volume. It knows no catalog, and writes nothing but OUTPUT.
"""

import json
import sys

sys.dont_write_bytecode = True  # Nothing is left beside the source.

from second_reader_objects import (  # noqa: E402
    DIGEST_BYTES,
    FANOUT,
    UUID,
    Damage,
    Missing,
    list_backup_ids,
    read_description,
    read_manifest,
)
from second_reader_packs import ZERO_ADDRESS, Packs  # noqa: E402

EXIT_USAGE, EXIT_DAMAGE, EXIT_MISSING = 64, 65, 66
PAGE_BYTES = FANOUT * DIGEST_BYTES
# Blocks that are verified in one run of b3sum.
BATCH_BLOCKS = 256


def walk_map(packs, manifest):
    """Pieces (first block, addresses) in order, at most `BATCH_BLOCKS` addresses each; what is left out is zeros."""
    block_bytes = manifest["map"]["block_bytes"]
    blocks = -(-manifest["volume"]["size_bytes"] // block_bytes)
    root = bytes.fromhex(manifest["map"]["root"])
    yield from walk_page(packs, root, manifest["map"]["height"], 0, blocks)


def walk_page(packs, address, level, first, blocks):
    if address == ZERO_ADDRESS:
        return
    page = packs.blocks([address], PAGE_BYTES)[0]
    span = FANOUT ** (level - 1)
    entries = [page[at : at + DIGEST_BYTES] for at in range(0, PAGE_BYTES, DIGEST_BYTES)]
    # Entries behind the end of the volume are not used.
    entries = entries[: max(0, -(-(blocks - first) // span))]
    if level > 1:
        for number, entry in enumerate(entries):
            yield from walk_page(packs, entry, level - 1, first + number * span, blocks)
        return
    for at in range(0, len(entries), BATCH_BLOCKS):
        yield first + at, entries[at : at + BATCH_BLOCKS]


def list_backups(root):
    description = read_description(root)
    backups, damaged = [], []
    for backup_id in list_backup_ids(root):
        try:
            backups.append(read_manifest(root, description, backup_id))
        except Damage as damage:
            damaged.append(str(damage))
    print(json.dumps(backups, indent=2))
    if len(damaged) > 0:
        raise Damage("; ".join(damaged))


def restore(root, backup_id, output):
    if UUID.fullmatch(backup_id) is None:
        raise Missing(f'"{backup_id}" is not the id of a backup')
    manifest = read_manifest(root, read_description(root), backup_id)
    packs = Packs(root)
    size = manifest["volume"]["size_bytes"]
    block_bytes = manifest["map"]["block_bytes"]
    with open(output, "wb") as file:
        file.truncate(size)
        for first, addresses in walk_map(packs, manifest):
            for number, block in enumerate(packs.blocks(addresses, block_bytes), first):
                offset = number * block_bytes
                if addresses[number - first] != ZERO_ADDRESS:
                    file.seek(offset)
                    file.write(block[: size - offset])


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "list":
        list_backups(arguments[1])
    elif len(arguments) == 4 and arguments[0] == "restore":
        restore(*arguments[1:])
    else:
        print(__doc__, file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Damage as damage:
        print(f"Cannot read the repository: {damage}", file=sys.stderr)
        sys.exit(EXIT_DAMAGE)
    except Missing as missing:
        print(f"Cannot read the repository: {missing}", file=sys.stderr)
        sys.exit(EXIT_MISSING)
