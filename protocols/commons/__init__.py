"""What several banks with the same columns agree on before they train: one encoding, one whitening basis."""
