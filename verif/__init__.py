"""Golden simulator (`golden`), simulation benches (`bench`) and the tests, by block."""
