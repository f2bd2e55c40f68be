"""The chip, in Amaranth. Folders follow the block diagram; `contract` is plain Python and imports nothing else of
it.
"""
