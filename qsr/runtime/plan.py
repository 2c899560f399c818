"""A packed program as the compiled engine takes it: maps, and stages with their epilogues fused. numpy only.

What csrc/graph/spec.h says about maps and stages is not repeated here. A stage is a dictionary with the fields of StageSpec;
two more are for people and for `plan_order`: `position` (the operation's number) and `bits`.

>>> plan = make_plan(header, tensors, program)      # doctest: +SKIP
>>> Engine(plan.maps, plan.stages, plan.segments)   # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qsr.runtime.executor import bits_of
from qsr.runtime.packed.codes import Tensors, dense, vector
from qsr.runtime.packed.ops import (
    Act,
    Add,
    Affine,
    Average,
    Bilinear,
    Conv,
    Depthwise,
    Image,
    Norm,
    Op,
    PackedHeader,
    PReLU,
    Program,
    Quantize,
    Repeat,
    Shuffle,
    SignAct,
    Swin,
    UniformAct,
)
from qsr.runtime.packed.shapes import infer
from qsr.runtime.plan_chain import Chain
from qsr.runtime.plan_layer import Format, layer_of, levels, per_channel, sink_key, sink_of
from qsr.runtime.plan_order import cut, ordered
from qsr.runtime.plan_swin import describe

Stage = dict[str, Any]
Map = tuple[Format, int, int, int]  # format, channels, factor, zero


@dataclass(frozen=True)
class Plan:
    """segments: the first stage of each. values: the map that holds a value as floats, where there is one.

    codes: (conv's operation number, map) for layers whose input is codes.
    """

    maps: list[Map]
    stages: list[Stage]
    segments: list[int]
    scale: int
    slots: int
    values: dict[int, int]
    codes: list[tuple[int, int]]


def make_plan(header: PackedHeader, tensors: Tensors, program: Program, convs: int = 1, apart: bool = False) -> Plan:
    """Lower one program of a checked file. convs: about so many run in one segment. apart: every stage on its own."""
    planner = _Planner(header, tensors, program)
    planner.run()
    stages = ordered(planner.stages, len(planner.maps))
    segments = list(range(len(stages))) if apart else cut(stages, planner.maps, convs)
    return Plan(planner.maps, stages, segments, header.scale, planner.slots, planner.floats, planner.codes)


class _Planner:
    def __init__(self, header: PackedHeader, tensors: Tensors, program: Program) -> None:
        self.ops = program.ops
        self.tensors = tensors
        self.shapes = infer(header, program)
        self.maps: list[Map] = []
        self.stages: list[Stage] = []
        self.slots = 0
        self.floats: dict[int, int] = {}  # value -> map
        self.codes: list[tuple[int, int]] = []
        self._coded: dict[tuple[int, tuple[Any, ...]], int] = {}  # (value, how) -> map
        self._maker: dict[int, Stage] = {}  # value -> the stage with an epilogue that makes it
        self._made: set[int] = set()  # operations that have been lowered
        self._users: dict[int, list[int]] = {}
        self._dense: set[int] = set()  # maps that Swin layers work on
        self._before: list[set[int]] = []  # operations that a value depends on
        for number, op in enumerate(self.ops):
            sources = () if isinstance(op, Image) else op.inputs
            self._before.append({number}.union(*(self._before[source] for source in sources)))
            for source in sources:
                self._users.setdefault(source, []).append(number)

    def run(self) -> None:
        for number, op in enumerate(self.ops):
            if number not in self._made and not isinstance(op, Image):
                self._lower(number, op)
        last = len(self.ops) - 1
        self._stage("store", last, input=self._float(last))

    # --- maps ---------------------------------------------------------------------------------------------------------
    def _map(self, value: int, format: Format, zero: int = 0, channels: int | None = None) -> int:
        shape = self.shapes[value]
        self.maps.append((format, shape.channels if channels is None else channels, shape.factor, zero))
        return len(self.maps) - 1

    def _stage(self, kind: str, position: int, **fields: Any) -> Stage:
        stage: Stage = {"kind": kind, "position": position, **fields}
        self.stages.append(stage)
        return stage

    def _float(self, value: int) -> int:
        """The map of a value as floats. The picture is read anew wherever it is used: cheaper than keeping it."""
        if isinstance(self.ops[value], Image):
            out = self._map(value, "float")
            self._stage("picture", value, out=out)
            return out
        if value not in self.floats:
            self.floats[value] = self._maker[value]["out"] = self._map(value, "float")
        return self.floats[value]

    def _padded(self, value: int) -> int:
        """The same for a convolution, which reads padding around it."""
        found = self._float(value)
        if found not in self._dense:
            return found
        out = self._map(value, "float")
        self._stage("map", value, input=found, out=out)
        return out

    def _codes(self, value: int, act: Act) -> int:
        """The map of a value's codes: made by the stage that makes the value, if that has room for it."""
        channels = self.shapes[value].channels
        key = (value, sink_key(act, channels, self.tensors))
        if key not in self._coded:
            zero = max(0, -levels(act)[0]) if isinstance(act, UniformAct) else 0
            made = self._map(value, "bytes" if isinstance(act, UniformAct) else "bits", zero)
            maker = self._maker.get(value)
            if maker is None or len(maker.setdefault("sinks", [])) == 2:
                maker = self._stage("map", value, input=self._float(value), sinks=[])
            maker["sinks"].append({"map": made, **sink_of(act, channels, self.tensors)})
            self._coded[key] = made
        return self._coded[key]

    # --- operations ---------------------------------------------------------------------------------------------------
    def _lower(self, number: int, op: Op) -> None:
        self._made.add(number)
        if isinstance(op, Conv):
            self._conv(number, op)
        elif isinstance(op, Depthwise):
            self._depthwise(number, op)
        elif isinstance(op, Affine) and isinstance(self.ops[op.inputs[0]], Image):
            scale, offset = (vector(v, self.shapes[0].channels, self.tensors) for v in (op.scale, op.offset))
            out = self.floats[number] = self._map(number, "float")
            self._stage("picture", number, out=out, scale=_floats(scale), bias=_floats(offset))
        elif isinstance(op, Affine | PReLU | Add):
            chain = Chain(op.inputs[0], self.shapes[number].channels, self.tensors, can_shuffle=False)
            if isinstance(op, Add) and op.inputs[0] == op.inputs[1]:  # x + x
                chain.absorb(number, Affine((op.inputs[0],), scale=2.0))
            else:
                chain.absorb(number, op)
            self._elementwise(number, chain, self._float(op.inputs[0]))
        elif isinstance(op, Swin):
            self._swin(number, op)
        else:
            self._simple(number, op)

    def _grow(self, chain: Chain, first: int) -> None:
        """Take in what follows, as long as nothing else needs the value in between."""
        while len(users := self._users.get(chain.value, [])) == 1 and users[0] not in self._made:
            op = self.ops[users[0]]
            if isinstance(op, Add) and any(first in self._before[s] for s in op.inputs if s != chain.value):
                return  # the other addend depends on this very layer
            if not chain.absorb(users[0], op):
                return
            self._made.add(users[0])

    def _elementwise(self, number: int, chain: Chain, source: int) -> None:
        self._grow(chain, number)
        stage = self._stage("map", number, input=source, what=" ".join(chain.fused), **chain.vectors())
        self._finish(stage, chain)

    def _finish(self, stage: Stage, chain: Chain) -> None:
        if chain.residual is not None:
            stage["second"] = self._residual(chain.residual)
        self._maker[chain.value] = stage

    def _residual(self, value: int) -> int:
        """Its map, also where the operation that makes it comes later in the program than the layer it is added to."""
        if not isinstance(self.ops[value], Image) and value not in self.floats and value not in self._maker:
            for needed in sorted(self._before[value]):
                if needed not in self._made and not isinstance(self.ops[needed], Image):
                    self._lower(needed, self.ops[needed])
        return self._float(value)

    def _conv(self, number: int, op: Conv) -> None:
        layer = layer_of(op, self.tensors)
        source, act = op.inputs[0], op.act
        slot = -1
        if isinstance(act, SignAct) and act.scale == "mean":
            slot, self.slots = self.slots, self.slots + 1
            self._stage("mean", number, input=self._float(source), slot=slot, name=op.name)
        spatial = isinstance(act, SignAct) and act.scale == "spatial"
        fields: Stage = {
            "name": op.name,
            "bits": bits_of(op.weight, act),
            "c_in": op.c_in,
            "kh": op.kernel[0],
            "kw": op.kernel[1],
        }
        if layer.quantize:
            assert act is not None
            fields["input"] = self._quantized(number, source, act, slot)
        elif act is None:
            fields["input"] = self._padded(source)
        else:
            fields["input"] = self._codes(source, act)
            fields["slot"] = slot
            self.codes.append((number, fields["input"]))

        chain = Chain(number, op.c_out, self.tensors, can_shuffle=not spatial)
        chain.scale, chain.bias = layer.scale, None if spatial else layer.bias
        if not spatial:
            self._grow(chain, number)
        weights = layer.weights.reshape(layer.planes, op.c_out, op.c_in, *op.kernel)[:, chain.order]
        fields |= {"planes": layer.planes, "c_out": layer.planes * op.c_out, "format": layer.format, "ranges": layer.ranges}
        fields["floats" if layer.format == "float" else "codes"] = np.ascontiguousarray(weights)
        if layer.edge is not None:
            edge = layer.edge[:, chain.order]  # part of the bias, so what has multiplied that has multiplied this
            fields["edge"] = _floats(edge if chain.gain is None else edge * chain.gain)
        fields |= {"up": chain.up, "what": " ".join(chain.fused)}
        stage = self._stage("conv", number, **fields, **chain.vectors())
        if not spatial:
            self._finish(stage, chain)
            return
        raw, factor = self._map(number, "float"), self._map(number, "float", channels=1)
        stage["out"] = raw
        self._stage("channel_mean", number, input=self._float(source), out=factor)
        scaled = self._map(number, "float")
        self._stage("spatial", number, input=raw, second=factor, out=scaled, kh=op.kernel[0], kw=op.kernel[1])
        behind = Chain(number, op.c_out, self.tensors, can_shuffle=False)
        behind.bias = layer.bias
        self._elementwise(number, behind, scaled)

    def _depthwise(self, number: int, op: Depthwise) -> None:
        """A convolution like others to what follows it, but that its outputs cannot change places."""
        chain = Chain(number, op.channels, self.tensors, can_shuffle=False)
        chain.bias = vector(op.bias, op.channels, self.tensors).astype(np.float64)
        self._grow(chain, number)
        fields: Stage = {
            "name": op.name,
            "bits": bits_of(op.weight, None),
            "depthwise": True,
            "c_in": op.channels,
            "c_out": op.channels,
            "kh": op.kernel[0],
            "kw": op.kernel[1],
            "input": self._padded(op.inputs[0]),
            "format": "float",
            "floats": _floats(dense(op, self.tensors)),
            "what": " ".join(chain.fused),
        }
        self._finish(self._stage("conv", number, **fields, **chain.vectors()), chain)

    def _quantized(self, number: int, source: int, act: Act, slot: int) -> int:
        """A map of the values that the codes of `act` stand for."""
        channels = self.shapes[source].channels
        out = self._map(source, "float")
        shift = vector(act.shift, channels, self.tensors)
        fields: Stage = {"shift": _floats(shift)} if shift.any() else {}
        if isinstance(act, UniformAct):
            lowest, highest = levels(act)
            fields |= {"step": act.step, "offset": act.offset, "lowest": lowest, "highest": highest}
        elif per_channel(act) or not isinstance(act.scale, str):
            fields["scale"] = _floats(vector(act.scale, channels, self.tensors))
        self._stage("quantize", number, input=self._float(source), out=out, slot=slot, **fields)
        return out

    def _swin(self, number: int, op: Swin) -> None:
        source = op.inputs[0]
        own = len(self._users[source]) == 1 and not isinstance(self.ops[source], Image)
        place = self._float(source)
        if not own:
            copy = self._map(source, "float")
            self._stage("map", number, input=place, out=copy)
            place = copy
        self._dense.add(place)
        self.floats[number] = place
        self._stage(
            "swin", number, input=place, out=place, window=op.window, name=op.name, op=op, swin=describe(op, self.tensors)
        )

    def _simple(self, number: int, op: Op) -> None:
        """Operations without an epilogue; all make floats."""
        assert isinstance(op, Norm | Quantize | Repeat | Average | Shuffle | Bilinear)
        source = op.inputs[0]
        if isinstance(op, Quantize):
            slot = -1
            if isinstance(op.act, SignAct) and op.act.scale == "mean":
                slot, self.slots = self.slots, self.slots + 1
                self._stage("mean", number, input=self._float(source), slot=slot)
            self.floats[number] = self._quantized(number, source, op.act, slot)
            return
        fields: Stage = {"input": self._float(source)}
        if isinstance(op, Norm):
            fields |= {"scale": _floats(self.tensors[op.weight]), "bias": _floats(self.tensors[op.bias]), "eps": op.eps}
        else:
            fields["up"] = op.factor
        out = self.floats[number] = self._map(number, "float")
        self._stage(op.op, number, out=out, **fields)


def _floats(values: Any) -> Any:
    return np.ascontiguousarray(values, np.float32)
