"""Joint scoring online, what bank and platform have alike: persons as keyed hashes, token directories, settings."""
