"""The bank's own steps of a decision graph: product, limit, price, funding. Each reads one case and adds to it."""
