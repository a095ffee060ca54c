#!/usr/bin/env python3
"""Writes a chain of Cinder backups and the volumes that it was made of, from the description of the format alone:
objects, `_sha256file`, `_metadata`, as the posix driver names them. Knows nothing of our code.

    write_backups.py ORDER      ORDER is JSON: root, images, compression, count, seed, and what else `chain` takes

Prints a JSON list: id, parent_id, volume_id, container, prefix and image of every backup.
"""

import bz2
import hashlib
import json
import os
import random
import sys
import uuid
import zlib

import zstandard

WORDS = [b"volume", b"backup", b"chunk", b"of", b"the", b"object", b"and", b"its", b"hash"]

PACKERS = {
    "none": lambda data: data,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
}


def new_id(rng):
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def new_volume(rng, size):
    """Random bytes, text and zeros in runs of different lengths."""
    volume = bytearray(size)
    at = 0
    while at < size:
        length = min(rng.randrange(1, 900_000), size - at)
        kind = rng.randrange(3)
        if kind == 0:
            volume[at:at + length] = rng.randbytes(length)
        elif kind == 1:
            text = b" ".join(rng.choices(WORDS, k=length // 4 + 1))
            volume[at:at + length] = text.ljust(length)[:length]
        at += length
    return volume


def change(rng, volume, shrink):
    """Writes, zeroes, and sometimes shrinks."""
    for _ in range(rng.randrange(1, 9)):
        at = rng.randrange(len(volume))
        length = min(rng.choice([1, 512, 4096, 70_000, 700_000]), len(volume) - at)
        volume[at:at + length] = rng.choice([bytes, rng.randbytes])(length)
    if shrink and rng.random() < 0.3:
        del volume[-rng.choice([1, 512, 32_768, 100_000]):]


def hashes_of(volume, block):
    return [hashlib.sha256(volume[at:at + block]).hexdigest() for at in range(0, len(volume), block)]


def changed_runs(volume, chunk, block, hashes, before):
    """Runs of changed blocks that do not cross the border of a chunk; without `before` whole chunks."""
    for start in range(0, len(volume), chunk):
        end = min(start + chunk, len(volume))
        if before is None:
            yield start, end
            continue
        run = None
        for at in range(start, end, block):
            number = at // block
            same = number < len(before) and hashes[number] == before[number]
            if not same and run is None:
                run = at
            if same and run is not None:
                yield run, at
                run = None
        if run is not None:
            yield run, end


def write_backup(order, volume, ids, before, number):
    root, block, chunk = order["root"], order["block"], order["chunk"]
    backup_id, volume_id = ids["id"], ids["volume_id"]
    container = order.get("container") or f"{backup_id[0:2]}/{backup_id[2:4]}/{backup_id}"
    folder = os.path.join(root, container)
    os.makedirs(folder, exist_ok=True)
    prefix = f"volume_{volume_id}_202601020304{number:02d}_backup_{backup_id}"
    hashes = hashes_of(volume, block)
    objects = []
    for start, end in changed_runs(volume, chunk, block, hashes, before):
        raw = bytes(volume[start:end])
        packed, word = PACKERS[order["compression"]](raw), order.get("word", order["compression"])
        if len(packed) >= len(raw):
            packed, word = raw, "none"
        name = f"{prefix}-{len(objects) + 1:05d}"
        with open(os.path.join(folder, name), "wb") as file:
            file.write(packed)
        facts = {"offset": start, "length": end - start, "compression": word, "md5": hashlib.md5(raw).hexdigest()}
        objects.append({name: facts})
    common = {
        "version": "1.0.0",
        "backup_id": backup_id,
        "volume_id": volume_id,
        "backup_name": f"backup {number}",
        "backup_description": None,
        "created_at": f"2026-01-02 03:04:{number:02d}.674227+00:00",
    }
    meta = {"version": 2, "volume-base-metadata": {"display_name": order.get("volume_name", "a volume"), "size": 1}}
    meta["volume-base-metadata"]["encryption_key_id"] = order.get("encryption_key_id")
    if "properties" in order:
        meta["volume-metadata"] = order["properties"]
    documents = {
        "sha256file": {**common, "chunk_size": block, "sha256s": hashes},
        "metadata": {**common, "objects": objects, "parent_id": ids["parent_id"], "volume_meta": json.dumps(meta)},
    }
    for name, document in documents.items():
        with open(os.path.join(folder, f"{prefix}_{name}"), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=order.get("indent", 2), sort_keys=True)
    return {**ids, "container": container, "prefix": prefix}, hashes


def chain(order):
    rng = random.Random(order["seed"])
    volume = new_volume(rng, order["size"])
    volume_id, parent, before, made = new_id(rng), None, None, []
    for number in range(order["count"]):
        if number > 0:
            change(rng, volume, order.get("shrink", True))
            if number == order.get("grow"):
                # A volume that has grown gets a new full backup.
                volume += rng.randbytes(300_000)
                parent = before = None
        ids = {"id": new_id(rng), "volume_id": volume_id, "parent_id": parent}
        place, before = write_backup(order, volume, ids, before, number)
        image = os.path.join(order["images"], f"{ids['id']}.img")
        with open(image, "wb") as file:
            file.write(volume)
        made.append({**place, "image": image})
        parent = ids["id"]
    return made


if __name__ == "__main__":
    json.dump(chain(json.loads(sys.argv[1])), sys.stdout)
