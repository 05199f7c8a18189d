"""Seconds of the parts of a run, measured on one class of machine by `make bench ARGS=cost`.

`calibration.json` beside this file is what the predictions rest on unless another is given. Every figure is CPU time
of one core but those named so.
"""
from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from coordinator.cost import sizes
from protocols.crypto.layout import Layout, LayoutName
from protocols.crypto.params import DEGREE
from protocols.errors import ConfigError
from protocols.strict import Strict, first_problem

DEFAULT = Path(__file__).with_name("calibration.json")
TILE_BYTES = 2 * 8 * DEGREE  # one transformed polynomial of a matrix
_MOST_BYTES = 64 * 1024


class Answer(Strict):
    """One side's answer to a matrix product: fixed, per item packed or expanded, per multiplication, per polynomial."""

    fixed_s: float = Field(ge=0)
    item_s: float = Field(ge=0)
    product_s: float = Field(ge=0)
    polynomial_s: float = Field(ge=0)

    def seconds(self, items: int, polynomials: int) -> float:
        """`items` of them, each over all `polynomials`."""
        return (self.fixed_s + self.item_s * items + self.product_s * items * polynomials
                + self.polynomial_s * polynomials)


class Product(Strict):
    """The matrix product; polynomials of 8,192 coefficients."""

    ask_s: float = Field(ge=0, description="per upload, its encryption of zero made ahead")
    zero_own_s: float = Field(ge=0, description="that encryption of zero")
    zero_peer_s: float = Field(ge=0, description="the fresh zero of a reply")
    forward: Answer
    backward: Answer
    tiled: Answer = Field(description="without packing or expansion; an item is an upload")
    tile_s: float = Field(ge=0, description="one polynomial of the own matrix")
    finish_s: float = Field(ge=0, description="per reply polynomial")
    summand_s: float = Field(ge=0, description="per polynomial of a reply that the hub adds, beyond any other reply")
    sum_s: float = Field(ge=0, description="the same when the sum is opened")
    add_s: float = Field(ge=0, description="per megabyte that the hub adds")


class Elementwise(Strict):
    """The element-wise product, per block of 8,192 entries."""

    ask_s: float = Field(ge=0)
    veil_s: float = Field(ge=0, description="what hides a reply, made ahead")
    factor_s: float = Field(ge=0, description="the own vector, once per kind of pass")
    answer_s: float = Field(ge=0)
    finish_s: float = Field(ge=0)


class Keys(Strict):
    """Fresh keys."""

    generate_s: float = Field(ge=0)
    expand_s: float = Field(ge=0, description="a peer's, from its upload")


class Local(Strict):
    """What a party does by itself."""

    load_row_s: float = Field(ge=0, description="reading the table, per row")
    load_cell_s: float = Field(ge=0, description="reading the table, per row and column")
    encode_cell_s: float = Field(ge=0, description="bins and whitening, per row and coefficient")
    fit_cell_s: float = Field(ge=0, description="the bank's own model, per row and coefficient")
    start_cell_s: float = Field(ge=0, description="making ready to train, per row and coefficient")
    pass_row_s: float = Field(ge=0, description="arithmetic on shares and state of one pass, per row")
    evaluate_row_s: float = Field(ge=0, description="the bank's judgement, per hold-out row")


class Trees(Strict):
    """Boosted trees; a bin is one of all of a platform's columns, a cell a row and column, a chunk 4,096 rows."""

    encode_cell_s: float = Field(ge=0, description="columns as bins, per cell; either party")
    chunk_s: float = Field(ge=0, description="public polynomial of a chunk, made ready for the matrix")
    matrix_bin_s: float = Field(ge=0, description="the platform's matrix, per bin")
    matrix_cell_s: float = Field(ge=0, description="the same, per chunk and column")
    matrix_product_s: float = Field(ge=0, description="the same, per chunk and bin but a column's last")
    veil_bin_s: float = Field(ge=0, description="what hides the matrix, per bin")
    answer_secret_s: float = Field(ge=0, description="the platform's answer, per secret")
    answer_bin_s: float = Field(ge=0, description="the same, per bin of a request")
    answer_product_s: float = Field(ge=0, description="the same, per secret and bin")
    unpack_row_s: float = Field(ge=0, description="a hidden vector that came, per row")
    sum_cell_s: float = Field(ge=0, description="its sums, per cell")
    sum_bin_s: float = Field(ge=0, description="its reply, per bin")
    side_row_s: float = Field(ge=0, description="a split's sides, per row")
    hold_bin_s: float = Field(ge=0, description="the hidden matrix that came, per bin")
    ask_secret_s: float = Field(ge=0, description="a fresh secret, encrypted")
    correct_bin_s: float = Field(ge=0, description="shares of corrections at the bank, per bin of a request")
    correct_product_s: float = Field(ge=0, description="the same, per secret and bin")
    mask_chunk_s: float = Field(ge=0, description="once, what hides vectors, per chunk")
    hide_row_s: float = Field(ge=0, description="a vector hidden, per row")
    open_bin_s: float = Field(ge=0, description="sums opened, per vector and bin")
    own_cell_s: float = Field(ge=0, description="the bank's own sums, per vector and cell")
    split_column_s: float = Field(ge=0, description="the best split of a node, per column of both")
    route_row_s: float = Field(ge=0, description="rows passed on at a split, per row")
    tree_row_s: float = Field(ge=0, description="gradients of a tree, per row")
    unseen_cell_s: float = Field(ge=0, description="sides of rows that the model has not seen, per row and split")
    margin_cell_s: float = Field(ge=0, description="their scores at the bank, per row and split")


