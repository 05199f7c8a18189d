"""Who learned what in the demo's run, in sentences, for the report."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coordinator.demo.federation import FEATURE, LABEL

MEANING = {
    "commons.histogram": "rows of all banks together in each fixed cell of each bureau column, with every bank's noise",
    "commons.moments": "rows of all banks together in each pair of bins of two columns, with every bank's noise",
    "scale": "a bank's number of rows and the size of its own block, as powers of the square root of 2, to other banks",
    "membership": "one bit per identifier: is it among the peer's too",
    "membership.joint": "one bit per person whom a platform shares with a bank: do all other platforms know it too",
    "coefficients": "each party's own coefficients, at the end, flooded by 1/4096",
    "step.norms": "two norms of the power iteration, to the bank",
    "step.size": "the step size, a power of the square root of 2, to the platform",
    "scores.calibration": "the platform's part of each calibration row's score, to the bank, rounded to 1/32",
    "scores.test": "the platform's part of each test row's score, to the bank, rounded to 1/32",
    "shared.calibration": "the joint score of each calibration row, to the bank, under a flood of 1/64",
    "shared.test": "the joint score of each test row, to the bank, under a flood of 1/64",
    "woe.counts": "defaults among the training rows of each of a platform's bins, to that platform",
    "tree.sums": "sums of gradients and hessians over each bin of the platform's columns, to the bank, of nodes of at "
                 "least 20 rows a bin",
    "tree.splits": "which of its columns and bins won a split, to the platform",
    "tree.sides": "a bit for each training row and split by a column of the platform's, to the bank",
    "tree.kept": "how many of its splits the model keeps, to the platform",
    "sides.calibration": "a bit for each calibration row and kept split, to the bank",
    "sides.test": "a bit for each test row and kept split, to the bank",
    "embeddings": "the numbers that the source layer makes of each training row, in every epoch, to the bank",
    "embeddings.calibration": "the numbers that it makes of each calibration row, to the bank, to 1/8",
    "embeddings.test": "the numbers that it makes of each test row, to the bank, to 1/8",
    "network.epoch": "whether the training goes on after an epoch, to the platform",
    "source.weights": "the weights of the source layer, to the platform",
    "verdict": "whether the joint model was better than the bank's own, to the platforms and the other banks",
}


_WOE = ("how many of the training rows in each of its bins defaulted (encoding woe): exact counts unless the plan's "
        "woe_rho is above 0, so epsilon is infinite")


def learned(metrics: dict[str, Any], source: str, banks: Sequence[str], platforms: Sequence[str], shared: bool = False
            ) -> dict[str, list[str]]:
    """Sentences by party, and what the coordinator learned; `shared`: nobody got coefficients."""
    if metrics["training"]["kind"] == "boosting":
        return _with_trees(metrics, source)
    if metrics["training"]["kind"] == "network":
        return _with_network(metrics, source)
    if shared:
        return _with_shared_weights(metrics, source)
    if len(banks) > 1:
        return _among_banks(metrics, source, banks, platforms)
    told = _of_two(metrics, source) if len(platforms) == 1 else _among_platforms(metrics, source, platforms)
    if "woe.counts" in metrics["openings"]:
        for platform in platforms:
            told[platform] = [*told[platform], _WOE]
    return told


def _of_two(metrics: dict[str, Any], source: str) -> dict[str, list[str]]:
    aligned, holdout = metrics["rows_aligned"], metrics["rows_calibration"] + metrics["rows_test"]
    return {
        LABEL: [
            f"which {aligned:,} of its customers the platform knows too, and how many rows the platform brought",
            f"the number of the platform's whitened columns ({metrics['columns_platform']})",
            "the coefficients of its own columns",
            f"the platform's part of the score of {holdout:,} calibration and test rows, rounded to 1/32; "
            "of no training row",
            "two norms from which the step size follows",
        ],
        FEATURE: [
            f"which {aligned:,} of its users the bank knows too, and how many rows the bank brought",
            f"the number of the bank's whitened columns ({metrics['columns_bank']})",
            "the coefficients of its own columns, and the step size",
            "whether the joint model was better than the bank's own; no label, no score, no residual",
        ],
        "coordinator": [
            "the plan, column names and missing rates, sizes and timing of sealed frames",
            "the metrics in the model card; no row, no coefficient, no key",
            f"nothing of the data (here: {source})",
        ],
    }


def _with_trees(metrics: dict[str, Any], source: str) -> dict[str, list[str]]:
    of_two, opened = _of_two(metrics, source), metrics["openings"]
    holdout = metrics["rows_calibration"] + metrics["rows_test"]
    splits = opened.get("tree.splits", 0)
    return of_two | {
        LABEL: [of_two[LABEL][0], f"the number of bins of each of the platform's {metrics['columns_platform']} columns",
                f"{opened.get('tree.sums', 0):,} sums of gradients and hessians over the platform's bins, of no node "
                "below 20 rows a bin",
                f"at {splits:,} splits by the platform's columns on which side each of {metrics['rows_train']:,} "
                f"training rows is, and each of {holdout:,} calibration and test rows; no column's name, threshold or "
                "value"],
        FEATURE: [of_two[FEATURE][0],
                  f"which of its own columns and bins won {splits:,} splits; nothing of the bank's splits, of gains or "
                  "of leaf values",
                  "whether the joint model was better than the bank's own; no label, score or gradient, and not which "
                  "rows are in a node"],
    }


def _with_network(metrics: dict[str, Any], source: str) -> dict[str, list[str]]:
    of_two, training = _of_two(metrics, source), metrics["training"]
    holdout = metrics["rows_calibration"] + metrics["rows_test"]
    return of_two | {
        LABEL: [*of_two[LABEL][:2],
                f"{training['width']} numbers about each of {metrics['rows_train']:,} training rows in each of "
                f"{training['epochs']} epochs, made of the platform's columns by weights that nobody knows",
                f"{training['width']} such numbers about each of {holdout:,} calibration and test rows, to 1/8"],
        FEATURE: [of_two[FEATURE][0], "after each epoch whether the training goes on, and whose weights are kept",
                  "whether the joint model was better than the bank's own; no label, gradient or number of its own "
                  "source layer, and no weight"],
    }


def _with_shared_weights(metrics: dict[str, Any], source: str) -> dict[str, list[str]]:
    of_two = _of_two(metrics, source)
    holdout = metrics["rows_calibration"] + metrics["rows_test"]
    bank, platform = of_two[LABEL], of_two[FEATURE]
    return of_two | {
        LABEL: [*bank[:2], f"the joint score of {holdout:,} calibration and test rows, to 1/64; of no training row",
                "two norms from which the step size follows; no coefficient, not even of its own columns"],
        FEATURE: [*platform[:2], "the step size; no coefficient, not even of its own columns", platform[-1]],
    }


def _among_platforms(metrics: dict[str, Any], source: str, platforms: Sequence[str]) -> dict[str, list[str]]:
    aligned, holdout = metrics["rows_aligned"], metrics["rows_calibration"] + metrics["rows_test"]
    lead, *others = platforms
    each = [
        f"which of its users the bank knows too, which {aligned:,} of them every party knows, and the bank's rows",
        "the number of whitened columns of every party",
        "the coefficients of its own columns, and the step size",
        "whether the joint model was better than the bank's own; no label, no score, no residual",
    ]
    return {
        LABEL: [
            "which of its customers each platform knows too, and how many rows each brought",
            f"the number of whitened columns of each platform ({metrics['columns_platform']} in all)",
            "the coefficients of its own columns",
            f"the sum of all platforms' parts of the score of {holdout:,} calibration and test rows, each rounded to "
            "1/32; of no training row, and of no platform apart",
            "two norms from which the step size follows",
        ],
        lead: each,
        **{party: [*each, _random_share(lead)] for party in others},
        "coordinator": _coordinator(source),
    }


def _among_banks(metrics: dict[str, Any], source: str, banks: Sequence[str], platforms: Sequence[str]
                 ) -> dict[str, list[str]]:
    lead, *others = platforms
    each = [
        "which of its users each bank knows too, and each bank's rows",
        "the number of whitened columns of every party",
        "the coefficients of its own columns, and the step size",
        "whether the joint model was better than each bank's own; no label, no score, no residual, and of the banks' "
        "gradients only sums over all banks, as random shares",
    ]
    return {
        **{bank: _bank(metrics["banks"][bank], banks, platforms, bank == banks[0]) for bank in banks},
        lead: each,
        **{party: [*each, _random_share(lead)] for party in others},
        "coordinator": _coordinator(source),
    }


def _bank(own: dict[str, Any], banks: Sequence[str], platforms: Sequence[str], speaks: bool) -> list[str]:
    several = len(platforms) > 1
    holdout = own["rows_calibration"] + own["rows_test"]
    whose = "the sum of all platforms' parts" if several else "the platform's part"
    counts = "counts over all banks, with every bank's noise, from which the common bins and their basis follow"
    if len(banks) == 2:
        counts += "; of two banks that is the other's counts under its noise"
    return [
        f"which {own['rows_aligned']:,} of its customers {'every' if several else 'the'} platform knows too, and how "
        f"many rows {'each' if several else 'the platform'} brought",
        counts,
        "each other bank's number of rows, and the size of its own block, rounded to powers of the square root of 2",
        "the common coefficients of the bureau columns, the same at every bank, and its own intercept",
        f"{whose} of the score of {holdout:,} of its own calibration and test rows, rounded to 1/32; of no training "
        "row, and of no row of another bank",
        "the step size, and whether the joint model was better than each other bank's own",
        *(["two norms from which the step size follows"] if speaks else []),
    ]


def _random_share(lead: str) -> str:
    return f"a share of the residuals from {lead}, which is random without the bank's"


def _coordinator(source: str) -> list[str]:
    return [
        "the plan, column names and missing rates, sizes and timing of sealed frames",
        "ciphertexts that it added up, all masked at their source; the metrics in the model card",
        f"nothing of the data (here: {source})",
    ]
