#!/usr/bin/python3
"""A second encoder of backup records, from the specification alone: a line of JSON with records in, a line with their URLs out.

    echo '[{"id": …}]' | python3 encode_records.py

Needs nothing but Python, whose JSON and base64 are the ones that Cinder writes with."""

import base64
import json
import sys

FIELDS = """driver_info id user_id project_id volume_id host availability_zone container parent_id status
fail_reason size display_name display_description service_metadata service object_count temp_volume_id
temp_snapshot_id num_dependent_backups snapshot_id data_timestamp restore_volume_id metadata
encryption_key_id created_at updated_at deleted_at deleted""".split()


def encoded(record):
    ordered = {name: record[name] for name in FIELDS}
    return base64.b64encode(json.dumps(ordered).encode("ascii")).decode("ascii")


def decoded(url):
    return json.loads(base64.b64decode(url))


for line in sys.stdin:
    records = json.loads(line)
    urls = [encoded(record) for record in records]
    assert [decoded(url) for url in urls] == records
    print(json.dumps(urls), flush=True)
