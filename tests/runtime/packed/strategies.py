"""Headers for hypothesis: every field over its whole range; nothing fits anything else."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from qsr.runtime.packed import ops

names = st.text(string.ascii_letters + string.digits + "._ é", min_size=1, max_size=12)
floats = st.floats(-1e38, 1e38)
vectors = names | floats
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
one = st.tuples(st.integers(0, 2048))
channels = st.integers(1, 4096)
weights = (
    st.builds(ops.FloatWeight, names)
    | st.builds(ops.UniformWeight, names, st.integers(2, 8), vectors, st.booleans(), st.booleans())
    | st.builds(ops.SignWeight, names, st.lists(vectors, min_size=1, max_size=4).map(tuple))
)
uniform = st.builds(ops.UniformAct, st.integers(2, 8), st.booleans(), floats, st.booleans(), vectors, floats)
acts = uniform | st.builds(ops.SignAct, vectors, vectors | st.sampled_from(("mean", "spatial")))
layer = {"name": names, "c_in": channels, "c_out": channels, "weight": weights, "act": st.none() | acts, "bias": vectors}
linear = st.builds(ops.Linear, **layer)
odd = st.sampled_from((1, 3, 5, 7, 9, 11, 13, 15))
pairs = st.tuples(names, names)
any_op = (
    st.builds(ops.Image)
    | st.builds(ops.Affine, one, vectors, vectors)
    | st.builds(ops.Conv, one, kernel=st.tuples(odd, odd), **layer)
    | st.builds(ops.Depthwise, one, names, channels, st.tuples(odd, odd), st.builds(ops.FloatWeight, names), vectors)
    | st.builds(ops.Repeat, one, st.integers(2, 8))
    | st.builds(ops.Average, one, st.integers(2, 8))
    | st.builds(ops.PReLU, one, vectors, vectors, vectors)
    | st.builds(ops.Add, st.tuples(st.integers(0, 2048), st.integers(0, 2048)))
    | st.builds(ops.Shuffle, one, st.integers(2, 8))
    | st.builds(ops.Bilinear, one, st.integers(2, 8))
    | st.builds(ops.Norm, one, names, names, floats)
    | st.builds(ops.Quantize, one, acts)
    | st.builds(
        ops.Swin,
        one,
        names,
        channels,
        window=st.integers(1, 32),
        shift=st.integers(0, 31),
        heads=channels,
        table=names,
        norm1=pairs,
        norm2=pairs,
        eps=floats,
        qkv=linear,
        proj=linear,
        fc1=linear,
        fc2=linear,
        proj_skip=st.booleans(),
        gain1=floats,
        gain2=floats,
        operands=st.none() | st.builds(ops.Operands, acts, acts, acts, uniform | st.builds(ops.ElasticAct, vectors)),
    )
)
programs = st.builds(ops.Program, st.lists(any_op, min_size=2, max_size=6).map(tuple), st.none() | st.integers(0, 2048))


def headers() -> st.SearchStrategy[ops.PackedHeader]:
    plain = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=9)
    return st.builds(
        ops.PackedHeader,
        scale=st.integers(1, 8),
        programs=st.lists(programs, min_size=1, max_size=3).map(tuple),
        receptive_field=st.none() | st.integers(0, 1 << 16),
        window=st.integers(1, 32),
        whole_picture=st.booleans(),
        network=st.dictionaries(names, plain, max_size=3),
        protocol=st.none() | names,
        metrics=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
        provenance=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    )
