#!/usr/bin/python3
"""A second, small reader of Cinder's chunked backups on a folder, written from the description of the format alone.

  chunked_reader.py restore ROOT BACKUP_ID OUTPUT [--new]   the chain, oldest layer first, each object as a driver applies it
  chunked_reader.py check ROOT BACKUP_ID                    names, texts, MD5, lengths, order, hash lists: faults as JSON
  chunked_reader.py list ROOT                               ids, parents and containers of all complete backups as JSON

--new: as a Cinder of 2023.1 or newer restores to a new volume: every slice of an object, 1 MiB from its start on, that is all
zeros is left out, and the volume is one of zeros before. Without it the volume is full of other bytes before.
"""
import bz2
import hashlib
import json
import os
import re
import stat
import sys
import zlib

SLICE = 1 << 20


def unzstd(data):
    try:
        import zstandard
    except ImportError:
        import zstd
        return zstd.decompress(data)
    size = zstandard.frame_content_size(data)
    assert size >= 0, 'a frame without the size of its content'
    reader = zstandard.ZstdDecompressor().decompressobj()
    raw = reader.decompress(data)
    assert reader.unused_data == b'' and len(raw) == size, 'more than one frame'
    return raw


EXPAND = {'zlib': zlib.decompress, 'bz2': bz2.decompress, 'zstd': unzstd, 'none': bytes}


def backups(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            match = re.fullmatch(r'(volume_[^/]+_\d{14}_backup_([0-9a-f-]{36}))_metadata', name)
            if match:
                with open(os.path.join(folder, name), encoding='ascii') as file:
                    found[match[2]] = (folder, match[1], json.load(file))
    return found


def objects(folder, prefix, metadata):
    """What Cinder demands before it restores: the files are those that the metadata names, no more, no fewer."""
    there = sorted(name for name in os.listdir(folder) if name.startswith(prefix))
    for known in (prefix + '_metadata', prefix + '_sha256file'):
        there.remove(known)
    named = [next(iter(entry.items())) for entry in metadata['objects']]
    assert there == sorted(name for name, _ in named), 'the files are not those of the metadata'
    return named


def data_of(folder, name, entry):
    with open(os.path.join(folder, name), 'rb') as file:
        return EXPAND[entry['compression']](file.read())


def chain_of(found, backup_id):
    chain = []
    while backup_id is not None:
        chain.insert(0, found[backup_id])
        backup_id = found[backup_id][2]['parent_id']
    return chain


def restore(root, backup_id, output, new):
    found = backups(root)
    chain = chain_of(found, backup_id)
    size = json.loads(found[backup_id][2]['basalt'])['volume']['size_bytes'] if 'basalt' in found[backup_id][2] else None
    with open(output, 'wb') as target:
        if size and not new:
            target.write(b'\xa5' * size)
        elif size:
            target.truncate(size)
        for folder, prefix, metadata in chain:
            for name, entry in objects(folder, prefix, metadata):
                data = data_of(folder, name, entry)
                for at in range(0, len(data), SLICE):
                    piece = data[at:at + SLICE]
                    if new and piece.count(0) == len(piece):
                        continue
                    target.seek(entry['offset'] + at)
                    target.write(piece)


def dumped(text):
    return json.dumps(json.loads(text), indent=2, sort_keys=True)


def check(root, backup_id):
    folder, prefix, metadata = backups(root)[backup_id]
    faults = []
    for name in os.listdir(folder):
        mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
        if mode != 0o660:
            faults.append('mode %o of %s' % (mode, name))
    for kind in ('_metadata', '_sha256file'):
        with open(os.path.join(folder, prefix + kind), encoding='ascii') as file:
            text = file.read()
        if text != dumped(text):
            faults.append(kind + ' is not the text that Python writes')
    with open(os.path.join(folder, prefix + '_sha256file'), encoding='ascii') as file:
        hashes = json.load(file)
    end = 0
    for number, (name, entry) in enumerate(objects(folder, prefix, metadata), 1):
        data = data_of(folder, name, entry)
        block = hashes['chunk_size']
        if name != '%s-%05d' % (prefix, number):
            faults.append('name ' + name)
        if len(data) != entry['length'] or hashlib.md5(data).hexdigest() != entry['md5']:
            faults.append('length or md5 of ' + name)
        if entry['offset'] < end or entry['offset'] % block:
            faults.append('offset of ' + name)
        if entry['compression'] != 'none' and os.path.getsize(os.path.join(folder, name)) >= len(data):
            faults.append('%s did not shrink' % name)
        end = entry['offset'] + entry['length']
        for at in range(0, len(data), block):
            wanted = hashes['sha256s'][(entry['offset'] + at) // block]
            if hashlib.sha256(data[at:at + block]).hexdigest() != wanted:
                faults.append('hash at %d of %s' % (at, name))
    return {'faults': faults, 'objects': len(metadata['objects']), 'hashes': len(hashes['sha256s']),
            'compressions': sorted({entry['compression'] for o in metadata['objects'] for entry in o.values()})}


def main():
    verb, root, *rest = sys.argv[1:]
    if verb == 'restore':
        restore(root, rest[0], rest[1], '--new' in rest)
    elif verb == 'check':
        print(json.dumps(check(root, rest[0])))
    else:
        print(json.dumps([{'id': key, 'parent_id': value[2]['parent_id'], 'container': os.path.relpath(value[0], root)}
                          for key, value in backups(root).items()]))


main()
