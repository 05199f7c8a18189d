"""Another builder of the same trees: rows in Python lists, trees by recursion, every candidate tried.

It shares no code with the grower but the draws of samples; the arithmetic of a gain is written out once more.
"""
from __future__ import annotations

import math

import numpy as np

from protocols.boosting.gradients import quantised_gradients
from protocols.boosting.settings import BoostingSettings

Infinite = (-math.inf, math.inf)


class Naive:
    """`columns`: (bins, monotone, has_missing) of each; nested dicts are the trees."""

    def __init__(self, settings: BoostingSettings, codes, labels, columns, seed: bytes, eligible=None):
        self.s, self.codes, self.y, self.columns = settings, codes.tolist(), labels, columns
        self.seed, self.eligible = seed, eligible or (lambda tree: range(len(columns)))

    def train(self):
        events = int(self.y.sum())
        margins = np.full(len(self.y), math.log(self.s.class_weight * events / (len(self.y) - events)))
        trees = []
        while len(trees) < self.s.trees:
            everyone = np.ones(len(self.y), bool)
            g, h = quantised_gradients(margins, self.y, everyone, self.s, self.seed + len(trees).to_bytes(4, "little"))
            self.g, self.h, self.used = g.tolist(), h.tolist(), list(self.eligible(len(trees)))
            rows = list(range(len(self.y)))
            if not self.counts(rows):
                break
            tree = self.node(rows, 0, Infinite, True)
            if "split" not in tree and not self.s.sampled:
                break
            trees.append(tree)
            for row in rows:
                margins[row] += self.leaf_of(tree, row)
        return trees, margins

    def counts(self, rows):
        return sum(self.g[i] != 0 and self.h[i] != 0 for i in rows) >= self.s.node_rows

    def node(self, rows, depth, bounds, known):
        found = self.best(rows, bounds) if known and depth < self.s.depth else None
        cover = sum(self.h[i] for i in rows) / 2 ** self.s.hessian_bits
        if found is None:
            return {"leaf": self.s.learning_rate * self.weight(rows, bounds), "cover": cover}
        gain, column, at, missing_left = found
        left = [i for i in rows if self.goes_left(i, column, at, missing_left)]
        right = [i for i in rows if not self.goes_left(i, column, at, missing_left)]
        middle = (self.weight(left, bounds) + self.weight(right, bounds)) / 2
        low, high = (bounds[0], middle), (middle, bounds[1])
        inside = {0: (bounds, bounds), 1: (low, high), -1: (high, low)}[self.columns[column][1]]
        open_ = self.counts(left) and self.counts(right)
        return {"split": (column, at, missing_left), "gain": gain, "cover": cover,
                "left": self.node(left, depth + 1, inside[0], open_),
                "right": self.node(right, depth + 1, inside[1], open_)}

    def goes_left(self, row, column, at, missing_left):
        bins, _, has_missing = self.columns[column]
        code = self.codes[row][column]
        return missing_left if has_missing and code == bins - 1 else code <= at

    def best(self, rows, bounds):
        best = None
        for column in self.used:
            bins, monotone, has_missing = self.columns[column]
            for at in range(bins - 1):
                for missing_left in (True, False) if has_missing else (True,):
                    gain = self.gain(rows, column, at, missing_left, monotone, bounds)
                    if gain is not None and (best is None or gain > best[0]):
                        best = (gain, column, at, missing_left)
        if best and not self.columns[best[1]][2]:
            left = sum(self.h[i] for i in rows if self.goes_left(i, *best[1:]))
            best = (*best[:3], 2 * left >= sum(self.h[i] for i in rows))
        return best

    def totals(self, rows):
        return (sum(self.g[i] for i in rows) / 2 ** self.s.gradient_bits,
                sum(self.h[i] for i in rows) / 2 ** self.s.hessian_bits)

    def weight(self, rows, bounds):
        g, h = self.totals(rows)
        return min(max(-g / (h + self.s.l2) if h + self.s.l2 > 0 else 0.0, bounds[0]), bounds[1])

    def score(self, rows, bounds):
        (g, h), w = self.totals(rows), self.weight(rows, bounds)
        return -(2.0 * g * w + (h + self.s.l2) * w * w)

    def gain(self, rows, column, at, missing_left, monotone, bounds):
        left = [i for i in rows if self.goes_left(i, column, at, missing_left)]
        right = [i for i in rows if not self.goes_left(i, column, at, missing_left)]
        weights = [self.totals(side)[1] for side in (left, right)]
        if min(weights) <= 0 or min(weights) < self.s.minimum_child_weight:
            return None
        if monotone * (self.weight(right, bounds) - self.weight(left, bounds)) < 0:
            return None
        gain = self.score(left, bounds) + self.score(right, bounds) - self.score(rows, bounds)
        return gain if gain >= max(1e-6, self.s.gamma) else None

    def leaf_of(self, node, row):
        while "split" in node:
            node = node["left" if self.goes_left(row, *node["split"]) else "right"]
        return node["leaf"]
