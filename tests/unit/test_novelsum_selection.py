"""NovelSum's selection against the loop one would write on paper, in float64."""

import numpy as np
import pytest
import torch

from data_synth.selection import greedy
from data_synth.selection.density import measure_density, normalise
from data_synth.selection.greedy import TIE, select
from data_synth.selection.metric import novelsum

MODES = ("published", "paper")


def clustered(number, width, seed, num_clusters=12):
    """Clusters of unequal size and spread, as embeddings of requests are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_clusters, width))
    labels = rng.choice(num_clusters, number, p=rng.dirichlet(np.ones(num_clusters) * 0.5))
    return (centres[labels] + rng.normal(size=(number, width)) * rng.uniform(0.05, 1.2, (number, 1))).astype(
        np.float32
    )


def unit(embeddings):
    return normalise(embeddings, "cpu").numpy().astype(np.float64)


def naive_density(points, mode, num_neighbours, power):
    """Of each point, over the distinct others."""
    distinct, weights = np.unique(points, axis=0), []
    for point in points:
        others = distinct[(distinct != point).any(axis=1)]
        nearest = np.sort(np.maximum(1 - others @ point, 0))[:num_neighbours]
        spread = 2 * nearest.mean() + 1e-9 if mode == "published" else max(nearest.sum(), 1e-9)
        weights.append(spread**-power)
    return np.array(weights)


def naive_select(points, weights, budget, mode, alpha, first):
    """Score every candidate at every step; of scores that are equal, the first."""
    selected = [first]
    while len(selected) < budget:
        distances = np.maximum(1 - points @ points[selected].T, 0)
        if mode == "paper":
            order = np.argsort(distances, axis=1, kind="stable")
            values = np.take_along_axis(distances * weights[selected], order, axis=1)
        else:
            values = np.sort(distances * (weights[:, None] + weights[selected]), axis=1)
        scores = values @ np.arange(1, len(selected) + 1) ** -alpha
        scores[selected] = -np.inf
        selected.append(int(np.flatnonzero(scores >= scores.max() * (1 - TIE))[0]))
    return selected


def ours(embeddings, budget, mode, alpha=1.0, first=0):
    points = normalise(embeddings, "cpu")
    return select(points, measure_density(points, mode, 10, 0.5), budget, mode, alpha, first)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(4))
def test_density_equals_the_definition(mode, seed):
    embeddings = clustered(150, 16, seed)
    embeddings[10:30] = embeddings[0]
    found = measure_density(normalise(embeddings, "cpu"), mode, 10, 0.5)
    np.testing.assert_allclose(
        found.weights.numpy(), naive_density(unit(embeddings), mode, 10, 0.5), rtol=1e-9
    )
    farthest = (1 - unit(embeddings) @ unit(embeddings).T).max(axis=1)
    assert (found.reach.numpy() >= farthest).all()
    assert (found.reach.numpy() <= farthest + 1e-4).all()


@pytest.mark.parametrize("alpha", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("number", "budget", "contenders"), [(600, 150, 16), (400, 400, 8), (1500, 200, 64)])
def test_picks_equal_the_naive_ones(number, budget, contenders, mode, alpha, monkeypatch):
    monkeypatch.setattr(greedy, "NUM_CONTENDERS", contenders)
    embeddings = clustered(number, 24, seed=number)
    points = unit(embeddings)
    expected = naive_select(points, naive_density(points, mode, 10, 0.5), budget, mode, alpha, first=3)
    assert ours(embeddings, budget, mode, alpha, first=3) == expected


@pytest.mark.parametrize("mode", MODES)
def test_copies_don_t_change_the_picks(mode, monkeypatch):
    """Half of the pool are copies, in groups larger than the contenders; equal scores go to the lower index."""
    monkeypatch.setattr(greedy, "NUM_CONTENDERS", 4)
    embeddings = clustered(120, 24, seed=1)
    embeddings = np.concatenate([embeddings, embeddings[np.arange(120) % 15]])
    points = unit(embeddings)
    expected = naive_select(points, naive_density(points, mode, 10, 0.5), 100, mode, 1.0, first=0)
    assert ours(embeddings, 100, mode) == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_of_one_point_many_times(mode):
    picks = ours(np.ones((30, 8), np.float32), 12, mode, first=5)
    assert picks == [5, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert ours(np.ones((1, 8), np.float32), 1, mode) == [0]


def test_few_candidates_are_scored(monkeypatch):
    """That is the point of the bounds: here less than a tenth of the naive loop's scores."""
    scored = []
    score = greedy._Pool._score

    def counted(pool, rows):
        scored.append(len(rows))
        score(pool, rows)

    monkeypatch.setattr(greedy._Pool, "_score", counted)
    ours(clustered(4_000, 32, seed=0), 300, "published")
    assert sum(scored) < 4_000 * 300 / 10


@pytest.mark.parametrize("mode", MODES)
def test_no_bound_is_below_its_score(mode, monkeypatch):
    """At every round, for all candidates, before they are scored again."""
    monkeypatch.setattr(greedy, "NUM_CONTENDERS", 8)
    choose = greedy._Pool.contenders
    margins = []

    def checked(pool, number):
        left = torch.nonzero(pool.bounds > -torch.inf)[:, 0]
        scores = pool.scorer.exact(left, pool.places)
        margins.append(float((pool.bounds[left].double() / scores).min()))
        return choose(pool, number)

    monkeypatch.setattr(greedy._Pool, "contenders", checked)
    ours(clustered(500, 24, seed=5), 200, mode)
    assert len(margins) > 5
    assert min(margins) > 1 - 1e-5


def naive_novelsum(points, weights):
    """As the repository computes it: the point itself is the first of its neighbours."""
    rows = []
    for i, point in enumerate(points):
        distances = np.sort(np.maximum(1 - points @ point, 0) * weights[i])
        rows.append(np.average(distances, weights=1 / np.arange(1, len(points) + 1)))
    return float(np.mean(rows))


def test_the_metric_equals_its_definition_and_selection_raises_it():
    embeddings = clustered(800, 24, seed=2)
    points = normalise(embeddings, "cpu")
    density = measure_density(points, "published", 10, 0.5)
    values = {}
    for name, chosen in (
        ("published", ours(embeddings, 100, "published")),
        ("random", np.random.default_rng(0).choice(800, 100, replace=False).tolist()),
        ("all", list(range(800))),
    ):
        values[name] = novelsum(points[chosen], density.weights[chosen])
        expected = naive_novelsum(unit(embeddings)[chosen], density.weights.numpy()[chosen])
        assert values[name] == pytest.approx(expected, rel=1e-4)
    assert values["published"] > 1.1 * values["random"]
    sampled = novelsum(points, density.weights, most_rows=400, seed=1)
    assert sampled == pytest.approx(values["all"], rel=0.05)
    assert sampled != values["all"]


def test_what_can_t_be_selected_is_refused():
    with pytest.raises(ValueError, match="budget=6"):
        ours(np.eye(5, dtype=np.float32), 6, "paper")
    with pytest.raises(ValueError, match="zero or not finite"):
        normalise(np.zeros((3, 4), np.float32), "cpu")
