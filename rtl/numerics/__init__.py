"""Arithmetic blocks: exact FP16 products and sums, rounding, FP32."""
