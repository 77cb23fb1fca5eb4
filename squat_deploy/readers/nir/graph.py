"""The order in which the nodes of a NIR graph run: subgraphs inlined, recurrent synapses put to their neurons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.readers.nir.file import Graph

_BRANCHES = "write the model in PyTorch, where branches can be lowered"
_CELLS = nir.LIF | nir.CubaLIF | nir.IF
_SYNAPSES = nir.Linear | nir.Affine
_PORTS = nir.Input | nir.Output
_SAID = 20  # faults; a file of others may have thousands
_Edges = dict[tuple[str, str], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Stage:
    """One node of the chain.

    Attributes:
        name: that of the file; of a node in a subgraph, both with a stroke between.
        ports: inputs and outputs of subgraphs that lie on the edge to this node.
        back: linear synapses through which the spikes of these neurons come back to them.
        takes: names of the nodes whose sum comes to it.
    """

    name: str
    node: Any
    ports: tuple[Any, ...] = ()
    back: Stage | None = None
    takes: tuple[str, ...] = ()


def is_chain(stages: Sequence[Stage]) -> bool:
    """Whether each takes the one before it alone."""
    return all(stage.takes == (before.name,) for before, stage in pairwise(stages))


def shown(name: str) -> str:
    """On one line, whatever a name is."""
    return name if name.isprintable() else ascii(name)


def fault(name: str, node: object, rule: str, got: str, hint: str) -> Fault:
    """A fault of one node."""
    kind = type(node).__name__ if node is not None else "NIR"
    return Fault(f"{shown(name)} ({kind})", rule, got, hint)


def chain(graph: Graph) -> tuple[Stage, ...]:
    """The nodes from the input to the output, each taking the one before it; in files of `write_nir` several may meet.

    Raises: LoweringError naming every node and edge that is no part of that.
    """
    graph = _regrouped(graph)
    refuse_all(list(_edge_faults(graph, "")))
    nodes, edges = _inlined(graph)
    edges = _without_ports(nodes, edges)
    loops = _loops(nodes, edges)
    backs = set(loops.values())
    forward = {edge: ports for edge, ports in edges.items() if not set(edge) & backs}
    if graph.stated is None:
        refuse_all(list(_branch_faults(nodes, forward)))
    start = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    stages = [Stage(start, nodes[start])]
    for name, takes in in_order(start, forward):
        back = loops.get(name)
        looped = back and Stage(back, nodes[back], (*edges[name, back], *edges[back, name]))
        ports = tuple(port for source in takes for port in forward[source, name])
        stages.append(Stage(name, nodes[name], ports, looped or None, takes))
    refuse_all(_unreached(nodes, {*(stage.name for stage in stages), *backs}))
    if len(stages) == 2:
        refuse_all([fault(start, nodes[start], "a network has layers", "none", "export it again")])
    return tuple(stages)


def in_order(start: str, edges: Iterable[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Nodes behind all that they take, else in the order in which edges first lead to them; none of a circle."""
    before = defaultdict[str, list[str]](list)
    for source, target in edges:
        before[target].append(source)
    done, waiting = {start}, dict(before)
    while ready := next((name for name, taken in waiting.items() if done.issuperset(taken)), None):
        done.add(ready)
        yield ready, tuple(waiting.pop(ready))


def _regrouped(graph: Graph) -> Graph:
    """Subgraphs of older files, whose nodes lie beside the others as "name.input", "name.lif" and "name.output"."""
    ends = {end for edge in graph.edges for end in edge} - set(graph.nodes)
    for name in sorted(ends):
        own = {key.removeprefix(f"{name}."): node for key, node in graph.nodes.items() if key.startswith(f"{name}.")}
        if not (isinstance(own.get("input"), nir.Input) and isinstance(own.get("output"), nir.Output)):
            continue
        inner = [edge for edge in graph.edges if all(end.startswith(f"{name}.") for end in edge)]
        pairs = tuple((a.removeprefix(f"{name}."), b.removeprefix(f"{name}.")) for a, b in inner)
        nodes = {key: node for key, node in graph.nodes.items() if not key.startswith(f"{name}.")}
        rest = tuple(edge for edge in graph.edges if edge not in inner)
        graph = Graph({**nodes, name: Graph(own, pairs)}, rest)
    return graph


def refuse_all(faults: list[Fault]) -> None:
    """Raises: LoweringError, if there are any."""
    if len(faults) > _SAID:
        rest = Fault("the network", "has no such faults elsewhere", f"{len(faults) - _SAID} more", "mend these first")
        faults = [*faults[:_SAID], rest]
    if faults:
        raise LoweringError(tuple(faults))


