"""Merkle trees against the definitions of RFC 6962 §2.1, the known answers of its reference log, and forged proofs."""
from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import TrustError
from protocols.merkle import EMPTY_ROOT, MerkleTree, leaf_hash, node_hash, verify_consistency, verify_inclusion

# The eight records and roots that the reference implementation of RFC 6962 is tested with.
RECORDS = [bytes.fromhex(text) for text in
           ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY_6_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def grown(records: list[bytes]) -> MerkleTree:
    tree = MerkleTree()
    for record in records:
        tree.append(record)
    return tree


def numbered(count: int) -> list[bytes]:
    return [b"record %d" % i for i in range(count)]


def plain_root(records: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not records:
        return hashlib.sha256().digest()
    if len(records) == 1:
        return leaf_hash(records[0])
    k = 1
    while 2 * k < len(records):
        k *= 2
    return node_hash(plain_root(records[:k]), plain_root(records[k:]))


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size):
    assert grown(RECORDS).root(size).hex() == ROOTS[size]


def test_known_consistency_proof():
    assert [node.hex() for node in grown(RECORDS).consistency_proof(6, 8)] == CONSISTENCY_6_8


def test_roots_follow_the_definition():
    records = numbered(70)
    tree = grown(records)
    assert [tree.root(n) for n in range(71)] == [plain_root(records[:n]) for n in range(71)]


def test_every_proof_of_small_trees_holds():
    records = numbered(20)
    tree = grown(records)
    for size in range(1, 21):
        for index in range(size):
            verify_inclusion(leaf_hash(records[index]), index, size, tree.inclusion_proof(index, size),
                             tree.root(size))
        for old in range(size + 1):
            verify_consistency(old, tree.root(old), size, tree.root(size), tree.consistency_proof(old, size))


@given(st.integers(1, 300), st.data())
def test_an_inclusion_proof_holds_for_one_place_only(size, data):
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size))
    tree = grown(numbered(size))
    proof, leaf = tree.inclusion_proof(index), leaf_hash(b"record %d" % index)
    verify_inclusion(leaf, index, size, proof, tree.root())
    if other != index:
        with pytest.raises(TrustError):
            verify_inclusion(leaf, other, size, proof, tree.root())
    with pytest.raises(TrustError):
        verify_inclusion(leaf_hash(b"another"), index, size, proof, tree.root())


@given(st.integers(2, 200), st.data())
def test_no_consistency_proof_for_a_rewritten_log(size, data):
    old = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old - 1))
    records = numbered(size)
    honest = grown(records)
    records[changed] = b"rewritten"
    rewritten = grown(records)
    for proof in (rewritten.consistency_proof(old), honest.consistency_proof(old), []):
        with pytest.raises(TrustError, match="rewritten"):
            verify_consistency(old, honest.root(old), size, rewritten.root(), proof)


@pytest.mark.parametrize("old", [1, 4, 6, 7])
def test_damaged_proofs_are_refused(old):
    tree = grown(numbered(11))
    proof = tree.consistency_proof(old)
    damaged = [proof[:-1], [*proof, bytes(32)], proof[::-1] if len(proof) > 1 else [bytes(32)],
               [proof[0][:31], *proof[1:]], [*proof, *proof]]
    for bad in damaged:
        with pytest.raises(TrustError):
            verify_consistency(old, tree.root(old), 11, tree.root(), bad)
    inclusion = tree.inclusion_proof(old)
    for bad in ([], inclusion[:-1], [*inclusion, bytes(32)], [inclusion[0][:31], *inclusion[1:]]):
        with pytest.raises(TrustError):
            verify_inclusion(leaf_hash(b"record %d" % old), old, 11, bad, tree.root())


def test_edges_of_consistency():
    tree = grown(numbered(5))
    verify_consistency(0, EMPTY_ROOT, 5, tree.root(), [])
    verify_consistency(5, tree.root(), 5, tree.root(), [])
    for old, old_root, new, new_root, proof in [
        (0, tree.root(), 5, tree.root(), []), (0, EMPTY_ROOT, 5, tree.root(), [bytes(32)]),
        (5, tree.root(), 5, tree.root(4), []), (5, tree.root(), 5, tree.root(), [bytes(32)]),
        (5, tree.root(), 4, tree.root(4), []), (-1, EMPTY_ROOT, 5, tree.root(), []),
    ]:
        with pytest.raises(TrustError):
            verify_consistency(old, old_root, new, new_root, proof)


def test_sizes_outside_the_log_are_refused():
    tree = grown(numbered(3))
    for ask in (lambda: tree.root(4), lambda: tree.root(-1), lambda: tree.inclusion_proof(3),
                lambda: tree.inclusion_proof(2, 2), lambda: tree.consistency_proof(3, 2),
                lambda: tree.consistency_proof(1, 4)):
        with pytest.raises(ValueError):
            ask()


def test_a_leaf_is_no_node():
    """RFC 6962 §2.1: the prefixes keep an inner node from being shown as a record."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
