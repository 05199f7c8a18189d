"""The English words of the privacy report. `words_zh` has the same keys and the same blanks."""
from __future__ import annotations

from typing import Any

WORDS_EN: dict[str, Any] = {
    "lang": "en",
    "title": "Privacy report",
    "subtitle": "What each party of this federation learned, what left each node, and what nobody guarantees",
    "made_from": "Derived from the signed evidence of {nodes}. Whoever has the same evidence derives the same "
                 "report, byte for byte.",
    "digest": "Digest of the evidence",
    "period": "Runs of this evidence",
    "period_text": "{runs} in number, recorded from {first} to {last} (UTC, the nodes' own clocks)",
    "holds": "The evidence holds: every file is what its node signed, every log is complete and in order up to its "
             "last signed checkpoint, and nodes do not contradict each other.",
    "short": "In short",
    "short_none": "No number was opened to {party}.",
    "short_openings": "{numbers} numbers were opened to {party} (runs: {runs}):",
    "short_sent": "{bytes} left this node in {messages} messages.",
    "short_coordinator": "It holds no key that opens anything. What it sees without any opening stands below.",
    "learned": "What each party learned, run by run",
    "learned_intro": "An opening is the only way in which a number goes from encrypted or shared form to a party "
                     "that can read it. Each one is declared, counted and written to the log of the node that gave "
                     "it before it leaves; any other kind is refused. The counts below are those of the logs.",
    "learned_nothing": "Nothing was opened in this run.",
    "run": "Run",
    "run_text": "{kind} for the purpose “{purpose}”; banks: {banks}; platforms: {platforms}; model: {model}; weights "
                "released: {release}",
    "run_models": {"scorecard": "scorecard, columns encoded as {encoding}", "boosting": "boosted trees",
                   "network": "neural network"},
    "run_kinds": {
        "train": "training",
        "score": "scoring",
    },
    "party": "Party",
    "learns": "What it learned",
    "from": "From",
    "numbers": "Numbers",
    "kind": "Kind",
    "besides": "Known without any opening",
    "besides_text": {
        "bank": "The number of rows each platform brought, and the number of its prepared columns.",
        "platform": "The number of rows each bank brought, and the number of prepared columns of every party.",
        "coordinator": "Plan and purpose; names, types and missing rates of columns; rows of each table, rounded up "
                       "to 1,000; sizes and times of sealed messages; how many numbers each side opened, hence the "
                       "sizes of the sets and of what they have in common; the metrics of the model card; the "
                       "sentence with which a run failed. No row, label, score, coefficient or key.",
    },
    "decisions": "What people decided",
    "decision": "Decision",
    "decided": {"approved": "approved", "rejected": "rejected", "revoked": "revoked"},
    "about": "About",
    "by": "By",
    "reason": "Reason",
    "at": "Time",
    "leakage": "The leakage table",
    "leakage_intro": "For every kind that was opened: what it tells its learner, and what it does not.",
    "tells": "What it tells",
    "hides": "What stays hidden",
    "noise": "Privacy loss ε",
    "someone": "the other side",
    "name": "{name}",
    "colon": ": ",
    "not_opened": "Of these kinds nothing was opened here: {kinds}.",
    "opening": {
        "membership": (
            "which of its own people {source} has too: one bit for each identifier it brought",
            "everybody whom it did not bring",
        ),
        "membership.joint": (
            "which of the people it shares with {source} are in the common set, or how many are there whom it does "
            "not know",
            "who the people are whom it does not know",
        ),
        "coefficients": (
            "the coefficients of its own columns in the trained model, blurred by ±1/4096",
            "the coefficients of every other party, and the gradients on the way",
        ),
        "commons.histogram": (
            "how many people of all banks together fall into each cell of each column, with every bank's noise",
            "the counts of a single bank, and any row",
        ),
        "commons.moments": (
            "how many people of all banks together fall into each pair of bins, with every bank's noise",
            "the counts of a single bank, and any row",
        ),
        "scale": (
            "the number of rows of {source} and the size of its own block, as powers of the square root of 2",
            "any row or label",
        ),
        "step.norms": (
            "two norms of the power iteration, from which the step size follows",
            "any column; with several platforms also each one's own norm",
        ),
        "step.size": (
            "the step size of the training, a power of the square root of 2",
            "the norms themselves",
        ),
        "scores.calibration": (
            "the part of each calibration person's score that comes from {source}, rounded to 1/32; of several "
            "platforms only the sum",
            "the columns behind it, and every training person's score",
        ),
        "scores.test": (
            "the part of each test person's score that comes from {source}, rounded to 1/32; of several platforms "
            "only the sum",
            "the columns behind it, and every training person's score",
        ),
        "scores.batch": (
            "the part of each scored person's score that comes from {source}, rounded to 1/32; of several platforms "
            "only the sum",
            "the columns behind it",
        ),
        "scores.training": (
            "scores of training people, as plan and policy allowed and counted",
            "the columns behind them; each further opening of the same people tells more of them",
        ),
        "embeddings": (
            "numbers that a network's source layer makes of each training person's columns of {source}, every epoch",
            "the columns and the weights behind them",
        ),
        "embeddings.calibration": (
            "numbers that a network's source layer makes of each calibration person's columns of {source}, to 1/8",
            "the columns and the weights behind them",
        ),
        "embeddings.test": (
            "numbers that a network's source layer makes of each test person's columns of {source}, to 1/8",
            "the columns and the weights behind them",
        ),
        "embeddings.batch": (
            "numbers that a network's source layer makes of each scored person's columns of {source}, to 1/8",
            "the columns and the weights behind them",
        ),
        "activations": (
            "sums of units and their squares that a strict network makes of each training person\'s columns of "
            "{source}, every epoch",
            "the units, the columns and the weights behind them",
        ),
        "activations.calibration": (
            "sums of units and their squares that a strict network makes of each calibration person\'s columns of "
            "{source}, to 1/8",
            "the units, the columns and the weights behind them",
        ),
        "activations.test": (
            "sums of units and their squares that a strict network makes of each test person\'s columns of "
            "{source}, to 1/8",
            "the units, the columns and the weights behind them",
        ),
        "activations.batch": (
            "sums of units and their squares that a strict network makes of each scored person\'s columns of "
            "{source}, to 1/8",
            "the units, the columns and the weights behind them",
        ),
        "network.epoch": (
            "whether the training of a network goes on after an epoch",
            "the loss that says so",
        ),
        "source.weights": (
            "the weights of a network's source layer over the receiver's own columns",
            "labels and the rest of the network",
        ),
        "tree.sums": (
            "sums of gradients and hessians over each bin of {source}'s columns, of groups of at least 20 rows a bin",
            "which people are in a bin, and any person's label to the other side",
        ),
        "tree.splits": (
            "which of its own columns and bins won a split of a tree",
            "labels, gains, leaf values, who reaches the split, and splits by columns of others",
        ),
        "tree.sides": (
            "on which side of each split by a column of {source} every training person is",
            "the name of the column, the threshold and the values; each further split tells a bit more of everybody",
        ),
        "tree.kept": (
            "how many of its own splits the model keeps",
            "the loss that says so",
        ),
        "sides.calibration": (
            "on which side of each kept split by a column of {source} every calibration person is",
            "the name of the column, the threshold and the values; the other side does not learn who passes which "
            "split",
        ),
        "sides.test": (
            "on which side of each kept split by a column of {source} every test person is",
            "the name of the column, the threshold and the values; the other side does not learn who passes which "
            "split",
        ),
        "sides.batch": (
            "on which side of each split by a column of {source} every scored person is",
            "the name of the column, the threshold and the values; the other side does not learn who passes which "
            "split",
        ),
        "shared.calibration": (
            "the whole score of each person, of a model whose weights nobody holds",
            "the coefficients, and the part of each party",
        ),
        "shared.test": (
            "the whole score of each person, of a model whose weights nobody holds",
            "the coefficients, and the part of each party",
        ),
        "shared.batch": (
            "the whole score of each person, of a model whose weights nobody holds",
            "the coefficients, and the part of each party",
        ),
        "woe.counts": (
            "how many of the people in each bin of its own columns defaulted",
            "who of them defaulted",
        ),
        "online.sides": (
            "on which side of each split by a column of {source} one person is, each time the person was scored online",
            "the name of the column, the threshold and the values",
        ),
        "online.score": (
            "the part of one person's score that comes from {source}, rounded to 1/32, each time the person was scored "
            "online",
            "the columns behind it",
        ),
        "shared.online": (
            "the whole score of one person, of a model whose weights nobody holds, each time it was asked for online",
            "the coefficients, and the part of each party",
        ),
        "online.lacks": (
            "of whom {source} has too little data to be scored online, and of which kind",
            "the values below the thresholds",
        ),
        "online.fraud": (
            "the fraud score that {source} itself gives a person, rounded to 1/32",
            "what it rests on",
        ),
        "verdict": (
            "whether the joint model was better than that of {source} alone: one bit",
            "scores and metrics",
        ),
    },
    "opening_name": {
        "membership": "people in common, yes or no for each",
        "membership.joint": "who of them is in the common set",
        "coefficients": "own coefficients",
        "commons.histogram": "noised counts per cell",
        "commons.moments": "noised counts per pair of bins",
        "scale": "rounded sizes of other banks",
        "step.norms": "norms for the step size",
        "step.size": "step size",
        "scores.calibration": "parts of scores, calibration people",
        "scores.test": "parts of scores, test people",
        "scores.batch": "parts of scores, scored people",
        "scores.training": "scores of training people",
        "embeddings": "embeddings, training people",
        "embeddings.calibration": "embeddings, calibration people",
        "embeddings.test": "embeddings, test people",
        "embeddings.batch": "embeddings, scored people",
        "activations": "activations, training people",
        "activations.calibration": "activations, calibration people",
        "activations.test": "activations, test people",
        "activations.batch": "activations, scored people",
        "network.epoch": "end of an epoch",
        "source.weights": "weights of the source layer",
        "tree.sums": "sums over bins for trees",
        "tree.splits": "splits that were won",
        "tree.sides": "sides of splits, training people",
        "tree.kept": "number of splits kept",
        "sides.calibration": "sides of splits, calibration people",
        "sides.test": "sides of splits, test people",
        "sides.batch": "sides of splits, scored people",
        "shared.calibration": "scores of a shared model",
        "shared.test": "scores of a shared model",
        "shared.batch": "scores of a shared model",
        "woe.counts": "defaults per bin",
        "online.sides": "sides of splits, online",
        "online.score": "parts of scores, online",
        "shared.online": "scores of a shared model, online",
        "online.lacks": "what data lacks, online",
        "online.fraud": "fraud scores, online",
        "verdict": "better or not",
    },
    "opening_unknown": (
        "numbers of the kind “{kind}”, for which this report has no words; the README of the protocol that declares "
        "it says what they are",
        "see there",
    ),
    "epsilon": "Privacy loss in numbers",
    "epsilon_intro": "ε bounds how much the presence of one person can change what a learner sees; it is finite only "
                     "where noise was added. Where no noise was added ε is ∞: protection then rests on how little is "
                     "opened, on rounding, on minimum numbers of people and on limits, not on a statistical "
                     "guarantee.",
    "epsilon_noised": "{value} (ρ = {rho})",
    "epsilon_run": "Run {run}: counts over all banks carry noise worth ρ = {rho}, that is ε = {value} at δ = 10^-6, "
                   "once for all counts of the run. Everything else that was opened: ε = ∞.",
    "epsilon_woe": "Run {run}: counts of defaults per bin carry noise worth ρ = {rho}, that is ε = {value} at δ = "
                   "10^-6.",
    "epsilon_none": "Run {run}: nothing was noised, ε = ∞ for everything that was opened.",
    "epsilon_sum": "A person in all of these runs: noised counts add up to at most ρ = {rho}, ε = {value} at δ = "
                   "10^-6; together with what was not noised ε = ∞.",
    "adversary": "Whom this protects against",
    "adversary_text": {
        "honest": "Parties and coordinator are assumed semi-honest: they follow the protocol and keep all they see.",
        "one": "Any single one of them may be corrupted, and the coordinator may pool what it has with one party: "
               "together they learn what that party learns, and the sizes and times that the coordinator sees.",
        "network": "The network is hostile. Messages are sealed between parties whose identities each has pinned "
                   "itself, so the coordinator cannot read them though it relays them.",
        "platforms": "With several platforms, the bank and any one platform must not pool what they have: together "
                     "they open the scores of all rows.",
        "banks": "With several banks only sums over banks open. All other banks together learn one bank's part of a "
                 "sum; of two banks each can subtract its own, and what protects then is that gradients are never "
                 "opened and counts carry noise.",
        "pair": "With one bank and one platform both together know everything of the run: nothing is left to protect.",
    },
    "traffic": "What left each node",
    "traffic_intro": "Bytes by kind of message, as the node recorded them before sending. All of it travels sealed; "
                     "the coordinator's hub sees sizes and times. Beside each bar: bytes · number of messages.",
    "traffic_none": "This node recorded no message that left it.",
    "traffic_total": "{bytes} in {messages} messages",
    "bytes": "Bytes",
    "messages": "Messages",
    "what": "Kind of message",
    "wire": {
        "align.size": "alignment: number of identifiers brought",
        "align.joint": "alignment: number of people in common",
        "align.": "alignment: blinded identifiers and tags",
        "joint": "alignment: positions in the common set",
        "covered": "alignment: positions in the common set",
        "checkpoint": "signed state of the audit log",
        "countersigned": "signed state of the peer's audit log, signed back",
        "held": "how much of the peer's audit log is known",
        "setup": "sizes and fresh public keys",
        "keys": "fresh public keys",
        "init": "random shares",
        "seed": "random seeds",
        "seeds": "random seeds, digests of settings",
        "forward.": "encrypted products: scores as random shares",
        "residual.": "encrypted products: residuals as random shares",
        "backward.": "encrypted products: gradients as random shares",
        "gradient.": "covered gradients, one part of a sum",
        "norms.": "size of the joint problem",
        "step.": "step size",
        "coefficients": "a party's own coefficients",
        "scores.": "parts of scores, rounded",
        "verdict": "better or not, one bit",
        "histogram": "covered, noised counts",
        "moments": "covered, noised counts",
        "scale": "rounded sizes",
        "shape": "numbers of bins",
        "begin": "a random seed, number of sums to come",
        "veil": "masked numbers that take one-time secrets out of sums",
        "secrets": "encrypted one-time secrets",
        "corrections": "masked products of one-time secrets",
        "vectors": "gradients under one-time secrets",
        "sums": "sums over bins",
        "splits": "splits that were won",
        "sides": "sides of splits, a bit a person",
        "sides.": "sides of splits, a bit a person",
        "end": "end of the training",
        "kept": "number of splits kept",
    },
    "wire_unknown": "",
    "policies": "The rules in force, in plain words",
    "policies_intro": "Each party's own policy decides what may be asked of it. A plan that asks for more is refused "
                      "before any data moves.",
    "policy_runs": "in force for {runs}",
    "policy_unused": "shown, but no run of this evidence names it",
    "setting": {
        "purposes": "A run may only be for: {value}.",
        "kinds": "Work of these kinds may be asked for: {value}.",
        "maximum_scores_per_person_per_day": "Online, a person is scored at most {value} times in a day (UTC).",
        "models": "These kinds of models may be trained and scored with: {value}.",
        "encodings": "Columns may be encoded as: {value}.",
        "alignments": "People taken into a run: {value} (common: whom every platform knows; covered: whom at least "
                      "one knows).",
        "release": "Trained weights may be released: {value} (owner: to each party those of its own columns; shared: "
                   "to nobody).",
        "minimum_intersection_rows": "A run needs at least {value} people in common.",
        "minimum_bin_rows": "A bin of a column needs at least {value} people.",
        "maximum_steps": "A training takes at most {value} steps.",
        "maximum_runs_per_day": "At most {value} runs are agreed on in 24 hours.",
        "maximum_holdout_share": "Scores of at most {value} of a run's people (as a share of 1) may be opened.",
        "maximum_commons_rho": "Noised counts over several banks may cost a person at most ρ = {value}, all runs "
                               "added up.",
        "maximum_woe_rho": "Counts of defaults per bin may spend at most this ρ of each label, all runs added up: "
                           "{value} (none: exact counts, once about a person).",
        "activations": "The sigmoid may be replaced by: {value}.",
        "variants": "Trainings may be of the variant: {value} (open-score: the bank opens scores of training people "
                    "in every round).",
        "maximum_polish": "After a strict training the scores of training people may be opened {value} times.",
        "maximum_opened_rank": "Openings of the same training people's scores, all runs added up, may reach {value} "
                               "of the number of columns behind them.",
        "maximum_tree_splits": "Trees may ask about the sides of at most {value} splits by one platform's columns, all "
                               "runs about a person added up; each is a bit about every person.",
        "maximum_tree_sums": "Trees may open at most {value} sums over bins in one training.",
        "minimum_columns": "At least {value} columns stand behind an opened score.",
        "maximum_snapshots_per_person": "A model whose weights stay shared may score a person under at most {value} "
                                        "versions of the data.",
        "sensitivity_allowed": "Columns of these levels may take part: {value}.",
        "maximum_message_bytes": "A message of more than {value} bytes is refused.",
        "tile_cache_bytes": "Working memory for prepared columns: {value} bytes (says nothing about privacy).",
        "minimum_change_rows": "Between two trainings the people shared with a peer, and those taken of a bank, are "
                               "the same, or differ by at least {value}.",
        "parameter_sets": "Encryption may use these parameter sets: {value}.",
        "columns": "Only these columns may take part, by table and at most at the level given (none: all declared "
                   "ones): {value}.",
        "approval": "Runs within this policy are agreed to: {value} (auto: at once; human: after a person of this "
                    "node has approved).",
        "retention_days": "State, keys and scores of ended runs are deleted after {value} days.",
        "version": "",
    },
    "setting_peer": "Works with {peer} only under the identity {fingerprint}…, which may bring at most {rows} people.",
    "setting_peer_quarter": "{peer} may bring at most {rows} people in 91 days, all runs added up.",
    "setting_unknown": "{name}: {value}.",
    "vouch": "Who vouches for the logs",
    "vouch_intro": "A node could rewrite its own log and sign it again. What it cannot change are the checkpoints "
                   "that others hold and countersigned: up to there its log is the one they saw.",
    "vouch_row": "{witness}: the first {covered} of {records} records",
    "vouch_nobody": "nobody: this log rests on the node's own signature",
    "node": "Node",
    "identity": "Identity",
    "records": "Records",
    "vouched_by": "Vouched for by",
    "security": "Encryption parameters and installed code",
    "security_intro": "128-bit security by table 1 of the HomomorphicEncryption.org standard (November 2018), "
                      "ternary keys; classical computers, not quantum ones.",
    "set": "Parameter set",
    "degree": "Degree",
    "bits": "Modulus",
    "allowed": "128-bit security allows",
    "bits_value": "{bits} bits",
    "code": "Code",
    "packages": "Packages",
    "packages_value": "{count} with exact versions, digest {digest}…",
    "not": "What is not guaranteed",
    "not_text": [
        "No security against parties that deviate from the protocol on purpose. Malformed messages are refused, but "
        "a party that computes with a wrong matrix or invents people is not detected.",
        "No outside review: no independent cryptographer has examined protocols or code.",
        "No completeness: the logs show what nodes recorded. A node with changed software can leave things out as "
        "they happen. Records after the last checkpoint that somebody else holds rest on the node's own signature.",
        "No statement about the truth of the data, nor about what a party does with its model or scores afterwards.",
        "Released coefficients and opened scores are outputs and tell something about the people behind them; limits "
        "keep that small, noise does not hide it (ε = ∞).",
        "Times are the nodes' own clocks. Hashes of very short messages (step size, verdict) can be guessed back "
        "from the evidence, so its reader learns these values.",
    ],
    "version": "Version",
    "lock": "Dependency lock",
    "lock_unknown": "not known: the node shows no requirements.lock",
    "lock_same": "all {count} packages that requirements.lock ({digest}…) pins, as pinned",
    "lock_away": "not as requirements.lock ({digest}…) pins its {count} packages",
    "lock_other": "other versions (pinned in brackets): {packages}",
    "lock_missing": "not installed: {packages}",
    "lock_besides": "besides {count} that it does not pin",
    "sentences": "; ",
    "notes": "Notes of the verification",
    "note": {
        "unchecked": "{log}: checkpoints of {peer} were not checked, there is no evidence of it",
        "unknown_witness": "{log}: record {index} was countersigned by {witness}, of whom there is no evidence",
        "not_shown": "{party} signed the agreement of run {run} but does not show it: it stopped before the run began "
                     "there, or keeps it back",
        "ends_before": "{witness} countersigned a checkpoint of {owner} as its record {index}; its evidence ends at "
                       "{records} records, before that",
        "signed_under": "{node}: run {run} was signed under other {changed} than was installed at the export",
        "lock_differs": "{node}: what is installed is not what its requirements.lock pins; other versions (pinned in "
                        "brackets): {other}; not installed: {missing}",
        "vouched": "{node}: peers vouch for the first {vouched} of {records} records; the rest rests on its own "
                   "signature",
    },
    "note_names": {
        "code": "code",
        "packages": "packages",
        "parameters": "parameter sets",
    },
    "again": "To derive this report again",
    "again_text": "With the evidence, a trust.json whose identities you confirmed yourself, and the one file of the "
                  "verifier (Python 3.11 and the package cryptography, nothing else):",
    "list": ", ",
    "none": "none",
}
