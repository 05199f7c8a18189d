"""Event counts of a platform's bins: one matrix product, opened to the platform."""
