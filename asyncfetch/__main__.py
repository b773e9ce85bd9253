"""python -m asyncfetch."""

from asyncfetch.cli import main

if __name__ == "__main__":
    main()
