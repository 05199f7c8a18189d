"""What a party does in each phase of a run; `run_driver.py` says when, in which thread, and what a failure means.

    train   align -> encode -> train -> evaluate -> publish
    score   align -> score -> publish

Each method gives what the next phase needs. What it found is a fact in the run's store, so a phase that ended before an
interruption costs nothing again.
"""
from __future__ import annotations

import functools
import json
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from parties.runtime import roster
from parties.runtime.config import LoadedParty
from parties.runtime.files import digest
from parties.runtime.hub_client import HubClient
from parties.runtime.ledger import Ledger
from parties.runtime.people import RunPeople
from parties.runtime.preparation import OnSlices, Prepared, prepare, slices_of
from parties.runtime.releases import Releases
from parties.runtime.run_store import RunStore
from parties.runtime.scores import write_scores
from parties.runtime.sharing import Sharing
from parties.runtime.side import ParallelMap, Rows, Side, TrainingGiven
from parties.runtime.tables import Table, load_table
from parties.runtime.vault import Vault
from parties.runtime.woe import BankWoe, PlatformWoe, WoeInputs, told
from protocols.agreement import SignedAgreement
from protocols.audit import SALT_BYTES, row_commitment
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.checkpoints import CheckpointExchange
from protocols.commons.common_encoding import CommonEncoding
from protocols.commons.encoding import CommonSettings
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair
from protocols.crypto.zero_sharing import Circle
from protocols.errors import DataError, PolicyRefused, RunFailed
from protocols.node.at_rest import scores_box
from protocols.node.audit_log import AuditLog
from protocols.plan import Plan, seats
from protocols.psi.parameters import UNKNOWN, Alignment
from protocols.psi.slices import TRAIN
from protocols.role import Role
from protocols.scorecard.verdicts import Verdicts
from protocols.scorecard.whitening import Whitening
from protocols.state import pack, unpack

log = logging.getLogger("sealscore.run")
ORDER = "encode.order"  # of a platform's columns in boosted trees
SECRET_FACTS = ("keys", "train.peer_public", ORDER)
ALIGN_SECRETS = "align.secrets"  # by peer; what tokens of joint scoring are derived from
MODEL_FACTS = (  # gone too when a run is cancelled
    "align.rows", "align.coverage", "align.salt", ALIGN_SECRETS, "table", "report", "metrics",
)
_SECRET_PHASES = ("align", "encode", "train", "evaluate", "score")


@dataclass(frozen=True, repr=False)
class Node:
    """What a run needs of its daemon."""

    party: LoadedParty
    side: Callable[..., Side]  # of a plan and what makes a `Sharing`
    identity: IdentityKey
    audit: AuditLog
    vault: Vault
    hub: HubClient
    releases: Releases
    on_frame: Callable[[str, bytes], None]
    ledger: Ledger


def model_id(run: str) -> str:
    """Of what a training publishes."""
    return "m-" + run.removeprefix("r-")


def secret_facts(plan: Plan) -> tuple[str, ...]:
    """Facts of a run's store that must not outlive the run: keys, and the state of all roles."""
    return SECRET_FACTS + tuple(name for phase in _SECRET_PHASES for name in _role_facts(plan, phase))


def _role_facts(plan: Plan, phase: str) -> tuple[str, ...]:
    """All names under which the state of a role may be kept in a phase."""
    parts = ("", ".verdicts", *(f".{p}" for p in plan.parties), *(f".joint.{p}" for p in plan.label_parties))
    return tuple(f"{phase}.role{part}" for part in parts)


def _alignment_facts(joint: dict[str, Alignment]) -> dict[str, bytes]:
    """By bank: rows, and where people unknown to a party are among them, their slices and how many a party lacks."""
    covered = {bank: alignment for bank, alignment in joint.items() if alignment.slices is not None}
    slices = {f"slices.{bank}": alignment.slices for bank, alignment in covered.items()}
    lacking = {f"lacking.{bank}": alignment.lacking for bank, alignment in covered.items()}
    rows = {bank: alignment.rows for bank, alignment in joint.items()}
    return {"align.rows": pack(rows), "align.coverage": pack(slices | lacking)}


