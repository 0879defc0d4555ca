# SPDX-License-Identifier: Apache-2.0
"""What the trainer normalises by: observations and returns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from humanoid_mujoco_ros.training.mirror import Mirror  # noqa: E402
from humanoid_mujoco_ros.training.normalizer import Normalizer  # noqa: E402
from humanoid_mujoco_ros.training.returns import ReturnScale  # noqa: E402
from humanoid_mujoco_ros.training.team import Team  # noqa: E402

ALONE = Team(0, 1)


def samples(count, seed=0):
    """(count, 4) observations, of which the third never varies."""
    values = np.random.default_rng(seed).normal(
        (1.0, -2.0, 3.0, 0.5), (1.0, 3.0, 0.0, 2.0), (count, 4)
    )
    return values


def test_constant_columns_are_not_seen_and_the_others_have_mean_0_and_deviation_1():
    seen = samples(500)
    normalizer = Normalizer.of_samples(seen, None, ALONE)
    assert normalizer.columns.tolist() == [0, 1, 3]
    normalized = normalizer(seen)
    np.testing.assert_allclose(normalized.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(normalized.std(axis=0), 1.0, atol=1e-5)


def test_statistics_change_between_iterations_only_and_are_those_of_all_samples():
    first, second = samples(300), samples(200, seed=1)
    normalizer = Normalizer.of_samples(first, None, ALONE)
    before = normalizer(second)
    for part in np.split(second, 4):
        normalizer.collect(part)
    np.testing.assert_array_equal(normalizer(second), before)
    normalizer.update(ALONE)
    everything = np.concatenate((first, second))
    np.testing.assert_allclose(normalizer.statistics.mean, everything.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(normalizer.statistics.var, everything.var(axis=0), atol=1e-9)
    expected = (second - everything.mean(axis=0))[:, [0, 1, 3]]
    expected /= everything.std(axis=0)[[0, 1, 3]]
    np.testing.assert_allclose(normalizer(second), expected, atol=1e-5)


def test_symmetric_statistics_are_those_of_the_samples_and_their_mirror_images():
    mirror = Mirror(np.array([1, 0, 2, 3]), np.array([1.0, 1.0, 1.0, -1.0]))
    seen = samples(400)
    normalizer = Normalizer.of_samples(seen, mirror, ALONE)
    both = np.concatenate((seen, mirror(seen)))
    np.testing.assert_allclose(normalizer.statistics.mean, both.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(normalizer.statistics.var, both.var(axis=0), atol=1e-9)


def test_a_new_scale_of_returns_leaves_the_critics_estimates_as_they_were():
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 1)
    inputs = torch.randn(50, 5)
    scale = ReturnScale()
    random = np.random.default_rng(0)
    for iteration in range(3):
        before = scale.restore(layer(inputs))
        returns = torch.from_numpy(random.normal(40.0 + 9.0 * iteration, 12.0, 400)).float()
        normalized = scale.normalize(returns, layer, ALONE)
        if iteration == 0:  # from here on the output means returns
            assert normalized.mean().item() == pytest.approx(0.0, abs=1e-4)
            assert normalized.std().item() == pytest.approx(1.0, abs=1e-2)
            continue
        torch.testing.assert_close(scale.restore(layer(inputs)), before, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scale.restore(normalized), returns, rtol=1e-4, atol=1e-3)
