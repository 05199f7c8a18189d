"""Plans have one canonical form; policies give only what they name."""
from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.plan import Plan, may_score
from protocols.policy import Policy

PLAN = """
purpose = "credit-scoring"
label_party = "bank"
feature_parties = ["platform"]
[parties.bank]
table = "customers"
columns = ["age", "income"]
[parties.platform]
table = "users"
columns = ["payments"]
"""
POLICY = f"""
purposes = ["credit-scoring"]
[peers.platform]
fingerprint = "{'a' * 64}"
"""


def plan(**model) -> Plan:
    data = json.loads(Plan.from_toml_text(PLAN).canonical())
    data["model"] |= model
    return Plan.model_validate(data)


def policy(text: str = POLICY) -> Policy:
    return Policy.from_toml_text(text, "policy.toml")


def test_canonical_bytes_come_back_and_digest_follows_every_setting():
    first = plan()
    assert Plan.from_canonical(first.canonical()) == first
    assert plan(steps=9).digest() != first.digest() == plan().digest()


@pytest.mark.parametrize("spoil", [
    lambda b: b + b" ", lambda b: b.replace(b'":', b'": ', 1), lambda b: b[:-1], lambda b: b"[]", lambda b: b"\xff",
    lambda b: b.replace(b'"steps":8', b'"steps":8.0') if b'"steps":8' in b else b.replace(b'"bins":5', b'"bins":5.0'),
    lambda b: b[:-1] + b',"zzz":1}',
])
def test_any_other_bytes_are_refused(spoil):
    with pytest.raises(MalformedMessage):
        Plan.from_canonical(spoil(plan().canonical()))


@pytest.mark.parametrize(("change", "told"), [
    (("purpose = ", "aim = "), "purpose"), (('"platform"]', '"bank"]'), "different parties"),
    (("columns = [\"age\", \"income\"]", 'columns = ["age", "age"]'), "twice"),
    (("[parties.platform]", "[parties.other]"), "exactly bank, platform"),
    (("purpose = ", "purpose: "), "not valid TOML"),
])
def test_a_wrong_plan_names_the_setting(change, told):
    with pytest.raises(ConfigError, match=told):
        Plan.from_toml_text(PLAN.replace(*change), "plan.toml")


def test_slices_must_sum_to_one():
    with pytest.raises(ConfigError, match="must be 1"):
        Plan.from_toml_text(PLAN + "[slices]\ntrain = 0.5\n")


def test_the_policy_allows_what_it_names():
    policy().check(plan(), "bank")


@pytest.mark.parametrize(("model", "setting"), [
    ({"encoding": "numeric"}, "encodings"), ({"encoding": "woe"}, "encodings"), ({"release": "shared"}, "release"),
    ({"activation": "deg1"}, "activations"), ({"activation": "deg3"}, "activations"),
    ({"steps": 33}, "maximum_steps"), ({"variant": "open-score"}, "variants"), ({"polish": 1}, "maximum_polish"),
    ({"steps": 8, "polish": 1, "polish_steps": 33}, "maximum_steps"),
])
def test_a_plan_that_asks_for_more_is_refused_by_setting(model, setting):
    with pytest.raises(PolicyRefused) as refusal:
        policy().check(plan(**model), "bank")
    assert refusal.value.setting == setting and setting in str(refusal.value)


def test_woe_is_refused_with_its_reason_unless_the_policy_names_it():
    with pytest.raises(PolicyRefused, match="default rate of its bins"):
        policy().check(plan(encoding="woe"), "bank")
    policy('encodings = ["woe"]\n' + POLICY).check(plan(encoding="woe"), "bank")


@pytest.mark.parametrize(("rho", "allowed"), [(0, False), (0.3, False), (0.2, True), (0.1, True)])
def test_a_policy_may_demand_noise_in_event_counts(rho, allowed):
    strict = policy('encodings = ["woe"]\nmaximum_woe_rho = 0.2\n' + POLICY)
    if allowed:
        strict.check(plan(encoding="woe", woe_rho=rho), "bank")
        return
    with pytest.raises(PolicyRefused) as refusal:
        strict.check(plan(encoding="woe", woe_rho=rho), "bank")
    assert refusal.value.setting == "maximum_woe_rho"


def test_noise_in_event_counts_adds_up_over_runs():
    strict = policy("maximum_woe_rho = 0.2\n" + POLICY)
    strict.check_woe(0.1, 0.1)
    policy().check_woe(10, 1000)
    with pytest.raises(PolicyRefused, match=r"rho = 0\.1 after 0\.15"):
        strict.check_woe(0.1, 0.15)


