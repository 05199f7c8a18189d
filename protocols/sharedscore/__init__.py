"""Scores of a model whose weights stay shared; README.md says who learns what."""
