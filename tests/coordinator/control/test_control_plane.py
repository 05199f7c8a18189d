"""The real control plane: Flower, TLS, registered keys, separate processes; the parties' daemons are stand-ins."""
from __future__ import annotations

import hashlib
import io
import json
import ssl
import zipfile

import httpx
import pytest

from coordinator import run_cli
from protocols.node import archive
from protocols.plan import Plan


@pytest.fixture
def daemons(federation):
    for daemon in federation.daemons.values():
        daemon.reset()
    return federation.daemons


def test_the_front_answers_404_on_control_and_runtime_paths(federation):
    trust = ssl.create_default_context(cafile=federation.config.home / "tls" / "ca.crt")
    with httpx.Client(verify=trust, trust_env=False) as client:
        def status(address: str, path: str) -> int:
            headers = {"content-type": "application/protobuf"}
            return client.post(f"https://{address}{path}", content=b"", headers=headers).status_code

        listen = federation.config.listen
        assert status(listen.superlink, "/v1/control/list-runs") == 200  # so the next lines say something
        for path in ("/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task", "/health", "/docs"):
            assert status(listen.front, path) == 404
        assert status(listen.front, "/v1/fleet/pull-messages") not in (200, 404)


def test_a_run_goes_through_three_rounds(federation, daemons, plan: Plan, tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_text(_toml(plan))
    assert run_cli.run([str(path), "--config", str(federation.config.source), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["state"] == "finished" and facts["result"]["metrics"] == {"auc_joint": 0.8}
    assert federation.registry.model(facts["model_id"])["card"] == facts["result"]
    for daemon in daemons.values():
        assert [method for method, _ in daemon.calls] == ["agree", "execute", "publish"]
        assert {body["run"] for _, body in daemon.calls} == {facts["run"]}


def test_a_foreign_archive_is_refused_and_told_to_the_daemon(federation, daemons, plan: Plan, monkeypatch):
    evil = _archive_with_code()
    monkeypatch.setattr(archive, "build", lambda: (evil, hashlib.sha256(evil).hexdigest()))
    run = federation.submit(plan)
    assert federation.wait_for(run, "failed", "finished") == "failed"
    assert "refused the application archive" in federation.registry.run(run)["cause"]
    told = [body for daemon in daemons.values() for method, body in daemon.calls if method == "refused"]
    assert told and told[0]["sha256"] == hashlib.sha256(evil).hexdigest()
    assert all(method == "refused" for daemon in daemons.values() for method, _ in daemon.calls)


def _archive_with_code() -> bytes:
    members = {**archive.members(), "parties/runtime/client_app.py": b"raise SystemExit('code of the coordinator')\n"}
    lines = [f"{p},{hashlib.sha256(c).hexdigest()},{len(c) * 8}" for p, c in members.items() if p != ".info/CONTENT"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for path, content in {**members, ".info/CONTENT": "\n".join(lines).encode()}.items():
            bundle.writestr(path, content)
    return buffer.getvalue()


def _toml(plan: Plan) -> str:
    parts = "".join(
        f"[parties.{n}]\ntable = {json.dumps(p.table)}\ncolumns = {json.dumps(p.columns)}\n"
        for n, p in plan.parties.items()
    )
    return (f'purpose = "{plan.purpose}"\nlabel_party = "{plan.label_parties[0]}"\n'
            f"feature_parties = {json.dumps(plan.feature_parties)}\n{parts}[limits]\nrun_deadline_s = 60\n")