def test_a_policy_names_the_activations_it_allows():
    policy('activations = ["deg3"]\n' + POLICY).check(plan(activation="deg3"), "bank")


def test_noise_belongs_to_woe():
    with pytest.raises(ValueError, match="woe_rho belongs to"):
        plan(encoding="dummy", woe_rho=0.1)


def test_event_counts_weigh_as_coefficients_do():
    policy().check_rows(5000, 60, counts=40)
    with pytest.raises(PolicyRefused, match="60 coefficients and 41 event counts of bins .* needs at least 5050"):
        policy().check_rows(5000, 60, counts=41)


@pytest.mark.parametrize(("text", "setting"), [
    (POLICY.replace("credit-scoring", "marketing"), "purposes"),
    (POLICY.replace("peers.platform", "peers.other"), "peers"),
    ("minimum_intersection_rows = 2000\n" + POLICY, "minimum_intersection_rows"),
    ("minimum_bin_rows = 30\n" + POLICY, "minimum_bin_rows"),
    ('kinds = ["score"]\n' + POLICY, "kinds"),
])
def test_each_rule_of_the_policy_bites(text, setting):
    with pytest.raises(PolicyRefused) as refusal:
        policy(text).check(plan(), "bank")
    assert refusal.value.setting == setting


@pytest.mark.parametrize("text", [
    POLICY + "[extra]\n", POLICY.replace("a" * 64, "A" * 64), "minimum_bin_rows = 5\n" + POLICY,
    "minimum_intersection_rows = 10\n" + POLICY, 'purposes = ["x"]', 'sensitivity_allowed = ["C3"]\n' + POLICY,
])
def test_unknown_or_weaker_settings_are_no_policy(text):
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        policy(text)


def test_few_rows_per_coefficient_are_refused():
    policy().check_rows(5000, 100)
    with pytest.raises(PolicyRefused, match="needs at least 5000 training rows, there are 4999"):
        policy().check_rows(4999, 100)


def test_coefficients_of_earlier_trainings_count():
    policy().check_rows(5000, 60, earlier=40)
    with pytest.raises(PolicyRefused, match="after 41 of earlier trainings on the same people, needs at least 5050"):
        policy().check_rows(5000, 60, earlier=41)


def test_columns_above_the_allowed_level_are_named():
    with pytest.raises(PolicyRefused, match="income"):
        policy('sensitivity_allowed = ["C1"]\n' + POLICY).check_sensitivity({"age": "C1", "income": "C2"})


def plan_with(section: str, **values) -> Plan:
    data = json.loads(plan().canonical())
    data[section] |= values
    return Plan.model_validate(data)


def test_a_plan_may_not_open_the_scores_of_most_rows():
    wide = plan_with("slices", train=0.1, calibration=0.1, test=0.8)
    with pytest.raises(PolicyRefused, match="maximum_holdout_share.*90% of the rows"):
        policy().check(wide, "bank")
    policy("maximum_holdout_share = 0.9\n" + POLICY).check(wide, "bank")


def test_scores_of_a_single_column_are_not_opened():
    with pytest.raises(PolicyRefused, match="minimum_columns"):
        policy().check_columns(plan(), "platform")
    policy().check_columns(plan(), "bank")  # its scores are opened to nobody
    policy("minimum_columns = 1\n" + POLICY).check_columns(plan(), "platform")


@pytest.mark.parametrize(("rows", "error"), [
    (5_000_001, PolicyRefused), (0, MalformedMessage), (True, MalformedMessage), ("7", MalformedMessage),
    (None, MalformedMessage), (1e3, MalformedMessage),
])
def test_a_peer_brings_a_number_of_rows_up_to_its_cap(rows, error):
    policy().check_peer_rows("platform", 5_000_000)
    with pytest.raises(error):
        policy().check_peer_rows("platform", rows)


BANKS = PLAN.replace('label_party = "bank"', 'label_parties = ["bank", "bank-b"]').replace(
    "[parties.platform]", '[parties.bank-b]\ntable = "loans"\ncolumns = ["age", "income"]\n[parties.platform]')


