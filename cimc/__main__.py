"""``python -m cimc``."""

from cimc.cli import main

if __name__ == "__main__":
    main()
