"""What `mutate.py` takes out of the product, one at a time, and the tests that must then fail."""
from __future__ import annotations

from dataclasses import dataclass

CRYPTO, CARD, PSI, RUNTIME = "protocols/crypto/", "protocols/scorecard/", "protocols/psi/", "parties/runtime/"
NET, NET_TESTS = "protocols/network/", "tests/protocols/network/"
ATTACKS, THEIRS = "tests/attacks/", "tests/protocols/crypto/"


@dataclass(frozen=True)
class Mutation:
    """`edits`: (text that stands in `file` exactly once, what takes its place), all applied together."""

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]


def _one(name: str, file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation(name, file, ((old, new),), tests)


def _never(name: str, file: str, condition: str, *tests: str) -> Mutation:
    """A check that is never true."""
    return _one(name, file, f"if {condition}:", "if False:", *tests)


PRODUCTS = (
    _one("fresh zero of a reply", CRYPTO + "product.py",
         "        so.product_scheme().evaluator.add_inplace(result, peer.fresh_zero())\n", "",
         ATTACKS + "test_products.py::test_multiplier_from_c1"),
    _one("ring mask", CRYPTO + "product.py", "mask = RING.random(tiles.shape[0])", "mask = RING.zeros(tiles.shape[0])",
         ATTACKS + "test_products.py::test_the_product_from_an_unmasked_reply"),
    _one("ring mask drawn once for all replies", CRYPTO + "product.py", "mask = RING.random(tiles.shape[0])",
         "mask = answer.__dict__.setdefault(str(tiles.shape[0]), RING.random(tiles.shape[0]))",
         ATTACKS + "test_views.py::test_no_mask_and_no_seed_serves_twice"),
    _one("zeros of uploads handed out once", CRYPTO + "keys.py",
         "return self._stock.pop() if self._stock else self._new_zero()\n\n    def _new_zero(self) -> so.SeededPart:",
         "return self.__dict__.setdefault('zero', self._new_zero())\n\n    def _new_zero(self) -> so.SeededPart:",
         ATTACKS + "test_views.py::test_no_mask_and_no_seed_serves_twice"),
    _never("one seed per upload", CRYPTO + "product.py",
           "len({bytes(upload[: so.SEED_BYTES]) for upload in uploads}) != len(uploads)",
           ATTACKS + "test_products.py::test_one_seed_for_two_polynomials_is_refused"),
    _never("one seed per key", CRYPTO + "keys.py", "len({seed for _, seed in parts}) != len(parts)",
           ATTACKS + "test_products.py::test_one_seed_for_two_polynomials_is_refused"),
    _never("first polynomial of a key", CRYPTO + "keys.py", "any(not words.any() for words, _ in parts)",
           THEIRS + "test_keys.py::test_malformed_public_bytes_are_refused"),
    _never("transparent replies refused", CRYPTO + "product.py",
           "any(not polynomial.any() for polynomial in polynomials)",
           ATTACKS + "test_products.py::test_a_transparent_answer"),
    _never("residues below their primes", CRYPTO + "seal_objects.py", "(row >= np.uint64(prime)).any()",
           ATTACKS + "test_products.py::test_a_malformed_answer"),
    _one("flood of the element-wise product", CRYPTO + "elementwise.py",
         "scheme.evaluator.add_inplace(total, _flood(scheme))", "_flood(scheme)",
         THEIRS + "test_elementwise.py::test_replies_are_flooded"),
    _one("mask of the element-wise product", CRYPTO + "elementwise.py",
         "self._mask, self._blocks = RING.random(n), []", "self._mask, self._blocks = RING.zeros(n), []",
         THEIRS + "test_elementwise.py::test_masks_and_floods_are_fresh"),
    _one("a veil hides one reply", CRYPTO + "elementwise.py", "self._mask = self._blocks = None", "self._mask = mask",
         THEIRS + "test_elementwise.py::test_a_veil_hides_one_reply_only"),
    _never("check on the hub's sum", CRYPTO + "summed_product.py",
           "any(given[i, i] != expected[i, 0] for i in range(2))",
           THEIRS + "test_summed_product.py::test_a_hub_that_adds_leaves_out_or_changes_is_caught"),
    _one("covers of the banks' shares", CRYPTO + "zero_sharing.py",
         "return RING.sub(plus, mask_sum((self._seeds[name] for name in before), label, n))", "return RING.zeros(n)",
         THEIRS + "test_zero_sharing.py::test_a_cover_differs_by_label_and_by_party_and_is_not_small"),
)

FRAMES = (
    Mutation("sealing (AEAD)", CRYPTO + "sealing.py", (
        ("self._send.encrypt(_nonce(header.counter), plaintext, codec.encode(header))", "plaintext + bytes(16)"),
        ("self._receive.decrypt(_nonce(header.counter), body, codec.encode(header))", "body[:-16]")),
        (ATTACKS + "test_frames.py::test_the_hub_reads_and_changes_frames",)),
    _never("replayed frames refused", CRYPTO + "sealing.py", "header.counter < self._received",
           ATTACKS + "test_frames.py::test_replayed_frames"),
    _never("reordered frames refused", CRYPTO + "sealing.py", "header.counter > self._received",
           ATTACKS + "test_frames.py::test_reordered_frames"),
    _one("hellos signed by the pinned identity", CRYPTO + "sealing.py",
         "verify(context.peer_public, purpose, signed.body, signed.signature)", "codec.check(signed)",
         ATTACKS + "test_frames.py::test_a_substituted_public_key"),
    _never("an answer belongs to its hello", CRYPTO + "sealing.py",
           "answer.hello != hashlib.sha256(self.hello).digest()",
           ATTACKS + "test_frames.py::test_an_honest_answer_to_another_hello_is_no_answer"),
    _never("a message again has the same content", RUNTIME + "link_inbox.py", "known != envelope.digest",
           "tests/parties/link/test_engine.py::test_a_message_that_comes_again_with_other_content_ends_the_link"),
    _one("statements are signed", "protocols/agreement.py",
         "verify(identities[party], STATEMENT_CONTEXT, utf8(self.statements[party]), self.signatures[party])",
         "utf8(self.statements[party])", "tests/protocols/test_agreement.py::test_forged_agreements_do_not_hold"),
    _one("fingerprints are pinned", RUNTIME + "daemon.py",
         "if name not in identities or fingerprint(identities[name]) != expected:", "if name not in identities:",
         "tests/parties/runtime/test_daemon_rules.py::test_another_identity_than_the_pinned_one_is_refused"),
    _never("only our own archive runs", "protocols/node/archive.py",
           "content != ours and _members_of(content) != members()",
           "tests/protocols/node/test_archive.py::test_foreign_archives_are_refused"),
    _never("a log continues what peers hold", "protocols/merkle.py", "not holds",
           "tests/protocols/test_merkle.py::test_damaged_proofs_are_refused"),
    _one("records are salted", "protocols/audit.py", "default_factory=lambda: secrets.token_bytes(SALT_BYTES)",
         "default_factory=lambda: bytes(SALT_BYTES)",
         ATTACKS + "test_enumeration.py::test_commitments_and_log_leaves_are_salted"),
)

OPENINGS = (
    _one("flood of released coefficients", CARD + "training.py",
         "return RING.add(share, RING.sub(RING.random_below_bits(columns, flood), centre))", "return share",
         ATTACKS + "test_openings.py::test_released_coefficients_are_flooded_wider_than_their_error"),
    _one("flood of the step's norms", CARD + "feature_party.py",
         "RING.random_below_bits(2, 2 * self._layout.point_bits - NORM_FLOOD_GAP)", "RING.zeros(2)",
         ATTACKS + "test_openings.py::test_the_norms_of_the_step_are_flooded"),
    _one("start shares are uniform", CARD + "label_party.py", "given[name] = RING.random(self._own)",
         "given[name] = RING.zeros(self._own)", ATTACKS + "test_views.py::test_views_are_distributed_alike"),
    _one("opened numbers per key are limited", CARD + "training.py",
         "if largest + 2 + self._config.polish * (bank_columns + platforms) > MAXIMUM_HINTS:", "if False:",
         ATTACKS + "test_openings.py::test_a_key_opens_no_more_numbers_than_its_security_allows"),
    _one("scores are rounded", CARD + "holdout.py", "SCORE_STEP_BITS = 5", "SCORE_STEP_BITS = 9",
         ATTACKS + "test_openings.py::test_no_score_between_the_steps_leaves"),
    _one("masks of several platforms' scores", CARD + "holdout.py",
         "words = apply(words, seed.words(kind, len(words)))", "words = words.copy()",
         "tests/protocols/scorecard/test_holdout.py::test_all_messages_but_one_are_uniform_to_the_bank"),
    _never("an opening happens once", RUNTIME + "egress.py",
           "opening.learner in learners and not openings.kind_of(opening.kind).in_parts",
           "tests/parties/runtime/test_run_store_and_egress.py::test_an_opening_passes_once"),
    _never("a run opens only its own kinds", RUNTIME + "egress.py",
           "not allowed or (scores and not self._score_openings)",
           "tests/parties/runtime/test_run_store_and_egress.py::test_an_undeclared_opening_does_not_pass"),
    _one("only declared kinds are opened", "protocols/role.py", "        kind_of(self.kind)\n", "        return\n",
         "tests/protocols/test_openings.py::test_an_undeclared_kind_is_refused_wherever_it_is_named"),
    _never("rows per released coefficient", "protocols/policy.py", "rows_train < needed",
           ATTACKS + "test_labels.py::test_labels_from_coefficients_of_few_rows"),
    _one("released coefficients add up over runs", RUNTIME + "releases.py", "return sum(others.values())", "return 0",
         "tests/parties/test_releases.py::test_trainings_that_share_a_person_add_up"),
    _one("noise of the common encoding", "protocols/commons/common_encoding.py",
         "RING.add(RING.encode(counts + noise),", "RING.add(RING.encode(counts + 0 * noise),",
         ATTACKS + "test_labels.py::test_bins_of_one_person_from_two_runs"),
    _never("what common encodings spend adds up", "protocols/policy.py",
           "rho + earlier > self.maximum_commons_rho + 1e-9",
           ATTACKS + "test_labels.py::test_bins_of_one_person_from_two_runs"),
    _never("columns behind an opened score", "protocols/policy.py",
           "party not in plan.label_parties and brought < self.minimum_columns",
           "tests/protocols/test_plan_and_policy.py::test_scores_of_a_single_column_are_not_opened"),
    _never("row sets differ by many or not at all", "protocols/policy.py", "0 < changed < self.minimum_change_rows",
           ATTACKS + "test_labels.py::test_bins_of_one_person_from_two_runs"),
    _one("what is left of all pairs differs by many or not at all", RUNTIME + "phases.py",
         "        self._check_taken(joint)\n", "",
         ATTACKS + "test_joint_sets.py::test_whoever_knows_the_joint_people_refuses"),
    _one("older copies of stores noticed at the start", RUNTIME + "daemon.py",
         "        rollback.check(self._audit, ledgers, self._folder(), self._identity)\n", "",
         "tests/parties/runtime/test_rollback.py::test_a_ledger_that_was_put_back_is_noticed_at_every_start"),
    _never("what a peer tests in a quarter", "protocols/policy.py", "rows + earlier > most",
           ATTACKS + "test_enumeration.py::test_online_only_as_many_as_were_declared"),
)

ALIGNMENT = (
    _one("blinding", PSI + "aligner.py", "self._scalar: Scalar | None = Scalar.random()",
         'self._scalar: Scalar | None = Scalar(b"\\1" + bytes(31))',
         ATTACKS + "test_enumeration.py::test_offline_from_what_travels_in_an_alignment"),
    _one("cap on what a peer may test", PSI + "aligner.py",
         "if not 1 <= total <= self._params.peer_declared_max:", "if total < 1:",
         ATTACKS + "test_enumeration.py::test_online_only_as_many_as_were_declared"),
    Mutation("smallest intersection", PSI + "aligner.py", (
        ("if min(total, len(self._ids)) < self._params.minimum_intersection:", "if False:"),
        ("if len(positions) < self._params.minimum_intersection:", "if False:")),
        (ATTACKS + "test_enumeration.py::test_a_handful_of_people_is_not_singled_out",)),
)

NETWORKS = (
    _one("flood of embeddings", NET + "source_layer.py", "RING.random_below_bits(count, flood_bits(settings))",
         "RING.encode_ints([1 << (flood_bits(settings) - 1)] * count)",
         NET_TESTS + "test_training.py::test_embeddings_are_opened_under_a_flood_and_to_the_precision_that_is_stated"),
    _one("noise of embeddings", NET + "source_layer.py", "covered if settings.noise == 0 else", "covered if True else",
         NET_TESTS + "test_settings.py::test_noise_has_the_deviation_that_is_stated"),
    _one("openings of embeddings per row", NET + "training.py",
         "        self._config.check_openings(self._settings.openings_per_row, columns)\n", "",
         NET_TESTS + "test_training.py::test_the_platform_refuses_to_open_more_than_a_quarter_of_its_rank"),
    _one("pinned upload of a network", NET + "pieces.py", "if sealed is not None and rest[:len(sealed)] != sealed:",
         "if False:", NET_TESTS + "test_scores.py::test_another_upload_than_the_pinned_one_is_refused"),
    _one("admission before scoring by a network", NET + "feature_scores.py",
         "            self._admit(self._people, tags(self._half.secret, self._people, self._columns, data))\n",
         "            pass\n", NET_TESTS + "test_scores.py::test_versions_are_admitted_before_anything_leaves"),
    _one("fresh flood of scored embeddings", NET + "score_flood.py",
         "fresh = RING.random_below_bits(count, FRESH_BITS + _WIDER)", "fresh = RING.zeros(count)",
         NET_TESTS + "test_scores.py::test_repeats_average_nothing_out_and_no_two_are_alike"),
)

MUTATIONS = PRODUCTS + FRAMES + OPENINGS + ALIGNMENT + NETWORKS
