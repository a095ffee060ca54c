#!/usr/bin/python3
"""Writes one backup of a volume as Cinder's posix driver does: objects of zeros too, runs of changed blocks cut at object borders
and nowhere else. Written from the description of the format alone.

  chunked_writer.py ROOT VOLUME VOLUME_ID BACKUP_ID [--parent ID] [--compression NAME] [--object N] [--block N]
"""
import argparse
import bz2
import hashlib
import json
import os
import zlib

PACK = {'zlib': zlib.compress, 'bz2': bz2.compress, 'none': bytes}


def find(root, backup_id, ending):
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith('_backup_%s_%s' % (backup_id, ending)):
                with open(os.path.join(folder, name), encoding='ascii') as file:
                    return json.load(file)
    raise SystemExit('there is no backup ' + backup_id)


def dump(path, value):
    with open(path, 'w', encoding='ascii') as file:
        json.dump(value, file, indent=2, sort_keys=True)
    os.chmod(path, 0o660)


def runs(data, hashes, before, args):
    """Runs of changed blocks, none over a border of objects."""
    begin = None
    for number in range(len(hashes) + 1):
        at = number * args.block
        changed = number < len(hashes) and (before is None or before[number] != hashes[number])
        if begin is not None and (not changed or at % args.object == 0):
            yield begin, data[begin:min(at, len(data))]
            begin = None
        if changed and begin is None:
            begin = at


def main():
    parser = argparse.ArgumentParser()
    for name in ('root', 'volume', 'volume_id', 'backup_id'):
        parser.add_argument(name)
    parser.add_argument('--parent')
    parser.add_argument('--compression', default='zlib')
    parser.add_argument('--object', type=int, default=1999994880)
    parser.add_argument('--block', type=int, default=32768)
    args = parser.parse_args()
    ident = args.backup_id
    folder = os.path.join(args.root, ident[:2], ident[2:4], ident)
    os.makedirs(folder)
    prefix = os.path.join(folder, 'volume_%s_20260101000000_backup_%s' % (args.volume_id, ident))
    with open(args.volume, 'rb') as file:
        data = file.read()
    hashes = [hashlib.sha256(data[at:at + args.block]).hexdigest() for at in range(0, len(data), args.block)]
    before = find(args.root, args.parent, 'sha256file')['sha256s'] if args.parent else None
    objects = []
    for offset, raw in runs(data, hashes, before, args):
        stored, word = PACK[args.compression](raw), args.compression
        if len(stored) >= len(raw):
            stored, word = raw, 'none'
        path = '%s-%05d' % (prefix, len(objects) + 1)
        with open(path, 'wb') as file:
            file.write(stored)
        os.chmod(path, 0o660)
        objects.append({os.path.basename(path): {
            'offset': offset, 'length': len(raw), 'compression': word, 'md5': hashlib.md5(raw).hexdigest()}})
    common = {'version': '1.0.0', 'backup_id': ident, 'volume_id': args.volume_id, 'backup_name': None,
              'backup_description': None, 'created_at': '2026-01-01 00:00:00+00:00'}
    dump(prefix + '_sha256file', dict(common, chunk_size=args.block, sha256s=hashes))
    dump(prefix + '_metadata', dict(common, parent_id=args.parent, volume_meta=None, objects=objects))


main()
