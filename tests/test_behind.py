"""What a model returns is what is promised: known readouts of the last neurons are taken, all else is refused."""

from __future__ import annotations

from types import CodeType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.lowering.behind import HINT, RULE
from squat_deploy.lowering.drafting import program_of
from squat_deploy.snn.copying import frozen_copy
from squat_deploy.snn.delay import Delay
from tests.test_models import leaky, linear

STEPS, SPEC = 5, sd.InputSpec((6,), 0, 1)


class Ends(nn.Module):
    """Two layers in a loop; a line in every step, and what is returned, written as text."""

    def __init__(self, end: str, step: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1, self.fc2, self.lif2 = linear(6, 5), leaky(False), linear(5, 4), leaky(False)
        self.readout, self.soft, self.late = linear(4, 4), nn.Softmax(-1), Delay(1)
        self.pool, self.flat = nn.AvgPool1d(2), nn.Flatten(1)
        for layer in (self.fc1, self.fc2):
            layer.weight.data.normal_(0, 0.6)
        self.fills = "filled" in end
        self.step: CodeType = compile(step, "step.py", "exec")
        self.end: CodeType = compile(f"out = {end}" if "out =" not in end else end, "end.py", "exec")

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        known: dict[str, Any] = {"self": self, "torch": torch, "F": F, "x": x, "spks": [], "mems": [], "hidden": []}
        known |= {"count": 0}
        if self.fills:  # by the size of the batch, so that many are recorded
            known["filled"] = torch.zeros(STEPS, len(x), 4)
        for step in range(STEPS):
            hidden, mem1 = self.lif1(self.fc1(x), mem1)
            spk, mem2 = self.lif2(self.fc2(hidden), mem2)
            known |= {"spk": spk, "mem": mem2, "t": step}
            exec(self.step, known)
            spk = known["spk"]
            known["count"] = known["count"] + spk
            if self.fills:
                known["filled"][step] = spk
            for name, value in (("spks", spk), ("mems", mem2), ("hidden", hidden)):
                known[name].append(value)
        exec(self.end, known)
        return known["out"]


TAKEN = [
    "torch.stack(spks)", "torch.stack(spks, 1)", "torch.stack(spks, 2)", "(torch.stack(spks), torch.stack(mems))",
    "spks", "(spks, mems)", "spk", "mem", "{'a': spk, 'b': mems}", "count", "count / 5", "sum(spks)",
    "torch.stack(spks).sum(0)",
    "torch.stack(spks).mean(0) * 2", "torch.stack(spks).sum(0).argmax(1)", "F.log_softmax(torch.stack(mems), -1)",
    "torch.stack(mems).max(0)[0]", "torch.max(torch.stack(mems), dim=0)", "torch.stack(mems).amax(0).softmax(1)",
    "self.soft(count)", "self.flat(spk)", "torch.stack(spks).permute(1, 0, 2)", "torch.stack(mems)[-1]",
    "count.max(1)[1]",
    "torch.stack(spks).sum(0).view(-1, 2, 2).sum(2)", "torch.cat([one[None] for one in spks]).sum(dim=0)",
    "torch.stack(spks).bool()", "torch.stack(spks).int().sum(0)", "torch.stack(spks)[:, :]",
    "torch.stack(mems).mean(0)",
    "torch.stack(spks).reshape(5, -1, 2, 2).mean(-1).sum(0)", "torch.stack(spks).flatten(2).double()", "spk.T",
    "filled", "filled.sum(0)", "filled.mean(0)", "filled.transpose(0, 1)", "filled[-1]",
    "(torch.stack(spks), 0.1 * torch.stack(hidden).mean())", "(spk, torch.stack(hidden) ** 2)",
    "(spk, F.mse_loss(mem, mem))",
]  # fmt: skip


def _recorded(end: str, step: str = "") -> Any:
    return program_of(frozen_copy(Ends(end, step)), SPEC, STEPS)


@pytest.mark.parametrize("end", TAKEN)
def test_readouts_are_taken(end: str) -> None:
    program = _recorded(end)
    assert program.result.label == "lif2 (Leaky)"


@pytest.mark.parametrize("end", ["filled", "filled.sum(0)", "(torch.stack(spks, 1), mem)", "count / 5"])
def test_readouts_agree(end: str) -> None:
    model = Ends(end).eval()
    network, inputs = sd.lower(model, SPEC, STEPS), np.random.default_rng(0).integers(0, 2, (9, 6))
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees


REFUSED = {
    "torch.stack(spks[1:])": "4 of the 5 steps",
    "torch.stack(spks[::-1])": "another order of their steps or neurons",
    "torch.stack(spks) * 2": "mul behind them",
    "torch.stack(spks)[:, :, :2]": "2 of their 4 neurons",
    "torch.stack(spks)[:, :2]": "2 of their",
    "torch.stack(spks)[:-1]": "4 of the 5 steps",
    "torch.stack(spks).narrow(0, 1, 3)": "3 of the 5 steps",
    "torch.stack(spks).chunk(2)[0]": "3 of the 5 steps",
    "torch.stack(spks).flip(0)": "flip behind them",
    "self.readout(spk)": "a QuantLinear behind them",
    "self.readout(torch.stack(spks).sum(0))": "a QuantLinear behind them",
    "self.late(spk)": "a Delay behind them",
    "self.pool(spk)": "a AvgPool1d behind them",
    "spks[1:]": "steps 1, 2, 3 ..., not all 5 in their order",
    "spks[0]": "steps 0 ..., not all 5 in their order",
    "count - 1": "sub behind them",
    "count + 1": "add",
    "count + mem": "add of different ones of them",
    "count + spks[1]": "add of step 1 a second time",
    "count + torch.ones(4)": "add of them and of something else",
    "torch.stack(spks)[:, :, [1, 0, 2, 3]]": "another order of their steps or neurons",
    "torch.stack(spks).mean(1)": "mean over the batch",
    "torch.stack(spks).flatten(1).sum(1)": "sum over the batch",
    "torch.stack(spks, 1).flatten(1).sum(1)": "sum over neurons and steps at once",
    "torch.stack(spks).softmax(0)": "softmax over something else than the classes",
    "torch.sigmoid(mem)": "sigmoid behind them",
    "mem.int()": "int behind them",
    "torch.stack(spks[2:]).sum(0)": "3 of the 5 steps",
    "torch.stack([spk, mem])": "stack of those of several layers, or of spikes and membranes",
    "torch.stack([spks[0] + spks[1], spk])": "stack of sums of different steps",
    "torch.stack([torch.stack(spks[:2]), torch.stack([spks[2]] * 2)]).sum((0, 1))": "sum of different steps",
    "torch.einsum('bn,bn->bn', spk, spk)": "einsum of several of them",
    "spk @ torch.eye(4)": "matmul of them and of something else",
    "filled[2] = 0; out = filled": "a tensor into which they were written, and which holds something else",
    "out = filled * 2": "a tensor into which they were written, and which holds something else",
    "filled += 1; out = filled.sum(0)": "a tensor into which they were written, and which holds something",
}


@pytest.mark.parametrize("end", REFUSED)
def test_what_is_no_readout_is_refused(end: str) -> None:
    with pytest.raises(LoweringError) as caught:
        _recorded(end)
    fault = caught.value.faults[0]
    assert (fault.rule, fault.hint) == (RULE, HINT) and fault.got.startswith(REFUSED[end]), fault
    assert "end.py:1" in fault.layer or fault.layer.split(" (")[0] in ("readout", "late", "pool", "lif2")


IN_A_STEP = {
    "if t == 2: spk = spk * 0": "mul behind them",
    "if t == 2: spk = torch.zeros_like(spk)": "stack of them and of something else",
    "spk = spk.flip(1)": "flip behind them",
    "spk = self.late(spk)": "a Delay behind them",
}


@pytest.mark.parametrize("step", IN_A_STEP)
def test_what_changes_them_in_a_step_is_refused(step: str) -> None:
    with pytest.raises(LoweringError) as caught:
        _recorded("torch.stack(spks)", step)
    assert caught.value.faults[0].got.startswith(IN_A_STEP[step])
    for same in ("spk = spk.clone()", "spk = spk * 1", "spk = spk if t != 2 else spk.detach()"):
        assert _recorded("torch.stack(spks)", same).result.label == "lif2 (Leaky)"


class OfOneStep(nn.Module):
    """One step a call, that returns something of its spikes."""

    def __init__(self, how: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif, self.how, self.kept = linear(6, 4), leaky(), how, torch.zeros(1, 4)

    def forward(self, x):
        spk = self.lif(self.fc(x))
        if self.how == "the step before":
            spk, self.kept = self.kept, spk
        return -spk if self.how == "negative" else spk[:, 1:] if self.how == "some" else spk


@pytest.mark.parametrize(("how", "got"), [("negative", "neg behind them"), ("some", "3 of their 4 neurons"),
                                          ("the step before", "steps 0 ..., not all 2 in their order")])  # fmt: skip
def test_steps_return_what_they_made(how: str, got: str) -> None:
    with pytest.raises(LoweringError) as caught:
        sd.lower(OfOneStep(how).eval(), SPEC, STEPS)
    assert (caught.value.faults[0].rule, caught.value.faults[0].got) == (RULE, got)
    assert sd.lower(OfOneStep().eval(), SPEC, STEPS).certificate.proven
