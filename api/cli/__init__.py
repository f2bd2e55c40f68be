"""The `hayate` command line: options and defaults in `main` and `bench`, the work of a command in a module of its
own.
"""