class Alignment(Strict):
    """Diffie-Hellman intersection."""

    hash_s: float = Field(ge=0, description="hash and multiplication of an own id")
    multiply_s: float = Field(ge=0, description="multiplication of a peer's point")
    digest_id_s: float = Field(ge=0, description="per own id, once: a secret order, and a digest that knows the table")
    intersect_id_s: float = Field(ge=0, description="per id of both sides")


class Transport(Strict):
    """Outbox, links and hub."""

    step_s: float = Field(ge=0, description="wall time of one durable step of a party")
    store_mb_s: float = Field(ge=0, description="wall time per megabyte in it")
    party_mb_s: float = Field(ge=0, description="sealing, TLS and reading back, per megabyte on either side")
    hub_mb_s: float = Field(ge=0, description="relaying, per megabyte")
    message_s: float = Field(ge=0, description="wall time of an empty message through both links and the hub")


class Calibration(Strict):
    """Everything measured; `machine` and `measured` are for people."""

    version: int = Field(3, ge=3, le=3)
    machine: str
    measured: str
    kernel_s: float = Field(gt=0, description="fixed piece of arithmetic, CPU: compares machines")
    control_s: float = Field(ge=0, description="wall time of the control plane around a run's phases")
    base_mb: float = Field(ge=0, description="a party's process without data")
    product: Product
    elementwise: Elementwise
    keys: Keys
    local: Local
    trees: Trees
    alignment: Alignment
    transport: Transport

    @classmethod
    def load(cls, path: Path | None = None) -> Calibration:
        """From `path`, else the one delivered; ConfigError names file and setting."""
        source = path or DEFAULT
        try:
            if source.stat().st_size > _MOST_BYTES:
                raise ConfigError(f"{source.name}: expected a calibration of at most {_MOST_BYTES} bytes")
            return cls.model_validate_json(source.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"no calibration at {source}; `make bench ARGS=cost` prints one") from None
        except OSError:
            raise ConfigError(f"{source.name}: cannot be read") from None
        except ValidationError as error:
            raise ConfigError(f"{source.name}: {first_problem(error)}; `make bench ARGS=cost` prints a "
                              "calibration") from None

    # seconds of the steps of a pass; shapes are (rows, columns) of the matrix

    def ask(self, shape: tuple[int, int], layout: LayoutName = sizes.COMPACT) -> float:
        """A request whose zeros are there."""
        return self.product.ask_s * sizes.layout(shape, layout).uploads

    def zeros(self, requests: list[tuple[int, int]], replies: list[tuple[int, int]],
              layout: LayoutName = sizes.COMPACT) -> float:
        """Made for requests and replies, ahead or on the way."""
        own = sum(sizes.layout(shape, layout).uploads for shape in requests)
        peers = sum(sizes.layout(shape, layout).replies for shape in replies)
        return self.product.zero_own_s * own + self.product.zero_peer_s * peers

    def answer(self, shape: tuple[int, int], tiles_made: int, own_items: int | None = None, summed: bool = False,
               layout: LayoutName = sizes.COMPACT) -> float:
        """A reply whose zeros are there; `own_items`: of packing, when other platforms hold the others."""
        plan = sizes.layout(shape, layout)
        check = self.product.summand_s * plan.replies if summed else 0.0
        if plan.kind == "tile":
            made = self.product.tiled.seconds(plan.uploads, plan.replies)
        else:
            items = plan.items if own_items is None else own_items
            cost = self.product.forward if plan.kind == "fan" else self.product.backward
            made = cost.seconds(items, polynomials(plan))
        return made + self.product.tile_s * tiles_made + check

    def finish(self, shape: tuple[int, int], summed: bool = False, layout: LayoutName = sizes.COMPACT) -> float:
        """Opening a reply or a sum."""
        each = self.product.finish_s + (self.product.sum_s if summed else 0.0)
        return each * sizes.layout(shape, layout).replies

    def cross(self, n: int, terms: int = 1) -> float:
        """An answer to an element-wise product of n entries of which nothing was made ahead."""
        part = self.elementwise
        return sizes.slot_blocks(n) * (part.veil_s + terms * (part.factor_s + part.answer_s))

    def storing(self, payload: int, state: int = 0) -> float:
        """One durable step that writes so many bytes of messages and state."""
        return self.transport.step_s + self.transport.store_mb_s * (payload + state) / 1e6


def polynomials(plan: Layout) -> int:
    """Along the rows of the table: replies of a forward product, uploads of a backward one."""
    return plan.uploads if plan.kind == "dot" else plan.replies


def tiles(shape: tuple[int, int], own_items: int | None = None, layout: LayoutName = sizes.COMPACT) -> int:
    """Polynomials of one's own matrix in a product of that shape."""
    plan = sizes.layout(shape, layout)
    if plan.kind == "tile":
        return plan.uploads * plan.replies
    return (plan.items if own_items is None else own_items) * polynomials(plan)