def test_one_bank_may_be_named_either_way():
    listed = PLAN.replace('label_party = "bank"', 'label_parties = ["bank"]')
    assert Plan.from_toml_text(listed).digest() == Plan.from_toml_text(PLAN).digest()
    with pytest.raises(ConfigError, match="cannot both"):
        Plan.from_toml_text(listed.replace("feature_parties", 'label_party = "bank"\nfeature_parties'))


@pytest.mark.parametrize(("change", "told"), [
    (('["bank", "bank-b"]', '["bank", "bank"]'), "different parties"),
    (('"loans"\ncolumns = ["age", "income"]', '"loans"\ncolumns = ["income", "age"]'), "columns in the same order"),
    (("[parties.platform]", '[model]\nencoding = "numeric"\n[parties.platform]'), "need model.encoding = 'dummy'"),
    (("purpose", 'kind = "score"\nmodel_id = "m-0123456789abcdef"\npurpose'), "names one bank"),
])
def test_several_banks_bring_the_same_columns_in_bins(change, told):
    assert Plan.from_toml_text(BANKS).label_parties == ("bank", "bank-b")
    with pytest.raises(ConfigError, match=told):
        Plan.from_toml_text(BANKS.replace(*change))


def model(text: str) -> tuple[str, str]:
    return "[parties.platform]", f"[model]\n{text}\n[parties.platform]"


@pytest.mark.parametrize(("text", "change", "told"), [
    (BANKS, model("polish = 1"), "polish opens scores to one bank"),
    (BANKS, model('variant = "open-score"'), "one bank with one platform"),
    (PLAN, model('variant = "open-score"\npolish = 1'), "belongs to variant = 'strict'"),
    (PLAN, model('variant = "open-score"\nrelease = "shared"'), "opens no score of a training row"),
    (PLAN, model('polish = 1\nrelease = "shared"'), "opens no score of a training row"),
    (PLAN, model("polish = 4"), "polish"), (PLAN, model('variant = "open"'), "variant"),
    (PLAN, model("openings = 17"), "openings"),
])
def test_training_scores_open_where_the_protocol_can_limit_it(text, change, told):
    with pytest.raises(ConfigError, match=told):
        Plan.from_toml_text(text.replace(*change))


def test_several_platforms_have_no_open_score_variant_but_can_polish():
    two = PLAN.replace('["platform"]', '["platform", "other"]') + '[parties.other]\ntable = "t"\ncolumns = ["x"]\n'
    assert Plan.from_toml_text(two.replace(*model("polish = 2"))).model.score_openings == 2
    with pytest.raises(ConfigError, match="one bank with one platform"):
        Plan.from_toml_text(two.replace(*model('variant = "open-score"')))


def test_what_a_policy_opens_it_opens_by_name():
    polish, open_score = plan(polish=1), plan(variant="open-score", openings=5)
    assert (polish.model.score_openings, polish.model.all_steps) == (1, 64)
    assert (open_score.model.score_openings, plan().model.score_openings) == (5, 0)
    policy("maximum_polish = 1\n" + POLICY).check(polish, "bank")
    policy('variants = ["open-score"]\n' + POLICY).check(open_score, "bank")
    with pytest.raises(PolicyRefused, match="variant = 'strict' is asked for, allowed: open-score"):
        policy('variants = ["open-score"]\n' + POLICY).check(plan(), "bank")
    with pytest.raises(ConfigError, match="maximum_opened_rank"):
        policy("maximum_opened_rank = 0.3\n" + POLICY)


def test_a_model_is_scored_by_one_of_its_banks_with_all_its_platforms():
    model = {"bank": "label", "bank-b": "label", "one": "feature", "two": "feature"}
    assert may_score(model, {"bank-b": "label", "one": "feature", "two": "feature"})
    assert not may_score(model, {"bank-b": "label", "one": "feature"})
    assert not may_score(model, {"other": "label", "one": "feature", "two": "feature"})
    assert not may_score({}, {"bank": "label"})


def test_common_encodings_spend_what_the_policy_gives():
    given = policy(POLICY.replace("purposes", "maximum_commons_rho = 0.15\npurposes")
                   + f'[peers.bank-b]\nfingerprint = "{"b" * 64}"\n')
    given.check(Plan.from_toml_text(BANKS), "bank")
    greedy = BANKS.replace("[parties.platform]", "[model]\ncommons_rho = 0.2\n[parties.platform]")
    with pytest.raises(PolicyRefused, match="maximum_commons_rho"):
        given.check(Plan.from_toml_text(greedy), "bank")
    given.check_spent(0.1, 0.05)
    with pytest.raises(PolicyRefused, match="0.1 after 0.1 of earlier runs"):
        given.check_spent(0.1, 0.1)