def _edge_faults(graph: Graph, prefix: str) -> Iterator[Fault]:
    """Edges that lead nowhere or come twice, and graphs without one input and one output; of subgraphs too."""
    again = "export it again"
    for (source, target), count in Counter(graph.edges).items():
        edge = f"the edge from {source!r} to {target!r}"
        for end in (source, target):
            if end not in graph.nodes:
                yield fault(prefix + end, None, "edges lead from node to node", f"{edge}, and no such node", again)
        if count > 1:
            yield fault(prefix + source, graph.nodes.get(source), "edges come once", f"{edge} {count} times", again)
        if source == target:
            hint = "put a Linear with the identity between"
            yield fault(prefix + source, graph.nodes.get(source), "spikes come back through a Linear", edge, hint)
    for kind in (nir.Input, nir.Output):
        found = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
        if len(found) != 1:
            rule, got = (
                f"a graph has one {kind.__name__.lower()}",
                f"{len(found)} {', '.join(map(shown, found))}".strip(),
            )
            where = prefix.removesuffix("/") or kind.__name__.lower()
            yield fault(where, graph if prefix else None, rule, got, "export one network")
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            yield from _edge_faults(node, f"{prefix}{name}/")


def _inlined(graph: Graph) -> tuple[dict[str, Any], _Edges]:
    """All nodes by their paths; edges to a subgraph lead to its input, those from it come from its output."""
    nodes: dict[str, Any] = {}
    edges: _Edges = {}
    entry, leave = {}, {}
    for name, node in graph.nodes.items():
        if not isinstance(node, Graph):
            nodes[name] = node
            continue
        inner, inner_edges = _inlined(node)
        nodes |= {f"{name}/{key}": value for key, value in inner.items()}
        edges |= {(f"{name}/{a}", f"{name}/{b}"): () for a, b in inner_edges}
        entry[name], leave[name] = (
            f"{name}/{next(key for key, x in node.nodes.items() if isinstance(x, kind))}"
            for kind in (nir.Input, nir.Output)
        )
    edges |= {(leave.get(a, a), entry.get(b, b)): () for a, b in graph.edges}
    return nodes, edges


def _without_ports(nodes: dict[str, Any], edges: _Edges) -> _Edges:
    """Edges past the inputs and outputs of subgraphs, which hand on what they get, and are taken out of `nodes`.

    One that sums several and feeds several stays, and is refused as a branch; so does one that leads nowhere.
    """
    edges = dict(edges)
    after, before = _sides(edges)
    for port in [name for name, node in nodes.items() if isinstance(node, _PORTS) and "/" in name]:
        sources, targets = before[port], after[port]
        past = {(a, b): (*edges[a, port], nodes[port], *edges[port, b]) for a in sources for b in targets}
        if min(len(sources), len(targets)) != 1 or any(edge in edges for edge in past):
            continue
        for source in sources:
            after[source] = [name for name in after[source] if name != port] + targets
            del edges[source, port]
        for target in targets:
            before[target] = [name for name in before[target] if name != port] + sources
            del edges[port, target]
        edges |= past
        del nodes[port]
    return edges


def _sides(edges: Iterable[tuple[str, str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Of every node, those that it feeds and those that feed it."""
    after, before = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    return after, before


def _loops(nodes: dict[str, Any], edges: _Edges) -> dict[str, str]:
    """Neurons and the linear synapses that take their spikes, and feed them and nothing else."""
    after, before = _sides(edges)
    loops: dict[str, str] = {}
    for back in [name for name, node in nodes.items() if isinstance(node, _SYNAPSES)]:
        (cell, *others) = before[back] or [back]
        if not others and after[back] == [cell] and isinstance(nodes[cell], _CELLS) and cell not in loops:
            loops[cell] = back
    return loops


def _branch_faults(nodes: dict[str, Any], edges: _Edges) -> Iterator[Fault]:
    after, before = _sides(edges)
    for name, node in nodes.items():
        to, given = after[name], before[name]
        if len(to) > 1 or (to and isinstance(node, nir.Output) and "/" not in name):
            rule = "the output feeds nothing" if isinstance(node, nir.Output) else "every node feeds one other"
            yield fault(name, node, rule, f"edges to {', '.join(map(shown, to))}", _BRANCHES)
        if len(given) > 1 or (given and isinstance(node, nir.Input) and "/" not in name):
            rule = "every node takes one other, neurons their own spikes too through one Linear or Affine"
            rule = "the input takes nothing" if isinstance(node, nir.Input) else rule
            yield fault(name, node, rule, f"edges from {', '.join(map(shown, given))}", _BRANCHES)


def _unreached(nodes: dict[str, Any], reached: set[str]) -> list[Fault]:
    rule = "every node lies on the one way from the input to the output"
    return [
        fault(name, node, rule, "a node that does not", "leave it out of the file, or join it to the chain")
        for name, node in nodes.items()
        if name not in reached
    ]
