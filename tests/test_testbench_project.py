"""What stands around a testbench: golden data, stubs, options, names, the documentation and the command."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.backends.cpp import plain
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.network.encoders import RateEncoder
from tests.bench import AS_FUNCTION, AS_STREAM, CORE, DOCS, FLAGS, MODES, bench, by_hand, core, make, network, passed
from tests.test_cli import document, invoke
from tests.test_hls import golden_stimulus

__all__ = ["bench", "network"]  # fixtures


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("std", ["c99", "c++14"])
def test_the_stub_says_what_to_do(mode: str, std: str, bench: Path, compiler: None) -> None:
    code, said = make(bench, "check", f"MODE={mode}", f"STD={std}")
    assert code == 2 and said.startswith(f"ERROR: no core yet: copy stub/{mode}.c, write it there, and say make check")
    (bench / "my_core.c").write_text((bench / "stub" / f"{mode}.c").read_text())
    assert make(bench, "check", "DUT=my_core.c", f"MODE={mode}", f"STD={std}")[0] == 2


def test_missing_and_broken_golden_data(network: sd.Network, bench: Path, compiler: None) -> None:
    dut = core(bench, by_hand("function"))
    for name, content, message in (
        ("scores.dat", "1,2,\n", "ERROR: the golden data files disagree on the number of sequences"),
        ("layer2_spike.dat", "1,x,\n", "ERROR: no complete golden data in: 'tb/data/'"),
        ("stimulus.dat", "99999999999,\n", "ERROR: no complete golden data in: 'tb/data/'"),
        ("stimulus.dat", None, "ERROR: no complete golden data in: 'tb/data/'"),
    ):
        path = bench / "tb" / "data" / name
        kept = path.read_text()
        path.unlink() if content is None else path.write_text(content)
        code, said = make(bench, "check", dut)
        assert code == 2 and said.startswith(message), said
        path.write_text(kept)
    for arguments in (("--compare", "all"), ("--compare",), ("a", "b")):
        done = subprocess.run(["./build/check", *arguments], cwd=bench, capture_output=True, text=True, check=False)
        usage = "usage: check [FOLDER] [--compare scores|spikes|states]"
        assert done.returncode == 2 and usage in done.stdout


def test_the_makefile_refuses_what_it_does_not_know(bench: Path, compiler: None) -> None:
    for given, message in (
        ("MODE=streams", "MODE is function or stream; got streams"),
        ("STD=c11", "STD is c99 or c++14; got c11"),
        ("DUT=a.c b.cpp", "STD=c99 takes .c files; got b.cpp; say STD=c++14"),
    ):
        command = ["make", "check", given, *(["STD=c99"] if "DUT" in given else [])]
        done = subprocess.run(command, cwd=bench, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and message in done.stderr


def test_a_core_may_be_objects_and_another_language(network: sd.Network, bench: Path, compiler: None) -> None:
    """A core in C++ beside a testbench in C, linked from an object, as RTL behind DPI would be; and a .cpp as it is."""
    text = by_hand("function")
    (bench / "my_core.cpp").write_text(text)
    subprocess.run(["g++", "-std=c++14", "-I.", "-c", "my_core.cpp", "-o", "my_core.o"], cwd=bench, check=True)
    assert passed(make(bench, "check", "DUT=my_core.o", "LDLIBS=-lstdc++ -lm"))
    assert passed(make(bench, "check", "DUT=my_core.cpp"))


def test_the_golden_data_is_that_of_the_simulator(network: sd.Network, bench: Path) -> None:
    def read(name: str) -> np.ndarray:
        lines = (bench / "tb" / "data" / f"{name}.dat").read_text().splitlines()
        assert all(line.endswith(",") for line in lines)
        return np.array([line[:-1].split(",") for line in lines], dtype=np.int64)

    result = sd.simulate(network, golden_stimulus(), trace=True)
    assert np.array_equal(read("stimulus"), golden_stimulus())
    assert np.array_equal(read("scores").reshape(12, 6, 4)[:, -1], result.scores)
    assert np.array_equal(read("classes")[:, 0], result.classes)
    for number, layer in zip((2, 4), result.trace, strict=True):
        assert np.array_equal(read(f"layer{number}_state").reshape(12, 6, -1), layer.states.swapaxes(0, 1))
        assert np.array_equal(read(f"layer{number}_spike").reshape(12, 6, -1), layer.spikes.swapaxes(0, 1))


@pytest.mark.parametrize("name", ["../../x", "int main", 'a"); system("x', "*/ #error", "é\n#include <x>", ""])
def test_names_become_neither_paths_nor_code(name: str, network: sd.Network, tmp_path: Path, compiler: None) -> None:
    layers = tuple(dataclasses.replace(layer, name=name) for layer in network.layers)
    named = dataclasses.replace(network, layers=layers, name=name)
    bench = sd.emit_testbench(named, tmp_path / "deep" / "bench", stimulus=golden_stimulus(), constants=True)
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    text = "".join(path.read_text() for path in bench.rglob("*.[ch]"))
    assert f'"{plain(name)}"' in text and (name in ("", "int main") or name not in text)
    assert passed(make(bench, "check", core(bench, by_hand("function"))))


def test_what_is_written_again_and_what_is_kept(network: sd.Network, bench: Path) -> None:
    first = {path: path.read_bytes() for path in bench.rglob("*") if path.is_file()}
    core(bench, "mine")
    sd.emit_testbench(network, bench, stimulus=golden_stimulus(), constants=True)
    assert all(path.read_bytes() == content for path, content in first.items())
    assert (bench / "my_core.c").read_text() == "mine"
    assert json.loads((bench / "manifest.json").read_text())["network"]["digest"] == network.digest
    sd.emit_testbench(network, bench, vectors=2)
    assert not (bench / "constants.h").exists()
    (bench / "stub" / "function.c").write_text("tuned")
    with pytest.raises(ExportError, match=r"would be lost: stub/function.c \(changed since it was written\)"):
        sd.emit_testbench(network, bench)


def test_options_out_of_range(network: sd.Network, tmp_path: Path) -> None:
    for vectors in (0, 100_001):
        with pytest.raises(ConfigError, match=f"^vectors: 1 to 100,000 golden sequences; got {vectors}$"):
            sd.emit_testbench(network, tmp_path / "b", vectors=vectors)
    with pytest.raises(ConfigError, match="encoder rate: the network must take a sequence of frames"):
        sd.emit_testbench(network, tmp_path / "b", encoder=RateEncoder())
    with pytest.raises(ConfigError, match=r"inputs: must lie in 0\.\.15; got 16\.\.16"):
        sd.emit_testbench(network, tmp_path / "b", stimulus=np.full((1, 16), 16))
    assert not (tmp_path / "b").exists()


def test_the_documentation_runs(
    network: sd.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    """Every command, in order, on the files that it shows; what fails says that it does."""
    monkeypatch.chdir(tmp_path)
    sd.save(network, "net.safetensors")
    shown = "".join(re.findall(r"^```sh\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)).splitlines()
    assert len(shown) == 11
    for line in shown:
        command = line.replace("squat-deploy", f"{sys.executable} -m squat_deploy", 1)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == ("# fails" in line), done.stdout + done.stderr
        if "make" in line and "# fails" not in line:
            assert "PASS: 0 mismatches in " in done.stdout
        if "testbench net" in line:
            for name, glue in (("my_core.c", AS_FUNCTION), ("my_stream.c", AS_STREAM), ("my_core.cpp", AS_FUNCTION)):
                core(tmp_path / "bench", CORE + glue, name)


def test_the_documentation_says_what_is_said(bench: Path, compiler: None) -> None:
    law = re.search(r"\n    Layer 2, lif1.*?next state is level\n", DOCS, re.DOTALL)
    assert law is not None
    plainly = re.sub(r"(?m)^( \*|/\*)", "", (bench / "constants.h").read_text())
    assert re.sub(r"\s+", " ", law[0]) in re.sub(r"\s+", " ", plainly)
    assert "\n    " + make(bench, "check", core(bench, by_hand("function")))[1] in DOCS
    wrong = CORE.replace("LAYER1_WEIGHT[o][i] *", "(LAYER1_WEIGHT[o][i] + (o == 5 && i == 11)) *")
    code, said = make(bench, "check", core(bench, by_hand("function", wrong)))
    assert code == 1 and said.splitlines()[:2] == re.findall(r"^    ((?:FIRST D|FAIL).*)$", DOCS, re.MULTILINE)


def test_the_data_compiled_in(network: sd.Network, bench: Path, compiler: None) -> None:
    dut = core(bench, by_hand("function"))
    values = passed(make(bench, "check", dut))
    flags = FLAGS[0] + " -DSQUAT_TB_EMBED"
    done = subprocess.run(["make", "-s", "check", dut, flags], cwd=bench, capture_output=True, text=True, check=True)
    (bench / "tb" / "data").rename(bench / "away")
    done = subprocess.run(["./build/check"], cwd=bench, capture_output=True, text=True, check=False)
    assert passed((done.returncode, done.stdout)) == values


def test_the_command(network: sd.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sd.save(network, "net.safetensors")
    np.save("x.npy", golden_stimulus())
    told = document("testbench", "net.safetensors", "--inputs", "x.npy", "--constants", "-o", "one")
    assert told["testbench"] == "one" and told["input"]["shape"] == [16]
    sd.emit_testbench(network, "two", stimulus=golden_stimulus(), constants=True)
    for path in Path("two").rglob("*"):
        assert path.is_dir() or path.read_bytes() == ("one" / path.relative_to("two")).read_bytes()
    said = invoke("testbench", "net.safetensors", "--vectors", 3)
    assert "now write the core that testbench_net/dut.h asks for, as testbench_net/my_core.c\n" in said
    assert said.endswith("next: make -C testbench_net check DUT=my_core.c\n")
    assert len(Path("testbench_net/tb/data/classes.dat").read_text().splitlines()) == 3
    assert not Path("testbench_net/constants.h").exists()
    refused = invoke("testbench", "net.safetensors", "--vectors", 0, code=1)
    assert "vectors: 1 to 100,000 golden sequences; got 0" in refused
