"""A torch network at the bank over a source layer of the platform's columns, whose weights are shared."""
