#!/usr/bin/env python3
"""Writes the dashboards next to this file; with --check says which of them are not what it would write."""

import json
import sys
from pathlib import Path

import fleet
import machine

HERE = Path(__file__).resolve().parent


def main():
    check, differ = "--check" in sys.argv[1:], []
    for built in (fleet.build(), machine.build()):
        path = HERE / f"{built['uid']}.json"
        text = json.dumps(built, indent=1, ensure_ascii=False) + "\n"
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                differ.append(path.name)
        else:
            path.write_text(text, encoding="utf-8")
    if differ:
        sys.exit(f"not as generated: {', '.join(differ)}; run contrib/grafana/generate.py")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
