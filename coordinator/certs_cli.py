"""The authority's commands of `sealscore certs`: init, sign, renew-authority."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coordinator.certs import Authority, PartySpec, Validity, init_federation
from coordinator.config import load_config
from coordinator.enrolment import dialled, join_bundle
from coordinator.options import ConfigOption
from protocols.crypto.identity import fingerprint
from protocols.errors import UsageError
from protocols.node import starters
from protocols.node.certs_cli import show
from protocols.node.enrol import JoinRequest, key_digest, telephone_lines
from protocols.node.joining import replace_file

CaOption = Annotated[Path, typer.Option("--ca", metavar="DIR", help="folder of ca.key and ca.crt")]


def init(
    directory: Annotated[Path, typer.Argument(help="made new: one home per node, and trust.json")],
    party: Annotated[list[str] | None, typer.Option(help="NAME:ROLE, role bank or platform; may be repeated")] = None,
    no_parties: Annotated[bool, typer.Option("--no-parties", help="authority and coordinator only; all join")] = False,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long certificates hold")] = 365,
    host: Annotated[list[str] | None, typer.Option(help="name or address of the coordinator; repeatable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Make an authority, node certificates, SuperNode keys and identity keys."""
    if no_parties and party:
        raise UsageError("--no-parties and --party exclude each other")
    parties = [PartySpec.parse(text) for text in party or ([] if no_parties else ["bank:bank", "platform:platform"])]
    identities = init_federation(directory, parties, days, host or [])
    if no_parties:
        _write_starter(directory, host or [])
    roles = {p.name: p.role for p in parties}
    if as_json:
        nodes = {name: {"home": str((directory / name).resolve()), "role": roles.get(name, name),
                        "identity": public.hex(), "fingerprint": fingerprint(public)}
                 for name, public in identities.items()}
        typer.echo(json.dumps({"directory": str(directory.resolve()), "nodes": nodes,
                               "trust": str((directory / "trust.json").resolve())}, indent=2))
        return
    _print_fingerprints(directory, identities)


def sign(
    request: Annotated[Path, typer.Argument(help="a node's request.json")],
    ca: CaOption,
    out: Annotated[Path, typer.Option(help="the join bundle to write")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long the certificate holds")] = 365,
    front: Annotated[str | None, typer.Option(help="HOST:PORT that parties dial; default [listen] front")] = None,
    hub: Annotated[str | None, typer.Option(help="HOST:PORT that parties dial; default [listen] hub")] = None,
    config: ConfigOption = None,
) -> None:
    """Check a node's request and write its join bundle; compare the fingerprints with the node before you send it."""
    asked = JoinRequest.decode(request.read_bytes(), str(request))
    settings = load_config(config)
    places = dialled(settings, front, hub)
    bundle = join_bundle(asked, Authority.load(ca), settings, Validity.of_days(days), places)
    try:
        with out.open("xb") as sink:
            sink.write(bundle.encode())
    except FileExistsError:
        raise UsageError(f"{out} exists already; choose another name with --out") from None
    show(asked)
    certificate, authority = bundle.certificates(str(out))
    typer.echo("\nThe authority's key:\n")
    _echo(telephone_lines({"authority": key_digest(authority.public_key())}))
    typer.echo(f"\nWrote {out}: a certificate until {certificate.not_valid_after_utc:%Y-%m-%d} and the identities of "
               f"{', '.join(peer.name for peer in bundle.peers) or 'nobody'}. Send it once the fingerprints above are "
               "confirmed by telephone.")
    if asked.role != "coordinator" and asked.name not in settings.parties:
        typer.echo(f"Then: sealscore coordinator add {asked.name} --request {request}")


def renew_authority(
    ca: CaOption,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long the new certificate holds")] = 3650,
) -> None:
    """Give the authority's key a certificate that holds longer; no node has to change anything before the old ends."""
    old = Authority.load(ca)
    new = old.renewed(Validity.of_days(days))
    kept = ca / f"ca-until-{old.certificate.not_valid_after_utc:%Y%m%d-%H%M%S}.crt"
    replace_file(kept, old.certificate_pem())
    replace_file(ca / "ca.crt", new.certificate_pem())
    typer.echo(f"Wrote {ca / 'ca.crt'}, until {new.certificate.not_valid_after_utc:%Y-%m-%d}; the old one is "
               f"{kept.name}. The key is the same: certificates of before hold under both. Each node gets the new "
               "ca.crt with its next bundle (`sealscore certs request HOME --renew`).")


def _write_starter(directory: Path, hosts: list[str]) -> None:
    front, hub = (f"{hosts[0] if hosts else '127.0.0.1'}:{port}" for port in (18443, 18444))
    text = starters.coordinator_toml(front, hub, "127.0.0.1:18445")
    (directory / "coordinator" / "coordinator.toml").write_text(text, encoding="utf-8")


def _print_fingerprints(directory: Path, identities: dict[str, bytes]) -> None:
    typer.echo(f"Wrote {len(identities)} node homes and trust.json to {directory}.\n")
    typer.echo("Identity fingerprints. Read them to each other by telephone before you pin them:\n")
    _echo(telephone_lines({name: fingerprint(public) for name, public in identities.items()}))
    typer.echo(f"\nMove each home to its node. Keep {directory}/ca/ca.key offline: it is needed only for new nodes.")


def _echo(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
