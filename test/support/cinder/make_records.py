#!/usr/bin/python3
"""Prints records of backups as a real Cinder encodes and decodes them: where records.json comes from.

    apt-get install --no-install-recommends python3-cinder
    /usr/bin/python3 test/support/cinder/make_records.py > test/support/cinder/records.json

Uses nothing of Basalt. Its own part is the choice of values; names, order, dates and escapes are Cinder's
(`objects.Backup.encode_record` and `decode_record`; made with python3-cinder 2:21.3.1-1~deb12u1)."""

import json
import sys
from datetime import datetime, timezone

from cinder import context, objects

objects.register_all()
FULL = "0b2a6c1e-8c5d-4f1a-9b7e-2f0d5a1c3e4f"
VOLUME = "1f9a3c52-7c44-4d0e-8f0b-6a5e4d3c2b1a"


def at(second, microsecond=0):
    return datetime(2026, 11, 21, 9, 32, second, microsecond, tzinfo=timezone.utc)


def encoded(**changed):
    values = {
        "id": FULL,
        "user_id": "5f0c7a5b7d3e4d7f9b1a2c3d4e5f6a7b",
        "project_id": "9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d",
        "volume_id": VOLUME,
        "host": "backup-1",
        "availability_zone": "nova",
        "container": f"0b/2a/{FULL}",
        "parent_id": None,
        "status": "available",
        "fail_reason": None,
        "size": 3,
        "display_name": None,
        "display_description": None,
        "service_metadata": f"volume_{VOLUME}_20261121093253_backup_{FULL}",
        "service": "cinder.backup.drivers.posix.PosixBackupDriver",
        "object_count": 2,
        "temp_volume_id": None,
        "temp_snapshot_id": None,
        "num_dependent_backups": 0,
        "snapshot_id": None,
        "data_timestamp": at(53),
        "restore_volume_id": None,
        "metadata": {},
        "encryption_key_id": None,
        "created_at": at(53, 674227),
        "updated_at": at(59),
        "deleted_at": None,
        "deleted": False,
        **changed,
    }
    backup = objects.Backup(context=context.get_admin_context())
    for name, value in values.items():
        setattr(backup, name, value)
    url = backup.encode_record(driver_info={})
    return {"record": objects.Backup.decode_record(url), "backup_url": url}


records = [
    encoded(),
    encoded(
        id="7d1f0e2c-3b4a-4c5d-8e6f-0a1b2c3d4e5f",
        parent_id=FULL,
        display_name='Größe "müč" \\ \U0001f600 \u2028\x7f\t',
        display_description="line one\nline two/\x01\u0000end",
        metadata={"reason": "upgrade", "schlüssel": "中文", "": ""},
        num_dependent_backups=1,
        snapshot_id="2c3d4e5f-1a2b-4c5d-8e9f-0a1b2c3d4e5f",
        encryption_key_id="3d4e5f60-1a2b-4c5d-8e9f-0a1b2c3d4e5f",
        restore_volume_id="4e5f6071-1a2b-4c5d-8e9f-0a1b2c3d4e5f",
        size=2097152,
    ),
    encoded(
        id="8e2a1f3d-4c5b-4d6e-9f70-1b2c3d4e5f60",
        status="error",
        fail_reason="",
        service=None,
        service_metadata=None,
        container=None,
        object_count=0,
        host=None,
        data_timestamp=None,
        created_at=None,
        updated_at=None,
        size=0,
    ),
]
json.dump(records, sys.stdout, indent=2)
print()
