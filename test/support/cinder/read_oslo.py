#!/usr/bin/python3
"""Reads files as oslo.config does: a line of JSON with texts in, a line with what each holds, or null where it is refused.

Needs Debian's python3-oslo.config; the test that uses it is skipped without."""

import json
import sys

from oslo_config import cfg, iniparser


class Reader(iniparser.BaseParser):
    def __init__(self):
        super().__init__()
        self.sections = {}
        self.section = "DEFAULT"

    def assignment(self, key, value):
        self.sections.setdefault(self.section, {})[key] = "\n".join(value)

    def new_section(self, section):
        self.section = section if section == "DEFAULT" else section.lower()
        self.sections.setdefault(self.section, {})


def read(text):
    reader = Reader()
    try:
        reader.parse(text.split("\n"))
    except (iniparser.ParseError, cfg.ConfigFileParseError):
        return None
    return reader.sections


for line in sys.stdin:
    print(json.dumps([read(text) for text in json.loads(line)]), flush=True)
