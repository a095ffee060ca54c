"""Packs for the second reader: directories, the index made from them, and verified blocks. Source: FORMAT.md, "Packs".

Promises: a pack whose directory does not verify is not used, and said; `Packs.blocks` gives only bytes that match their address.
"""

import os
import struct
import sys

import zstandard
from second_reader_objects import BLOCK_BYTES_MAX, DIGEST_BYTES, HEX_DIGEST, Damage, digests_of, names_in

HEADER_BYTES, ENTRY_BYTES, TRAILER_BYTES = 16, 48, 64
ENCODING_RAW, ENCODING_ZSTD = 1, 2
PACK_BYTES_MAX = 34704464
ZERO_ADDRESS = bytes(DIGEST_BYTES)


class Packs:
    """The index, made from the directory of every pack, and the blocks behind it."""

    def __init__(self, root):
        self.root = root
        self.keys = []
        self.places = {}
        self.damaged = []
        self.files = {}
        packs = os.path.join(root, "packs")
        for folder in sorted(names_in(packs)):
            for file in sorted(names_in(os.path.join(packs, folder))):
                name = file[:-5]
                if file.endswith(".pack") and HEX_DIGEST.fullmatch(name) and folder == name[:2]:
                    self.add(f"packs/{folder}/{file}", name)

    def add(self, key, name):
        try:
            directory = read_directory(self.root, key, name)
        except Damage as damage:
            self.damaged.append(str(damage))
            print(f"Cannot use a pack: {damage}", file=sys.stderr)
            return
        number = len(self.keys)
        self.keys.append(key)
        for address, offset, stored, raw_and_encoding, _ in struct.iter_unpack("<32sIIII", directory):
            place = (number, offset, stored, raw_and_encoding & 0xFFFFFF, raw_and_encoding >> 24)
            self.places.setdefault(address, []).append(place)

    def blocks(self, addresses, raw_bytes):
        """The verified bytes of each address. Where one copy is damaged the others are tried."""
        found = {}
        open_addresses = set(addresses) - {ZERO_ADDRESS}
        attempt = 0
        while len(open_addresses) > 0:
            candidates = []
            for address in sorted(open_addresses):
                places = self.places.get(address, [])
                if attempt >= len(places):
                    raise Damage(self.why_not(address, places))
                candidates.append((address, self.expand(places[attempt], raw_bytes)))
            candidates = [(address, block) for address, block in candidates if block is not None]
            for (address, block), digest in zip(candidates, digests_of([block for _, block in candidates])):
                if digest == address:
                    found[address] = block
            open_addresses -= found.keys()
            attempt += 1
        found[ZERO_ADDRESS] = bytes(raw_bytes)
        return [found[address] for address in addresses]

    def why_not(self, address, places):
        if len(places) > 0:
            keys = ", ".join(f'"{self.keys[place[0]]}" at byte {place[1]}' for place in places)
            return f"block {address.hex()} is damaged in {keys}"
        also = f"; {len(self.damaged)} packs can't be used: {self.damaged[0]}" if self.damaged else ""
        return f"no pack holds block {address.hex()}{also}"

    def expand(self, place, raw_bytes):
        """The raw bytes of one copy, not verified; None where the copy can't be right."""
        number, offset, stored_bytes, raw, encoding = place
        if raw != raw_bytes:
            return None
        stored = self.read(number, offset, stored_bytes)
        if stored is None:
            return None
        if encoding == ENCODING_RAW:
            return stored if len(stored) == raw else None
        if encoding != ENCODING_ZSTD:
            return None
        try:
            # The size in the frame decides how much is allocated: it is looked at first.
            if zstandard.frame_content_size(stored) != raw:
                return None
            block = zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
        except zstandard.ZstdError:
            return None
        return block if len(block) == raw else None

    def read(self, number, offset, length):
        file = self.files.get(number)
        if file is None:
            if len(self.files) >= 32:
                self.files.pop(next(iter(self.files))).close()
            try:
                file = self.files[number] = open(os.path.join(self.root, self.keys[number]), "rb")
            except FileNotFoundError:
                return None
        content = os.pread(file.fileno(), length, offset)
        return content if len(content) == length else None


def read_directory(root, key, name):
    with open(os.path.join(root, key), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < HEADER_BYTES + TRAILER_BYTES:
            raise Damage(f'"{key}" is cut off')
        if size > PACK_BYTES_MAX:
            raise Damage(f'"{key}" is larger than any pack')
        if file.read(HEADER_BYTES) != struct.pack("<8sII", b"BASALTPK", 1, 0):
            print(f'The header of "{key}" is damaged; it is not needed', file=sys.stderr)
        file.seek(size - TRAILER_BYTES)
        trailer = file.read(TRAILER_BYTES)
        digest, count, version, offset, _, magic = struct.unpack("<32sIIQ8s8s", trailer)
        if magic != b"BASALTDR":
            raise Damage(f'"{key}" does not end as a pack does')
        if version != 1:
            raise Damage(f'"{key}" has version {version}, and this program reads version 1')
        if digest.hex() != name:
            raise Damage(f'the name of "{key}" is not the digest of its directory')
        if offset < HEADER_BYTES or offset + count * ENTRY_BYTES + TRAILER_BYTES != size:
            raise Damage(f'the length of "{key}" is not what its trailer says')
        file.seek(offset)
        directory = file.read(count * ENTRY_BYTES)
    if digests_of([directory])[0] != digest:
        raise Damage(f'the directory of "{key}" is damaged')
    for _, start, stored, raw_and_encoding, _ in struct.iter_unpack("<32sIIII", directory):
        raw = raw_and_encoding & 0xFFFFFF
        if start < HEADER_BYTES or start + stored > offset:
            raise Damage(f'the directory of "{key}" points outside of its payload')
        if not 1 <= raw <= BLOCK_BYTES_MAX or not 1 <= stored <= raw:
            raise Damage(f'the directory of "{key}" has an impossible length')
    return directory
