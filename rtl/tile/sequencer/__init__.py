"""The sequencer: walks the program, resolves addresses and formats, feeds both engines."""
