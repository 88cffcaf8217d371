"""`python -m hw8` is the command `hw8`."""

from hw8.commands import main

if __name__ == "__main__":
    main()
