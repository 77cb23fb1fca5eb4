"""Reports: one page that opens anywhere, says nothing that others do not say, and takes every name as text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from brevitas.nn import QuantLinear
from torch import nn
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.agreement import Agreement
from squat_deploy.backends.rtl.timing import ends_of
from squat_deploy.backends.rtl.written import written_plan
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, FileFormatError, SquatError, ToolError
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.lab import bundled
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.encoders import RateEncoder
from squat_deploy.reporting import advice, bits, certificate, levels, life, timeline
from squat_deploy.reporting.api import rendered, sections_of
from squat_deploy.reporting.blocks import Chart, Items, Section, Table
from squat_deploy.reporting.gathering import Given, gathered
from squat_deploy.reporting.material import Core, Material
from squat_deploy.reporting.rtl_timeline import RtlTiming
from squat_deploy.synthesis import report as synthesis
from tests.conftest import ROOT, need
from tests.graph_drawing import draw_graph

NAMES = (
    "<script>window.hacked = 1</script>",
    "</script><img src=x onerror='window.hacked = 1'>",
    "$$x^2$$ & {{ 7 * 7 }}",
)
UNSHOWN = "\ud800\u202e\x00\x1b"  # half a character, one that turns text around, an end, a command
SHOTS = ROOT / "build" / "report"


@pytest.fixture(scope="module")
def given(fashion: sd.Network, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The bundled model with images, an agreement, both projects, and its page."""
    folder = tmp_path_factory.mktemp("report")
    images, labels = bundled.images()
    inputs = fashion.input.quantize(images)
    hls = sd.emit_hls(fashion, folder / "hls", HlsConfig(vectors=8, pe={"lif1": 32, "lif2": 2}, form="threshold"))
    rtl = sd.emit_rtl(fashion, folder / "rtl", stimulus=inputs[:2])
    agreement = sd.verify(fashion, None, inputs[:4], executors=["numpy", "onnxruntime"], labels=labels[:4])
    own = {"inputs": inputs, "labels": labels, "agreement": agreement, "hls": hls, "rtl": rtl}
    path = sd.report(fashion, folder / "report.html", **own)
    return SimpleNamespace(folder=folder, path=path, own=own, material=gathered(fashion, Given(**own)))


@pytest.fixture(scope="module")
def awkward() -> sd.Network:
    """A layer that is not proven, one that is silent, and names that are code elsewhere."""
    torch.manual_seed(0)
    model = dense_lif_net((16, 8, 8, 4), state_bits=8)
    model.fc1 = QuantLinear(16, 8, bias=False, weight_bit_width=8)
    nn.init.normal_(model.fc1.weight)
    model.fc2.weight.data.zero_()
    lowered = sd.lower(model, sd.InputSpec((16,), 0, 15, 2.0**-4), 6, allow_unproven=True)
    new = dict(zip(("lif1", "lif2", "fc3", "lif3"), (*NAMES, UNSHOWN), strict=True))
    layers = tuple(replace(layer, name=new.get(layer.name, layer.name)) for layer in lowered.layers)
    proofs = tuple(replace(row, layer=new.get(row.layer, row.layer)) for row in lowered.certificate.layers)
    return replace(lowered, layers=layers, certificate=replace(lowered.certificate, layers=proofs), name=NAMES[0])


