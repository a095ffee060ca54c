#!/usr/bin/python3
"""Runs the POSIX backup driver of Debian's python3-cinder on one volume file, for the benchmark.

  cinder_driver.py backup  REPOSITORY VOLUME BACKUP ALGORITHM [PARENT]
  cinder_driver.py restore REPOSITORY BACKUP TARGET new|over

The driver, its chunked base class, its compressors and its native threads are Cinder's own, unchanged, with its default
file size and hash block. What it asks of the rest of Cinder (the record of a backup, the row of a volume, notifications)
is answered from memory here, so that neither a database nor a message bus is needed or measured. Records are kept as
JSON in REPOSITORY/records. Prints the seconds and the processor seconds of the driver's call alone, as JSON.
"""

import eventlet

eventlet.monkey_patch()

import contextlib
import inspect
import json
import os
import sys
import time

from oslo_config import cfg

from cinder import context
from cinder import objects
from cinder.volume import volume_utils

VOLUME_ID = 'ba5a1700-0000-4000-8000-000000000000'
KEPT = ('id', 'volume_id', 'container', 'service_metadata', 'parent_id', 'size', 'object_count', 'status')


class Record:
    """What the driver uses of a Backup object."""

    display_name = display_description = encryption_key_id = None
    created_at = '2024-01-01T00:00:00Z'

    def __init__(self, **fields):
        for name in KEPT:
            setattr(self, name, fields.get(name))

    def __getitem__(self, name):
        return getattr(self, name)

    def get(self, name, default=None):
        return getattr(self, name, default)

    def update(self, fields):
        for name, value in fields.items():
            setattr(self, name, value)

    def save(self):
        """The record is written once, at the end."""

    refresh = save

    @contextlib.contextmanager
    def as_read_deleted(self):
        yield


class Volumes:
    """What the driver uses of the database."""

    def __init__(self, size):
        self.size = size

    def volume_get(self, _context, volume_id):
        return {'id': volume_id, 'size': self.size}


def configure(repository, algorithm):
    objects.register_all()
    import cinder.backup.manager  # noqa: registers the options of backups
    import cinder.cmd.backup  # noqa: registers backup_native_threads_pool_size
    from cinder.backup.drivers import posix

    conf = cfg.CONF
    conf([], project='cinder', default_config_files=[])
    conf.set_override('connection', 'sqlite://', group='database')
    conf.set_override('backup_posix_path', repository)
    conf.set_override('backup_compression_algorithm', algorithm)
    eventlet.tpool.set_num_threads(conf.backup_native_threads_pool_size)
    volume_utils.notify_about_backup_usage = lambda *_words, **_more: None
    return posix.PosixBackupDriver


def path_of(repository, backup_id):
    return os.path.join(repository, 'records', backup_id + '.json')


def load(repository, backup_id):
    with open(path_of(repository, backup_id)) as file:
        return Record(**json.load(file))


def keep(repository, record):
    os.makedirs(os.path.join(repository, 'records'), exist_ok=True)
    with open(path_of(repository, record.id), 'w') as file:
        json.dump({name: getattr(record, name) for name in KEPT}, file)


def open_driver(driver_class, size):
    driver = driver_class(context.get_admin_context())
    driver.db = Volumes(size)
    return driver


def timed(call, *words):
    cpu, began = os.times(), time.monotonic()
    call(*words)
    seconds, after = time.monotonic() - began, os.times()
    print(json.dumps({'seconds': seconds, 'cpu_seconds': after.user + after.system - cpu.user - cpu.system}))


def backup(repository, volume, backup_id, algorithm, parent_id=None):
    driver_class = configure(repository, algorithm)
    objects.Backup.get_by_id = lambda _context, wanted, **_more: load(repository, wanted)
    gibibytes = -(-os.path.getsize(volume) // (1 << 30))
    record = Record(id=backup_id, volume_id=VOLUME_ID, parent_id=parent_id, size=gibibytes, status='creating')
    driver = open_driver(driver_class, gibibytes)
    with open(volume, 'rb') as file:
        timed(driver.backup, record, eventlet.tpool.Proxy(file), False)
    record.status = 'available'
    keep(repository, record)


def restore(repository, backup_id, target, mode):
    driver_class = configure(repository, 'none')
    objects.Backup.get_by_id = lambda _context, wanted, **_more: load(repository, wanted)
    record = load(repository, backup_id)
    record.status = 'restoring'
    driver = open_driver(driver_class, record.size)
    with open(target, 'wb' if mode == 'new' else 'rb+') as file:
        timed(driver.restore, record, VOLUME_ID, eventlet.tpool.Proxy(file), *extra(driver))


def extra(driver):
    """Newer drivers are told whether the volume is new."""
    return [False] if 'volume_is_new' in inspect.signature(driver.restore).parameters else []


if __name__ == '__main__':
    {'backup': backup, 'restore': restore}[sys.argv[1]](*sys.argv[2:])
