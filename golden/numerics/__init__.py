"""Golden arithmetic: exact reductions, FP16 and FP32."""
