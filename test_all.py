"""检验：softmax 承诺了什么 | The tests: what softmax promises

1 例子 · 2 性质 · 3 数值 · 4 坏输入 · 5 文本与运行
1 examples · 2 properties · 3 numbers · 4 bad input · 5 the text and the runs

随机数都有种子；标准答案来自 decimal 和 fractions。
All random numbers are seeded; exact answers come from decimal and fractions.
"""

import ast
import doctest
import inspect
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tracemalloc
import types
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
from typing import Any

import pytest

import attention_ref
import softmax_ref
import variants_ref
from attention_ref import (
    attention_backward, attention_online, attention_scores,
    attention_with_softmax, causal_mask, dot, heatmap, matmul, merge_heads,
    multi_head_attention, padding_mask, shape, softmax_masked, softmax_online,
    split_heads, transpose
)
from softmax_ref import (
    bar_chart, entropy, for_console, hardmax, logsumexp, softmax_backward,
    softmax_jacobian, softmax_naive, softmax_stable, softmax_steps,
    softmax_with_temperature
)
from variants_ref import (
    cross_entropy, cross_entropy_backward, entmax, gumbel_softmax,
    log_softmax, sample, softmax_top_k, softmax_top_p, sparsemax,
    sparsemax_backward
)

HERE = pathlib.Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")
MODULES = [softmax_ref, attention_ref, variants_ref]
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: thing
    for module in MODULES
    for name, thing in vars(module).items()
    if inspect.isfunction(thing) and thing.__module__ == module.__name__
    and name != "main"
}
INF, NAN = math.inf, math.nan
Vector = list[float]
Matrix = list[list[float]]

getcontext().prec = 420  # enough for 1 + exp(-700), which needs 305 digits
getcontext().Emin = -10**9


# 1 例子 | Examples ----------------------------------------------------------
# 文档字符串和 README 里的例子，逐个运行；没有例子的函数算失败。
# Runs every example in the docstrings and README; no example is a failure.

def run_examples(text: str, names: dict[str, Any], title: str) -> int:
    """Run the doctests of a text; fail with doctest's report."""
    test = doctest.DocTestParser().get_doctest(text, names, title, None, None)
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)
    return len(test.examples)


def examples_of(name: str, names: dict[str, Any]) -> int:
    return run_examples(inspect.getdoc(FUNCTIONS[name]) or "", names, name)


def examples_at_home(name: str) -> int:
    """The examples of a function, with the names of its own module."""
    module = sys.modules[FUNCTIONS[name].__module__]
    return examples_of(name, dict(vars(module)))


TITLES = re.split(r"(?m)^## (.*)$", README.replace("```", ""))[1:]
SECTIONS = {
    title: text for title, text in zip(TITLES[::2], TITLES[1::2])
    if ">>>" in text
}


def examples_of_section(title: str) -> int:
    names = {"math": math, **FUNCTIONS}
    return run_examples(SECTIONS[title], names, title)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_of_function(name: str) -> None:
    assert examples_at_home(name) > 0


@pytest.mark.parametrize("title", SECTIONS)
def test_examples_of_readme(title: str) -> None:
    assert examples_of_section(title) > 0


