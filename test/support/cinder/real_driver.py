#!/usr/bin/python3
"""Runs the posix backup driver of a real, unmodified Cinder (Debian's python3-cinder) on a folder.

  real_driver.py backup ROOT VOLUME VOLUME_ID BACKUP_ID [PARENT_ID] [COMPRESSION] [OBJECT_BYTES] [BLOCK_BYTES]
  real_driver.py restore ROOT BACKUP_ID TARGET
  real_driver.py import BACKUP_URL          decodes a record as Cinder does, and prints it

Stands in for the database alone: rows of backups come from the metadata of the repository. What is restored, how, and what is
refused is the driver's own. Prints JSON: seconds of the driver's work, and what it gave the volume.
"""
import eventlet

eventlet.monkey_patch()

import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from oslo_config import cfg  # noqa: E402
from cinder.common import config  # noqa: E402,F401
from cinder import context, objects, version  # noqa: E402

objects.register_all()
import cinder.backup.manager  # noqa: E402,F401  registers the options
from cinder.backup.drivers import posix  # noqa: E402

CONF = cfg.CONF


class Row(dict):
    """A row of a backup: what the driver asks of one, as members and as keys."""
    def __getattr__(self, name):
        return self[name]

    def __setattr__(self, name, value):
        self[name] = value

    def save(self):
        pass

    def refresh(self):
        pass

    def as_read_deleted(self):
        return contextlib.nullcontext()


def rows(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            if not name.endswith('_metadata'):
                continue
            with open(os.path.join(folder, name), encoding='ascii') as file:
                facts = json.load(file)
            found[facts['backup_id']] = row(
                id=facts['backup_id'], volume_id=facts['volume_id'], parent_id=facts['parent_id'],
                parent=None, container=os.path.relpath(folder, root), service_metadata=name[:-len('_metadata')],
                status='available')
    return found


def row(**given):
    values = {'id': None, 'volume_id': None, 'parent_id': None, 'snapshot_id': None, 'container': None, 'size': 1,
              'service_metadata': None, 'status': 'creating', 'display_name': None, 'display_description': None,
              'object_count': 0, 'availability_zone': 'nova', 'host': 'test', 'created_at': '2026-01-01 00:00:00+00:00',
              'encryption_key_id': None}
    return Row({**values, **given})


def driver_of(root, **options):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, 'cinder.conf')
    values = {'state_path': folder, 'transport_url': 'fake:/', 'backup_posix_path': root,
              'backup_enable_progress_timer': 'False', **options}
    with open(path, 'w', encoding='ascii') as file:
        file.write('[DEFAULT]\n' + ''.join('%s = %s\n' % item for item in values.items()))
    CONF(['--config-file', path], project='cinder', version=version.version_string(), default_config_files=[path])
    known = rows(root)
    objects.Backup.get_by_id = classmethod(lambda cls, ctx, ident, *_, **__: known[ident])
    driver = posix.PosixBackupDriver(context.get_admin_context())
    driver.db = type('Db', (), {'volume_get': staticmethod(lambda ctx, ident: {'id': ident, 'size': 1})})
    for name in ('_send_progress_end', '_send_progress_notification'):
        setattr(driver, name, lambda *_: None)
    return driver, known


def main():
    verb, *words = sys.argv[1:]
    if verb == 'import':
        print(json.dumps(objects.Backup.decode_record(words[0]), default=str))
        return
    root, *words = words
    given = []
    if verb == 'backup':
        volume, volume_id, ident, parent, compression, size, block = [*words, *[''] * (7 - len(words))]
        options = {'backup_compression_algorithm': compression or 'zlib', 'backup_file_size': size or 1999994880,
                   'backup_sha_block_size_bytes': block or 32768}
        driver, _ = driver_of(root, **options)
        backup = row(id=ident, volume_id=volume_id, parent_id=parent or None)
        begun = time.monotonic()
        with open(volume, 'rb') as file:
            driver.backup(backup, eventlet.tpool.Proxy(file), backup_metadata=False)
    else:
        ident, target = words
        driver, known = driver_of(root)
        driver.put_metadata = lambda volume, text: given.append(json.loads(text))
        known[ident].status = 'restoring'
        begun = time.monotonic()
        with open(target, 'wb') as file:
            driver.restore(known[ident], 'a-volume', eventlet.tpool.Proxy(file))
    print(json.dumps({'seconds': time.monotonic() - begun, 'given': given}))


main()
