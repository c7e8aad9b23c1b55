"""The votes of a chain in closed form equal those of `torch.func`, layer by layer and in all."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap

from reluviz.core import votes
from reluviz.core.models import MODELS
from reluviz.core.models.architecture import Architecture
from reluviz.models.sequential import build_sequential, sequential_keys

CHAINS = [
    Architecture((20, 20)),
    Architecture((7,), "abs"),
    Architecture((9,), "leaky", 0.2),
    Architecture((5, 8, 6), "leaky", 0.01),
    Architecture((6, 4, 5, 3), "abs"),
    Architecture((10, 10, 10, 10, 10)),
]


def parameters(architecture, generator, replicas=1):
    p = {}
    for name, shape in architecture.shapes.items():
        p[name] = generator.normal(size=(replicas, *shape)) / np.sqrt(shape[-1] if len(shape) > 1 else 1)
    return p


def torch_gradients(architecture, p, x, y):
    """Return g_i = grad (f(x_i) - y_i)^2 of replica 0, by name, [N, ...]."""
    state = {name: torch.as_tensor(value[0]) for name, value in p.items()}
    network = build_sequential(state, architecture)
    keys = sequential_keys(architecture)

    def loss(weights, at, target):
        return (functional_call(network, weights, (at[None],))[0, 0] - target).square()

    weights = {key: value.detach() for key, value in network.named_parameters()}
    points = torch.from_numpy(x)[:, None], torch.from_numpy(y)
    found = vmap(grad(loss), in_dims=(None, 0, 0))(weights, *points)
    shapes = architecture.shapes
    return {name: found[key].numpy().reshape(len(x), *shapes[name]) for name, key in keys.items()}


@pytest.mark.parametrize("architecture", CHAINS, ids=lambda one: one.name)
def test_votes_equal_those_of_torch_func(architecture):
    generator = np.random.default_rng(1)
    p, samples = parameters(architecture, generator), 60
    x = np.sort(generator.uniform(-1, 1, samples))
    y = np.sin(4 * x) + generator.normal(0, 0.3, samples)
    by_name = torch_gradients(architecture, p, x, y)
    names = tuple(architecture.shapes)

    def check(found, wanted):
        g = np.concatenate([by_name[name].reshape(samples, -1) for name in wanted], axis=-1)
        total = g.mean(0)
        norms, signal = np.sqrt(np.square(g).sum(-1)), np.square(total).sum()
        assert np.sqrt(signal) > 1e-4 * norms.mean()
        np.testing.assert_allclose(found["gradient_norm"][0], np.sqrt(signal), rtol=1e-10)
        np.testing.assert_allclose(found["effective"][0], norms.sum() ** 2 / np.square(norms).sum(), rtol=1e-10)
        trace = np.square(norms).mean() - signal
        np.testing.assert_allclose(found["noise_scale"][0], trace / signal, rtol=1e-10)
        return g, total, norms, signal

    summary = votes.summarize(architecture.name, p, x, y, names)
    g, total, norms, signal = check(vars(summary), names)
    np.testing.assert_allclose(summary.norm[0], norms / samples, rtol=1e-10)
    inner = g @ total
    np.testing.assert_allclose(summary.share[0], inner / (samples * signal), rtol=1e-10, atol=1e-12)
    for name, value in votes.per_sample_gradients(architecture.name, p, x, y).items():
        np.testing.assert_allclose(value[0], by_name[name], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(summary.gradient[name][0], by_name[name].mean(0), rtol=1e-9, atol=1e-12)
    assert tuple(summary.layers) == tuple(architecture.layer_names)
    for key, statistics in summary.layers.items():
        check(statistics, architecture.layer_names[key])


@pytest.mark.parametrize("trained", [("output_weight", "output_bias"), ("input_slope", "weight_2"), ("bias_2",)])
def test_frozen_parameters_have_no_votes(trained):
    architecture, generator = Architecture((4, 3)), np.random.default_rng(0)
    p, x = parameters(architecture, generator, 2), np.linspace(0, 1, 12)
    y = np.cos(5 * x)
    every = votes.per_sample_gradients(architecture.name, p, x, y)
    found = votes.per_sample_gradients(architecture.name, p, x, y, trained)
    assert tuple(found) == tuple(name for name in architecture.shapes if name in trained)
    for name, value in found.items():
        np.testing.assert_array_equal(value, every[name])
    summary = votes.summarize(architecture.name, p, x, y, trained)
    np.testing.assert_allclose(summary.norm, np.sqrt(votes.squared_norms(found)) / 12, rtol=1e-12)
    np.testing.assert_allclose(summary.share, votes.vote_share(found), rtol=1e-9, atol=1e-14)
    layers = [key for key, names in architecture.layer_names.items() if set(names) & set(trained)]
    assert list(summary.layers) == layers


def test_in_parts_the_votes_are_the_same():
    architecture, generator = Architecture((8, 6, 4)), np.random.default_rng(0)
    p, x = parameters(architecture, generator, 3), np.linspace(0, 1, 50)
    y, names = np.cos(5 * x), tuple(architecture.shapes)
    whole = votes.summarize(architecture.name, p, x, y, names)
    parts = votes.summarize(architecture.name, p, x, y, names, entries=1000, recorded=np.array([0, 30]))
    for name in ("gradient_norm", "noise_scale", "effective"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10)
        for key in whole.layers:
            np.testing.assert_allclose(parts.layers[key][name], whole.layers[key][name], rtol=1e-10)
    np.testing.assert_allclose(parts.share, whole.share[:, [0, 30]], rtol=1e-9)
    np.testing.assert_allclose(parts.norm, whole.norm[:, [0, 30]], rtol=1e-10)


def test_balance_holds_in_every_layer():
    """w g_w + b g_b summed over a unit's inputs equals v g_v summed over its outputs."""
    architecture, generator = Architecture((6, 5, 4)), np.random.default_rng(2)
    p, x = parameters(architecture, generator), np.linspace(0, 1, 30)
    gradient = votes.mean_gradient(votes.per_sample_gradients(architecture.name, p, x, np.sin(9 * x)))
    for (weight, bias), (after, _) in zip(architecture.names, architecture.names[1:], strict=False):
        into = p[weight] * gradient[weight]
        into = (into if into.ndim == 2 else into.sum(-1)) + p[bias] * gradient[bias]
        out = p[after] * gradient[after]
        out = out if out.ndim == 2 else out.sum(1)
        np.testing.assert_allclose(into, out, rtol=1e-9, atol=1e-12)


