"""The bank's credit decision: pure functions over an immutable application. No I/O, clock, randomness or database."""
