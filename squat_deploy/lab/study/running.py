"""Running the cells of a study in parallel processes, here or on a Dask cluster, each exactly once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Future, LocalCluster, as_completed
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from squat_deploy.errors import ConfigError, FileFormatError, ToolError, translated
from squat_deploy.files import make_folder, unreadable, write_file
from squat_deploy.lab.study.config import Cell, Study
from squat_deploy.lab.study.results import check_result
from squat_deploy.lab.study.tasks import cell_task, train_task

MARK = "study.json"
_MAX_BYTES = 2**26  # of one file


def run_study(
    study: Study,
    store: Path,
    *,
    scheduler: str | None = None,
    jobs: int = 2,
    place: Path | None = None,
    quiet: bool = False,
) -> int:
    """Runs all cells that are not in the store yet; trained models and results are written by this process alone.

    A worker needs nothing of this machine but the package and the data set: models travel as bytes. A worker that dies
    costs the time since the last checkpoint of its training; its tasks go to the others.

    Args:
        store: folder with one JSON file a cell and one safetensors file a training, both named by digest.
        scheduler: address of a Dask scheduler; without one, `jobs` processes on this machine.
        place: of the data set, on the workers.

    Returns: how many cells were run.

    Raises: ConfigError for a store of another study, or a scheduler that does not answer; whatever a cell raises, after
    all others have been stored; ToolError where Dask gave up on one, since its workers died again and again.
    """
    cells = study.cells()
    _claim(store, study)
    missing = [cell for cell in cells if not cell_path(store, cell).exists()]
    with _client(scheduler, jobs) as client, _progress(quiet) as progress:
        task = progress.add_task(study.name, total=len(cells), completed=len(cells) - len(missing))
        waiting = _submitted(client, missing, store, None if place is None else str(place.resolve()))
        failed: BaseException | None = None
        for future in as_completed(list(waiting)):
            todo = waiting.pop(future)
            if future.status != "finished":
                failed = failed or future.exception() or ToolError(f"study: {future.key} was lost ({future.status})")
                continue
            if isinstance(todo, Cell):
                write_cell(store, todo, future.result())
                progress.advance(task)
            else:
                write_file(todo, future.result())
                shutil.rmtree(store / "runs" / todo.stem, ignore_errors=True)  # only now is nothing lost with it
            future.release()
    if failed is not None:
        raise failed
    return len(missing)


def cell_path(store: Path, cell: Cell) -> Path:
    """Where the result of a cell lies."""
    return store / "cells" / f"{cell.digest}.json"


def write_cell(store: Path, cell: Cell, result: dict[str, Any]) -> None:
    """Stores a result with all that it came from."""
    document = {"digest": cell.digest, "cell": cell.model_dump(mode="json"), "result": result}
    write_file(cell_path(store, cell), (json.dumps(document) + "\n").encode())


def read_cells(store: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """All results of a store. Raises: FileFormatError for a file that is not what its name says."""
    found = []
    for path in sorted((store / "cells").glob("*.json")):
        if (why := unreadable(path, _MAX_BYTES)) is not None:
            raise FileFormatError(f"{path}: {why}")
        with translated(FileFormatError, f"{path}: not a cell of a study"):
            document = json.loads(path.read_bytes())
            cell, result = Cell.model_validate(document["cell"]), document["result"]
            check_result(cell, result)
        if cell.digest != path.stem:
            raise FileFormatError(f"{path}: its content has the digest {cell.digest}")
        found.append((cell, result))
    return found


def read_study(store: Path) -> Study:
    """The study that a store belongs to. Raises: FileFormatError."""
    mark = store / MARK
    if (why := unreadable(mark, _MAX_BYTES)) is not None:
        raise FileFormatError(f"{mark}: not the mark of a study: {why}")
    with translated(FileFormatError, f"{mark}: not the mark of a study"):
        return Study.model_validate_json(mark.read_bytes())


def _claim(store: Path, study: Study) -> None:
    """A store belongs to the study of its name; cells may be added to it."""
    mark = store / MARK
    known = read_study(store) if os.path.lexists(mark) else None
    if known is not None and known.name != study.name:
        raise ConfigError(f"{store} holds another study; choose another folder")
    for folder in ("cells", "models", "runs"):
        make_folder(store / folder)
    if known != study:  # what is written could be what was read
        write_file(mark, (json.dumps(study.model_dump(mode="json"), indent=1) + "\n").encode())


def _submitted(client: Client, cells: list[Cell], store: Path, place: str | None) -> dict[Future[Any], Cell | Path]:
    """Each training once, whatever number of cells wait for it; those in the store are only sent.

    They are sent as tasks, not scattered: Dask can make them again where the worker that holds them dies.
    """
    models: dict[str, Future[Any]] = {}
    waiting: dict[Future[Any], Cell | Path] = {}
    for cell in cells:
        key = cell.training.digest
        if key not in models:
            path = store / "models" / f"{key}.safetensors"
            if path.exists():
                models[key] = client.submit(bytes, path.read_bytes(), key=f"model-{key}")
            else:
                run = str((store / "runs" / key).resolve())
                name = f"train-{key}"
                models[key] = client.submit(train_task, cell.training, run, place, key=name)
                waiting[models[key]] = path
        name = f"cell-{cell.digest}"
        future = client.submit(cell_task, cell, models[key], place, key=name)
        waiting[future] = cell
    return waiting


@contextmanager
def _client(scheduler: str | None, jobs: int) -> Iterator[Client]:
    if scheduler is not None:
        with _connected(scheduler) as client:
            yield client
        return
    options: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
    with LocalCluster(n_workers=jobs, **options) as cluster, Client(cluster) as client:
        yield client


def _connected(scheduler: str) -> Client:
    try:
        return Client(scheduler, timeout=30)
    except (OSError, ValueError) as error:
        raise ConfigError(f"study: no Dask scheduler at {scheduler}: {error}") from error


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, disable=quiet)
