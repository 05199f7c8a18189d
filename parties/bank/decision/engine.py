"""The decision: a pure function of application, context and rulebook. Same input, same bytes, always.

The time of every step is `context.now`, the time of the decision: nothing here reads a clock. A graph that cannot be
evaluated, or that ends without an outcome, sends the case to a person; an approval that breaks a guard is refused.
"""
from __future__ import annotations

from parties.bank.decision import guards
from parties.bank.decision.application import Application, Facts
from parties.bank.decision.codes import FAULT
from parties.bank.decision.context import Context
from parties.bank.decision.graph import Done, GraphFault, Reply, State
from parties.bank.decision.reasons import principal
from parties.bank.decision.record import DecisionRecord, Offer, Shadow, Step
from parties.bank.decision.rulebook import Rulebook
from parties.bank.decision.steps.case import Case
from parties.bank.decision.steps.funding import funding
from parties.bank.decision.steps.limit import limit
from parties.bank.decision.steps.price import price
from parties.bank.decision.steps.product import product
from parties.bank.decision.view import View, exact, visible

STEPS = {"product": product, "limit": limit, "price": price, "funding": funding}
FILES = {"product": "products.toml", "limit": "limits.toml", "price": "pricing.toml", "funding": "partners.toml"}


def decide(application: Application, context: Context, rulebook: Rulebook) -> DecisionRecord:
    """Decide one application; the record holds everything but the customer's identifier."""
    return decide_facts(application.facts(), context, rulebook)


def decide_facts(facts: Facts, context: Context, rulebook: Rulebook) -> DecisionRecord:
    """Decide an application without its identifier, as records keep it."""
    name = rulebook.graph_for(context.arm)
    case = _Evaluation(facts, context, rulebook)
    steps, offer = case.run(name)
    outcome, reason = _last(steps)
    if outcome == "approved" and offer.amount_fen < facts.amount_fen:
        reason = "amount-reduced"
    return DecisionRecord(
        application=facts, context=context, rulebook=rulebook.digest, graph=name,
        steps=tuple(_step(done, context, rulebook) for done in steps), outcome=outcome,
        offer=offer if outcome == "approved" else None,
        reasons=principal(reason, context, case.view, rulebook.texts),
        shadow=tuple(_shadow(other, *case.run(other)) for other in rulebook.settings.shadows if other != name))


class _Evaluation:
    """One application under several graphs: the bank's own steps depend on the score chosen, and on nothing else that a
    graph gives, so that each is taken once per score."""

    def __init__(self, facts: Facts, context: Context, rulebook: Rulebook):
        self.facts, self.context, self.rulebook = facts, context, rulebook
        self.view: View = visible(facts, context, rulebook.settings.platform_failure)
        self._cases = {joint: Case(facts, context, rulebook, joint) for joint in (True, False)}
        self._taken: dict[tuple[str, bool], Reply] = {}

    def run(self, graph: str) -> tuple[list[Done], Offer | None]:
        """Steps, and the offer where the graph approves."""
        try:
            steps = self.rulebook.graphs[graph].run(self.view, self._money)
        except GraphFault as fault:
            return [Done("graph", "0", {}, None, {"outcome": "referred", "reason": FAULT, "fault": str(fault)})], None
        if _last(steps)[0] != "approved":
            return steps, None
        offer = self._cases[_joint({step.name: step.outcome for step in steps})].offer()
        code = guards.broken(self.facts, self.context, offer, self.rulebook)
        steps.append(Done("guards", "1", {}, code, {"outcome": "declined" if code else None, "reason": code}))
        return steps, None if code else offer

    def _money(self, name: str, state: State) -> Reply:
        key = (name, _joint(state))
        if key not in self._taken:
            self._taken[key] = STEPS[name](self._cases[key[1]])
        return self._taken[key]


def _joint(state: State) -> bool:
    return state["platform"].get("path") == "joint"


def _last(steps: list[Done]) -> tuple[str, str | None]:
    """Outcome and reason of the last step that gave one; a graph that gave none leaves the case to a person."""
    for step in reversed(steps):
        if step.outcome.get("outcome") is not None:
            return step.outcome["outcome"], step.outcome.get("reason")
    return "referred", FAULT


def _step(done: Done, context: Context, rulebook: Rulebook) -> Step:
    version = rulebook.file_digest(FILES[done.name]) if done.name in FILES else done.version
    return Step.model_construct(name=done.name, version=version, inputs=exact(done.inputs), rule=done.rule,
                                outcome=exact(done.outcome), at=context.now)


def _shadow(graph: str, steps: list[Done], offer: Offer | None) -> Shadow:
    outcome, _ = _last(steps)
    rule = next((step.rule for step in reversed(steps) if step.outcome.get("outcome") == outcome), None)
    if offer is None:
        return Shadow(graph=graph, outcome=outcome, rule=rule)
    return Shadow(graph=graph, outcome=outcome, rule=rule, limit_fen=offer.limit_fen, amount_fen=offer.amount_fen,
                  daily_rate=offer.daily_rate)
