"""What reads evidence and says what it shows: the standard library and `cryptography`, nothing else of the product.

`protocols.node.standalone` writes these modules, and the few they import, as one file for machines without the product.
"""
