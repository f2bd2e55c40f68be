"""Golden tile: the sequencer and the two engines, executing an image's program as one logical tile that owns every
row.
"""
