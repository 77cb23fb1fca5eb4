"""Every text of an error has a test: some of its letters that no other error has stand in a test too."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from squat_deploy import errors
from tests.conftest import ROOT

LETTERS = 12  # in a row; texts of fewer are not looked for
MAKERS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"fault", "_fault", "refuse", "fail"}
# "not an ONNX file, or truncated" is said in their place
UNSEEN = {"an integer of more than 64 bits", "a field reaches beyond its message"}
Texts = tuple[str, ...]


def letters(text: str) -> str:
    """Without spaces and what regular expressions escape."""
    return re.sub(r"[\s\\]+", "", text)


def literals(node: ast.AST) -> Texts:
    """Texts below a node but docstrings; those of an f-string are its constant parts."""
    alone = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Expr)}
    return tuple(
        letters(part.value)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in alone
    )


def raised(tree: ast.AST) -> Iterator[tuple[int, Texts]]:
    """Lines and texts of all errors and faults that a module makes."""
    for node in ast.walk(tree):
        made = node.exc if isinstance(node, ast.Raise) else node
        if isinstance(made, ast.Call):
            name = made.func.attr if isinstance(made.func, ast.Attribute) else getattr(made.func, "id", "")
            if isinstance(node, ast.Raise) or name in MAKERS:
                yield made.lineno, tuple(text for text in literals(made) if len(text) >= LETTERS)


def parts(texts: Texts) -> set[str]:
    return {text[start : start + LETTERS] for text in texts for start in range(len(text) - LETTERS + 1)}


def test_every_text_of_an_error_stands_in_a_test() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_error_texts.py"]
    said = parts(("\0".join(text for path in tests for text in literals(ast.parse(path.read_text()))),))
    places = {
        texts: f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / "squat_deploy").rglob("*.py")
        for line, texts in raised(ast.parse(path.read_text()))
        if texts and not {letters(text) for text in UNSEEN} & set(texts)
    }
    owners = Counter(part for texts in places for part in parts(texts))
    own = {texts: {part for part in parts(texts) if owners[part] == 1} or parts(texts) for texts in places}
    missing = sorted(f"{place}: {texts}" for texts, place in places.items() if not own[texts] & said)
    assert len(places) > 400 and not missing, "\n".join(missing)