@pytest.mark.parametrize("toward", [-INF, INF])
def test_examples_where_libm_rounds_differently(
    toward: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other platforms exp, log and log1p may differ by an ulp."""
    def nudged(exact: Callable[[float], float]) -> Callable[[float], float]:
        def function(x: float) -> float:
            y = exact(x)
            return y if y in (0.0, 1.0) else math.nextafter(y, toward)
        return function

    for name in ("exp", "log", "log1p"):
        monkeypatch.setattr(math, name, nudged(getattr(math, name)))
    for name in FUNCTIONS:
        examples_at_home(name)
    for title in SECTIONS:
        examples_of_section(title)


# 2 性质 | Properties --------------------------------------------------------
# softmax 和它的亲戚承诺了什么：对每一组分数都成立，包括极端的。
# What softmax and its relatives promise, for all scores, the extreme included.

def random_scores() -> list[Vector]:
    r = random.Random(4)
    return [
        [r.gauss(0.0, sigma) for _ in range(n)]
        for sigma in (0.01, 1.0, 30.0, 300.0) for n in (1, 2, 5, 40)
    ]


SCORES: list[Vector] = [
    [0.0], [5.0], [-0.0, 0.0], [0.0, -0.0], [1.0, 2.0, 3.0], [1.0, 5.0, 10.0],
    [2.0, 2.0, 1.0, -1.0], [3.0, 1.0, 3.0], [7.0] * 7,
    [1000.0, 1001.0, 1002.0], [-1000.0, -1001.0, -1002.0],
    [1e16, 1e16], [1e16, 1e16 - 2.0, 0.0], [1e308, -1e308], [-1e308, 1e308],
    [40.0, 0.0], [0.0, -40.0], [-300.0, 0.0, -300.0], [700.0, 0.0, 0.0],
    [0.0, -700.0], [-709.0, 0.0], [5e-324, 0.0], [-INF, 0.0, 1.0, -INF],
    [0.0, 0.5, 1.0], [0.1, 0.2, 0.3],
] + random_scores()
SCORES_5000 = [random.Random(5).gauss(0.0, 20.0) for _ in range(5000)]
SOFTMAXES: list[Callable[[Vector], Vector]] = [
    softmax_stable, softmax_online, sparsemax, entmax,
    lambda x: softmax_with_temperature(x, 2.0),
    lambda x: entmax(x, 1.1), lambda x: entmax(x, 1.0),
    lambda x: softmax_top_k(x, len(x)), lambda x: softmax_top_p(x, 1.0),
    lambda x: softmax_top_p(x, 0.5), lambda x: softmax_top_k(x, 1),
    lambda x: softmax_masked(x, [True] * len(x)),
]


def positive_zeros(p: Vector) -> bool:
    return all(str(p_i) != "-0.0" for p_i in p)


def label(x: Any) -> str:
    return f"{len(x)} scores {x[:3]}" if isinstance(x, list) else ""


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("x", SCORES + [SCORES_5000], ids=label)
def test_answer_is_a_distribution_in_the_order_of_the_scores(
    softmax: Callable[[Vector], Vector], x: Vector
) -> None:
    p = softmax(x)
    assert len(p) == len(x)
    assert all(type(p_i) is float for p_i in p) and positive_zeros(p)
    assert math.isclose(math.fsum(p), 1.0, rel_tol=1e-13 + 2e-16 * len(x))
    for i, j in zip(range(len(x)), range(1, len(x))):
        assert p[i] >= p[j] if x[i] >= x[j] else p[i] <= p[j]
    assert p[x.index(max(x))] == max(p) > 0.0
    assert all(p_i == 0.0 for p_i, x_i in zip(p, x) if x_i == -INF)


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_adding_a_constant_changes_nothing(
    softmax: Callable[[Vector], Vector]
) -> None:
    for x in [1.0, 2.0, 3.0], [0.25, -8.0, 0.25], [700.0, 0.0], [-INF, 0.5]:
        for constant in (64.0, -1024.0):  # which these can add exactly
            assert softmax([x_i + constant for x_i in x]) == softmax(x)


@pytest.mark.parametrize("x", SCORES, ids=label)
def test_permuted_scores_permute_the_answer_bit_for_bit(x: Vector) -> None:
    order = list(range(len(x)))
    random.Random(6).shuffle(order)
    mixed = [x[i] for i in order]
    for function in (softmax_stable, log_softmax, sparsemax, entmax):
        answer = function(x)
        assert function(mixed) == [answer[i] for i in order]
    assert logsumexp(mixed) == logsumexp(x)
    p, mixed_p = softmax_stable(x), softmax_stable(mixed)
    assert entropy(mixed_p) == entropy(p)
    g = [math.sin(i) for i in range(len(x))]
    for backward in (softmax_backward, sparsemax_backward):
        grad = backward(p, g)
        assert backward(mixed_p, [g[i] for i in order]) == [
            grad[i] for i in order]
    target = order.index(0)
    assert cross_entropy(mixed, target, 0.1) == cross_entropy(x, 0, 0.1)
    grad = cross_entropy_backward(x, 0, 0.1)
    assert cross_entropy_backward(mixed, target, 0.1) == [
        grad[i] for i in order]


def test_temperature_goes_from_hardmax_to_uniform() -> None:
    x = [1.0, 2.0, 3.0]
    assert softmax_with_temperature(x, 1e-308) == hardmax(x)
    assert softmax_with_temperature(x, 1.0) == softmax_stable(x)
    assert softmax_with_temperature(x, 1e300) == [1 / 3, 1 / 3, 1 / 3]
    cold, warm = (softmax_with_temperature(x, T) for T in (0.5, 2.0))
    assert entropy(cold) < entropy(softmax_stable(x)) < entropy(warm)
    squares = [p_i ** 2 for p_i in softmax_stable(x)]  # p^(1/T), T = 0.5
    assert cold == pytest.approx([s / sum(squares) for s in squares])


def test_naive_is_right_near_zero_and_wrong_elsewhere() -> None:
    assert softmax_naive([1.0, 2.0]) == pytest.approx(softmax_stable([1, 2]))
    assert softmax_naive([-744.0, -745.0]) != pytest.approx(
        softmax_stable([-744.0, -745.0]), rel=0.01)
    assert 0.0 < softmax_naive([709.0])[0]
    for x, error in (([710.0], OverflowError), ([-746.0], ZeroDivisionError)):
        with pytest.raises(error):
            softmax_naive(x)


@pytest.mark.parametrize("x", SCORES, ids=label)
def test_hardmax_takes_the_first_maximum(x: Vector) -> None:
    p = hardmax(x)
    assert sorted(p) == [0.0] * (len(x) - 1) + [1.0]
    assert p.index(1.0) == x.index(max(x)) and positive_zeros(p)


def test_entropy_of_the_extremes() -> None:
    assert str(entropy([1.0, 0.0])) == "0.0"  # not -0.0
    assert entropy([0.25] * 4) == pytest.approx(math.log(4.0))
    for rounded in (9.9e-10, -9.9e-10):  # a sum is seldom exactly 1
        assert entropy([0.5, 0.5 + rounded]) == pytest.approx(math.log(2.0))
        assert entropy([1.0 + rounded]) >= 0.0


def test_logsumexp_lies_between_max_and_max_plus_log_n() -> None:
    for x in SCORES:
        assert max(x) <= logsumexp(x) <= max(x) + math.log(len(x)) + 1e-12
    assert logsumexp([]) == logsumexp([-INF, -INF]) == -INF
    assert logsumexp([0.0, INF]) == logsumexp([INF, INF, -INF]) == INF
    assert str(logsumexp([-0.0])) == "0.0"


def test_mask_is_the_same_as_leaving_out() -> None:
    r = random.Random(7)
    for _ in range(50):
        x = [r.gauss(0.0, 3.0) for _ in range(6)]
        keep = [r.random() < 0.6 for _ in x]
        kept = [x_i for x_i, k in zip(x, keep) if k]
        x = [x_i if k else NAN for x_i, k in zip(x, keep)]
        p = softmax_masked(x, keep)
        assert [p_i for p_i in p if p_i] == (kept and softmax_stable(kept))
        assert [p_i > 0.0 for p_i in p] == keep and positive_zeros(p)
        assert softmax_masked(x, [int(k) for k in keep]) == p  # type: ignore


def random_matrix(r: random.Random, rows: int, columns: int) -> Matrix:
    return [[r.gauss(0.0, 1.0) for _ in range(columns)] for _ in range(rows)]


@pytest.mark.parametrize("block", range(1, 8))
@pytest.mark.parametrize("masked", [False, True])
def test_attention_online_is_attention_for_every_block_size(
    block: int, masked: bool
) -> None:
    r = random.Random(8)
    Q, K, V = (random_matrix(r, *size) for size in ((3, 2), (5, 2), (5, 4)))
    Q[0], Q[1] = [100.0 * q for q in Q[0]], [0.0, 0.0]
    mask = [[True, False, True, True, False], [False] * 5, [False] * 5]
    mask[2][4] = True
    direct, weights = attention_with_softmax(Q, K, V, mask if masked else None)
    online = attention_online(Q, K, V, mask if masked else None, block)
    for row, other in zip(direct, online, strict=True):
        assert other == pytest.approx(row, rel=1e-13) and positive_zeros(other)
    if masked:
        assert direct[1] == online[1] == [0.0] * 4 and weights[1] == [0.0] * 5
        assert direct[2] == online[2] == V[4]


def test_attention_online_far_down_and_at_the_largest_numbers() -> None:
    Q, K = [[1.0]], [[-2000.0], [-2001.0], [-2002.0]]
    direct, _ = attention_with_softmax(Q, K, [[1.0], [2.0], [3.0]])
    online = attention_online(Q, K, [[1.0], [2.0], [3.0]], None, 1)
    assert online[0] == pytest.approx(direct[0])
    big = [[1e308], [1e308], [-1e308], [-1e308]]
    for block in (1, 2, 3, 4):
        for n_k, mean in ((2, 1e308), (4, 0.0)):
            (mixed,), = attention_online(
                [[0.0]], [[0.0]] * n_k, big[:n_k], None, block)
            assert mixed == pytest.approx(mean, abs=1e293)
    parameters = inspect.signature(attention_online).parameters
    assert parameters["block"].default == 16


def test_memory_of_attention_online_does_not_grow_with_the_keys() -> None:
    def peak(n_keys: int) -> int:
        r = random.Random(9)
        Q, K, V = (random_matrix(r, n, 4) for n in (1, n_keys, n_keys))
        attention_online(Q, K, V)
        tracemalloc.start()
        attention_online(Q, K, V)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most
    assert peak(2000) < 1.5 * peak(100)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_the_mask_hides_never_leaks(value: float) -> None:
    Q = [[1.0, 2.0], [0.5, -1.0]]
    K = [[1.0, 0.0], [0.0, 1.0], [value, value]]
    V = [[1.0], [2.0], [value]]
    mask = [[True, True, False], [False, True, False]]
    seen = [row[:2] for row in mask]
    output, weights = attention_with_softmax(Q, K, V, mask)
    short, _ = attention_with_softmax(Q, K[:2], V[:2], seen)
    assert output == short and [row[2] for row in weights] == [0.0, 0.0]
    assert attention_online(Q, K, V, mask, 2) == attention_online(
        Q, K[:2], V[:2], seen, 2)
    for wrong in ([[1.0, 0.0], [0.0, value], [0.0, 0.0]], [[1.0, value]] * 3):
        for attention in (attention_with_softmax, attention_online):
            with pytest.raises(ValueError):
                attention(Q, wrong, [[0.0]] * 3)
            with pytest.raises(ValueError):
                attention(Q, [[0.0, 0.0]] * 3, wrong)
            with pytest.raises(ValueError):
                attention(wrong[:2], [[1.0, 1.0]] * 3, [[0.0]] * 3)
            with pytest.raises(ValueError):  # attended, with a weight of 0.0
                attention([[1.0]], [[0.0], [-800.0]], [[0.0], [value]])


def test_masks_entry_by_entry() -> None:
    for n_q in range(1, 5):
        for n_k in range(1, 5):
            causal = causal_mask(n_q, n_k)
            assert shape(causal) == (n_q, n_k)
            assert [sum(row) for row in causal] == [
                max(0, n_k - (n_q - 1 - i)) for i in range(n_q)]
            assert all(row == sorted(row, reverse=True) for row in causal)
            for length in range(n_k + 1):
                row = [True] * length + [False] * (n_k - length)
                padding = padding_mask(n_q, n_k, length)
                assert padding == [row] * n_q
                assert n_q == 1 or padding[0] is not padding[1]


def test_a_step_from_a_kv_cache_is_the_last_row_of_causal_attention() -> None:
    X = random_matrix(random.Random(10), 5, 3)
    whole, _ = attention_with_softmax(X, X, X, causal_mask(5, 5))
    step, _ = attention_with_softmax(X[-1:], X, X, causal_mask(1, 5))
    assert step == whole[-1:]


def test_changing_the_future_does_not_change_the_past() -> None:
    X = random_matrix(random.Random(11), 4, 3)
    past, _ = attention_with_softmax(X, X, X, causal_mask(4, 4))
    X[3] = [9.0, 9.0, 9.0]
    new, _ = attention_with_softmax(X, X, X, causal_mask(4, 4))
    assert new[:3] == past[:3] and new[3] != past[3]


def test_split_heads_and_merge_heads_are_inverse() -> None:
    X: Any = [[f"{token}{column}" for column in range(6)] for token in "abc"]
    for heads, d in ((1, 6), (2, 3), (3, 2), (6, 1)):
        parts = split_heads(X, heads)
        assert [shape(part) for part in parts] == [(3, d)] * heads
        assert str([row[-1] for row in parts[-1]]) == "['a5', 'b5', 'c5']"
        assert merge_heads(parts) == X


def test_multi_head_attention_head_by_head() -> None:
    r = random.Random(12)
    n, d_model, heads, kv_heads, d = 3, 5, 4, 2, 2
    X, W_q = random_matrix(r, n, d_model), random_matrix(r, d_model, heads * d)
    W_k, W_v = (random_matrix(r, d_model, kv_heads * d) for _ in "kv")
    W_o = random_matrix(r, heads * d, 7)
    mask = causal_mask(n, n)
    output, weights = multi_head_attention(
        X, W_q, W_k, W_v, W_o, heads, kv_heads, mask)

    def columns(W: Matrix, head: int) -> Matrix:
        return [row[2 * head:2 * head + 2] for row in matmul(X, W)]
    joined: Matrix = [[], [], []]
    for head, kv_head in ((0, 0), (1, 0), (2, 1), (3, 1)):
        out, w = attention_with_softmax(
            columns(W_q, head), columns(W_k, kv_head), columns(W_v, kv_head),
            mask)
        assert w == weights[head]
        joined = [row + more for row, more in zip(joined, out)]
    assert output == matmul(joined, W_o) and len(weights) == heads
    W_k, W_v = (random_matrix(r, d_model, heads * d) for _ in "kv")
    assert multi_head_attention(X, W_q, W_k, W_v, W_o, 4) == (
        multi_head_attention(X, W_q, W_k, W_v, W_o, 4, 4, None))


def fractions(r: random.Random, n: int) -> Any:
    return [Fraction(r.randint(-40, 40), r.choice([8, 12])) for _ in range(n)]


def test_sparsemax_is_the_projection_exactly() -> None:
    """No tolerance: in fractions, the conditions of the nearest point hold."""
    r = random.Random(13)
    sizes = set()
    for _ in range(300):
        x = fractions(r, r.randint(1, 7))
        p = sparsemax(x)
        support = [x_i for x_i, p_i in zip(x, p) if p_i > 0]
        tau = Fraction(sum(support) - 1) / len(support)
        assert sum(p) == 1
        assert p == [x_i - tau if x_i > tau else 0 for x_i in x]
        sizes.add(len(support))
    assert {1, 2, 3, 4} <= sizes
    assert sparsemax([0.0, 1.0]) == [0.0, 1.0]  # on the edge of the support


def test_sparsemax_and_entmax_agree_and_move_apart() -> None:
    for x in SCORES[:-16]:
        assert entmax(x, 2.0) == pytest.approx(sparsemax(x), abs=1e-12)
        assert entmax(x, 1.0) == softmax_stable(x)
        assert entmax(x, 1.0 + 1e-9) == pytest.approx(
            softmax_stable(x), abs=1e-8)
        assert entmax(x) == entmax(x, 1.5)


def ranked(x: Vector) -> list[int]:
    """The indices from the highest score down, the lower index first."""
    return sorted(range(len(x)), key=lambda i: (-x[i], i))


@pytest.mark.parametrize("x", SCORES[2:-8], ids=label)
def test_top_k_and_top_p_keep_the_first_ranks(x: Vector) -> None:
    p = softmax_stable(x)
    order, here = ranked(x), 0.0
    for count in range(1, len(x) + 1):
        kept = order[:count]
        total = math.fsum(p[i] for i in kept)
        want = [p[i] / total if i in kept else 0.0 for i in range(len(x))]
        assert softmax_top_k(x, count) == want and positive_zeros(want)
        before, here = here, here + p[kept[-1]]
        if here - before > 1e-9:  # any top_p in between stops exactly here
            assert softmax_top_p(x, (before + here) / 2) == want
    assert softmax_top_p(x, 1.0) == pytest.approx(p)


def test_top_p_at_its_boundary() -> None:
    assert softmax_top_p([0.0] * 4, 0.5) == [0.5, 0.5, 0.0, 0.0]
    assert softmax_top_p([0.0] * 4, 0.51) == [1 / 3, 1 / 3, 1 / 3, 0.0]
    far = [40.0, 0.0, -10.0]  # here the first p is 1.0 already
    assert softmax_top_p(far, 0.5) == [1.0, 0.0, 0.0]
    assert min(softmax_top_p(far, 1.0)) > 0.0  # 1 keeps everything


def test_ranks_are_those_of_the_scores_where_probabilities_tie() -> None:
    x = [0.0, 1e-17]
    assert softmax_top_k(x, 1) == softmax_top_p(x, 0.5) == [0.0, 1.0]


def test_sample_follows_the_cumulative_probabilities() -> None:
    p = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0]
    drawn = [sample(p, k / 8) for k in range(8)]
    assert drawn == [1, 1, 3, 3, 3, 3, 4, 4]
    almost = math.nextafter(1.0, 0.0)
    assert sample(p, almost) == 4
    assert sample([0.1] * 10 + [0.0], almost) == 9  # their sum stays below 1


def test_gumbel_softmax_adds_the_noise_before_the_temperature() -> None:
    x, u = [1.0, -2.0, -INF], [0.25, 0.75, 0.5]
    noisy = [x_i - math.log(-math.log(u_i)) for x_i, u_i in zip(x, u)]
    for T in (0.5, 1.0):
        want = softmax_stable([v / T for v in noisy])
        assert gumbel_softmax(x, u, T) == pytest.approx(want)
    assert gumbel_softmax(x, u) == gumbel_softmax(x, u, 1.0)


def test_pictures() -> None:
    assert bar_chart([0.25, 0.75, 0.0], 4) == "0.2500 █\n0.7500 ███\n0.0000"
    assert bar_chart([1.0]) == bar_chart([1.0], 30) == "1.0000 " + "█" * 30
    assert bar_chart([0.5], 1) == "0.5000 █"
    assert heatmap([[0.0, 0.25], [0.5, 0.75], [1.0, 1e-9]]) == (
        "|  ░░|\n|▒▒▓▓|\n|██░░|")
    assert softmax_steps([3.0, 5.0], 2.0).split("\n") == [
        "         x  (x - m) / T      exp   p",
        "         3           -1   0.3679   0.2689 ████████",
        "         5            0   1.0000   0.7311 ██████████████████████",
        "       sum                1.3679   1.0000",
    ]
    assert softmax_steps([1.0]) == softmax_steps([1.0], 1.0)
    assert softmax_steps([1.0]).startswith("         x        x - m ")
    assert for_console("中\na █▓▒░", "gbk") == "中\na #+-."
    assert for_console("中\na ███", "gbk") == "中\na ███"
    assert for_console("中\na █▓▒░", "utf-8") == "中\na █▓▒░"
    assert for_console("中\na √\nb", "cp1252") == "b"


# 3 数值 | Numbers -----------------------------------------------------------
# 与 420 位的 decimal 比较，误差以 ulp（末位单位）计。
# Compared with decimal in 420 digits; errors in ulp, units in the last place.

Numbers = Sequence[float | Decimal]


def exact_softmax(x: Numbers, T: float = 1.0) -> list[Decimal]:
    """Softmax in 420 digits; a float is taken for exactly what it is."""
    m = max(map(Decimal, x))
    e = [((Decimal(x_i) - m) / Decimal(T)).exp() for x_i in x]
    total = sum(e, Decimal(0))
    return [e_i / total for e_i in e]


def exact_log_softmax(x: Numbers) -> list[Decimal]:
    m = max(map(Decimal, x))
    total = sum([(Decimal(x_i) - m).exp() for x_i in x], Decimal(0))
    return [Decimal(x_i) - m - total.ln() for x_i in x]


def exact_logsumexp(x: Numbers) -> Decimal:
    return max(map(Decimal, x)) - max(exact_log_softmax(x))


def error_in_ulp(got: float, want: Decimal) -> float:
    """In units in the last place of the right answer."""
    if got == float(want):
        return 0.5
    return float(abs(Decimal(got) - want) / Decimal(math.ulp(float(want))))


def gap(x: Vector) -> float:
    """How far the highest score is above the next, 0 where they tie."""
    first, second = (sorted(x, reverse=True) * 2)[:2]
    return first - second if len(x) > 1 else 0.0


BIG = [SCORES_5000[:1000]]


@pytest.mark.parametrize("x", SCORES + BIG, ids=label)
def test_softmax_to_the_last_digits(x: Vector) -> None:
    """Within |x_i - m| + 3 ulp; online: + n; T rounds the gap once more."""
    stable, online = softmax_stable(x), softmax_online(x)
    for x_i, p_i, o_i, want in zip(x, stable, online, exact_softmax(x)):
        bound = max(x) - x_i + 3
        assert error_in_ulp(p_i, want) <= bound
        assert error_in_ulp(o_i, want) <= bound + len(x)
    hot = softmax_with_temperature(x, 7.0)
    for x_i, p_i, want in zip(x, hot, exact_softmax(x, 7.0)):
        assert error_in_ulp(p_i, want) <= 2 * (max(x) - x_i) / 7.0 + 3


@pytest.mark.parametrize("x", SCORES + BIG, ids=label)
def test_log_softmax_and_cross_entropy_to_the_last_digits(x: Vector) -> None:
    """Within 4 ulp; the winner: + its gap, for so far exp can be off."""
    winner = x.index(max(x))
    log_p = log_softmax(x)
    for i, want in enumerate(exact_log_softmax(x)):
        bound = 4 + (gap(x) if i == winner else 0.0)
        assert error_in_ulp(log_p[i], want) <= bound
        if i in (0, winner):
            loss = cross_entropy(x, i)
            assert loss == -log_p[i] and positive_zeros([log_p[i], loss])


def test_many_equal_gaps_round_alike() -> None:
    """Their errors add up in the sum; the mean gap comes on top."""
    for m, other, count in ((6.154466254329048, -1.9193860295569314, 4000),
                            (2.9063546478393754, -13.096408681239085, 60000)):
        x = [m] + [other] * count
        with localcontext() as context:
            context.prec = 40
            rest = count * (Decimal(other) - Decimal(m)).exp()
            p, log_p = 1 / (1 + rest), -(1 + rest).ln()
        mean_gap = (m - other) * float(rest / (1 + rest))
        assert error_in_ulp(softmax_stable(x)[0], p) <= 3 + mean_gap
        assert error_in_ulp(log_softmax(x)[0], log_p) <= 4 + (m - other)


@pytest.mark.parametrize("x", SCORES + BIG + [[-3e-15, -32.2]], ids=label)
def test_logsumexp_to_the_last_digits(x: Vector) -> None:
    """Within 3 ulp of m or of the result; next to m = 0, + the gap."""
    want = exact_logsumexp(x)
    m, result = max(x), float(want)
    bound = 3 * math.ulp(max(abs(m), abs(result)))
    if abs(m) < 1e-9 < gap(x) < INF:
        bound += gap(x) * math.ulp(result - m)
    assert abs(Decimal(logsumexp(x)) - want) <= Decimal(bound)


@pytest.mark.parametrize("far", [40.0, 300.0, 700.0])
def test_gaps_where_the_libraries_answer_zero(far: float) -> None:
    want = float((Decimal(1) + Decimal(-far).exp()).ln())
    assert 0.0 < want < 1e-17
    for loss in (-log_softmax([far, 0.0])[0], logsumexp([0.0, -far]),
                 cross_entropy([0.0, far], 1),
                 -cross_entropy_backward([far, 0.0], 0)[0]):
        assert loss == pytest.approx(want, rel=1e-13)


def test_entropy_to_the_last_digits() -> None:
    for x in SCORES:
        p = softmax_stable(x)
        terms = [Decimal(p_i) * Decimal(p_i).ln() for p_i in p if p_i > 0.0]
        assert error_in_ulp(entropy(p), -sum(terms, Decimal(0))) <= 4


def exact_cross_entropy(x: Numbers, target: int, eps: float) -> Decimal:
    y = [Decimal(eps) / len(x) + (i == target) * (1 - Decimal(eps))
         for i in range(len(x))]
    log_p = exact_log_softmax(x)
    return -sum([a * b for a, b in zip(y, log_p) if a], Decimal(0))


@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0])
def test_cross_entropy_with_label_smoothing(eps: float) -> None:
    for x in SCORES[4:9] + random_scores()[::2]:
        for target in {0, len(x) - 1}:
            want = exact_cross_entropy(x, target, eps)
            loss = cross_entropy(x, target, eps)
            assert error_in_ulp(loss, want) <= 8 + gap(x)
    assert cross_entropy([0.0, -INF], 0) == 0.0
    for target, smoothing in ((1, 0.0), (0, 0.1), (1, 1.0)):
        assert cross_entropy([0.0, -INF], target, smoothing) == INF


def slopes(
    loss: Callable[[list[Decimal]], Decimal], x: Vector
) -> list[Decimal]:
    """Central differences with h = 1e-100; no rounding to speak of."""
    h, found = Decimal(10) ** -100, []
    for i in range(len(x)):
        above, below = list(map(Decimal, x)), list(map(Decimal, x))
        above[i] += h
        below[i] -= h
        found.append((loss(above) - loss(below)) / (2 * h))
    return found


def close(got: Sequence[float], want: Sequence[Decimal]) -> bool:
    return len(got) == len(want) and all(
        abs(Decimal(g) - w) <= Decimal(1e-14) * (1 + abs(w))
        for g, w in zip(got, want))


def weighted(weights: Sequence[float], values: Sequence[Decimal]) -> Decimal:
    return sum([Decimal(w) * v for w, v in zip(weights, values)], Decimal(0))


X, G = [1.1, 2.2, 0.3, -1.7], [0.5, -2.0, 3.0, 1.0]


def test_gradients_of_softmax() -> None:
    slope = slopes(lambda x: weighted(G, exact_softmax(x)), X)
    assert close(softmax_backward(softmax_stable(X), G), slope)
    for i, row in enumerate(softmax_jacobian(X)):
        assert close(row, slopes(lambda x: exact_softmax(x)[i], X))
    assert softmax_jacobian([1000.0, 1.0]) == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("target", range(4))
def test_gradient_of_cross_entropy(eps: float, target: int) -> None:
    slope = slopes(lambda x: exact_cross_entropy(x, target, eps), X)
    assert close(cross_entropy_backward(X, target, eps), slope)
    assert cross_entropy_backward(X, 1) == cross_entropy_backward(X, 1, 0.0)


def test_gradient_of_sparsemax() -> None:
    """Piecewise linear, so a difference quotient in fractions is exact."""
    r, h = random.Random(14), Fraction(1, 10**9)
    for _ in range(50):
        x = [x_i + Fraction(i, 997) for i, x_i in enumerate(fractions(r, 4))]
        quotients = []
        for i in range(4):
            up = sparsemax([v + (i == j) * h for j, v in enumerate(x)])
            down = sparsemax([v - (i == j) * h for j, v in enumerate(x)])
            quotients.append(sum(
                Fraction(g) * Fraction(a - b) for g, a, b in zip(G, up, down)
            ) / (2 * h))
        p = [float(p_i) for p_i in sparsemax(x)]
        assert sparsemax_backward(p, G) == pytest.approx(
            [float(q) for q in quotients])


@pytest.mark.parametrize("alpha", [1.0001, 1.2, 1.5, 1.8, 2.0])
def test_entmax_meets_the_conditions_of_its_maximum(alpha: float) -> None:
    """x_i - p_i^(α-1) / (α-1) is one τ on the support; below τ, p_i is 0."""
    supports = set()
    for x in SCORES[4:8] + SCORES[-16:-8] + [[0.0, 0.5, 1.0, 1.2]]:
        a, p = alpha - 1.0, entmax(x, alpha)
        kept = [i for i, p_i in enumerate(p) if p_i > 1e-9]
        taus = [x[i] - (p[i] ** a - 1.0) / a for i in kept]
        assert taus == pytest.approx([taus[0]] * len(kept), abs=1e-5)
        for i, x_i in enumerate(x):
            if p[i] == 0.0:
                assert 1.0 + a * (x_i - taus[0]) <= 1e-5
        supports.add(len(kept))
    assert len(supports) > 2


def exact_entmax(x: Vector, alpha: float) -> list[Decimal]:
    """By bisection in 60 digits, from the formula of Tsallis' exponential."""
    a, m = Decimal(alpha) - 1, Decimal(max(x))
    low, high = Decimal(0), 1 / a
    with localcontext() as context:
        context.prec = 60
        for _ in range(190):
            tau = (low + high) / 2
            base = [1 + a * (Decimal(x_i) - m - tau) for x_i in x]
            p = [b ** (1 / a) if b > 0 else Decimal(0) for b in base]
            low, high = (tau, high) if sum(p) > 1 else (low, tau)
    return p


@pytest.mark.parametrize("alpha", [1.0 + 2**-20, 1.25, 1.5, 1.75, 2.0])
def test_entmax_to_the_last_digits(alpha: float) -> None:
    for x in ([0.0, 0.5, 1.0], [3.0, 1.0, 3.0], [0.1, 0.2, 0.3, -INF],
              [1000.0, 1001.0]):
        for got, want in zip(entmax(x, alpha), exact_entmax(x, alpha)):
            assert abs(Decimal(got) - want) <= Decimal(4e-16)
    assert entmax([0.0] * 90, alpha) == pytest.approx([1 / 90] * 90, rel=1e-14)


def test_matrix_arithmetic_in_exact_numbers() -> None:
    r = random.Random(15)
    A = [[r.randint(-9, 9) for _ in range(3)] for _ in range(2)]
    B = [[r.randint(-9, 9) for _ in range(4)] for _ in range(3)]
    assert matmul(A, B) == [  # type: ignore[arg-type]
        [A[i][0] * B[0][j] + A[i][1] * B[1][j] + A[i][2] * B[2][j]
         for j in range(4)] for i in range(2)]
    assert transpose(A) == [list(c) for c in zip(*A)]  # type: ignore
    assert dot([1.0, -2.0], [3.0, 0.5]) == 2.0
    assert math.isnan(matmul([[INF, 1.0]], [[1.0], [-INF]])[0][0])


def exact_attention(
    Q: Sequence[Numbers], K: Sequence[Numbers], V: Sequence[Numbers]
) -> list[list[Decimal]]:
    def product(a: Numbers, b: Numbers) -> Decimal:
        return sum([Decimal(x) * Decimal(y) for x, y in zip(a, b)], Decimal(0))
    weights = [
        exact_softmax([product(q, k) / Decimal(len(q)).sqrt() for k in K])
        for q in Q]
    return [[product(w, column) for column in zip(*V)] for w in weights]


@pytest.mark.parametrize("plain", [False, True])
def test_attention_and_its_gradients(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n_q, n_k, d and d_v all differ; with math.sumprod and without it."""
    if plain:
        monkeypatch.delattr(math, "sumprod", raising=False)
    r = random.Random(16)
    Q, K, V = (random_matrix(r, *size) for size in ((2, 3), (4, 3), (4, 5)))
    grad_output = random_matrix(r, 2, 5)
    output, weights = attention_with_softmax(Q, K, V)
    for row, want in zip(output, exact_attention(Q, K, V), strict=True):
        assert close(row, want)
    assert weights == [softmax_stable(row) for row in attention_scores(Q, K)]
    for scale in (0.5, 0.0):
        assert attention_scores(Q, K, scale) == [
            [s * scale for s in row] for row in matmul(Q, transpose(K))]

    flat = sum(Q + K + V, [])

    def loss(numbers: list[Decimal]) -> Decimal:
        rest = iter(numbers)
        q, k, v = (
            [[next(rest) for _ in row] for row in A] for A in (Q, K, V))
        return sum([weighted(g, o) for g, o in
                    zip(grad_output, exact_attention(q, k, v))], Decimal(0))
    grads = attention_backward(Q, K, V, grad_output)
    assert [shape(grad) for grad in grads] == [(2, 3), (4, 3), (4, 5)]
    with localcontext() as context:
        context.prec = 230  # h = 1e-100 and its square, and digits to spare
        assert close(sum(sum(map(list, grads), []), []), slopes(loss, flat))


# 4 坏输入 | Bad input -------------------------------------------------------
# 一张表：函数、参数、报错的原话。
# One table: function, arguments, the message word for word.

NO_SCORE = "needs at least one score, got []"
MAXIMUM = "needs a finite maximum, got"
LISTS = "needs lists of equal length, got"
M23: Matrix = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
M32: Matrix = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
Case = tuple[Callable[..., Any], tuple[Any, ...], str]

BAD_SCORES: list[Case] = [
    (function, (x,), f"{function.__name__} {message}")
    for function in (softmax_stable, softmax_online, log_softmax, sparsemax,
                     entmax)
    for x, message in (
        ([], NO_SCORE),
        ([1.0, NAN], f"{MAXIMUM} nan"), ([NAN, 800.0], f"{MAXIMUM} nan"),
        ([1.0, INF], f"{MAXIMUM} inf"), ([INF, -INF, INF], f"{MAXIMUM} inf"),
        ([-INF], f"{MAXIMUM} -inf"), ([-INF, -INF], f"{MAXIMUM} -inf"),
    )
]
BAD: list[Case] = BAD_SCORES + [
    (hardmax, ([],), f"hardmax {NO_SCORE}"),
    *((hardmax, (x,), "hardmax needs scores that are numbers, got nan")
      for x in ([1.0, NAN], [NAN, 1.0])),
    (logsumexp, ([INF, NAN],),
     "logsumexp needs scores that are numbers, got nan"),
    (softmax_with_temperature, ([], 1.0), f"softmax_stable {NO_SCORE}"),
    (softmax_with_temperature, ([NAN], 1.0), f"softmax_stable {MAXIMUM} nan"),
    *((softmax_with_temperature, (x, 1.0),
       f"softmax_with_temperature {MAXIMUM} {max(x)}")
      for x in ([1.0, INF], [INF, -INF], [-INF, -INF])),
    (softmax_with_temperature, ([1.0], 0.0),
     "softmax_with_temperature needs T > 0, got 0.0; try hardmax"),
    *((softmax_with_temperature, ([1.0], T),
       f"softmax_with_temperature needs 0 < T < inf, got {T}")
      for T in (-1.0, INF, NAN)),
    (softmax_jacobian, ([],), f"softmax_stable {NO_SCORE}"),
    (softmax_backward, ([0.5, 0.5], [1.0]),
     f"softmax_backward {LISTS} 2 and 1"),
    (softmax_backward, ([0.5, 0.5], [1.0, NAN]),
     "softmax_backward needs finite numbers, got nan"),
    *((function, ([0.0, 1.0], grad),
       f"{function.__name__} needs finite numbers, got {got}")
      for function in (softmax_backward, sparsemax_backward)
      for grad, got in (([1.0, INF], INF), ([-INF, 0.0], -INF),
                        ([NAN, INF], NAN))),
    *((function, ([NAN, 1.0], [1.0, 2.0]),
       f"{function.__name__} needs finite numbers, got nan")
      for function in (softmax_backward, sparsemax_backward)),
    *((function, ([-0.5, 1.5], *u), f"{name} needs entries >= 0, got -0.5")
      for function, name, u in ((entropy, "entropy", ()),
                                (sample, "sample", (0.5,)))),
    *((function, (p, *u), f"{name} needs a sum of 1, got {total}")
      for function, name, u in ((entropy, "entropy", ()),
                                (sample, "sample", (0.5,)))
      for p, total in (([], 0), ([0.5, 0.25], 0.75), ([0.5, 1.0], 1.5),
                       ([1.0, NAN], NAN), ([INF], INF),
                       ([1.0 + 1.1e-9], 1.0 + 1.1e-9), ([1e308, 1e308], INF),
                       ([1.0 - 1.1e-9], 1.0 - 1.1e-9))),
    *((bar_chart, ([0.5], width), f"bar_chart needs width >= 1, got {width}")
      for width in (0, NAN)),
    *((bar_chart, ([p_i],), f"bar_chart needs 0 <= p <= 1, got {p_i}")
      for p_i in (-0.5, 1.5, NAN)),
    (softmax_steps, ([],), f"softmax_stable {NO_SCORE}"),
    (softmax_steps, ([1.0], -1.0),
     "softmax_with_temperature needs 0 < T < inf, got -1.0"),

    *((function, (A,), f"shape needs rows of equal length, got {lengths}")
      for function in (shape, transpose, heatmap)
      for A, lengths in (([], []), ([[]], [0]), ([[1.0] * 9, [1.0]], [1, 9]),
                         ([[1.0] * n for n in (5, 4, 3)], [3, 4]))),
    (dot, ([1.0], [1.0, 2.0]), f"dot {LISTS} 1 and 2"),
    (matmul, (M23, M23),
     "matmul needs inner sizes that agree, got 2x3 and 2x3"),
    (attention_scores, (M23, M32),
     "attention_scores needs Q and K of equal d, got 3 and 2"),
    (softmax_masked, ([], []), f"softmax_stable {NO_SCORE}"),
    (softmax_masked, ([1.0, 2.0], [True]), f"softmax_masked {LISTS} 2 and 1"),
    *((softmax_masked, ([1.0, 2.0], [True, k]),
       f"softmax_masked needs True or False, got {k}")
      for k in (0.0, 1.0, -INF, 2, -1, None, "no")),
    (softmax_masked, ([1.0] * 4, [True, True, True, 0.0]),
     "softmax_masked needs True or False, got 0.0"),
    (softmax_masked, ([-INF, 1.0], [True, False]),
     f"softmax_stable {MAXIMUM} -inf"),
    *((attention, (M23, M23, M32),
       "attention_shapes needs V as long as K, got 3 and 2")
      for attention in (attention_with_softmax, attention_online)),
    *((attention, (M23, M23, M23, mask),
       f"attention_shapes needs a mask of 2x2, got {got}")
      for attention in (attention_with_softmax, attention_online)
      for mask, got in (([[True, True]], "1x2"), ([[True]] * 2, "2x1"),
                        ([[True] * 2] * 3, "3x2"))),
    *((attention, (M23, M23, M23, [[True, True], [True, k]]),
       f"attention_shapes needs True or False, got {k}")
      for attention in (attention_with_softmax, attention_online)
      for k in (0.0, 1.0, -INF, 2, None)),
    *((attention, (M23, M32, M32),
       "attention_scores needs Q and K of equal d, got 3 and 2")
      for attention in (attention_with_softmax, attention_online)),
    *((attention, ([], M23, M23), "shape needs rows of equal length, got []")
      for attention in (attention_with_softmax, attention_online)),
    *((attention, (M23, M23, [[1.0], [value]]),
       f"{attention.__name__} needs finite S and V, got {value}")
      for attention in (attention_with_softmax, attention_online)
      for value in (NAN, INF, -INF)),
    *((attention, ([[1.0]], [[-INF], [0.0]], M23),
       f"{attention.__name__} needs finite S and V, got -inf")
      for attention in (attention_with_softmax, attention_online)),
    (attention_online, (M23, M23, M23, None, 0),
     "attention_online needs block >= 1, got 0"),
    *((heatmap, ([[0.5, w]],), f"heatmap needs 0 <= w <= 1, got {w}")
      for w in (-0.5, 1.5, NAN)),
    *((function, sizes, f"{function.__name__} needs sizes >= 1, got {got}")
      for function, sizes, got in (
          (causal_mask, (0, 2), "0 and 2"), (causal_mask, (2, 0), "2 and 0"),
          (padding_mask, (0, 2, 0), "0 and 2"),
          (padding_mask, (2, 0, 0), "2 and 0"))),
    *((padding_mask, (2, 3, length),
       f"padding_mask needs 0 <= length <= 3, got {length}")
      for length in (-1, 4)),
    *((split_heads, (M23, heads),
       f"split_heads needs heads that divide 3, got {heads}")
      for heads in (0, 2, -1)),
    (merge_heads, ([],), "merge_heads needs heads of equal shape, got []"),
    (merge_heads, ([M32, M23, [[1.0]]],),
     "merge_heads needs heads of equal shape, got [(1, 1), (2, 3)]"),
    *((multi_head_attention, (M32, M23, M23, M23, M32, 3, kv_heads),
       f"multi_head_attention needs kv_heads that divide 3, got {kv_heads}")
      for kv_heads in (0, 2, -1)),
    *((multi_head_attention,
       ([[1.0, 2.0]], M23, M23, M23, [[w], [1.0], [1.0]], 1),
       f"multi_head_attention needs a finite output, got {w}")
      for w in (NAN, INF)),
    (multi_head_attention, (M32, M23, M23, M23, M32, 0),
     "split_heads needs heads that divide 3, got 0"),
    (attention_backward, (M23, M23, M23, [[1.0, 2.0]] * 2),
     "matmul needs inner sizes that agree, got 2x2 and 3x2"),
    (attention_backward, (M23, M23, M23, M23 + M23),
     "matmul needs inner sizes that agree, got 2x2 and 4x3"),
    (attention_backward,
     ([[1e10]], [[0.0], [0.0]], [[1e308], [-1e308]], [[1.0]]),
     "attention_backward needs finite gradients, got inf"),
    (attention_backward, (M23, M23, M23, [[1.0, 1.0, NAN]] * 2),
     "softmax_backward needs finite numbers, got nan"),

    *((function, ([1.0, 2.0], target),
       f"{function.__name__} needs 0 <= target < 2, got {target}")
      for function in (cross_entropy, cross_entropy_backward)
      for target in (-1, 2)),
    *((function, ([1.0, 2.0], 0, eps),
       f"{function.__name__} needs label_smoothing 0 to 1, got {eps}")
      for function in (cross_entropy, cross_entropy_backward)
      for eps in (-1, 1.5, NAN)),
    (cross_entropy, ([], 0), f"log_softmax {NO_SCORE}"),
    (cross_entropy_backward, ([], 0), f"softmax_stable {NO_SCORE}"),
    (sparsemax_backward, ([1.0], [1.0, 2.0]),
     f"sparsemax_backward {LISTS} 1 and 2"),
    (sparsemax_backward, ([0.0], [1.0]),
     "sparsemax_backward needs an entry above 0, got none"),
    *((entmax, ([1.0], alpha), f"entmax needs 1 <= alpha <= 2, got {alpha}")
      for alpha in (0.9, 2.1, NAN)),
    *((gumbel_softmax, ([1.0], [u]),
       f"gumbel_softmax needs 0 < u < 1, got {u}") for u in (0.0, 1.0, NAN)),
    (gumbel_softmax, ([1.0], [0.5, 0.5]), f"gumbel_softmax {LISTS} 1 and 2"),
    *((softmax_top_k, ([1.0, 2.0], k),
       f"softmax_top_k needs 1 <= k <= 2, got {k}") for k in (0, 3)),
    (softmax_top_k, ([1.0, NAN, 3.0], 1), f"softmax_stable {MAXIMUM} nan"),
    *((softmax_top_p, ([1.0], top_p),
       f"softmax_top_p needs 0 < top_p <= 1, got {top_p}")
      for top_p in (0.0, 1.1, NAN)),
    *((sample, ([1.0], u), f"sample needs 0 <= u < 1, got {u}")
      for u in (-0.1, 1.0, NAN)),
]


@pytest.mark.parametrize(
    "function, arguments, message", BAD, ids=[f"{c[2]}-{c[1]}" for c in BAD])
def test_bad_input(
    function: Callable[..., Any], arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert str(caught.value) == message


def test_messages_fit_a_line() -> None:
    for _, _, message in BAD:
        assert len(message) <= 63, message


def test_where_python_raises_by_itself() -> None:
    strings: Any = ["1", "2"]
    for call in (lambda: softmax_stable(strings),
                 lambda: cross_entropy([1.0, 2.0], 0.5),  # type: ignore
                 lambda: softmax_top_k([1.0, 2.0], 1.5)):  # type: ignore
        with pytest.raises(TypeError):
            call()


# 5 文本与运行 | The text and the runs ---------------------------------------
# 两种语言说的一样，Needs 属实，拷走就能用，在任何终端都能打印。
# Both languages agree, Needs is true, copies work, any console can show it.

HAN = re.compile("[\u4e00-\u9fff]")
SOURCES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted(HERE.glob("*.py"))
}
TREES = {
    name: node
    for source in SOURCES.values() for node in ast.parse(source).body
    if isinstance(node, ast.FunctionDef) and (name := node.name) in FUNCTIONS
}


def names_used(name: str) -> set[str]:
    """What the body of a function takes from outside, all the way down."""
    found = {node.id for node in ast.walk(TREES[name])
             if isinstance(node, ast.Name)}
    found &= {"math", *FUNCTIONS} - {name}
    return found.union(*(names_used(f) for f in found if f != "math"))


def needs(name: str) -> list[str]:
    """The names of the Needs line, the last of the docstring."""
    text = (inspect.getdoc(FUNCTIONS[name]) or "").split("需要 Needs: ")[1]
    return [] if text == "无 nothing" else text.replace("\n ", "").split(", ")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_needs_is_what_the_code_needs(name: str) -> None:
    wanted = names_used(name)
    assert needs(name) == [n for n in ("math", *FUNCTIONS) if n in wanted]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_pasted_alone_with_its_needs_runs_its_examples(
    name: str
) -> None:
    page = types.ModuleType("homework")
    for need in needs(name) + [name]:
        source = ("import math" if need == "math"
                  else inspect.getsource(FUNCTIONS[need]))
        exec(source, vars(page))
    assert examples_of(name, vars(page)) > 0


def test_only_math_is_imported() -> None:
    for module in MODULES:
        for node in ast.walk(ast.parse(SOURCES[module.__name__ + ".py"])):
            if isinstance(node, ast.Import):
                assert {a.name for a in node.names} <= {"math", "sys"}
            if isinstance(node, ast.ImportFrom):
                assert node.module == "softmax_ref" != module.__name__


def test_functions_use_only_what_stands_above_them() -> None:
    order = list(FUNCTIONS)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in FUNCTIONS:
                assert order.index(node.id) < order.index(name)


def test_every_function_is_in_the_map_of_the_readme() -> None:
    for name in FUNCTIONS:
        assert f"`{name}`" in README, name


def columns(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line)


def test_lines_have_at_most_79_columns() -> None:
    for file, source in SOURCES.items():
        for number, line in enumerate(source.splitlines(), start=1):
            assert columns(line) <= 79, (file, number)
            assert line == line.rstrip(), (file, number)


def pairs(text: str) -> list[tuple[str, str]]:
    """The prose paragraphs, each cut into its Chinese and its English."""
    found = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if re.match(r">>>|    |- ", paragraph):
            continue
        lines = paragraph.split("\n")
        cut = sum(1 for line in lines if HAN.search(line))
        assert 0 < cut < len(lines), f"one language only: {paragraph}"
        assert all(map(HAN.search, lines[:cut])), f"mixed: {paragraph}"
        found.append((" ".join(lines[:cut]), " ".join(lines[cut:])))
    return found


def facts(text: str) -> set[str]:
    """Numbers, names in code and symbols, which both languages must share."""
    text = re.sub(r"\*\*.*?\*\*", "", text)  # the titles in the README
    return set(re.findall(r"""
        \d[\d.]*(?<!\.) | [ΣΠ√δετα=∞] | \w+_\w+
        | \b[B-HJ-Z]\b | (?<!')\b[b-hj-z]\b | -?\binf\b | \bnan\b | \w+\(
    """, text, re.VERBOSE | re.ASCII))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_languages_say_the_same(name: str) -> None:
    for chinese, english in pairs(FUNCTIONS[name].__doc__ or ""):
        assert facts(chinese) == facts(english), (chinese, english)
        for word in re.findall(r"[A-Za-z][A-Za-z0-9_]*", chinese):
            assert word.lower() in english.lower(), (word, english)


def prose_of_readme() -> list[str]:
    """The lines outside of code, tables and headings."""
    text = re.sub(r"(?s)```.*?```", "", README)
    return [line for line in text.splitlines() if line and line[0] not in "#|"]


def test_both_languages_of_the_readme_say_the_same() -> None:
    lines = prose_of_readme()
    for chinese, english in zip(lines, lines[1:]):
        if HAN.search(chinese):
            assert not HAN.search(english), english
            assert facts(chinese) == facts(english), (chinese, english)


def test_numbers_of_the_readme_come_out_of_an_example() -> None:
    examples = "".join(re.findall(r"(?s)```.*?```", README))
    examples += "".join(f.__doc__ or "" for f in FUNCTIONS.values())
    for line in prose_of_readme():
        line = re.sub(r"(Python|SciPy|PyTorch|JAX|Keras|ONNX) [\d.]+|"
                      r"(transformers|entmax) [\d.]+|\w+:\S+", "", line)
        for number in re.findall(r"\d\.\d{2,}(?:e-?\d+)?", line):
            assert number in examples, line


def test_every_source_is_in_the_references() -> None:
    for function in FUNCTIONS.values():
        doc = function.__doc__ or ""
        for source in re.findall(r"(?:Source:|;) (\w.*? \d{4})\b", doc):
            assert f"- {source}." in README, source


def test_chinese_typography() -> None:
    for file, source in [*SOURCES.items(), ("README.md", README)]:
        for line in source.splitlines():
            if HAN.search(line) and '"中' not in line:
                for wrong in ("[\u4e00-\u9fff][A-Za-z0-9]",  # no space between
                              "[A-Za-z0-9][\u4e00-\u9fff]",
                              "[\u4e00-\u9fff][,;:!?()]"):  # half-width marks
                    assert not re.search(wrong, line), (file, line)


def run(script: str, *arguments: str, encoding: str = "utf-8"
        ) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", HERE / script, *arguments],
        capture_output=True, env=environment)


WALK = """
--- 4.1  What softmax is ----------------------------------------------
         x        x - m      exp   p
         1           -2   0.1353   0.0900 ███
         2           -1   0.3679   0.2447 ███████
         3            0   1.0000   0.6652 ████████████████████
       sum                1.5032   1.0000
   softmax   0.0900 0.2447 0.6652
   hardmax   0.0000 0.0000 1.0000
--- 4.2  Naive and stable ---------------------------------------------
scores                       softmax_naive          softmax_stable
[1.0, 2.0, 3.0]              0.0900 0.2447 0.6652   0.0900 0.2447 0.6652
[1000.0, 1001.0, 1002.0]     OverflowError          0.0900 0.2447 0.6652
[-1000.0, -1001.0, -1002.0]  ZeroDivisionError      0.6652 0.2447 0.0900
--- 4.3  Saturation ---------------------------------------------------
[1.0, 1.0, 1.0]       0.333333 0.333333 0.333333  █████████
[1.0, 2.0, 3.0]       0.090031 0.244728 0.665241  █████████████████
[1.0, 5.0, 10.0]      0.000123 0.006692 0.993185  ██████████████████████████
[1.0, 50.0, 100.0]    0.000000 0.000000 1.000000  ██████████████████████████
[1.0, 500.0, 1000.0]  0.000000 0.000000 1.000000  ██████████████████████████
--- 4.4  Temperature --------------------------------------------------
T =  0.1   0.0000 0.0000 1.0000   ████████████████████████████████████
T =  0.5   0.0159 0.1173 0.8668   ░▒▒▒▒███████████████████████████████
T =  1.0   0.0900 0.2447 0.6652   ░░░▒▒▒▒▒▒▒▒▒████████████████████████
T =  2.0   0.1863 0.3072 0.5065   ░░░░░░░▒▒▒▒▒▒▒▒▒▒▒██████████████████
T =  5.0   0.2693 0.3289 0.4018   ░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒██████████████
T = 10.0   0.3006 0.3322 0.3672   ░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒█████████████
--- 4.5  Scaled dot-product attention ---------------------------------
          Q K^T   scaled        weights                picture    output
query 0   2 0 1   1.0 0.0 0.5   0.5065 0.1863 0.3072   |▓▓░░▒▒|   18.0072
query 1   0 1 1   0.0 0.5 0.5   0.2327 0.3837 0.3837   |░░▒▒▒▒|   21.5096
--- 4.5  Why divide by the square root of d ---------------------------
[8.0, 0.0, -8.0]   0.9997 0.0003 0.0000   ██████████████████████████████
[1.0, 0.0, -1.0]   0.6652 0.2447 0.0900   ████████████████████
--- 4.5  Causal mask --------------------------------------------------
          no mask      causal mask   weights under the causal mask
token 0   |▒▒░░░░░░|   |██      |    1.0000 0.0000 0.0000 0.0000
token 1   |░░▒▒░░░░|   |▒▒▓▓    |    0.3775 0.6225 0.0000 0.0000
token 2   |░░░░▒▒░░|   |▒▒▒▒▒▒  |    0.2741 0.2741 0.4519 0.0000
token 3   |░░░░░░▒▒|   |░░░░░░▒▒|    0.2350 0.1425 0.2350 0.3875
--- 4.6  Sparse variants ----------------------------------------------
         x   softmax              1.5-entmax           sparsemax
         0   0.1151 █             0.0110               0.0000
       0.5   0.1898 ██            0.1260 ██            0.0000
         1   0.3129 ████          0.3660 ████          0.4000 █████
       1.2   0.3822 █████         0.4970 ██████        0.6000 ███████
--- 4.6  Logs and truncation ------------------------------------------
         x   log_softmax     top-k 2   top-p 0.8     hardmax
         0       -2.1618      0.0000      0.0000      0.0000
       0.5       -1.6618      0.0000      0.2145      0.0000
         1       -1.1618      0.4502      0.3536      0.0000
       1.2      -0.96184      0.5498      0.4319      1.0000
"""


def test_what_the_walk_shows() -> None:
    shown = [line for module in MODULES for line in
             run(module.__name__ + ".py").stdout.decode().splitlines()]
    numbers = [line for line in shown if line in WALK.splitlines() and line]
    assert numbers == WALK.strip("\n").splitlines()


def test_main_as_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    for module in MODULES:
        assert module.main([]) == 0
        assert module.main(["x"]) == 2
        assert "--- 4." in capsys.readouterr().out
    for module in (softmax_ref, variants_ref):
        assert module.main(["1", "1"]) == 0
        assert "0.5000" in capsys.readouterr().out


@pytest.mark.parametrize("script", [m.__name__ + ".py" for m in MODULES])
def test_walk_on_consoles_of_any_encoding(script: str) -> None:
    whole = run(script).stdout.decode("utf-8").splitlines()
    for encoding in ("gbk", "cp1252", "ascii"):
        result = run(script, encoding=encoding)
        assert (result.returncode, result.stderr) == (0, b"")
        lines = result.stdout.decode(encoding).splitlines()
        chinese = sum(1 for line in whole if HAN.search(line))
        assert len(lines) == len(whole) - (0 if encoding == "gbk" else chinese)
    for section in "\n".join(whole).split("--- 4.")[1:]:
        assert len(section.strip().splitlines()) <= 12
        assert max(map(columns, section.splitlines())) <= 79


def test_scores_on_the_command_line() -> None:
    for script in ("softmax_ref.py", "variants_ref.py"):
        result = run(script, "2", "-1", "0.1")
        assert result.returncode == 0 and b"0.8338" in result.stdout
    for script, *bad in (("softmax_ref.py", "2", "x"),
                         ("softmax_ref.py", "nan"), ("variants_ref.py", "inf"),
                         ("attention_ref.py", "2")):
        result = run(script, *bad)
        assert (result.returncode, result.stdout) == (2, b"")
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith(script.encode())
