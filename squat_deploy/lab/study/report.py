"""What stored cells say, as Markdown: accuracies, claims, other tables of a study, and what low bits do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from squat_deploy.errors import ConfigError, printable
from squat_deploy.files import check_target, make_folder, same_place, write_file
from squat_deploy.lab.study.claims import claims
from squat_deploy.lab.study.config import Cell
from squat_deploy.lab.study.estimates import Estimate, Result, Results, accuracies, grouped
from squat_deploy.lab.study.measuring import spike_counts
from squat_deploy.lab.study.pictures import METHODS, pictures
from squat_deploy.lab.study.running import MARK, read_cells, read_study

_CAPTIONS = {
    "accuracy": "Accuracy against bits: a sign a seed, lines through medians; pale bars are 95 % intervals of means, "
    "cut at 0 and 100 % and at the upper edge; crosses have collapsed to below twice chance; the lower part of a "
    "broken axis has a quarter of the runs",
    "levels": "Level tables after QAT+SQUAT at the fewest bits, first seed",
    "membranes": "Membranes of the float network, each curve by its largest value; ticks below: the levels that flip "
    "the fewest of its spikes",
    "spikes": "Spikes on the first test sample, first 64 neurons of each layer, after QAT+SQUAT at the fewest bits",
}
_CONFIG_SHOWN = ("dataset", "net", "sizes", "steps", "beta", "epochs", "batch", "learning_rate", "weight_scale")


def write_report(stores: Sequence[Path], target: Path) -> None:
    """One section a store; pictures (SVG) go beside the Markdown, all or none.

    Raises: ConfigError for an empty store, one study twice, or a report over cells; FileFormatError; ExportError.
    """
    lines = ["# Results", "", "Made by `squat-deploy study report` from stored cells; nothing here is typed by hand."]
    lines += ["Means and 95 % intervals (Student's t) over seeds; test accuracy after the last epoch.", ""]
    files: dict[Path, bytes] = {}
    for store in stores:
        study, found = read_study(store), read_cells(store)
        name, wanted = study.name, {cell.digest for cell in study.cells()}
        results = [(cell, result) for cell, result in found if cell.digest in wanted]
        if not results:
            raise ConfigError(f"{store}: no cells of the study in it; run it first")
        drawn = pictures(results)
        places = {key: target.with_name(f"{target.stem}.{name}.{key}.svg") for key in drawn}
        if any(path in files for path in places.values()):
            raise ConfigError(f"{store}: a second store of the study {name}; report each study once")
        files |= {path: drawn[key] for key, path in places.items()}
        stored = f"{len(results)} of the {len(wanted)} cells of this study are stored."
        if others := len(found) - len(results):
            stored += f" {others} other cells in the store belong to an earlier form of it and are left out."
        lines += _section(name, stored, results, [(key, path.name) for key, path in places.items()])
    files[target] = ("\n".join(lines) + "\n").encode()
    _write(files, stores)


def _write(files: Mapping[Path, bytes], stores: Sequence[Path]) -> None:
    """Looks at every place before the first is written."""
    for path in files:
        for store in stores:
            read = [store / MARK, *(store / folder / path.name for folder in ("cells", "models"))]
            if any(same_place(path, other) for other in read):
                raise ConfigError(f"--out: {path} is what the report reads; name another file")
        check_target(path)
    make_folder(path.parent)
    for path, content in files.items():
        write_file(path, content)


def _section(name: str, stored: str, results: Results, drawn: Iterable[tuple[str, str]]) -> list[str]:
    main = [(cell, result) for cell, result in results if not cell.group]
    lines = [f"## {name}", "", f"{_described(main or results)} {stored}", ""]
    if main:
        for table in (accuracy_table(main), measured_table(main), expected_table(main), claims_table(main)):
            lines += [*table, ""] if table else []
    for key, file in drawn:
        lines += [f"![{_CAPTIONS[key]}]({file})", "", f"*{_CAPTIONS[key]}.*", ""]
    for group, part in sorted(grouped(results, lambda cell: cell.group).items()):
        if group:
            lines += [f"### {name}: {group}", "", *group_table(part), ""]
    return lines


def _described(results: Results) -> str:
    values = {key: _shared(results, key) for key in _CONFIG_SHOWN}
    parts = [f"{key} {value}" for key, value in values.items() if value]
    parts += ["batch-norms"] if _shared(results, "norms") == "True" else []
    return f"{', '.join([*parts, *_taken(_shared(results, 'samples'))])}."


def _shared(results: Results, key: str) -> str:
    """What all trainings have in one field, "" where they differ."""
    found = {_plain(getattr(cell.training.config, key)) for cell, _ in results}
    return found.pop() if len(found) == 1 else ""


def _taken(samples: str) -> list[str]:
    """What was trained on; nothing where that differs."""
    share = "the whole training set" if samples == "0" else f"the first {samples} samples"
    return [f"trained on {share}"] if samples else []


def _plain(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def accuracy_table(results: Results) -> list[str]:
    """Bits and method down, level tables across; the last column: proven cells, and values that differ."""
    kinds = sorted({cell.levels for cell, _ in results if cell.method != "float"})
    rows = [["bits", "method", *kinds, "seeds", "proven; differences in simulator and C++"]]
    floats = [(cell, result) for cell, result in results if cell.method == "float"]
    if floats:
        estimate = Estimate.of(accuracies(floats))
        rows.append(["32", "float", *[str(estimate)] * len(kinds), str(estimate.seeds), _agreement(floats)])
    found = grouped(results, lambda cell: (cell.state_bits, cell.weight_bits, cell.method))
    widths = {(cell.state_bits, cell.weight_bits) for cell, _ in results if cell.method != "float"}
    for bits, weights in sorted(widths, reverse=True):
        for method in METHODS:
            if part := found.get((bits, weights, method)):
                by_kind = grouped(part, lambda cell: cell.levels)
                means = [str(Estimate.of(accuracies(by_kind[kind]))) if kind in by_kind else "" for kind in kinds]
                width = str(bits) if bits == weights else f"{weights}, {bits}"
                rows.append([width, method, *means, _seeds(by_kind.values()), _agreement(part)])
    return _markdown(rows)


def group_table(results: Results) -> list[str]:
    """One row a setting of what the group varies."""
    names = list(dict.fromkeys(key for cell, _ in results for key in cell.variant))
    rows = [[*names, "method", "weights, states", "levels", "accuracy", "flipped", "seeds", "proven; differences"]]

    def key(cell: Cell) -> tuple[str, ...]:
        width, levels = f"{cell.weight_bits}, {cell.state_bits} bits", "" if cell.method == "float" else cell.levels
        return (*(str(cell.variant.get(name, "")) for name in names), cell.method, width, levels)

    for row, part in sorted(grouped(results, key).items()):
        own = [str(Estimate.of(accuracies(part))), _mean(part, "flips"), _seeds([part]), _agreement(part)]
        rows.append([*row, *own])
    epochs = _shared(results, "epochs")
    training = [*([f"epochs {epochs}"] if epochs else []), *_taken(_shared(results, "samples"))]
    return [*([f"{', '.join(training).capitalize()}.", ""] if training else []), *_markdown(rows)]


def measured_table(results: Results) -> list[str]:
    """What rounding does to the narrowest networks."""
    bits = min((cell.state_bits for cell, _ in results if cell.method != "float"), default=0)
    names = ["spikes a neuron and step", "dead neurons", "flipped", "cosine of gradients", "spike counts"]
    rows = [["method", "levels", *names]]
    own = [(cell, result) for cell, result in results if cell.state_bits == bits]
    for (method, kind), part in sorted(grouped(own, lambda cell: (cell.method, cell.levels)).items()):
        cosines = [x for _, r in part for x in (r.get("gradient_cosine") or {}).values()]
        cosine = f"{sum(cosines) / len(cosines):.2f}" if cosines else ""
        shares = [_mean(part, key) for key in ("rate", "dead", "flips")]
        rows.append([method, kind, *shares, cosine, f"{_counts(part):.1f}"])
    text = (
        f"At {bits} bits, means over layers and seeds, on 500 test samples: flipped, the neurons and steps that fire "
        "with float states alone or with rounded ones alone; cosine, between the gradients of the weights with the "
        "states rounded and not; spike counts, how many a neuron has over all constant currents: with float states, "
        "one more than there are steps."
    )
    return [text, "", *_markdown(rows)]


def expected_table(results: Results) -> list[str]:
    """Flips that tables of every kind would cost the float networks; empty without those."""
    found: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for _, result in results:
        for layer in result.get("membranes", ()):
            for bits, by_kind in layer["expected"].items():
                found[layer["name"], int(bits)].append(by_kind)
    if not found:
        return []
    kinds = list(next(iter(found.values()))[0])
    rows = [["layer", "bits", *kinds]]
    for (name, bits), parts in sorted(found.items()):
        rows.append([name, str(bits), *(f"{fmean(part[kind] for part in parts):.1%}" for kind in kinds)])
    text = (
        "Float networks, means over seeds: flips a neuron and step that rounding to a table is expected to cause, by "
        "the model of `squat_deploy.snn.fitting`, which counts a spike for every error that reaches it; fitted: the "
        "levels that cause the fewest."
    )
    return [text, "", *_markdown(rows)]


def claims_table(results: Results) -> list[str]:
    """Every claim, the difference of accuracies that decides it, and the verdict; empty where none can be decided."""
    found = claims(results)
    if not found:
        return []
    rows = [["claim", "where", "difference", "must be above", "verdict"]]
    rows += [[x.text, x.where, str(x.measured), f"{x.least:.0%}", x.verdict] for x in found]
    text = (
        "Claims, by differences seed by seed. States that are quantized afterwards have the range of their membranes, "
        "those that are trained have the range of the configuration."
    )
    return [text, "", *_markdown(rows)]


def _mean(results: Iterable[Result], key: str) -> str:
    values = [float(layer[key]) for _, result in results for layer in result["layers"]]
    return f"{sum(values) / len(values):.1%}"


def _counts(results: Iterable[Result]) -> float:
    return fmean(
        len(spike_counts(layer["levels"], cell.training.config.beta, cell.training.config.steps))
        for cell, result in results
        for layer in result["layers"]
    )


def _seeds(columns: Iterable[Results]) -> str:
    counts = sorted({len(part) for part in columns})
    return " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))


def _agreement(results: Sequence[Result]) -> str:
    lowered = [result for cell, result in results if cell.method != "float"]
    if not lowered:
        return ""
    proven, wrong = sum(result["proven"] for result in lowered), sum(result["mismatches"] for result in lowered)
    return f"{proven} of {len(lowered)}; {wrong} of {sum(result['values'] for result in lowered):,}"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = rows
    return [f"| {' | '.join(map(_cell, row))} |" for row in (head, ["---"] * len(head), *body)]


def _cell(text: str) -> str:
    """Names are text, and no columns."""
    return printable(text).replace("|", "\\|").replace("\n", " ")