def test_memory_does_not_grow_with_points_times_parameters():
    architecture, generator = Architecture((100, 100, 100)), np.random.default_rng(0)
    p, x = parameters(architecture, generator), np.linspace(0, 1, 2000)
    tracemalloc.start()
    votes.summarize(architecture.name, p, x, np.sin(9 * x), tuple(architecture.shapes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the matrix of gradients would take 328 MB
    assert peak < 100e6


def test_a_bound_on_the_function_holds():
    generator = np.random.default_rng(0)
    for architecture in CHAINS:
        p, x = parameters(architecture, generator, 4), np.linspace(-3, 3, 50)
        model = MODELS[architecture.name]
        bound = model.bound({name: np.abs(value) for name, value in p.items()}, model.largest_input(x))
        f = np.abs(model.predict(p, x)).max(-1)
        assert (f <= bound * (1 + 1e-12)).all()
        assert (bound < 1e4 * (1 + f)).all()


def test_the_name_of_a_chain_is_its_architecture():
    for architecture in [*CHAINS, Architecture((3, 3), "leaky", 1e-05), Architecture((2,), "leaky", -0.5)]:
        assert Architecture.of_name(architecture.name) == architecture
        assert MODELS[architecture.name].architecture == architecture
        assert architecture.name in MODELS
    for name in ("mlp", "mlp-", "mlp-0", "mlp-3-x", "mlp-3-leaky", "mlp-3-leaky1.2.3", "relu-3", "mlp-3-abs "):
        assert Architecture.of_name(name) is None
        assert name not in MODELS
        assert MODELS.get(name) is None
        with pytest.raises(KeyError):
            MODELS[name]
    assert Architecture((20, 20)).name == "mlp-20-20"
    assert Architecture((20, 20)).parameters == 20 + 20 + 400 + 20 + 20 + 1
    assert list(MODELS) == ["constant", "linear", "relu"]
