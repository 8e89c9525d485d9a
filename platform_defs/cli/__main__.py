"""`python -m platform_defs.cli`: what ./backline starts."""

from platform_defs.cli.main import main

if __name__ == "__main__":
    main()
