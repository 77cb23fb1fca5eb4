"""Recording what a model does while it runs: every function of recorded tensors, every call of a library's module.

A record is a claim about values. It holds only as long as nothing changes them behind it, so each value remembers the
version of its memory, each neuron the states that it left, each layer its contents; whatever is another when it is
used is refused with the line of the user's file.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.asking import BATCH, Asked, Made, line_of
from squat_deploy.lowering.effects import Contents, equal_bits
from squat_deploy.lowering.folding import Event
from squat_deploy.lowering.guard import Guard, modes_of_others, settings
from squat_deploy.lowering.hints import HINTS
from squat_deploy.lowering.options import BY_ONE, SAME_VALUES, bound, plain_function
from squat_deploy.lowering.program import label_of
from squat_deploy.lowering.sizes import batch_size, has_sizes, without_sizes
from squat_deploy.snn.adopting import Adopted, Held
from squat_deploy.snn.batch_first import BatchFirst
from squat_deploy.snn.branched import Branched
from squat_deploy.snn.delay import REMEMBERING
from squat_deploy.snn.layers import QuantizedInput
from squat_deploy.snn.neurons import NEURONS, arguments_of, kind_of, remembered, spike_value
from squat_deploy.snn.running import ModelTrace
from squat_deploy.snn.sharing import Shared

_LIBRARIES = ("torch", "snntorch", "brevitas", "squat_deploy")
_SIZES = frozenset(["size", "shape"])
_COUNTS = frozenset(["numel", "nelement", "nbytes", "stride"])  # multiples of the size of a batch
_LAYOUTS = frozenset(["__repr__", "__format__"])
_NO_DATA = frozenset(  # what a value is besides its numbers
    """
    dim ndim ndimension numel nelement stride dtype device is_contiguous requires_grad is_floating_point is_leaf
    layout __len__ __repr__ __hash__ __dir__ is_complex is_signed _version grad_fn grad names has_names retains_grad
    is_cuda is_cpu is_sparse is_quantized is_mkldnn is_nested is_meta is_inference is_same_size element_size itemsize
    nbytes get_device storage_offset is_conj is_neg __format__ is_shared is_pinned
    """.split()  # noqa: SIM905 (a list of this length is read as words)
)
_UNCHANGED = frozenset(["requires_grad_", "detach_", "retain_grad"])
_ZEROS = frozenset(["zeros_like", "new_zeros"])  # of a recorded value: its size is all that they take of it
_SPARSE = ("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc")
_SIZE_BY_DATA = frozenset(  # whose results have as many elements as the data wants
    ["nonzero", "argwhere", "unique", "unique_consecutive", "masked_select", "bincount", "repeat_interleave", *_SPARSE]
)
_SAME_VALUE = frozenset(["detach", "clone", "contiguous"])
_OPERATORS = "add sub mul truediv div floordiv mod pow and or xor lshift rshift"
_OPERATORS_IN_PLACE = frozenset(f"__i{name}__" for name in _OPERATORS.split())
_RENAMED = "no value is changed under another name"


MADE: WeakSet[nn.Module] = WeakSet()  # modules that were made while a model ran


class Traced(torch.Tensor):
    """A tensor that knows which event made it, and the version of its memory then."""

    event: Event
    seen: int

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if Recorder.active is None:  # a value that outlived its recording
            with torch._C.DisableTorchFunctionSubclass():
                return func(*plain(args), **plain(given))
        return Recorder.active.at_work(lambda recorder: recorder.function(func, args, given))


class Sizes(TorchFunctionMode):
    """Gives plain numbers to functions of torch, and sizes of plain tensors that notice what becomes of them."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.recorder.inside:
            return func(*args, **kwargs or {})
        if Traced in types:
            return func(*without_sizes(args), **without_sizes(kwargs or {}))
        self.recorder.sized = self.recorder.sized or has_sizes((args, kwargs))
        args, given, name = without_sizes(args), without_sizes(kwargs or {}), _name_of(func)
        if name in _SIZES or name in _COUNTS or name == "__len__":
            return self.recorder.at_work(lambda recorder: recorder.without_data(func, name, args, given))
        result = func(*args, **given)
        self.recorder.carry_written(name, args, given, result)
        if self.recorder.sized and name not in _NO_DATA - _LAYOUTS and not _has_tensor(result):
            self.recorder.asked.escape()
        return result

    @classmethod
    @contextlib.contextmanager
    def paused(cls) -> Iterator[None]:
        """While a layer computes: libraries' code decides by no size, and calls many functions."""
        top = _pop_mode() if isinstance(_get_current_function_mode(), cls) else None  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            if top is not None:
                _push_mode(top)  # type: ignore[no-untyped-call]