class Drive(Protocol):
    """Feeds messages to a role until it has a result, and gives that."""

    def __call__(self, phase: str, role: Role, peer: str | None = None, part: str | None = None) -> Any:
        """`peer`: whose messages a role that expects nobody in particular gets; `part` names the role's state where the
        phase has several."""


class Phases:
    """Those of one run at one party. `people`: tells the node's ledger whom openings are about."""

    _people: RunPeople | None = None

    def __init__(
        self, node: Node, agreement: SignedAgreement, identities: dict[str, bytes], store: RunStore, drive: Drive,
        people: RunPeople | None = None,
    ):
        self._people = people
        self._node, self._agreement, self._plan = node, agreement, agreement.plan
        self._run, self._name, self._identities = agreement.run, node.party.name, identities
        self._store, self._drive = store, drive
        self._side = node.side(agreement.plan, self._sharing)
        self._circle: Circle | None = None
        self._lacking = 0  # training rows that a party has no columns for
        self._counted = 0  # event counts without noise that were opened (woe): equations, as coefficients are

    # -- align

    def align(self) -> dict[str, Alignment]:
        """By bank, the rows of the own table that the parties of a training with this bank share, in joint order."""
        joint = self._align() if self._store.get("align.rows") is None else self._aligned()
        self._lacking = sum(alignment.lacking for alignment in joint.values())
        return joint

    def _aligned(self) -> dict[str, Alignment]:
        """As `_align` kept it."""
        coverage = unpack(self._store.get("align.coverage") or pack({}))
        return {bank: Alignment(rows, coverage.get(f"slices.{bank}"), coverage.get(f"lacking.{bank}", 0))
                for bank, rows in unpack(self._store.get("align.rows")).items()}

    def _align(self) -> dict[str, Alignment]:
        table = self._table()
        with ThreadPoolExecutor() as pool:
            pairs = [self._align_with(peer, table, pool.map) for peer in roster.counterparts(self._plan, self._name)]
        self._check_shared(pairs)
        joint = self._joint(pairs)
        self._check_taken(joint)
        salt = self._store.get("align.salt") or secrets.token_bytes(SALT_BYTES)
        for bank, alignment in joint.items():
            known = alignment.rows[alignment.rows != UNKNOWN]
            commitment = row_commitment(salt, (table.ids[r] for r in known))
            self._note("rows", {"bank": bank, "count": len(known), "commitment": commitment})
        done = dict.fromkeys(_role_facts(self._plan, "align"))
        peers = roster.counterparts(self._plan, self._name)
        pair_secrets = pack({peer: pair.secret for peer, pair in zip(peers, pairs, strict=True)})
        self._store.commit({"align.salt": salt, ALIGN_SECRETS: pair_secrets, **_alignment_facts(joint), **done})
        return joint

    def _check_shared(self, pairs: list[Alignment]) -> None:
        """Whom this run shares with each peer is known: within the policy, before anything is computed on it."""
        if self._people is None:
            return
        peers = roster.counterparts(self._plan, self._name)
        self._people.shared(self._table().ids, {p: pair.rows for p, pair in zip(peers, pairs, strict=True)})
        if self._plan.kind == "train":
            self._people.check_growth(self._node.party.policy)

    def _check_taken(self, joint: dict[str, Alignment]) -> None:
        """What is left of the pairs is what a training is about: its change is limited like theirs."""
        if self._people is not None and self._plan.kind == "train":
            rows = {bank: alignment.rows for bank, alignment in joint.items()}
            self._people.check_taken(self._node.party.policy, self._table().ids, rows)

    def _align_with(self, peer: str, table: Table, parallel_map: ParallelMap) -> Alignment:
        params = roster.alignment(self._agreement, self._name, peer)
        return self._drive("align", self._side.aligner(table.ids, peer, params, parallel_map), peer)

    def _joint(self, pairs: list[Alignment]) -> dict[str, Alignment]:
        """A bank holds one pair with each platform, a platform one with each bank."""
        banks = roster.own_banks(self._plan, self._name)
        of_bank = [pairs] if self._name in banks else [[pair] for pair in pairs]
        if len(self._plan.feature_parties) == 1:
            return {bank: own[0] for bank, own in zip(banks, of_bank, strict=True)}
        joint = {}
        slices = functools.partial(slices_of, self._table(), plan=self._plan)
        for bank, own in zip(banks, of_bank, strict=True):
            role = roster.joint(self._agreement, self._name, bank, [pair.rows for pair in own], slices)
            joint[bank] = self._drive("align", role, bank, f"joint.{bank}")
        return joint

    def _table(self) -> Table:
        """The plan's table, read anew for every run."""
        if not hasattr(self, "_loaded"):
            party, name = self._node.party, self._plan.parties[self._name].table
            config = party.table(name)
            self._check_unchanged(party.home / config.path)
            self._loaded = load_table(config, party.home)
        return self._loaded

    def _check_unchanged(self, path: Any) -> None:
        """Aligned rows are numbers of rows: with another table behind them a resumed run would mix people up."""
        now, before = digest(path), self._store.get("table")
        if now is None:
            return  # loading it says so
        if before not in (None, now):
            raise DataError(f"{path.name}: the table was changed since this run began; start a new run")
        self._store.put("table", now)

    # -- encode

    def encode(self, joint: dict[str, Alignment]) -> OnSlices:
        """Bins and whitening from the own training rows; several banks find theirs together."""
        together = self._name in self._plan.label_parties and len(self._plan.label_parties) > 1
        if together and self._store.get("encode.role") is None:
            self._spend(joint[self._name].rows)
        rows = {bank: alignment.rows for bank, alignment in joint.items()}
        slices = {bank: alignment.slices for bank, alignment in joint.items() if alignment.slices is not None}
        if self._plan.model.kind != "scorecard":
            given = Rows(self._name, rows, slices or None, self._order_of_columns)
            prepared = self._side.prepare(self._table(), self._plan, given)
        elif self._plan.model.encoding == "woe":
            prepared = self._encode_woe(rows, slices)
        else:
            fit = self._fit_together if together else None
            prepared = prepare(self._table(), rows, self._name, self._plan, fit, slices or None)
        if self._people is not None:
            self._people.prepared(self._table().ids, prepared)
        return prepared

    def _order_of_columns(self) -> bytes:
        """The secret by which a platform numbers its columns in a training of trees: the same after an interruption."""
        order = self._store.get(ORDER)
        if order is None:
            order = secrets.token_bytes(SALT_BYTES)
            self._store.put(ORDER, order)
        return order

    def _encode_woe(self, rows: dict[str, np.ndarray], slices: dict[str, np.ndarray]) -> Prepared:
        """Bins here, the events in a platform's bins out of sums with the bank; a plan with woe has one bank."""
        (bank, aligned), table = next(iter(rows.items())), self._table()
        slices = slices or {bank: slices_of(table, aligned, self._plan)}
        inputs = WoeInputs(self._plan, self._name, table, aligned[slices[bank] == TRAIN], self._node.releases,
                           functools.partial(self._drive, "encode"))
        fit = BankWoe(inputs, self._run, self._node.party.policy, functools.partial(self._may_count, inputs)) \
            if self._name == bank else PlatformWoe(inputs)
        prepared = prepare(table, rows, self._name, self._plan, fit, slices)
        self._counted = fit.counted
        return prepared

    def _may_count(self, inputs: WoeInputs, counts: int) -> None:
        """Few enough exact counts for the rows, as for coefficients, or PolicyRefused."""
        self._check_equations(inputs.people(), len(inputs.training), 0, counts)

    def _spend(self, rows: np.ndarray) -> None:
        """Within what the policy allows the counts of all common encodings to say about a person."""
        rho, releases = self._plan.model.commons_rho, self._node.releases
        earlier = releases.spend(self._run, [self._table().ids[row] for row in rows], rho)
        try:
            self._node.party.policy.check_spent(rho, earlier)
        except PolicyRefused:
            releases.unspend(self._run)
            raise

    def _fit_together(self, columns: dict[str, ColumnData]) -> tuple[Encoder, Whitening]:
        model = self._plan.model
        settings = CommonSettings(model.bins, model.minimum_support, model.commons_rho)
        role = CommonEncoding(self._name, self._plan.label_parties, columns, settings)
        commons = self._drive("encode", role)
        self._circle = commons.circle
        return commons.encoder, Whitening.from_moments(commons.mean, commons.covariance, commons.noise)

    # -- train

    def train(self, prepared: OnSlices) -> Any:
        """What is left are the own coefficients, shares of all, or trees and questions about own columns."""
        self._limit_openings(prepared)
        given = TrainingGiven(
            self._name, self._node.party.policy, functools.partial(self._check_release, prepared),
            functools.partial(self._check_openings, prepared), self._allowed_splits(prepared), self._keys,
            self._store.get("train.peer_public"), self._circle)
        own = self._drive("train", self._side.trainer(self._table(), prepared, self._plan, given))
        if given.splits:  # of those that were allowed those count that were asked for
            self._node.releases.answer_splits(self._run, self._people_of(prepared), len(own))
        return own

    def _allowed_splits(self, prepared: OnSlices) -> int:
        """How many splits by its columns a platform answers in this training of trees: what the plan may ask, less
        where others that share a person have used up what the policy allows. Recorded before the first."""
        boosting, policy = self._plan.model.boosting, self._node.party.policy
        if boosting is None or self._name in self._plan.label_parties:
            return 0
        people = self._people_of(prepared)
        earlier = self._node.releases.answer_splits(self._run, people, boosting.most_splits)
        allowed = policy.allowed_splits(boosting.most_splits, earlier)
        self._node.releases.answer_splits(self._run, people, allowed)
        return allowed

    def _people_of(self, prepared: OnSlices) -> list[str]:
        ids = self._table().ids
        return [ids[row] for row in prepared.training_rows]

    def _limit_openings(self, prepared: OnSlices) -> None:
        """A plan of scorecards says how often it opens training rows' scores."""
        times = self._plan.model.score_openings
        if times:
            self._check_openings(prepared, times, prepared.whitening.rotation.shape[1])

    def _check_openings(self, prepared: OnSlices, times: int, rank: int) -> None:
        """A platform opens numbers of training rows, made of `rank` columns, only so often, all its runs that share a
        person added up."""
        if self._name in self._plan.feature_parties:
            earlier = self._node.releases.open_scores(self._run, self._people_of(prepared), times)
            self._node.party.policy.check_openings(times, earlier, rank)

    def _check_release(self, prepared: OnSlices, rows: int, coefficients: int) -> None:
        """Enough rows for the coefficients of this and all earlier trainings on these people, or PolicyRefused.

        A platform's coefficients are equations about the labels of the people whom it knows, so no others count.
        Weights that stay shared are equations to nobody.
        """
        released = coefficients if self._plan.model.release == "owner" else 0
        if released + self._counted == 0:
            return
        self._check_equations(self._people_of(prepared), rows, released, self._counted)

    def _check_equations(self, people: list[str], rows: int, coefficients: int, counts: int) -> None:
        releases = self._node.releases
        training = bytes.fromhex(self._plan.digest()) + self._store.get("table")
        # first: of two runs at once one must see the other
        releases.record(self._run, training, people, coefficients + counts)
        earlier = releases.earlier(self._run, training, people)
        self._node.party.policy.check_rows(rows - self._lacking, coefficients, earlier, counts)

    def _keys(self) -> KeyPair:
        """Fresh for every training; kept until it ends, so that it can go on after a crash."""
        kept = self._store.get("keys")
        if kept is not None:
            return KeyPair.from_secret_bytes(kept)
        keys = KeyPair.generate()
        self._store.put("keys", keys.secret_bytes())
        return keys

    # -- evaluate

    def evaluate(self, prepared: OnSlices, own: Any) -> None:
        """Calibrate and judge on the hold-out; keep the own half, pending, or fail closed."""
        roles = [self._hold_out(prepared, own, bank) for bank in roster.own_banks(self._plan, self._name)]
        if not self._all_say_yes(all(map(self._side.verdict, roles))):
            whose = "one of the banks'" if len(self._plan.label_parties) > 1 else "the bank's"
            cause = f"the joint model is no better than {whose} own on the hold-out, so nothing is published"
            raise RunFailed(self._name, "evaluate", cause, "take other columns or another encoding")
        self._keep(prepared, own, roles[0])

    def _hold_out(self, prepared: OnSlices, own: Any, bank: str) -> Role:
        role = self._side.holdout(self._table(), prepared, self._plan, own, self._name, bank)
        self._drive("evaluate", role, part=bank)
        return role

    def _all_say_yes(self, own: bool) -> bool:
        banks = self._plan.label_parties
        if self._name not in banks or len(banks) == 1:
            return own
        return self._drive("evaluate", Verdicts(self._name, banks, own), part="verdicts")

    def _keep(self, prepared: OnSlices, own: Any, role: Role) -> None:
        half = {
            "version": 1, "model_id": model_id(self._run), "run": self._run, "party": self._name,
            "agreement": self._agreement.digest().hex(), "status": "pending", "parties": seats(self._plan),
            "table": self._plan.parties[self._name].table, "kind": self._plan.model.kind,
            "release": self._plan.model.release, **self._side.half(prepared, own, role),
        }
        self._node.vault.put(model_id(self._run), half)
        report = self._side.report(prepared, own, role) | told(self._plan.model)
        self._store.put("report", json.dumps(report).encode())
        self._store.put("metrics", json.dumps(self._side.metrics(role)).encode())

    # -- score

    def score(self, joint: dict[str, Alignment]) -> None:
        """Score the aligned rows with a published model; the bank's file of scores is written whole or not at
        all, sealed where `scores.sealed` says so."""
        half = self._node.vault.get(self._plan.model_id)
        (aligned,) = (alignment.rows for alignment in joint.values())  # a plan of kind score names one bank
        if self._people is not None:
            self._people.scored(self._table().ids, aligned)
        role = self._side.scorer(self._table(), aligned, half, self._plan, self._name)
        self._drive("score", role)
        party = self._node.party
        columns = self._side.scored(role, self._table(), aligned, half, party.config.scores.contributions)
        if columns is not None:
            box = scores_box(self._node.identity) if party.config.scores.sealed else None
            target = write_scores(party.state, self._run, columns, box)
            log.info("run %s: scores of %d rows in %s", self._run, len(aligned), target)

    def _sharing(self) -> Sharing:
        model = self._plan.model_id or model_id(self._run)
        node = self._node
        return Sharing(model, node.vault, node.releases, node.party.policy, self._keys, self._store.get)

    # -- publish

    def exchange_checkpoints(self) -> None:
        """Parties keep and countersign checkpoints of each other's logs: a log rewritten later contradicts them."""
        audit = self._node.audit
        for peer in roster.peers(self._plan, self._name):
            take = functools.partial(audit.record_peer_checkpoint, peer, self._identities[peer])
            keep = functools.partial(audit.record_countersigned, peer, self._identities[peer])
            role = CheckpointExchange(peer, audit.checkpoint_message, audit.held(peer), take, keep)
            self._drive("publish", role, peer)

    def _note(self, phase: str, body: dict[str, Any]) -> None:
        self._node.audit.append("phase", {"run": self._run, "phase": phase, **body})
