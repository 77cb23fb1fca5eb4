"""NIR files of others: damaged, hostile, or of other versions. One line says what is wrong, and nothing is unpacked."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, LoweringError, SquatError
from squat_deploy.readers.nir.file import FIELDS
from squat_deploy.readers.nir.model import NirOptions

WEIGHT = "node/nodes/fc/weight"


def write(path: Path, edit: Callable[[Any], None] | None = None) -> Path:
    ones = np.ones(3, np.float32)
    nodes = {
        "input": nir.Input(np.array([4])), "fc": nir.Linear(np.ones((3, 4), np.float32)),
        "if": nir.IF(ones, ones, ones * 0), "output": nir.Output(np.array([3])),
    }  # fmt: skip
    nir.write(path, nir.NIRGraph(nodes, [("input", "fc"), ("fc", "if"), ("if", "output")]))
    if edit is not None:
        with h5py.File(path, "a") as file:
            edit(file)
    return path


def swapped(key: str, **made: Any) -> Callable[[Any], None]:
    """Another array in place of one."""

    def edit(file: Any) -> None:
        del file[key]
        file.create_dataset(key, **made)

    return edit


def placed(key: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        if key in file:
            del file[key]
        file[key] = value

    return edit


def bomb(file: Any) -> None:
    """One chunk of 48 bytes that unpacks to 64 MiB."""
    swapped(WEIGHT, shape=(3, 4), dtype="f4", chunks=(3, 4), compression="gzip")(file)
    file[WEIGHT].id.write_direct_chunk((0, 0), zlib.compress(bytes(2**26)))


def packed_twice(file: Any) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((3, 4))
    created.set_deflate(9)
    created.set_deflate(9)
    del file[WEIGHT]
    space = h5py.h5s.create_simple((3, 4))
    h5py.h5d.create(file["node/nodes/fc"].id, b"weight", h5py.h5t.NATIVE_FLOAT, space, created)


def virtual(file: Any) -> None:
    del file[WEIGHT]
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "a", (3, 4))
    file.create_virtual_dataset(WEIGHT, layout)


def deep(file: Any) -> None:
    group = file["node/nodes"]
    for _ in range(2000):
        group = group.create_group("n")


def into_itself(file: Any) -> None:
    file["node/nodes/fc/loop"] = file["node"]


def widening(file: Any) -> None:
    """Ten ways to ten ways to ten ways."""
    inner = file["node"]
    for level in range(9):
        group = file.create_group(f"level{level}")
        for way in range(10):
            group[str(way)] = inner
        inner = group


def group_for_an_array(file: Any) -> None:
    del file[WEIGHT]
    file.create_group(WEIGHT)


def one_node(file: Any) -> None:
    file.move("node/nodes/fc", "alone")
    del file["node"]
    file.move("alone", "node")


NAMES = h5py.string_dtype()
HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "vast": (
        swapped(WEIGHT, shape=(2**20, 2**20), dtype="f4", chunks=(64, 64), compression="gzip"),
        "268435456 bytes unpacked",
    ),
    "vast and empty": (swapped(WEIGHT, shape=(2**20, 2**20), dtype="f4"), "268435456 bytes unpacked"),
    "vast chunks": (
        swapped(WEIGHT, shape=(3, 4), maxshape=(None, None), dtype="f4", chunks=(2**14, 2**14), compression="gzip"),
        "'weight' has chunks of 1073741824 bytes",
    ),
    "bomb": (bomb, "'weight' unpacks to more than its size"),
    "packed twice": (packed_twice, "'weight' is compressed otherwise than with gzip"),
    "packed otherwise": (swapped(WEIGHT, data=np.ones((3, 4)), compression="lzf"), "otherwise than with gzip"),
    "deep": (deep, "64 groups in each other"),
    "into itself": (into_itself, "more than 20000 items"),
    "widening": (widening, "more than 20000 items"),
    "link": (placed(WEIGHT, h5py.SoftLink("/node/nodes/if/r")), "'weight' is a link"),
    "link to a file": (placed("elsewhere", h5py.ExternalLink("/etc/passwd", "/")), "'elsewhere' is a link"),
    "link in metadata": (placed("node/metadata/a", h5py.ExternalLink("/etc/passwd", "/")), "'a' is a link"),
    "another file": (swapped(WEIGHT, shape=(3, 4), dtype="f4", external=[("a.bin", 0, 48)]), "lies in another file"),
    "virtual": (virtual, "is made of other arrays"),
    "type of arrays": (placed("node/nodes/kind", np.dtype("f8")), "'kind' is neither a group nor an array"),
    "text for numbers": (placed("node/nodes/if/r", "NIRGraph"), "'if' cannot be read: r is object, not a number"),
    "bytes for numbers": (placed("node/nodes/if/r", np.bytes_("a")), r"'if' cannot be read: r is \|S1, not a number"),
    "complex": (placed(WEIGHT, np.ones((3, 4), complex)), "'fc' cannot be read: weight is complex128, not a number"),
    "fields": (placed(WEIGHT, np.zeros((3, 4), [("a", "f4")])), "'fc' cannot be read: weight is "),
    "group for an array": (group_for_an_array, "'fc' cannot be read: weight is a group"),
    "shapes": (placed("node/nodes/if/r", np.ones(2)), "'if' cannot be read: All parameters must have the same shape"),
    "unknown type": (placed("node/nodes/fc/type", "Gain"), "'fc' cannot be read: the type 'Gain' is not known"),
    "no type": (placed("node/nodes/fc/type", 3), "'fc' cannot be read: text expected"),
    "unknown field": (placed("node/nodes/fc/gain", 2.0), "fields of Linear that are not known: gain"),
    "field of a graph": (placed("node/type_check", 1), "fields of NIRGraph that are not known: type_check"),
    "no network": (lambda file: file.move("node", "other"), "not a NIR file"),
    "one node": (one_node, "holds one Linear, not a graph"),
    "edges of numbers": (swapped("node/edges", data=np.zeros((3, 2))), "edges are pairs of names"),
    "edges of three": (swapped("node/edges", data=[["a", "b", "c"]], dtype=NAMES), "edges are pairs of names"),
    "long edges": (swapped("node/edges", data=[["x" * 2**20] * 2] * 9, dtype=NAMES), "names of more than"),
    "many edges": (swapped("node/edges", shape=(30_000, 2), dtype=NAMES), "edges are pairs of names"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case: str, tmp_path: Path) -> None:
    edit, message = HOSTILE[case]
    with pytest.raises(FileFormatError, match=message) as caught:
        sd.read_nir(write(tmp_path / "net.nir", edit))
    assert "\n" not in str(caught.value)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir")
    path.write_bytes(path.read_bytes().replace(b"fc\0\0", b"f\xff\0\0"))
    with pytest.raises(FileFormatError):
        sd.read_nir(path)


def test_a_heap_that_would_be_read_for_ever(tmp_path: Path) -> None:
    """HDF5 itself does not come back from one whose free space has no size."""
    content = bytearray(write(tmp_path / "net.nir").read_bytes())
    place = content.index(b"GCOL") + 16
    while content[place : place + 2] != b"\0\0":
        place += 16 + (int.from_bytes(content[place + 8 : place + 16], "little") + 7) // 8 * 8
    content[place + 8 : place + 16] = bytes(8)
    (tmp_path / "net.nir").write_bytes(content)
    with pytest.raises(FileFormatError, match="its texts are damaged"):
        sd.read_nir(tmp_path / "net.nir")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    for missing in (path, tmp_path):
        with pytest.raises(FileFormatError, match="not a NIR file: no such file"):
            sd.read_nir(missing)
    write(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FileFormatError, match="not a NIR file"):
        sd.read_nir(path)


def test_single_bytes(tmp_path: Path) -> None:
    """Whatever one wrong byte makes of a file: it is read, or refused on our terms."""
    whole, rng, refused = write(tmp_path / "net.nir").read_bytes(), random.Random(1), 0
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.choice([0, 255, rng.randrange(256)])
        (tmp_path / "net.nir").write_bytes(content)
        try:
            sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1.0))
        except SquatError as error:
            refused += 1
            assert isinstance(error, LoweringError) or "\n" not in str(error)
    assert refused > 10


def test_every_field_of_every_node_is_known() -> None:
    """A node or a field that a later nir adds is refused until it is read here."""
    kinds = {kind for kind in vars(nir.ir).values() if isinstance(kind, type) and issubclass(kind, nir.NIRNode)}
    assert kinds - {nir.NIRNode, nir.NIRGraph} == set(FIELDS)
    for kind, known in FIELDS.items():
        if kind in (nir.Input, nir.Output):
            assert known == ("shape",) and set(kind(np.array([2])).to_dict()) - {"metadata", "type"} == {"shape"}
            continue
        own = {"input_type", "output_type", "metadata"} - ({"input_type"} if kind is nir.Flatten else set())
        assert {field.name for field in dataclasses.fields(kind)} - own == set(known), kind


def test_metadata_is_not_read(tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        file["node/metadata/dt"] = 1e-3
        file["node/nodes/fc/metadata/weight"] = "other"

    assert "dt = 1 was taken" in sd.read_nir(write(tmp_path / "net.nir", edit)).gaps[0]


def test_files_of_older_versions(tmp_path: Path) -> None:
    """Without v_reset and w_in, the output of another shape: nir's own type check refuses them, without need."""

    def edit(file: Any) -> None:
        del file["node/nodes/if/v_reset"]
        swapped("node/nodes/output/shape", data=[1, 1, 3])(file)

    read = sd.read_nir(write(tmp_path / "net.nir", edit))
    assert read.gaps[-1] == "output: the file says (1, 1, 3), the network gives (3,)"