def fault(where: str, rule: str, got: str, hint: str) -> LoweringError:
    """An error of one fault."""
    return LoweringError((Fault(where, rule, got, hint),))


def plain(value: Any) -> Any:
    """The same without a record."""
    if isinstance(value, Traced):
        return value.as_subclass(torch.Tensor)
    if isinstance(value, QuantTensor):
        return value.set(value=plain(value.value))
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(plain(part) for part in value)
    return without_sizes(value)


def marked(tensor: Tensor, event: Event) -> Traced:
    """The same values with a record."""
    traced = tensor.as_subclass(Traced)
    traced.event, traced.seen = event, tensor._version
    if Recorder.active is not None:
        Recorder.active.guard.add(plain(traced))
    return traced


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_has_tensor, value)))


@cache
def is_library(name: str) -> bool:
    """Whether a module of Python, by its name, is no code of the user's."""
    return name.split(".")[0] in (*_LIBRARIES, "contextlib", "functools")


def users_frame() -> FrameType | None:
    """The innermost frame that belongs to none of the libraries."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        if not is_library(frame.f_globals.get("__name__", "")):
            return frame
        frame = frame.f_back
    return None


def users_line() -> str:
    """File and line of that frame."""
    return line_of(users_frame())


def is_leaf(module: nn.Module) -> bool:
    """A module of a library, or of a class made from one: a subclass may override anything."""
    ours = (QuantizedInput, BatchFirst, Branched, Adopted, Held, Shared)
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Module, *ours)
    bases = [base for base in type(module).__mro__ if base.__module__.split(".")[0] in _LIBRARIES]
    return any(base not in containers for base in bases)


def _decides(name: str) -> LoweringError:
    hint = "let spikes and membranes flow through the layers, and decide by none of them"
    return fault(users_line(), "no control flow depends on the data", f"{name} of a tensor", hint)


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """Modules of libraries, without their parts."""
    for module in model.children():
        if is_leaf(module):
            yield module
        else:
            yield from layers_of(module)


def check_registered(names: Mapping[int, str], module: nn.Module) -> None:
    """Raises: LoweringError for a layer with contents that the model has nowhere: nobody copies or saves it."""
    if id(module) in names or not (isinstance(module, NEURONS) or module.state_dict()):
        return
    if module in MADE:
        got = f"a {type(module).__name__} that is made anew in every call"
        hint = "make it once, in __init__: self.layer = ..., and call self.layer in forward"
        raise fault(users_line(), "layers stay the same from call to call", got, hint)
    got = f"a {type(module).__name__} that is not among model.modules(), nor in what its code names"
    hint = "make it an attribute of the model or put it into an nn.ModuleList, and reach it by self in forward"
    raise fault(users_line(), "layers are modules of the model", got, hint)


@dataclass
class Recorder:
    """What was called while a copy of a model ran.

    Attributes:
        names: of the copy's modules, by id; originals: what the copy's modules are copies of, by id.
        kept: the contents of each layer before; left: the states that neurons left, by id.
        memories: the buffers of other layers that remember, and their versions, as they left them, by id.
        written: plain tensors into which recorded values were written, or that were made of such, by their memory,
            with the line that wrote last.
        results: what layers without states gave, by id and size of what they took.
        set_at: the last line that set an attribute of a module of the user's.
        traces: what the neurons did, by name, while that is kept.
        inside: within a library's module, whose own parts are no calls of the user.
        guard: sees what is computed past the record.
        refused: the first refusal: forward may catch it, and go on in another way than it does without a record.
        settings: those of torch, before the model ran.
        sized: whether a plain tensor was made of the size of a batch, so that its numbers may tell it.
    """

    names: dict[int, str]
    originals: dict[int, nn.Module]
    asked: Asked
    kept: dict[int, Contents] = field(default_factory=dict)
    neurons: list[Event] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    left: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    memories: dict[int, dict[str, tuple[Tensor, int]]] = field(default_factory=dict)
    written: dict[int, tuple[Tensor, str]] = field(default_factory=dict)
    results: dict[tuple[int, tuple[int, ...]], Tensor] = field(default_factory=dict)
    set_at: dict[tuple[int, str], str] = field(default_factory=dict)
    traces: dict[str, ModelTrace] | None = field(default_factory=dict)
    inside: bool = False
    guard: Guard = field(init=False)
    refused: LoweringError | None = None
    settings: dict[str, object] = field(default_factory=settings)
    sized: bool = False

    active: ClassVar[Recorder | None] = None

    def __post_init__(self) -> None:
        self.guard = Guard(self._refuse_unseen)

    def start(self) -> None:
        """A new sequence, from rest."""
        self.neurons, self.places, self.left, self.memories = [], {}, {}, {}

    def at_work(self, act: Callable[[Recorder], Any]) -> Any:
        """Does a part of the recording; a refusal stays, whatever becomes of it in forward."""
        try:
            with self.guard.at_work():
                return act(self)
        except LoweringError as error:
            self.refused = self.refused or error
            raise

    def _refuse_unseen(self, name: str) -> None:
        got = f"{name} of a recorded value, by torch.tensor, compiled code or another name of its memory"
        hint = "use the value itself, in functions and layers of torch that are called with it"
        error = fault(users_line(), "nothing reads a value behind its record", got, hint)
        self.refused = self.refused or error
        raise error

    # Functions

    def function(self, func: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        """In place of a function that is given recorded tensors."""
        name = _name_of(func)
        if name == "data":
            func, name = Tensor.detach, "detach"  # the same alias, of which torch counts the changes
        if name in _SIZES or name in _NO_DATA:
            return self.without_data(func, name, args, given)
        if name in _UNCHANGED:
            return args[0]
        if name == "__iter__":
            return iter([args[0][index] for index in range(len(args[0]))])
        self._check_form(name, args, given)
        for value in _tensors(args, given):
            self._check_fresh(value)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*plain(args), **plain(given))
        self._note_written(name, args, given)
        if name in _ZEROS:
            self.sized = True
            return result
        if result is None:
            return None
        if not _has_tensor(result):
            raise _decides(name)
        return self._recorded(func, name, args, given, result)

    def without_data(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        """What a value is besides its numbers; its sizes notice what becomes of them."""
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*plain(args), **plain(given))
        if (name == "__len__" and result == self.asked.batch) or name in _LAYOUTS:
            self.asked.escape()
        if name in _COUNTS:
            return tuple(map(self._counted, result)) if isinstance(result, tuple) else self._counted(result)
        if name not in _SIZES:
            return result
        sizes = [batch_size(self.asked) if size == self.asked.batch else size for size in _plain_sizes(result)]
        return sizes[0] if isinstance(result, int) else torch.Size(sizes)

    def _counted(self, count: int) -> int:
        each, rest = divmod(count, self.asked.batch)
        return count if rest or not each else batch_size(self.asked, Made("mul", (each, BATCH)))

    def _check_form(self, name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        """Refuses what never has a record."""
        picks = name == "__getitem__" and _has_tensor(args[1] if isinstance(args[1], tuple | list) else (args[1],))
        if picks or name in _SIZE_BY_DATA or (name == "where" and len(args) + len(given) == 1):
            raise _decides(name)
        if name.endswith("="):
            got, hint = f"an assignment to .{name}".rstrip("="), "give the new value a name of its own"
            raise fault(users_line(), "no value is changed in place", got, hint)
        if name == "__setitem__" and isinstance(args[0], Traced):
            got, hint = "an assignment to elements", "leave it out; to collect values, append them to a list"
            raise fault(users_line(), "no value is changed in place", got, hint)
        self._check_called()

    def _check_called(self) -> None:
        """Refuses what a layer's own forward does where nobody called the layer."""
        frame = sys._getframe(1)
        while frame is not None and is_library(frame.f_globals.get("__name__", "")):
            layer = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
            if isinstance(layer, nn.Module) and is_leaf(layer):
                got = f"{self.names.get(id(layer), type(layer).__name__)}.forward(...)"
                raise fault(
                    users_line(), "layers are called, so that hooks and records see them", got, "call the layer"
                )
            frame = frame.f_back  # type: ignore[assignment]

    def _check_surroundings(self) -> None:
        """Refuses what changes how layers compute: settings of torch, and modes of the user's."""
        if (mode := modes_of_others(is_library)) is not None:
            got, hint = f"a {mode} around them", "leave modes out of forward"
            raise fault(users_line(), "functions of torch do what torch says", got, hint)
        if (now := settings()) != self.settings:
            got = ", ".join(key for key, value in now.items() if self.settings[key] != value)
            hint = "set it before lowering, outside forward, and leave it"
            raise fault(users_line(), "torch's settings stay as they are while a sequence runs", got, hint)

    def _check_fresh(self, value: Tensor) -> None:
        if isinstance(value, Traced) and value._version != value.seen:
            got = f"the result of {value.event.label}, changed in place after that"
            hint = "change it before other names are given to it, or make a new value: y = y + x"
            raise fault(users_line(), _RENAMED, got, hint)

    def _note_written(self, name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        """Plain tensors that have got recorded values: as constants they would be taken for something else."""
        targets = [args[0]] if args and (_is_in_place(name) or name == "__setitem__") else []
        outs = given.get("out")
        for value in (*targets, *(outs if isinstance(outs, tuple | list) else [outs])):
            if isinstance(value, Tensor) and not isinstance(value, Traced):
                self.written[memory_of(value)] = value, users_line()

    def carry_written(self, name: str, args: tuple[Any, ...], given: Mapping[str, Any], result: Any) -> None:
        """What plain functions make of plain tensors that have got recorded values."""
        if self.written and any(self.is_written(value) for value in _tensors(args, given)):
            targets = [args[0]] if _is_in_place(name) or name == "__setitem__" else _tensors((result,), {})
            self.written |= {memory_of(value): (value, users_line()) for value in targets if isinstance(value, Tensor)}

    def _recorded(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any], result: Any
    ) -> Any:
        """Records a function call, one event a resulting tensor."""
        base, options = _named(func, name, args, given)
        read = {key: value for key, value in given.items() if key != "out"}
        inputs = tuple(self.event_of(value) for value in _tensors(args, read))
        numbers = [arg for arg in args[1:] if isinstance(arg, int | float) and not isinstance(arg, bool)]
        if base == "add" and numbers == [0] and not given and not _is_in_place(name):  # `sum` begins with 0
            return marked(result, inputs[0])
        same = base in SAME_VALUES or (base in BY_ONE and numbers == [1] and not given and not _is_in_place(name))
        if same and isinstance(args[0], Traced) and equal_bits(result, plain(args[0])):
            return marked(result, args[0].event)
        function = f"{base} with a number" if base == "add" and numbers else base
        label = f"{base} at {users_line()}"

        def one(tensor: Any, index: int | None = None) -> Any:
            if not isinstance(tensor, Tensor):
                return tensor
            chosen = options if index is None else {**options, "index": index}
            return marked(tensor, Event(label, function, inputs, chosen, tuple(map(int, tensor.shape))))

        if type(result) in (tuple, list):
            if len(result) == self.asked.batch > 1:  # a part a sample, perhaps
                self.asked.escape()
            return type(result)(one(part, index) for index, part in enumerate(result))
        if isinstance(result, tuple):  # torch's named ones
            return type(result)([one(part, index) for index, part in enumerate(result)])
        new = one(result)
        if _is_in_place(name) and isinstance(args[0], Traced):
            args[0].event, args[0].seen = new.event, args[0]._version
            return args[0]
        return new

    def event_of(self, value: Tensor) -> Event:
        """What made a value; what was there before is constant, as it is now."""
        if isinstance(value, Traced):
            return value.event
        if self.is_written(value):
            got, hint = "a tensor into which others were written", "use the values themselves, or torch.stack of them"
            raise fault(users_line(), "values are used as they were made", got, hint)
        kind = "a constant" if value.any() else "zeros"
        return Event(f"{kind} at {users_line()}", kind, (), {}, tuple(value.shape))

    def is_written(self, value: Tensor) -> bool:
        return bool(value.numel()) and memory_of(value) in self.written

    # Modules

    def call(self, original: Callable[..., Any], module: nn.Module, *args: Any, **given: Any) -> Any:
        """In place of `nn.Module.__call__`: libraries' modules are calls, the user's own are looked into."""
        if self.inside or not is_leaf(module):
            return original(module, *args, **given)
        with Sizes.paused():
            return self.at_work(lambda recorder: recorder._layer_call(original, module, args, given))

    def _layer_call(
        self, original: Callable[..., Any], module: nn.Module, args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        self._check_called()
        self._check_surroundings()
        check_registered(self.names, module)
        label = label_of(self.names.get(id(module), "module"), module)
        self._check_contents(label, module)
        for value in _tensors(args, given):
            self._check_fresh(value)
        if isinstance(module, NEURONS):
            return self._neuron_call(original, module, label, args, given)
        if type(module) is nn.Identity and type(whole := args[0] if args else given.get("input")) in (tuple, list):
            return whole  # what neurons return, each part with its record
        place = self._remembering_place(label, module)
        result = self._result(original, module, args, given)
        if type(module) in REMEMBERING:
            self._leave(module, place + 1)
        inputs = tuple(map(self.event_of, _tensors(args, given)))
        event = Event(
            label, "module", inputs, _besides(module, args, given), _shape(result), self._original(module), place
        )
        if type(result) is tuple:
            return tuple(marked(part, event) if isinstance(part, Tensor) else part for part in result)
        if isinstance(result, QuantTensor):
            return result.set(value=marked(result.value, event))
        if not isinstance(result, Tensor):
            hint = HINTS.get(type(module).__name__, "let it return tensors")
            raise fault(label, "layers return plain tensors", type(result).__name__, hint)
        _check_type(label, result)
        return marked(result, event)

    def _remembering_place(self, label: str, module: nn.Module) -> int:
        """The time step of a layer that remembers, 0 for others; it must find what it left in the step before."""
        if type(module) not in REMEMBERING:
            return 0
        place = self.places.get(id(module), 0)
        now = {name: module._buffers[name] for name in remembered(module)}
        left = self.memories.get(id(module), {})
        if place and any(
            now[name] is not tensor or (tensor is not None and tensor._version != version)
            for name, (tensor, version) in left.items()
        ):
            got = f"put to rest or changed in step {place}, at {users_line()}"
            raise fault(label, "layers remember what they took in the steps before", got, _RESET_HINT)
        if not place and any(tensor is not None and tensor.any() for tensor in now.values()):
            got = f"what it took in the sequence before, at {users_line()}"
            raise fault(label, "a sequence starts at rest", got, _RESET_HINT)
        return place

    def _leave(self, module: nn.Module, place: int) -> None:
        self.places[id(module)] = place
        found = {name: module._buffers[name] for name in remembered(module)}
        self.memories[id(module)] = {name: (part, part._version) for name, part in found.items() if part is not None}
        for part, _ in self.memories[id(module)].values():
            self.guard.add(part)  # what it remembers is for itself alone

    def _result(self, original: Callable[..., Any], module: nn.Module, args: Any, given: Any) -> Any:
        """Of a layer without states: run once, since what it does is known by its contents and not by its numbers.

        Unless the result is another name of what it took, as that of an `nn.Flatten` is.
        """
        values = _tensors(args, given)
        alone = len(values) == 1 and not _besides(module, args, given)
        if not alone or id(module) not in self.kept or type(module) in REMEMBERING:
            return self._ran(original, module, args, given)
        key = id(module), tuple(plain(values[0]).shape)
        if key not in self.results:
            result = self._ran(original, module, args, given)
            if type(result) is not Tensor or memory_of(result) == memory_of(plain(values[0])):
                return result
            self.results[key] = result
        return self.results[key].clone()

    def _ran(self, original: Callable[..., Any], module: nn.Module, args: Any, given: Any) -> Any:
        self.inside = True
        try:
            return original(module, *plain(args), **plain(given))
        finally:
            self.inside = False

    def _original(self, module: nn.Module) -> nn.Module:
        return self.originals.get(id(module), module)

    def _check_contents(self, label: str, module: nn.Module, *, all_of_them: bool = False) -> None:
        kept = self.kept.get(id(module))
        if kept is not None and (name := kept.changed(all_of_them=all_of_them)) is not None:
            got = f"{name} is another than before the first step, at {users_line()}"
            hint = "set it before the sequence, outside forward, and leave it"
            raise fault(label, "layers stay as they are while a sequence runs", got, hint)

    def check_end(self, layers: Mapping[int, nn.Module]) -> None:
        """The contents of all layers after the last call."""
        for key in self.kept:
            module = layers[key]
            self._check_contents(label_of(self.names[key], module), module, all_of_them=True)

    def _neuron_call(
        self, original: Callable[..., Any], module: nn.Module, label: str, args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        names = arguments_of(type(module).forward)
        values = dict(zip(names, args, strict=False)) | given
        current = values.get(names[0])
        current = current.value if isinstance(current, QuantTensor) else current
        if not isinstance(current, Tensor):
            raise fault(users_line(), "neurons take a current", type(current).__name__, "call them with a tensor")
        place = self.places.get(id(module), 0)
        shape = tuple(plain(current).shape)
        event = Event(label, "module", (self.event_of(current),), {}, shape, self._original(module), place)
        for name in _state_names(module):
            explicit = values.get(name)
            self._check_state(label, module, name, module._buffers[name] if explicit is None else explicit, place)
        for name in _state_names(module):
            module._buffers[name] = plain(module._buffers[name])
        result = self._ran(original, module, args, given)
        _check_type(label, result[0] if isinstance(result, tuple) else result)
        if self.traces is not None:
            self.traces.setdefault(self.names[id(module)], ModelTrace(spike=spike_value(module))).add(module, result)
        self.places[id(module)] = place + 1
        self.neurons.append(event)
        return self._marked_states(module, event, result)

    def _marked_states(self, module: nn.Module, event: Event, result: Any) -> Any:
        """What a neuron call returned and left behind, as recorded values; kept as they are now."""
        parts = ("spk", *kind_of(module).states)
        self.left[id(module)] = {}
        traced: dict[int, Traced] = {}
        for name in _state_names(module):
            tensor: Any = module._buffers[name]
            module._buffers[name] = traced[id(tensor)] = _state(tensor, event, parts.index(name))
            self.left[id(module)][name] = tensor.detach().clone()
        if not isinstance(result, tuple):
            return traced[id(result)] if id(result) in traced else marked(result, event)
        return tuple(
            traced[id(part)] if id(part) in traced else _state(part, event, number)
            for number, part in enumerate(result)
        )

    def _check_state(self, label: str, module: nn.Module, name: str, value: Any, place: int) -> None:
        """Neurons must find what they left one step before, zeros at first."""
        rule, hint = (
            "neurons keep their own states",
            "pass on what the same neurons returned one step before, zeros at first",
        )
        if not isinstance(value, Tensor):
            raise fault(label, rule, f"{name}={value!r}", hint)
        if not isinstance(value, Traced):
            if not place and not self.is_written(value) and (other := value[value != 0]).numel():
                got = f"{name} of {float(other[0]):g} at first, at {users_line()}"
                raise fault(label, "a sequence starts at rest, all states 0", got, _START_HINT)
            if self.is_written(value) or (value.numel() and bool(value.any())):
                raise fault(label, rule, f"another value as a state ({name}) at {users_line()}", hint)
            if place:
                raise fault(label, rule, f"{name} is zero again in step {place}, at {users_line()}", _RESET_HINT)
            return
        self._check_fresh(value)
        event, part = value.event, ("spk", *kind_of(module).states).index(name)
        while event.function in _SAME_VALUE:
            event = event.inputs[0]
        own = event.module is self._original(module) and event.function in ("state", "module")
        left = self.left.get(id(module), {}).get(name)
        same = own and event.options.get("part", 0) == part and event.place == place - 1
        if same and left is not None and equal_bits(left, plain(value)):
            return
        if own and not place:
            got = f"{name} of the sequence before, at {users_line()}"
            hint = (
                "keep it in the neuron (init_hidden=True), which is put to rest, and not in an attribute of the model"
            )
            raise fault(label, "a sequence starts at rest", got, hint)
        made = "" if own else f" ({value.event.label})"
        raise fault(label, rule, f"another value as a state{made}", hint)


_START_HINT = "start from zeros: initial_state=None, what snnTorch's init functions return, or torch.zeros"
_RESET_HINT = (
    "let states be as the step before left them: reset before a sequence, or hold the loop over time in forward and "
    "reset before it; where each call is a sequence of its own, ask for steps=1"
)


def _check_type(label: str, result: Tensor) -> None:
    if result.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        got = "autocast" if torch.is_autocast_enabled("cpu") else str(result.dtype)
        hint = "leave autocast, half() and double() out of forward"
        raise fault(label, "layers compute in float32", f"{got} at {users_line()}", hint)


def _name_of(func: Callable[..., Any]) -> str:
    """The name of a function or of an attribute; "name=" of one that is set."""
    if func.__name__ not in ("__get__", "__set__"):
        return func.__name__
    attribute: str = func.__self__.__name__  # type: ignore[attr-defined]
    return attribute if func.__name__ == "__get__" else f"{attribute}="


def memory_of(value: Tensor) -> int:
    """Where its values lie."""
    return value.untyped_storage().data_ptr()


def _plain_sizes(sizes: Any) -> list[int]:
    return [int(size) for size in ([sizes] if isinstance(sizes, int) else sizes)]


def _shape(result: Any) -> tuple[int, ...]:
    first = result[0] if isinstance(result, tuple) else result
    return tuple(first.shape) if isinstance(first, Tensor) else ()


def _state(tensor: Tensor, event: Event, part: int) -> Traced:
    if part == 0:
        return marked(tensor, event)
    return marked(
        tensor, Event(event.label, "state", (event,), {"part": part}, tuple(tensor.shape), event.module, event.place)
    )


def _state_names(module: nn.Module) -> list[str]:
    """Buffers that one step leaves to the next."""
    kind = kind_of(module)
    return [name for name in (*(["spk"] if kind.recurrent else []), *kind.states) if name in module._buffers]


def _tensors(args: tuple[Any, ...], given: Mapping[str, Any]) -> list[Tensor]:
    given_all = [arg.value if isinstance(arg, QuantTensor) else arg for arg in (*args, *given.values())]
    parts = [part for arg in given_all for part in (arg if isinstance(arg, tuple | list) else [arg])]
    return [part for part in parts if isinstance(part, Tensor)]


def _besides(module: nn.Module, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """What else than tensors a layer is called with, by name."""
    names = arguments_of(type(module).forward)
    values = {**dict(zip(names, args, strict=False)), **given}
    return {key: plain(value) for key, value in values.items() if value is not None and not _has_tensor(value)}


def _is_in_place(name: str) -> bool:
    return name in _OPERATORS_IN_PLACE or (name.endswith("_") and not name.endswith("__"))


def _named(
    func: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The plain name of a function and its arguments that are no tensors, by name."""
    base = plain_function(name)
    if base == "getitem":
        return base, {"index": args[1]}
    found = bound(func, base, args, given)
    options = {key: value for key, value in found.items() if not _has_tensor(value)}
    if given.get("out") is not None:
        options["out"] = "a tensor"
    along = options.get("dim", 0)
    if base == "select" and along == 0:
        return "getitem", {"index": options.get("index")}
    if base == "unbind" and along != 0:
        return f"unbind along axis {along}", options
    return base, options
