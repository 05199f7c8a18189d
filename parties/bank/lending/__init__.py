"""Loans after the decision: an exact account per loan, its movements, partners' balances, statements and vouchers."""
