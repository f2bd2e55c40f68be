"""The reproducible measurements behind `hayate bench`, a module for each."""