class Tags(HTMLParser):
    """All tags, and all text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self.inside in ("script", "style") else data


def section(material: Material, key: str) -> Section:
    return next(one for one in sections_of(material) if one.key == key)


def texts(found: Section) -> str:
    """Its sentences."""
    parts = [block.texts if isinstance(block, Items) else [getattr(block, "text", "")] for block in found.blocks]
    return "\n".join(text for part in parts for text in part)


def rows(found: Section, number: int = 0) -> list[list[str]]:
    """Cells of one of its tables."""
    tables = [block for block in found.blocks if isinstance(block, Table)]
    return [[cell.text for cell in row] for row in tables[number].rows]


def test_the_page_is_small_and_loads_nothing(given: SimpleNamespace) -> None:
    page = given.path.read_text()
    assert len(page) < 5e6
    tags = Tags(page).tags
    assert not [attrs for _, attrs in tags if {"src", "srcset", "data", "action"} & attrs.keys()]
    assert all(attrs["href"].startswith("#") for _, attrs in tags if "href" in attrs)
    assert "default-src 'none'" in page


def test_numbers_are_those_of_the_functions_that_others_use(given: SimpleNamespace, fashion: sd.Network) -> None:
    material, inputs = given.material, given.own["inputs"]
    result = sd.simulate(fashion, inputs, trace=True)
    assert f"{(result.classes == given.own['labels']).mean():.2%}" in given.path.read_text()
    alive = life.lives(material, sd.network.activity.activity(fashion))
    assert [row.rate for row in alive] == [layer.spikes.mean() for layer in result.trace]
    assert [row.silent + row.dead for row in alive] == [
        int((~layer.spikes.any(axis=(0, 1))).sum()) for layer in result.trace
    ]
    folding = material.core.folding
    assert [share.pe for share in folding.shares] == [32, 2]
    stages = timeline.stages_of(material.core)
    assert np.mean(stages.ends[-1][:, -1]) == folding.schedule.mean_cycles
    proofs = rows(section(material, "certificate"))
    assert [row[3] for row in proofs] == [f"{p.sum_low:,} .. {p.sum_high:,}" for p in fashion.certificate.layers]
    total = rows(section(material, "resources"))[-2]
    assert total[1:] == [f"{n:,}" for n in vars(folding.budget.total).values()]


def test_a_project_is_shown_as_it_is_folded(given: SimpleNamespace, fashion: sd.Network) -> None:
    manifest = json.loads((given.own["hls"] / "manifest.json").read_text())
    shares = given.material.core.folding.shares
    assert [(share.pe, share.events) for share in shares] == [
        (one["pe"], one["events"]) for one in manifest["folding"]["processes"]
    ]
    assert given.material.core.config.form == "threshold"
    facts = rows(section(given.material, "resources"), 2)
    assert [row[0] for row in facts] == [layer["name"] for layer in json.loads(
        (given.own["rtl"] / "manifest.json").read_text())["layers"]]  # fmt: skip


def test_a_core_is_timed_as_its_simulation_counts(given: SimpleNamespace, fashion: sd.Network, tmp_path: Path) -> None:
    """Its neuron units are shared by the inputs that were given: the plan is found by the text of the core."""
    timing, folder = given.material.timing, given.own["rtl"]
    core, steps = (folder / "rtl" / "squat_core.sv").read_text(), fashion.steps
    assert isinstance(timing, RtlTiming) and all(f" {one.name} (" in core for one in timing.spans)
    for one in timing.spans:
        assert one.starts.shape == one.ends.shape == (2, steps) and one.cycles.min() >= 1
        assert (np.diff(one.starts) > 0).all() and (np.diff(one.ends) > 0).all()
        assert one.ends[0].max() < timing.latency
    reader, first, *_, last = timing.spans
    assert 0 <= reader.starts[0, 0] <= first.starts[0, 0] < last.starts[0, 0]
    assert timing.latency - last.ends[0, -1] <= fashion.outputs + 3  # the scores, a word a cycle
    assert timing.apart < timing.latency and timing.spans[timing.longest].works
    told = rows(section(given.material, "cycles"), 1)
    assert [row[0].split()[-1] for row in told] == [one.name for one in timing.spans]
    assert [row[1] for row in told] == [f"{one.cycles[0].mean():,.1f}" for one in timing.spans]
    plan = written_plan(fashion, folder, given.material.rtl.config)
    sequence = given.own["inputs"][given.material.sample :][:1]
    result = sd.simulate(fashion, sequence, trace=True)
    assert plan is not None and ends_of(plan, sequence, result, alone=True).tolist() == [timing.latency]
    shutil.copytree(folder, tmp_path / "rtl")
    (tmp_path / "rtl" / "rtl" / "squat_core.sv").write_text(core + "\n")
    changed = gathered(fashion, Given(rtl=tmp_path / "rtl"))
    assert "export it once more" in str(section(changed, "cycles").blocks[-1])
    (tmp_path / "rtl" / "tb" / "stimulus.bin").write_bytes(b"123")
    assert "export it once more" in str(gathered(fashion, Given(rtl=tmp_path / "rtl")).timing)


def test_what_synth_measured_is_shown(given: SimpleNamespace, fashion: sd.Network, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((given.own["rtl"] / "manifest.json").read_bytes())
    (tmp_path / "reports").mkdir()
    counted = synthesis.Cycles(1234.0, 1000.0, 8)
    resources = synthesis.Resources(4321, 5, 6, 7.5, 0)
    found = synthesis.Report(fashion.digest, {}, "ecp5", None, resources, {}, None, counted, 1.0, {})
    (tmp_path / "reports" / "synth.ecp5.json").write_text(json.dumps(found.to_dict()))
    told = rows(section(gathered(fashion, Given(rtl=tmp_path)), "resources"), 3)
    assert told == [["ecp5", "synthesis only", "4,321", "5", "6", "7.5", "0", "", "1,234.0", ""]]
    (tmp_path / "reports" / "synth.ecp5.json").write_text(json.dumps({"network": fashion.digest}))
    with pytest.raises(FileFormatError, match="not of this form"):
        gathered(fashion, Given(rtl=tmp_path))


def test_membranes_met_are_counted(given: SimpleNamespace) -> None:
    neuron, layer = given.material.network.neurons[0], given.material.run.trace[0]
    membranes, counts = levels.visited(neuron, layer)
    seen = neuron.membranes_of(layer.states)
    assert counts.sum() == seen.size
    assert [int((seen == value).sum()) for value in membranes] == counts.tolist()
    (table,) = levels.level_tables(neuron)
    low, high = table.threshold or (0, 0)
    assert low <= 1 < high  # the trained threshold
    assert (seen[layer.spikes] >= high).all() and (seen[~layer.spikes] <= low).all()


def test_the_pe_that_halves_the_bottleneck_is_tried(given: SimpleNamespace, fashion: sd.Network) -> None:
    material: Material = given.material
    core: Core = material.core
    (told,) = [text for text in texts(section(material, "next")).split("\n") if "takes longest" in text]
    place = next(place for place, share in enumerate(core.folding.shares) if told.startswith(share.process))
    halved: Folding | None = advice._halved(fashion, core, place)
    assert halved is not None
    assert halved.shares[place].cycles <= core.folding.shares[place].cycles / 2
    assert f"PE {halved.shares[place].pe} makes it" in told
    assert [a.pe == b.pe for a, b in zip(halved.shares, core.folding.shares, strict=True)].count(False) == 1


def test_bits_that_are_not_used_are_named(small: sd.Network) -> None:
    doubled = tuple(
        replace(layer, weight=4 * layer.weight) if hasattr(layer, "weight") else layer for layer in small.layers
    )
    found = bits.weight_bits(replace(small, layers=doubled))
    assert [(one.common % 4, one.bits - one.needed) for one in found] == [(0, 2), (0, 2)]


def test_a_bad_model_is_told_and_names_are_text(awkward: sd.Network, given: SimpleNamespace) -> None:
    material = gathered(awkward, Given())
    told = texts(section(material, "next"))
    assert f"{NAMES[0]} is not proven: 7,155 combinations" in told
    assert f"{NAMES[1]}: none of its neurons can ever fire" in told
    page = rendered(material)
    assert not set(page.encode().decode()) & set(UNSHOWN)
    found = Tags(page)
    assert all(found.text.count(name) >= 5 for name in NAMES)
    assert not [tag for tag, _ in found.tags if tag == "img"]
    scripts = [tag for tag, _ in found.tags].count("script")
    assert scripts == [tag for tag, _ in Tags(given.path.read_text()).tags].count("script")


def test_every_rule_has_a_meaning() -> None:
    lowering = "".join(path.read_text() for path in (ROOT / "squat_deploy" / "lowering").glob("*.py"))
    assert all(f'"{rule}"' in lowering for rule in certificate.RULES)
    for rule in ("exact grid", "int-then-scale", "error bound + batch norm", "exact grid + scale and shift"):
        assert set(rule.split(" + ")) <= set(certificate.RULES)


@pytest.mark.parametrize("seed", [24, 58])
def test_random_graphs_have_reports(seed: int) -> None:
    """Joins, delays, late spikes, two states, planes."""
    network = draw_graph(seed)
    material = gathered(network, Given())
    assert len(section(material, "network").blocks[1].boxes) == len(network.layers) + 2
    assert len(section(material, "network").blocks[1].arrows) == 1 + sum(map(len, map(set, network.wires)))
    assert "undefined" not in Tags(rendered(material)).text


def test_a_core_that_takes_intensities(small: sd.Network) -> None:
    spec = sd.InputSpec((16,), 0, 1, 1.0, "sequence")
    torch.manual_seed(2)
    network = sd.lower(dense_lif_net((16, 8, 4), beta=0.9, input_bits=None), spec, 6)
    material = gathered(network, Given(config=HlsConfig(encoder=RateEncoder())))
    assert material.core.described == "8 random sequences, encoded"
    assert [block.title for block in section(material, "cycles").blocks if isinstance(block, Chart)]


def test_what_hls_does_not_take_has_a_report_without_cycles(small: sd.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    from squat_deploy.hardware import design

    monkeypatch.setattr(design, "MAX_INPUTS", 4)
    material = gathered(small, Given())
    assert "inputs: at most 3 a time step; got 16" in texts(section(material, "cycles"))
    assert rendered(material)
    with pytest.raises(SquatError, match="at most 3"):
        gathered(small, Given(config=HlsConfig(pe=1)))


def test_what_does_not_belong_is_refused(given: SimpleNamespace, small: sd.Network, tmp_path: Path) -> None:
    def refused(rule: str, kind: type[SquatError] = ConfigError, **own: Any) -> None:
        with pytest.raises(kind, match=rule):
            gathered(small, Given(**own))

    inputs = np.zeros((3, 16), dtype=int)
    refused("the report is of .*: write it anew from this network", hls=given.own["hls"])
    refused("the report is of", rtl=given.own["rtl"])
    refused("is not an HLS project, which `squat-deploy hls` writes", FileFormatError, hls=given.own["rtl"])
    refused("is not an RTL project, which `squat-deploy rtl` writes", FileFormatError, rtl=given.own["hls"])
    refused("cannot be read", FileFormatError, hls=tmp_path)
    refused("a project has its own options; leave the others out", hls=given.own["hls"], config=HlsConfig())
    refused("the report simulates 3 sequences, from 0 on; got 3", inputs=inputs, sample=3)
    refused("labels: are of inputs of your own", labels=np.zeros(8, dtype=int))
    refused("real: is of inputs of your own", real=True)
    refused("expected one integer for each of 3 sequences", inputs=inputs, labels=np.zeros(2, dtype=int))
    (tmp_path / "manifest.json").write_text("[1]")
    refused("expected a JSON document with keys; got list", FileFormatError, hls=tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    refused("not a JSON document", FileFormatError, hls=tmp_path)


def test_projects_that_were_changed_are_refused(given: SimpleNamespace, fashion: sd.Network, tmp_path: Path) -> None:
    manifest = json.loads((given.own["hls"] / "manifest.json").read_text())
    for change, kind, rule in (
        (
            {"folding": {"processes": [{"pe": 10**6, "events": 1}] * 2}},
            ConfigError,
            "does not fit the network's processes",
        ),
        ({"folding": {"processes": []}}, ConfigError, "does not fit the network's processes"),
        ({"folding": {"processes": [{"pe": 0, "events": 3}]}}, FileFormatError, "its manifest is not of this form"),
        ({"config": {"pe": "much"}}, FileFormatError, "its manifest is not of this form"),
    ):
        (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(kind, match=rule):
            gathered(fashion, Given(hls=tmp_path))


def test_without_bokeh_it_says_how_to_get_it(
    small: sd.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squat_deploy.reporting.api.has_package", lambda name: False)
    with pytest.raises(
        ToolError, match=r"a report needs bokeh, which draws its charts: pip install 'squat_deploy\[report\]'"
    ):
        sd.report(small, tmp_path / "report.html")


def test_the_command(
    small: sd.Network, small_model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sd.save(small, tmp_path / "net.safetensors")
    np.save("inputs.npy", np.random.default_rng(0).integers(0, 16, (5, 16)))

    def ran(*arguments: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, [*arguments])
        assert found.exit_code == code, found.output
        return found.stdout if not code else found.output

    Path("agreed.json").write_text(ran("verify", "net.safetensors", "--executor", "numpy", "--json"))
    told = json.loads(
        ran(
            "report",
            "net.safetensors",
            "-o",
            "a.html",
            "--inputs",
            "inputs.npy",
            "--agreement",
            "agreed.json",
            "--json",
        )
    )
    assert told["report"] == "a.html" and "nothing was compared with it" in Path("a.html").read_text()
    assert "open it in a browser" in ran("report", "net.safetensors", "--sample", "2", "--part", "xczu7ev")
    assert "ZU7EV" in Path("report.html").read_text()
    Path("agreed.json").write_text(json.dumps({"digest": small.digest, "executors": [{"executor": 3}]}))
    assert "agreed.json: not an agreement" in ran("report", "net.safetensors", "--agreement", "agreed.json", code=1)
    Path("agreed.json").write_text(json.dumps({"digest": "0", "executors": []}))
    assert "of the network 0; the report is of" in ran(
        "report", "net.safetensors", "--agreement", "agreed.json", code=1
    )
    Path("agreed.json").write_text("{}")
    assert "no answer of verify" in ran("report", "net.safetensors", "--agreement", "agreed.json", code=1)
    assert "report: --checkpoint belongs to" in ran("report", "net.safetensors", "--checkpoint", "x.pt", code=1)


def test_a_model_is_compared(small: sd.Network, small_model: nn.Module) -> None:
    material = gathered(small, Given(model=small_model))
    assert [row.executor for row in material.agreement.rows] == ["torch", "numpy"]
    assert material.agreement.agrees
    document = material.agreement.to_dict()
    assert Agreement.from_dict(document) == material.agreement
    wrong = Agreement((replace(material.agreement.rows[0], mismatches=3, first="step 2"),), (), (), "x")
    told = gathered(small, Given(agreement=wrong))
    assert "torch differs in 3 of" in texts(section(told, "next"))
    assert "differs first at step 2" in texts(section(told, "agreement"))


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's chromium, without a network."""
    found = toolchain.shutil.which("chromium")
    need(found and toolchain.has_package("playwright"), "chromium and playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Any, path: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
    """A page that has drawn all its charts, and what went wrong on it."""
    page = browser.new_context(offline=True, viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda asked: None if asked.url == f"file://{path}" else wrong.append(asked.url))
    page.goto(f"file://{path}")
    page.wait_for_function("() => Bokeh.documents.length && Bokeh.documents.every(one => one.is_idle)")
    return page, wrong


RANGE = "() => Bokeh.documents.flatMap(one => one.roots()).find(one => one.name == '{name}').{axis}_range"


def test_in_a_browser(browser: Any, given: SimpleNamespace) -> None:
    page, wrong = opened(browser, given.path, 1000, "light")
    raster = page.locator("#spikes .chart").first
    raster.scroll_into_view_if_needed()

    def seen() -> tuple[float, float]:
        return tuple(page.evaluate(f"{RANGE.format(name='raster 0', axis='y')}.{end}") for end in ("start", "end"))

    before, box = seen(), raster.locator(".bk-Canvas").bounding_box()
    assert before == (-0.8, 255.8)
    raster.locator(".bk-tool-icon-box-zoom").click()
    page.mouse.move(box["x"] + 300, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 200, steps=4)
    page.mouse.up()
    page.wait_for_timeout(100)
    low, high = seen()
    assert before[0] < low < high < before[1] and high - low < 150
    _tooltip(page, raster)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator("#spikes .bk-tool-icon-reset").first.click()
    page.mouse.move(0, 0)
    for one in page.locator("section").all():
        one.screenshot(path=SHOTS / f"{one.get_attribute('id')}.png")
    assert not wrong


def _tooltip(page: Any, raster: Any) -> None:
    """A spike below the pointer tells its neuron, step and state, as the page's own data have them."""
    page.evaluate("window.scrollBy(0, 1)")
    spike = page.evaluate(SPIKE)
    box = raster.locator(".bk-Canvas").bounding_box()
    page.mouse.move(box["x"] + spike["x"], box["y"] + spike["y"])
    assert f"neuron: {spike['neuron']} step: {spike['step']} " in tooltip(page)


def tooltip(page: Any) -> str:
    """What is told below the pointer."""
    told = page.locator(".bk-Tooltip").filter(visible=True).first
    told.wait_for()
    return told.evaluate("one => one.shadowRoot.querySelector('.bk-tooltip-content').textContent")


SPIKE = """() => {
  const plot = Bokeh.documents.flatMap(one => one.roots()).find(one => one.name == 'raster 0')
  const view = Bokeh.index.find_one(plot), data = plot.renderers[0].data_source.data
  const inside = [...data.neuron.keys()].find(i => data.neuron[i] > plot.y_range.start + 5
    && data.neuron[i] < plot.y_range.end - 5 && data.step[i] > plot.x_range.start && data.step[i] < plot.x_range.end)
  const frame = view.frame
  return {
    neuron: data.neuron[inside], step: data.step[inside],
    x: frame.x_scale.compute(data.step[inside]), y: frame.y_scale.compute(data.neuron[inside]),
  }
}"""


def test_names_in_a_browser_at_a_phones_width_in_the_dark(browser: Any, awkward: sd.Network, tmp_path: Path) -> None:
    path = sd.report(awkward, tmp_path / "report.html")
    page, wrong = opened(browser, path, 390, "dark")
    page.wait_for_function("() => document.documentElement.scrollWidth == 390", timeout=5000)
    bars = page.locator("#activity .chart").first
    bars.scroll_into_view_if_needed()
    box = bars.locator(".bk-Canvas").bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert f"layer: {NAMES[0]}" in tooltip(page)
    assert page.evaluate("[window.hacked, document.images.length]") == [None, 0]
    page.screenshot(path=SHOTS / "phone_dark.png")
    page.emulate_media(media="print", color_scheme="light")
    page.pdf(path=SHOTS / "print.pdf", format="A4")
    assert not wrong
