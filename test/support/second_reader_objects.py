"""Sealed JSON, manifests and digests for the second reader. Source: daemon/format/FORMAT.md.

Promises: what `read_description` and `read_manifest` give has every member of the format, each within its bounds.
"""

import json
import os
import re
import subprocess
import tempfile

DIGEST_BYTES = 32
FANOUT = 512
BLOCK_BYTES_MIN, BLOCK_BYTES_MAX = 16384, 262144
VOLUME_BYTES_MAX = 2**52
SEALED_BYTES_MAX = 1048576

UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|0{8}(-0{4}){3}-0{12}|f{8}(-f{4}){3}-f{12}"
)
HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


class Damage(Exception):
    """The repository breaks the format: exit status 65."""


class Missing(Exception):
    """There is no such repository or backup: exit status 66."""


def digests_of(pieces):
    """BLAKE3-256 of each piece, by one run of b3sum on files in a temporary folder."""
    if len(pieces) == 0:
        return []
    with tempfile.TemporaryDirectory(prefix="second-reader-") as folder:
        paths = [os.path.join(folder, str(number)) for number in range(len(pieces))]
        for path, piece in zip(paths, pieces):
            with open(path, "wb") as file:
                file.write(piece)
        done = subprocess.run(["b3sum", "--no-names", *paths], check=True, capture_output=True)
    digests = [bytes.fromhex(line) for line in done.stdout.decode("ascii").split()]
    assert len(digests) == len(pieces), "b3sum gives one digest a file"
    return digests


def read_object(root, key, bytes_max):
    path = os.path.join(root, key)
    with open(path, "rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise Damage(f'"{key}" is larger than {bytes_max} bytes')
    return content


def open_sealed_json(key, content):
    line, feed, rest = content.partition(b"\n")
    if feed == b"":
        raise Damage(f'"{key}" is cut off')
    if rest != digests_of([line])[0].hex().encode("ascii") + b"\n":
        raise Damage(f'the digest of "{key}" does not match')
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Damage(f'"{key}" is not JSON') from error
    if not isinstance(value, dict):
        raise Damage(f'"{key}" is not a JSON object')
    return value


def is_size(value):
    return type(value) is int and 0 <= value <= VOLUME_BYTES_MAX


def is_text(value):
    return isinstance(value, str) and code_units(value) <= 4096


def is_short_text(value):
    return isinstance(value, str) and code_units(value) <= 255


def is_text_or_null(value):
    return value is None or is_text(value)


def is_metadata(value):
    return isinstance(value, dict) and all(
        isinstance(text, str) and code_units(text) <= 255 for pair in value.items() for text in pair
    )


def code_units(text):
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_uuid(value):
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def is_block_size(value):
    return type(value) is int and BLOCK_BYTES_MIN <= value <= BLOCK_BYTES_MAX and value & (value - 1) == 0


def is_height(value):
    return type(value) is int and 1 <= value <= 8


def is_hex_digest(value):
    return isinstance(value, str) and HEX_DIGEST.fullmatch(value) is not None


def is_one(value):
    return type(value) is int and value == 1


DESCRIPTION_SHAPE = {
    "format": is_one,
    "kind": lambda value: value == "native",
    "id": is_uuid,
    "block_bytes": is_block_size,
    "fanout": lambda value: type(value) is int and value == FANOUT,
    "hash": lambda value: value == "blake3-256",
    "created_at": is_text,
}

MANIFEST_SHAPE = {
    "format": is_one,
    "backup": {
        "id": is_uuid,
        "name": is_text_or_null,
        "description": is_text_or_null,
        "project_id": is_short_text,
        "parent_id": is_text_or_null,
        "snapshot_id": is_text_or_null,
        "container": is_text_or_null,
        "availability_zone": is_text_or_null,
        "metadata": is_metadata,
        "created_at": is_short_text,
        "data_timestamp": is_short_text,
    },
    "volume": {"id": is_short_text, "name": is_text, "source": is_text, "size_bytes": is_size},
    "map": {"block_bytes": is_block_size, "height": is_height, "root": is_hex_digest},
    "statistics": {
        "read_bytes": is_size,
        "zero_bytes": is_size,
        "known_bytes": is_size,
        "new_bytes": is_size,
        "stored_bytes": is_size,
    },
    "consistency": is_text,
}


def check_shape(key, value, shape, path=""):
    """Every member of `shape` is there and right. Members that `shape` does not know are ignored."""
    if not isinstance(value, dict):
        raise Damage(f'"{path}" of "{key}" is wrong')
    for name, check in shape.items():
        member = f"{path}.{name}" if path else name
        if name not in value:
            raise Damage(f'"{member}" of "{key}" is missing')
        if isinstance(check, dict):
            check_shape(key, value[name], check, member)
        elif not check(value[name]):
            raise Damage(f'"{member}" of "{key}" is wrong')


def read_description(root):
    key = "basalt-repository.json"
    try:
        content = read_object(root, key, SEALED_BYTES_MAX)
    except FileNotFoundError as error:
        raise Missing(f'there is no repository at "{root}"') from error
    # The version comes before the digest: a later format may seal its description in another way.
    try:
        version = json.loads(content.split(b"\n", 1)[0].decode("utf-8")).get("format")
    except (ValueError, AttributeError, RecursionError):
        version = None
    if type(version) is int and version != 1:
        raise Damage(f"the repository has format {version}, and this program reads format 1")
    description = open_sealed_json(key, content)
    check_shape(key, description, DESCRIPTION_SHAPE)
    return description


def height_of(size_bytes, block_bytes):
    height = 1
    while FANOUT**height * block_bytes < size_bytes:
        height += 1
    return height


def read_manifest(root, description, backup_id):
    key = f"manifests/{backup_id}.json"
    try:
        content = read_object(root, key, SEALED_BYTES_MAX)
    except FileNotFoundError as error:
        raise Missing(f'there is no backup "{backup_id}"') from error
    manifest = open_sealed_json(key, content)
    check_shape(key, manifest, MANIFEST_SHAPE)
    if manifest["backup"]["id"] != backup_id:
        raise Damage(f'"{key}" is of another backup')
    if manifest["map"]["block_bytes"] != description["block_bytes"]:
        raise Damage(f'"map.block_bytes" of "{key}" is not that of the repository')
    if manifest["map"]["height"] != height_of(manifest["volume"]["size_bytes"], manifest["map"]["block_bytes"]):
        raise Damage(f'"map.height" of "{key}" does not fit the size of the volume')
    return manifest


def list_backup_ids(root):
    names = sorted(names_in(os.path.join(root, "manifests")))
    return [name[:-5] for name in names if name.endswith(".json") and UUID.fullmatch(name[:-5])]


def names_in(folder):
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
