"""`python -m keystead` is the command line."""

from keystead.cli.app import main

main()
