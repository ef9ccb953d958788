"""``python -m skyproxy``."""

from __future__ import annotations

from skyproxy.command.main import main

if __name__ == "__main__":
    main()
