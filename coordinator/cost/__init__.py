"""`sealscore plan cost`: seconds and bytes of a run, predicted from its shapes and from parts measured on a machine."""
