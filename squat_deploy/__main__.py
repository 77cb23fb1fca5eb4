"""`squat-deploy`, or `python -m squat_deploy`; a Ctrl-C while packages are imported ends like every other."""

from __future__ import annotations

import contextlib
import os
import sys

from squat_deploy import interrupts


def main() -> None:
    """Entry point."""
    with interrupts.noticed():
        try:
            _run()
        except BaseException as error:
            if not interrupts.seen():
                raise
            interrupts.handled()
            if not isinstance(error, SystemExit):
                interrupts.tell(as_json="--json" in sys.argv[1:])
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(interrupts.EXIT_CODE)  # packages whose import was cut off do not survive a tidy end


def _run() -> None:
    from squat_deploy.cli.app import app

    app()


if __name__ == "__main__":
    main()
