"""The command line of `make demo`: `python -m demo_site.run [--port N] [--limit N] [--smoke]`."""

from __future__ import annotations

import argparse
import os
import sys

from demo_site.run.show import Trouble, run


def main() -> int:
    """Run the demo; trouble is one clear line, not a traceback."""
    parser = argparse.ArgumentParser(prog="python -m demo_site.run", description="Run the demo shop until Ctrl-C.")
    wanted = os.environ.get("PORT", "8000")
    parser.add_argument("--port", type=int, default=wanted, help="the shop's port, or PORT=…; 0 for any that is free")
    parser.add_argument("--limit", type=int, help="load so many stones instead of all 53,940")
    parser.add_argument("--smoke", action="store_true", help="ask for a product twice, expect a miss and a hit, stop")
    given = parser.parse_args()
    try:
        run(port=given.port, limit=given.limit, smoke=given.smoke)
    except Trouble as trouble:
        sys.stderr.write(f"\nThe demo stopped: {trouble}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
