"""Gradient-boosted trees over a bank's and a platform's columns, with hidden labels and hidden node membership."""
