"""`check` says what becomes of every layer, with the words of `lower`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import snntorch as snn
from torch import nn
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy.cli.app import app
from squat_deploy.errors import LoweringError
from squat_deploy.snn.quantizers import state_quant
from tests.test_lowering import leaky, linear, unlucky
from tests.test_models import Deciding, Looped

SPEC = sd.InputSpec((6,))


def told(model: nn.Module, spec: sd.InputSpec = SPEC, steps: int = 6) -> list[tuple[str, str, str, str]]:
    return [(row.layer, row.verdict, row.why, row.hint) for row in sd.check(model, spec, steps)]


def test_every_layer_of_a_model_that_can_be_lowered() -> None:
    model = nn.Sequential(linear(), nn.BatchNorm1d(4), leaky(), nn.Flatten(), linear(4, 3), leaky())
    assert told(model) == [
        ("0 (QuantLinear)", "supported", "integers", ""),
        ("1 (BatchNorm1d)", "supported", "integers", ""),
        ("2 (Leaky)", "proven", "exact grid + batch norm; 9 states, 8 levels, 1 tables", ""),
        ("3 (Flatten)", "supported", "integers", ""),
        ("4 (QuantLinear)", "supported", "integers", ""),
        ("5 (Leaky)", "proven", "exact grid; 9 states, 8 levels, 1 tables", ""),
    ]


def test_printed_it_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = sd.check(nn.Sequential(linear(), nn.ReLU(), leaky()), SPEC, 6)
    print(rows)
    title, head, *lines = capsys.readouterr().out.splitlines()
    assert title == "what becomes of every layer" and len(lines) == len(rows) == 3
    place = head.index("why")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines)
    assert "1 (ReLU)         refused" in lines[1] and lines[1].endswith("neurons are the only non-linearity")
    assert "<td>refused</td>" in rows._repr_html_()


def test_refused_layers_and_those_behind_them() -> None:
    rows = told(nn.Sequential(linear(), nn.ReLU(), leaky(), linear(4, 3), snn.SLSTM(3, 3, state_quant=state_quant(2))))
    assert [row[1] for row in rows] == ["supported", "refused", "supported", "supported", "refused"]
    assert rows[1][2:] == ("this type cannot be lowered; got ReLU", "remove it: neurons are the only non-linearity")
    assert rows[2][2] == "not proven yet: a layer before it is refused"
    assert rows[4][3] == "use snn.Leaky: its gates are real-valued functions, no table holds them"


def test_what_is_not_proven() -> None:
    rows = told(nn.Sequential(unlucky(), leaky(state_quant=state_quant(8, uniform=False), beta=0.5)))
    assert rows[1][1] == "not proven" and rows[1][2].startswith("error bound: ")
    instead = "use power-of-two weight scales (Int8WeightPerTensorFixedPoint)"
    assert rows[1][3] == f"lower sd.exact(model, spec, steps) (--exact), or {instead}"


def test_traced_models() -> None:
    rows = told(Looped().eval(), sd.InputSpec((12,)))
    assert [row[:2] for row in rows] == [
        ("fc1 (QuantLinear)", "supported"), ("lif1 (Leaky)", "proven"),
        ("fc2 (QuantLinear)", "supported"), ("lif2 (Leaky)", "proven"),
    ]  # fmt: skip
    rows = told(Deciding().eval(), sd.InputSpec((12,)))
    assert [row[1] for row in rows] == ["refused"] and "no control flow depends on the data" in rows[0][2]


def test_it_refuses_exactly_what_lower_refuses() -> None:
    """Layers may be fine one by one, and the whole not: here a readout of membranes that stand for none."""
    model = nn.Sequential(linear(), leaky(reset_delay=False))
    refused = [row for row in sd.check(model, SPEC, 6, readout="last-membrane") if row.verdict == "refused"]
    assert [row.layer for row in refused] == ["readout"]
    with pytest.raises(LoweringError, match="readout: "):
        sd.lower(model, SPEC, 6, readout="last-membrane")
    assert not [row for row in sd.check(model, SPEC, 6) if row.verdict == "refused"]
    assert sd.lower(model, SPEC, 6).certificate.proven


MODEL = """
from squat_deploy.lab.models import dense_lif_net
from torch import nn

def factory():
    return dense_lif_net((16, 8, 4))

def wrong():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
"""


def test_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    good = CliRunner().invoke(app, ["check", f"{tmp_path}/net.py:factory", "--steps", "5"])
    assert good.exit_code == 0 and good.output.count("proven") == 2 and "fc1 (QuantLinear)" in good.output
    bad = CliRunner().invoke(app, ["check", f"{tmp_path}/net.py:wrong", "--steps", "5", "--high", "1", "--json"])
    document = json.loads(bad.stdout)
    assert bad.exit_code == 1 and not document["ok"]
    assert [row["verdict"] for row in document["layers"]] == ["supported", "refused", "refused"]
    assert (
        document["layers"][1]["hint"]
        == "use brevitas.nn.QuantLinear or sd.quantize(model, data, steps=...), so that the weights are integers"
    )
    assert document["input"]["high"] == 1 and document["warnings"] == []