def test_rows_of_people_unknown_to_some_platforms_need_every_policy():
    data = json.loads(plan().canonical())
    covered = Plan.model_validate(data | {"alignment": data["alignment"] | {"rows": "covered"}})
    assert plan().alignment.rows == "common" and covered.digest() != plan().digest()
    assert Plan.from_canonical(covered.canonical()) == covered
    with pytest.raises(PolicyRefused, match="policy setting alignments: alignment.rows = 'covered'.*allowed: common$"):
        policy().check(covered, "bank")
    policy('alignments = ["common", "covered"]\n' + POLICY).check(covered, "bank")
    only = policy('alignments = ["covered"]\n' + POLICY)
    only.check(covered, "bank")
    with pytest.raises(PolicyRefused, match="allowed: covered"):
        only.check(plan(), "bank")
    with pytest.raises(ConfigError, match="alignment.rows"):
        Plan.from_toml_text(PLAN + '[alignment]\nrows = "some"\n')


def test_weights_may_stay_shared_where_the_policy_says_so():
    policy('release = ["owner", "shared"]\n' + POLICY).check(plan(release="shared"), "bank")
    with pytest.raises(PolicyRefused, match="allowed: shared"):
        policy('release = ["shared"]\n' + POLICY).check(plan(), "bank")


@pytest.mark.parametrize("change", [
    ('feature_parties = ["platform"]', 'feature_parties = ["platform", "other"]'),
    ('label_party = "bank"', 'label_parties = ["bank", "other"]'),
])
def test_shared_weights_are_between_two_parties(change):
    text = PLAN.replace(*change) + '[parties.other]\ntable = "t"\ncolumns = ["x"]\n[model]\nrelease = "shared"\n'
    assert change[1] in text
    with pytest.raises(ConfigError, match="one bank and one platform"):
        Plan.from_toml_text(text, "plan.toml")


def test_versions_of_a_persons_data_are_limited():
    policy().check_versions(12)
    with pytest.raises(PolicyRefused, match="under 13 versions of the data with one model, at most 12") as refusal:
        policy().check_versions(13)
    assert refusal.value.setting == "maximum_snapshots_per_person"


def test_a_plan_of_a_scorecard_keeps_the_digest_that_it_had_before_there_were_other_models():
    told = {"purpose": "x", "label_party": "bank", "feature_parties": ["platform"],
            "parties": {name: {"table": "a", "columns": ["c"]} for name in ("bank", "platform")}}
    assert Plan.model_validate(told).digest() == "5fada01abc824a7fb7e0740dd8af16bc9db42eee9f015be2eb56f95953e5d1c3"
    for kind in ("boosting", "network"):
        plan = Plan.model_validate(told | {"model": {"kind": kind}})
        content = json.loads(plan.canonical())["model"]
        assert [name for name in ("boosting", "network") if name in content] == [kind]
        assert Plan.from_canonical(plan.canonical()) == plan


@pytest.mark.parametrize(("change", "wrong"), [
    ({"model": {"kind": "boosting", "steps": 9}}, "steps belong to kind = 'scorecard'"),
    ({"model": {"kind": "boosting", "release": "shared"}}, "release = 'owner'"),
    ({"model": {"kind": "scorecard", "boosting": {}}}, "takes no section boosting"),
    ({"model": {"kind": "network", "encoding": "woe"}}, "'dummy' or 'numeric'"),
    ({"model": {"kind": "network", "network": {"width": 65}}}, "less than or equal to 64"),
    ({"parties": {"bank": {"table": "a", "columns": ["c"], "monotone": {"d": 1}}}}, "monotone names d"),
    ({"parties": {"bank": {"table": "a", "columns": ["c"], "monotone": {"c": 1}}}}, "belongs to model.kind"),
    ({"model": {"kind": "boosting"}, "feature_parties": ["platform", "other"]}, "one bank with one platform"),
])
def test_what_does_not_go_with_a_kind_of_model_is_one_sentence(change, wrong):
    told = {"purpose": "x", "label_party": "bank", "feature_parties": ["platform"]} | change
    named = ("bank", *told["feature_parties"])
    parties = {name: {"table": "a", "columns": ["c"]} for name in named} | change.get("parties", {})
    with pytest.raises(ValidationError, match=wrong):
        Plan.model_validate(told | {"parties": parties})
