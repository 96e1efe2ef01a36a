"""The command that joins libraries."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

Maker = Callable[..., argparse.ArgumentParser]


def register(make: Maker) -> None:
    """Add the command; `make` adds one to the parser."""
    command = make("merge", merge, "join libraries without encoding anything again", [])
    command.add_argument("libraries", nargs="+", metavar="LIBRARY", help="a library's folder, or postgresql://…")
    command.add_argument("-o", "--out", required=True, metavar="LIBRARY", help="the library to join them in")
    command.add_argument("--wait", action="store_true", help="wait while another mmvideo writes to the library")
    command.add_argument("--json", action="store_true", help="print JSON and nothing else")


def merge(options: argparse.Namespace) -> int:
    """Join libraries into one, folders or servers; one library is copied. Interrupted, the same command goes on."""
    from .library import Library
    from .progress import bars

    with Library.open(options.out, wait=options.wait, offline=True) as library, bars(sys.stderr) as progress:
        report = library.merge(options.libraries, progress=progress)
        place = library.place
    if options.json:
        print(json.dumps({name: [str(path) for path in getattr(report, name)] for name in ("carried", "there")}))
    else:
        already = f", {len(report.there)} were there already" if report.there else ""
        print(f"{len(report.carried)} media carried over to {place}{already}")
    return 0
