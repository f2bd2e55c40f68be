"""The matrix engine: banks, processing elements, activation buffer, fetches and KV writes."""
