"""`python -m yuqing`: the same as the `yuqing` command."""

from __future__ import annotations

from yuqing.cli import main

if __name__ == "__main__":
    main()
