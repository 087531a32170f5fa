"""Writes the expectations of the contract of sources anew: `python -m tests.contract.update [source ..]`. Read each before it is kept."""

from __future__ import annotations

import json
import sys

from scrapers.source import all_sources
from tests.support.samples import DATA, bodies_of, expectation_of, outcome


def main(names: list[str]) -> None:
    """Write the expectation of every sample whose outcome is another than it says."""
    for source in all_sources():
        for body in bodies_of(source.name) if not names or source.name in names else []:
            path, found = expectation_of(body), outcome(source, body)
            if not path.exists() or json.loads(path.read_bytes()) != found:
                path.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
                sys.stdout.write(f"{path.relative_to(DATA)}: written, read it\n")


if __name__ == "__main__":
    main(sys.argv[1:])
