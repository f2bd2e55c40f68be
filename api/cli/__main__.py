"""`python -m hayate.cli` is the program `hayate`."""

from hayate.cli.main import main

main()
