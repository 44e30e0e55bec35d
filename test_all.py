"""检验：softmax 承诺了什么 | The tests: what softmax promises

一个测试就是一个承诺，名字说的就是它；共五部分，工具在最后。随机数都有种子，
标准答案来自 decimal 和 fractions。
Each test is a promise, and its name says which. There are five parts, and the
tools come last. All random numbers are seeded, and exact answers come from
decimal and fractions.
"""

import contextlib
import decimal
import doctest
import functools
import importlib.util
import inspect
import io
import itertools
import math
import pathlib
import random
import re
import sys
import tracemalloc
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

import attention_ref
import softmax_ref
import variants_ref
from attention_ref import *
from softmax_ref import *
from variants_ref import *

PARTS = {  # the first test of each part, and what the part says
    "test_examples_of_function":
    "1 例子：每个例子的输出都是真的 | Examples: what each shows comes out",
    "test_probabilities_sum_to_1":
    "2 性质：和为 1，次序不变，加常数不变 | Properties: sum 1, order, shift",
    "test_softmax_to_the_last_digits":
    "3 数值：与 420 位标准答案只差末几位 | Numbers: within a few last digits",
    "test_bad_input":
    "4 坏输入：要么答对，要么报错 | Bad input: a right answer or an error",
    "test_needs_is_what_the_code_uses":
    "5 文本：两种语言说的一样 | Text: both languages agree, copies work",
}
MODULES = [softmax_ref, attention_ref, variants_ref]
FUNCTIONS: dict[str, Callable[..., Any]] = {  # in the order of the files
    name: thing
    for module in MODULES
    for name, thing in vars(module).items()
    if getattr(thing, "__module__", "") == module.__name__ and name != "main"
}
INF, NAN = math.inf, math.nan
Vector = list[float]
Matrix = list[list[float]]
Softmax = Callable[[Vector], Vector]

decimal.getcontext().prec = 420  # enough for 1 + exp(-700): 305 digits
decimal.getcontext().Emin = decimal.MIN_EMIN


@pytest.fixture(autouse=True)
def say_the_part(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first test of a part, print what that part says."""
    if words := PARTS.pop(request.node.originalname, None):
        with capsys.disabled():
            print(f"\n{words}")


# 1 例子 | Examples ----------------------------------------------------------

@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_of_function(name: str) -> None:
    """Pasted alone, after what it needs."""
    page: dict[str, Any] = {"math": math}
    for pasted in [*needs(name), name]:
        if pasted in FUNCTIONS:
            exec(source(pasted), page)
    title = f"{FUNCTIONS[name].__module__}.{name}"
    assert run_examples(FUNCTIONS[name].__doc__ or "", page, title) > 0


def test_examples_of_readme() -> None:
    assert run_examples(README, {}, "README.md") > 50


# 2 性质 | Properties --------------------------------------------------------

r = random.Random(4)
SCORES: list[Vector] = [
    [0.0], [5.0], [-0.0, 0.0], [1.0, 2.0, 3.0], [1.0, 5.0, 10.0],
    [2.0, 2.0, 1.0, -1.0], [3.0, 1.0, 3.0], [7.0] * 7,
    [1000.0, 1001.0, 1002.0], [-1000.0, -1001.0, -1002.0],
    [1e16, 1e16], [1e16, 1e16 - 2.0, 0.0], [1e308, -1e308], [-1e308, 1e308],
    [40.0, 0.0], [0.0, -40.0], [-300.0, 0.0, -300.0], [700.0, 0.0, 0.0],
    [0.0, -700.0], [5e-324, 0.0], [-INF, 0.0, 1.0, -INF],
    [0.0, 0.5, 1.0], [0.1, 0.2, 0.3],
] + [
    [r.gauss(0.0, sigma) for _ in range(n)]
    for sigma in (0.01, 1.0, 30.0, 300.0) for n in (1, 2, 5, 40)
]
SCORES_5000 = [random.Random(5).gauss(0.0, 20.0) for _ in range(5000)]
SOFTMAXES: dict[str, Softmax] = {
    "softmax_stable": softmax_stable, "softmax_online": softmax_online,
    "sparsemax": sparsemax, "entmax": entmax,
    "entmax, 1.1": lambda x: entmax(x, 1.1),
    "softmax_with_temperature": lambda x: softmax_with_temperature(x, 2.0),
    "softmax_top_k, n": lambda x: softmax_top_k(x, len(x)),
    "softmax_top_p, 1": lambda x: softmax_top_p(x, 1.0),
    "softmax_top_p, 0.5": lambda x: softmax_top_p(x, 0.5),
    "softmax_masked": lambda x: softmax_masked(x, [True] * len(x)),
}


every_softmax = pytest.mark.parametrize(
    "softmax", SOFTMAXES.values(), ids=list(SOFTMAXES))


@every_softmax
def test_probabilities_sum_to_1(softmax: Softmax) -> None:
    for x in SCORES + [SCORES_5000, [-1.7e308] * 2]:
        p = softmax(x)
        assert len(p) == len(x)
        assert all(type(p_i) is float and str(p_i) != "-0.0" for p_i in p)
        assert math.isclose(math.fsum(p), 1.0, rel_tol=1e-13 + 2e-16 * len(x))


@every_softmax
def test_a_higher_score_gets_no_less(softmax: Softmax) -> None:
    for x in SCORES + [SCORES_5000]:
        p = softmax(x)
        assert [p_i for _, p_i in sorted(zip(x, p))] == sorted(p)
        assert p[x.index(max(x))] == max(p) > 0.0  # ties: the first has most
        assert all(p_i == 0.0 for p_i, x_i in zip(p, x) if x_i == -INF)


@every_softmax
def test_adding_a_constant_changes_nothing(softmax: Softmax) -> None:
    for x in [1.0, 2.0, 3.0], [0.25, -8.0, 0.25], [700.0, 0.0], [-INF, 0.5]:
        for constant in (64.0, -1024.0):  # which these can add exactly
            assert softmax([x_i + constant for x_i in x]) == softmax(x)


def test_two_scores_get_the_sigmoid_of_their_gap() -> None:
    for gap in (-30.0, -1.0, 0.0, 2.0, 700.0):
        sigmoid = 1.0 / (1.0 + math.exp(-gap))
        assert softmax_stable([gap, 0.0])[0] == pytest.approx(sigmoid)


def test_permuted_scores_permute_the_answer_bit_for_bit() -> None:
    for x in SCORES:
        order = list(range(len(x)))
        random.Random(6).shuffle(order)

        def mix(a: Vector) -> Vector:
            return [a[i] for i in order]
        for function in (softmax_stable, log_softmax, sparsemax, entmax):
            assert function(mix(x)) == mix(function(x)), function
        p, g, at = softmax_stable(x), list(map(math.sin, order)), 0
        assert logsumexp(mix(x)) == logsumexp(x)
        assert entropy(mix(p)) == entropy(p)
        for backward in (softmax_backward, sparsemax_backward):
            assert backward(mix(p), mix(g)) == mix(backward(p, g))
        mixed, eps = order.index(at), 0.1
        assert cross_entropy(mix(x), mixed, eps) == cross_entropy(x, at, eps)
        assert cross_entropy_backward(mix(x), mixed, eps) == mix(
            cross_entropy_backward(x, at, eps))


def test_temperature_goes_from_hardmax_to_uniform() -> None:
    x = [1.0, 2.0, 3.0]
    assert softmax_with_temperature(x, 1e-308) == hardmax(x)
    assert softmax_with_temperature(x, 1.0) == softmax_stable(x)
    for T in (1e300, INF):
        assert softmax_with_temperature(x, T) == [1 / 3, 1 / 3, 1 / 3]
    cold, mild, warm = (softmax_with_temperature(x, T) for T in (0.5, 1, 2))
    assert entropy(cold) < entropy(mild) < entropy(warm)
    assert softmax_standard is softmax_stable


def test_probabilities_may_be_as_rough_as_float32_has_them() -> None:
    assert softmax_backward([0.0, 0.0], [1.0, 2.0]) == [0.0, 0.0]  # masked
    assert str(entropy([1.0, 0.0])) == "0.0"  # not -0.0
    for rounded in (9.9e-4, -9.9e-4):
        p, g = [0.5, 0.5 + rounded], [1.0, 0.0]
        assert softmax_backward(p, g) == pytest.approx([0.25, -0.25], 2e-3)
        assert sparsemax_backward(p, g) == [0.5, -0.5]
        assert entropy(p) == pytest.approx(math.log(2.0), 1e-3)
        assert entropy([1.0 + rounded]) >= 0.0
        assert [sample(p, u) for u in (0.499, 0.501)] == [0, 1]


def test_mask_is_the_same_as_leaving_out() -> None:
    r = random.Random(7)
    for low in [0.0, -1.7e308] * 25:  # lower than any "large negative number"
        x = [r.gauss(low, 3.0) for _ in range(6)]
        keep = [r.random() < 0.6 for _ in x]
        kept = [x_i for x_i, k in zip(x, keep) if k]
        x = [x_i if k else NAN for x_i, k in zip(x, keep)]
        p = softmax_masked(x, keep)
        assert [p_i for p_i in p if p_i] == (kept and softmax_stable(kept))
        assert [p_i > 0.0 for p_i in p] == keep
        assert softmax_masked(x, [int(k) for k in keep]) == p  # type: ignore
    assert softmax_masked([1.0, NAN], [False, False]) == [0.0, 0.0]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_the_mask_hides_never_leaks(value: float) -> None:
    """Not forward, not backward, not online; what is seen is an error."""
    Q = [[1.0, 2.0], [0.5, -1.0], [value, 1.0]]
    K = [[1.0, 0.0], [0.0, 1.0], [value, value]]
    V, G = [[1.0], [2.0], [value]], [[1.0], [-3.0], [value]]
    mask = [[True, True, False], [False, True, False], [False] * 3]
    seen = [row[:2] for row in mask[:2]]
    output, weights = attention_with_softmax(Q, K, V, mask)
    short, p = attention_with_softmax(Q[:2], K[:2], V[:2], seen)
    assert output == short + [[0.0]]
    assert weights == [row + [0.0] for row in p] + [[0.0] * 3]
    assert attention_online(Q, K, V, mask) == [
        pytest.approx(row) for row in output]
    grads = attention_backward(Q, K, V, G, mask)
    short_grads = attention_backward(Q[:2], K[:2], V[:2], G[:2], seen)
    for grad, short_grad in zip(grads, short_grads):
        assert grad == short_grad + [[0.0] * len(short_grad[0])]
    good = [[1.0, 1.0]] * 3
    for wrong in ([[1.0, 0.0], [0.0, value], [0.0, 0.0]], [[1.0, value]] * 3):
        for arguments in ((good, good, wrong), (wrong, good, good),
                          ([[1.0]], [[value], [value]], [[1.0], [2.0]])):
            for attention in (attention_with_softmax, attention_online):
                with pytest.raises(ValueError):
                    attention(*arguments)
    Q, K, V = [[1e200], [1.0]], [[1e200], [1.0]], [[1.0], [2.0]]
    mask = [[False, True], [True, True]]  # the hidden pair overflows
    assert attention_with_softmax(Q, K, V, mask)[0] == [[2.0], [1.0]]
    assert attention_online(Q, K, V, mask) == [[2.0], [1.0]]


def test_attention_online_is_attention() -> None:
    r = random.Random(8)
    Q, K, V = (random_matrix(r, *size) for size in ((3, 2), (5, 2), (5, 4)))
    Q[0], Q[1] = [100.0 * q for q in Q[0]], [0.0, 0.0]
    mask = [[True, False] * 2 + [True], [False] * 5, [False] * 4 + [True]]
    for keep in (None, mask):
        for scale in (1.0, -1000.0):
            far = [[scale * k for k in row] for row in K]
            want, _ = attention_with_softmax(Q, far, V, keep)
            online = attention_online(Q, far, V, keep)
            for row, other in zip(want, online, strict=True):
                assert other == pytest.approx(row, rel=1e-12)
    assert attention_online([[0.0]], [[0.0]] * 2, [[1e308]] * 2) == [[1e308]]
    assert attention_online([[2.0]], [[3.0]], [[5.0]]) == [[5.0]]  # one key


def test_memory_of_attention_online_does_not_grow_with_the_keys() -> None:
    peaks: dict[int, list[int]] = {100: [], 1000: []}
    for n_keys in [100, 1000] * 3:  # the least: no warming up, no chance
        K = random_matrix(random.Random(9), n_keys, 4)
        tracemalloc.start()
        attention_online(K[:1], K, K)
        peaks[n_keys].append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks[1000]) < 1.5 * min(peaks[100])


def test_masks_entry_by_entry() -> None:
    for n_q in range(1, 5):
        for n_k in range(1, 5):
            seen = [max(0, n_k - (n_q - 1 - i)) for i in range(n_q)]
            assert causal_mask(n_q, n_k) == [
                [True] * n + [False] * (n_k - n) for n in seen]
            for n in range(n_k + 1):
                row = [True] * n + [False] * (n_k - n)
                assert padding_mask(n_q, n_k, n) == [row] * n_q


def test_split_heads_and_merge_heads_are_inverse() -> None:
    X: Any = [[f"{token}{column}" for column in range(6)] for token in "abc"]
    for heads, d in ((1, 6), (2, 3), (3, 2), (6, 1)):
        parts = split_heads(X, heads)
        assert [(len(p), len(p[0])) for p in parts] == [(3, d)] * heads
        assert str([row[-1] for row in parts[-1]]) == "['a5', 'b5', 'c5']"
        assert merge_heads(parts) == X
        assert split_heads(X[:1], heads) == [part[:1] for part in parts]


def test_multi_head_attention_head_by_head() -> None:
    r = random.Random(12)
    n, d_model, heads, kv_heads, d = 3, 5, 4, 2, 2
    X, W_q = random_matrix(r, n, d_model), random_matrix(r, d_model, heads * d)
    W_k, W_v = (random_matrix(r, d_model, kv_heads * d) for _ in "kv")
    W_o = random_matrix(r, heads * d, 7)
    mask = causal_mask(n, n)
    output, weights = multi_head_attention(
        X, W_q, W_k, W_v, W_o, heads, mask, kv_heads)

    def of_head(W: Matrix, head: int) -> Matrix:
        return [row[2 * head:2 * head + 2] for row in matmul(X, W)]
    joined: Matrix = [[], [], []]
    for head, kv_head in ((0, 0), (1, 0), (2, 1), (3, 1)):
        out, w = attention_with_softmax(
            of_head(W_q, head), of_head(W_k, kv_head), of_head(W_v, kv_head),
            mask)
        assert w == weights[head], head
        joined = [row + more for row, more in zip(joined, out)]
    assert output == matmul(joined, W_o) and len(weights) == heads
    assert multi_head_attention(X, W_q, W_q, W_q, W_o, 4) == (
        multi_head_attention(X, W_q, W_q, W_q, W_o, 4, None, 4))


def fractions(r: random.Random, n: int) -> list[Fraction]:
    return [Fraction(r.randint(-40, 40), r.choice([8, 12])) for _ in range(n)]


def projection(x: Sequence[Fraction]) -> list[Fraction]:
    """The point of the simplex nearest to x: the best of all supports."""
    order, best = sorted(x, reverse=True), [Fraction(10 ** 9)]
    for k in range(1, len(x) + 1):
        tau = Fraction(sum(order[:k]) - 1) / k
        p = [x_i - tau if x_i >= order[k - 1] else Fraction(0) for x_i in x]
        if min(p) >= 0 and sum(p) == 1:
            best = min(best, p, key=lambda q: sum(
                (a - b) ** 2 for a, b in zip(q, x)))
    return best


def test_sparsemax_is_the_projection() -> None:
    r, sizes = random.Random(13), set()
    for _ in range(300):
        x = fractions(r, r.randint(1, 7))
        want = projection(x)
        got = sparsemax([float(x_i) for x_i in x])
        assert got == pytest.approx(list(map(float, want)), abs=1e-14)
        assert [p_i > 0.0 for p_i in got] == [w > 0 for w in want]
        sizes.add(sum(w > 0 for w in want))
    assert {1, 2, 3, 4} <= sizes
    assert sparsemax([0.0, 1.0]) == [0.0, 1.0]  # on the edge of the support
    assert sparsemax([0.0, -1e308, -1e308]) == [1.0, 0.0, 0.0]


def test_sparsemax_and_entmax_agree_and_move_apart() -> None:
    for x in SCORES[:-16]:
        assert entmax(x, 2.0) == pytest.approx(sparsemax(x), abs=1e-12)
        assert entmax(x, 1.0) == softmax_stable(x)
        assert entmax(x, 1.0 + 1e-9) == pytest.approx(
            softmax_stable(x), abs=1e-8)
        assert entmax(x) == entmax(x, 1.5)
    assert entmax([0.0, 0.0]) == [0.5, 0.5]
    assert entmax([-1.0, 1.0]) == [0.0, 1.0]


def test_top_k_and_top_p_keep_the_first_ranks() -> None:
    for x in SCORES[2:-8]:
        p, here = softmax_stable(x), 0.0
        order = sorted(range(len(x)), key=lambda i: (-x[i], i))  # ties: lower
        for count in range(1, len(x) + 1):
            kept = order[:count]
            total = math.fsum(p[i] for i in kept)
            want = [p[i] / total if i in kept else 0.0 for i in range(len(x))]
            assert softmax_top_k(x, count) == want
            before, here = here, here + p[kept[-1]]
            if here - before > 1e-8:  # any top_p in between stops right here
                assert softmax_top_p(x, (before + here) / 2) == want
        assert softmax_top_p(x, 1.0) == pytest.approx(p)


def test_top_p_at_its_boundary() -> None:
    """Reaching top_p is enough, also where rounding has it just missed."""
    for n, top_p, count in (
            (4, 0.5, 2), (4, 0.51, 3), (10, 0.9, 9), (10, 0.8, 8), (6, 0.5, 3),
            (10, 0.1, 1), (10, 0.95, 10), (10, 1e-9, 1), (1, 1e-13, 1),
            (100_000, 0.8, 80_000)):
        assert softmax_top_p([0.0] * n, top_p).count(0.0) == n - count
    logs = [math.log(p_i) for p_i in (0.7, 0.2, 0.1)]
    for top_p, count in ((0.7, 1), (0.7 - 1e-8, 1), (0.9, 2), (0.9 + 5e-10, 2),
                         (0.9 + 5e-9, 3), (1.0, 3)):
        assert softmax_top_p(logs, top_p).count(0.0) == 3 - count
    assert min(softmax_top_p([40.0, 0.0, -10.0], 1.0)) > 0.0  # 1 keeps all
    x = [0.0, 1e-17]  # the probabilities tie, the scores do not
    assert softmax_top_k(x, 1) == softmax_top_p(x, 0.5) == [0.0, 1.0]


def test_sample_follows_the_cumulative_probabilities() -> None:
    p = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0]
    drawn = [sample(p, k / 8) for k in range(8)]
    assert drawn == [1, 1, 3, 3, 3, 3, 4, 4]
    almost = math.nextafter(1.0, 0.0)
    assert sample(p, almost) == 4
    assert sample([0.1] * 10 + [0.0], almost) == 9  # their sum stays below 1
    assert sample([0.5, 0.4999999999, 0.0], 0.99999999999) == 1
    assert sample([0.5, 0.4991, 1e-9], 0.9999) == 1  # not the unlikely one


def test_gumbel_softmax_adds_the_noise_before_the_temperature() -> None:
    x, u = [1.0, -2.0, -INF], [0.25, 0.75, 0.5]
    noisy = [x_i - math.log(-math.log(u_i)) for x_i, u_i in zip(x, u)]
    for T in (0.5, 1.0):
        want = softmax_stable([v / T for v in noisy])
        assert gumbel_softmax(x, u, T) == pytest.approx(want)
    assert gumbel_softmax(x, u) == gumbel_softmax(x, u, 1.0)
    far = gumbel_softmax([1e17, 1e17, 0.0], [0.5, 0.9, 0.5])
    assert far == gumbel_softmax([0.0, 0.0, -1e17], [0.5, 0.9, 0.5])


def test_bars_are_as_long_as_the_probabilities() -> None:
    assert bar_chart([0.25, 0.75, 0.0], 4) == "0.2500 █\n0.7500 ███\n0.0000"
    assert bar_chart([0.245], 10) == "0.2450 ██"  # 2.45 blocks are 2
    assert bar_chart([1.0]) == "1.0000 " + "█" * 30


def test_heatmap_tells_four_times_the_weight_apart() -> None:
    blocks = "▁▂▃▄▅▆▇█"
    for height, block in enumerate(blocks, start=1):
        w = (height / 8) ** 2
        assert heatmap([[w]]) == block
        assert f"{block} ≤ {Fraction(w)}" in (heatmap.__doc__ or "")
        if height < 8:
            assert heatmap([[w + 1e-9]]) == blocks[height]
    for w in (0.0157, 0.05, 0.1, 0.25):
        assert heatmap([[4.0 * w]]) > heatmap([[w]])
    assert heatmap([[0.0, 1.0], [1.0000001, 1e-9]]) == "·█\n█▁"


def test_tables_show_each_step() -> None:
    assert softmax_steps([3.0, 5.0], 2.0).split("\n") == [
        "       x  (x-m)/T     exp       p",
        "       3       -1  0.3679  0.2689 ██",
        "       5        0  1.0000  0.7311 ██████",
        "     sum           1.3679  1.0000"]
    assert softmax_steps([1.0]) == softmax_steps([1.0], 1.0)
    assert "       1  -0.6667  " in softmax_steps([1.0, 3.0], 3.0)
    shown = attention_steps([4.0], [[0.5], [0.0]], [[1.0, 8.0], [3.0, 4.0]])
    assert shown.split("\n") == [
        "   q · k    / √d  weight  v",
        "       2       2  0.8808  1 8",
        "       0       0  0.1192  3 4",
        "  output          1.0000  1.2384 7.5232"]
    shown = attention_steps([1.0, 1.0], [[1.0, 0.0]], [[5.0]])
    assert "       1  0.7071  1.0000  5" in shown


# 3 数值 | Numbers -----------------------------------------------------------

Numbers = Sequence[float | Decimal]


def exponentials(x: Numbers, T: float = 1.0) -> list[Decimal]:
    m = max(map(Decimal, x))
    return [((Decimal(x_i) - m) / Decimal(T)).exp() for x_i in x]


def exact_softmax(x: Numbers, T: float = 1.0) -> list[Decimal]:
    """Softmax in 420 digits; a float is taken for exactly what it is."""
    e = exponentials(x, T)
    total = sum(e, Decimal(0))
    return [e_i / total for e_i in e]


def exact_log_softmax(x: Numbers) -> list[Decimal]:
    m, log_sum = max(map(Decimal, x)), sum(exponentials(x), Decimal(0)).ln()
    return [Decimal(x_i) - m - log_sum for x_i in x]


def exact_cross_entropy(x: Numbers, target: int, eps: float) -> Decimal:
    y = [Decimal(eps) / len(x) + (i == target) * (1 - Decimal(eps))
         for i in range(len(x))]
    return -sum([a * b for a, b in zip(y, exact_log_softmax(x)) if a],
                Decimal(0))


def error_in_ulp(got: float, want: Decimal) -> float:
    """In units in the last place of the right answer."""
    if got == float(want):
        return 0.5
    return float(abs(Decimal(got) - want) / Decimal(math.ulp(float(want))))


def gap(x: Vector) -> float:
    """How far the highest score is above the next, 0 where they tie."""
    first, second = (sorted(x, reverse=True) * 2)[:2]
    return first - second if len(x) > 1 else 0.0


def mean_gap(x: Vector) -> float:
    """How far the scores are below the highest, on average under softmax."""
    m, p = max(x), softmax_stable(x)
    return math.fsum(p_i * (m - x_i) for x_i, p_i in zip(x, p) if p_i)


BIG, EPS = SCORES_5000[:1000], (0.0, 0.1, 1.0)


def test_softmax_to_the_last_digits() -> None:
    """Within |x_i - m| + 3 + mean gap; online: + n; T rounds once more."""
    for x in SCORES + [BIG]:
        with localcontext() as context:
            context.prec = 60 if x is BIG else context.prec
            exact, hot_exact = exact_softmax(x), exact_softmax(x, 7.0)
        top = max(x) + mean_gap(x)
        stable, online = softmax_stable(x), softmax_online(x)
        for x_i, p_i, o_i, want in zip(x, stable, online, exact):
            bound = top - x_i + 3
            assert error_in_ulp(p_i, want) <= bound
            assert error_in_ulp(o_i, want) <= bound + len(x)
        hot = softmax_with_temperature(x, 7.0)
        for x_i, p_i, want in zip(x, hot, hot_exact):
            assert error_in_ulp(p_i, want) <= 2 * (top - x_i) / 7.0 + 3


def test_logs_to_the_last_digits() -> None:
    """Within 4 ulp; the winner: + its gap, for so far exp can be off."""
    for x in SCORES + [BIG, [-3e-15, -32.2]]:
        with localcontext() as context:
            context.prec = 60 if x is BIG else context.prec
            exact = exact_log_softmax(x)
        winner, log_p = x.index(max(x)), log_softmax(x)
        for i, want in enumerate(exact):
            bound = 4 + (gap(x) if i == winner else 0.0)
            assert error_in_ulp(log_p[i], want) <= bound
            if i in (0, winner):
                loss = cross_entropy(x, i)
                assert loss == -log_p[i] and str(loss) != "-0.0"
        want = Decimal(max(x)) - max(exact)
        off = 3 * math.ulp(max(abs(max(x)), abs(float(want))))
        if abs(max(x)) < 1e-9 < gap(x) < INF:
            off += gap(x) * math.ulp(float(want) - max(x))
        assert abs(Decimal(logsumexp(x)) - want) <= Decimal(off)
        assert max(x) <= logsumexp(x) <= max(x) + math.log(len(x)) + 1e-12
    assert logsumexp([]) == logsumexp([-INF, -INF]) == -INF
    assert logsumexp([0.0, INF]) == logsumexp([INF, INF, -INF]) == INF
    assert str(logsumexp([-0.0])) == "0.0"


def test_entropy_to_the_last_digits() -> None:
    with localcontext() as context:
        context.prec = 60
        for x in SCORES:
            p = softmax_stable(x)
            terms = [Decimal(p_i) * Decimal(p_i).ln() for p_i in p if p_i]
            assert error_in_ulp(entropy(p), -sum(terms, Decimal(0))) <= 4


def test_cross_entropy_with_label_smoothing() -> None:
    for x, eps in itertools.product(SCORES[4:9] + SCORES[-16::2], EPS):
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
    """Central differences with h = 1e-20 in 80 digits: exact to 1e-40."""
    h, found = Decimal(10) ** -20, []
    with localcontext() as context:
        context.prec = 80
        for i in range(len(x)):
            above, below = list(map(Decimal, x)), list(map(Decimal, x))
            above[i] += h
            below[i] -= h
            found.append((loss(above) - loss(below)) / (2 * h))
    return found


def close(want: Sequence[Decimal]) -> Any:
    """Equal to this within 1e-14, relative or absolute."""
    return pytest.approx(list(map(float, want)), rel=1e-14, abs=1e-14)


def weighted(weights: Numbers, values: Numbers) -> Decimal:
    return sum([Decimal(w) * Decimal(v) for w, v in zip(weights, values)],
               Decimal(0))


X, G = [1.1, 2.2, 0.3, -1.7], [0.5, -2.0, 3.0, 1.0]


def test_gradients_of_softmax_and_logsumexp() -> None:
    slope = slopes(lambda x: weighted(G, exact_softmax(x)), X)
    assert softmax_backward(softmax_stable(X), G) == close(slope)
    for i, row in enumerate(softmax_jacobian(X)):
        assert row == close(slopes(lambda x: exact_softmax(x)[i], X))
    assert softmax_jacobian([1000.0, 1.0]) == [[0.0, 0.0], [0.0, 0.0]]
    assert softmax_stable(X) == close(slopes(
        lambda x: max(x) - max(exact_log_softmax(x)), X))


def test_gradient_of_cross_entropy() -> None:
    for target, eps in itertools.product(range(4), EPS):
        slope = slopes(lambda x: exact_cross_entropy(x, target, eps), X)
        assert cross_entropy_backward(X, target, eps) == close(slope)
    assert cross_entropy_backward(X, 1) == cross_entropy_backward(X, 1, 0.0)


def test_gradient_of_sparsemax() -> None:
    """Piecewise linear, so a difference quotient in fractions is exact."""
    r, h = random.Random(14), Fraction(1, 10**9)
    for _ in range(50):
        x = [x_i + Fraction(i, 997) for i, x_i in enumerate(fractions(r, 4))]
        quotients = []
        for i in range(4):
            up = projection([v + (i == j) * h for j, v in enumerate(x)])
            down = projection([v - (i == j) * h for j, v in enumerate(x)])
            quotients.append(float(sum(
                Fraction(g) * (a - b) for g, a, b in zip(G, up, down)
            ) / (2 * h)))
        p = [float(p_i) for p_i in projection(x)]
        assert sparsemax_backward(p, G) == pytest.approx(quotients)


def exact_entmax(x: Vector, alpha: float) -> list[Decimal]:
    """By bisection in 60 digits, from the formula of Tsallis' exponential."""
    a, m = Decimal(alpha) - 1, Decimal(max(x))
    low, high = Decimal(0), 1 / a
    with localcontext() as context:
        context.prec = 60
        for _ in range(190):
            c = (low + high) / 2
            base = [1 + a * (Decimal(x_i) - m - c) for x_i in x]
            p = [b ** (1 / a) if b > 0 else Decimal(0) for b in base]
            low, high = (c, high) if sum(p) > 1 else (low, c)
    return p


@pytest.mark.parametrize("alpha", [1.0 + 2**-20, 1.25, 1.5, 1.75, 2.0])
def test_entmax_to_the_last_digits(alpha: float) -> None:
    for x in ([0.0, 0.5, 1.0], [3.0, 1.0, 3.0], [0.1, 0.2, 0.3, -INF],
              [1000.0, 1001.0], [0.0, -0.5] + [-3.0] * 50):
        p = entmax(x, alpha)
        assert abs(math.fsum(p) - 1.0) <= 3e-16
        for got, want in zip(p, exact_entmax(x, alpha)):
            assert abs(float(Decimal(got) - want)) <= 4e-16
    assert entmax([0.0] * 90, alpha) == pytest.approx([1 / 90] * 90, rel=1e-14)


def exact_attention(
    Q: Sequence[Numbers], K: Sequence[Numbers], V: Sequence[Numbers]
) -> list[list[Decimal]]:
    weights = [
        exact_softmax([weighted(q, k) / Decimal(len(q)).sqrt() for k in K])
        for q in Q]
    return [[weighted(w, column) for column in zip(*V)] for w in weights]


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
        assert row == close(want)
    assert weights == [softmax_stable(row) for row in attention_scores(Q, K)]
    for scale in (0.5, 0.0):
        assert attention_scores(Q, K, scale) == [
            [s * scale for s in row] for row in matmul(Q, transpose(K))]
    assert matmul(weights, V) == output
    assert weighted_sum([0.0, 0.0], V[:2]) == [0.0] * 5

    def loss(numbers: list[Decimal]) -> Decimal:
        rest = iter(numbers)
        q, k, v = (
            [[next(rest) for _ in row] for row in A] for A in (Q, K, V))
        return sum([weighted(g, o) for g, o in
                    zip(grad_output, exact_attention(q, k, v))], Decimal(0))
    grad_Q, grad_K, grad_V = attention_backward(Q, K, V, grad_output)
    assert [len(grad_Q), len(grad_K), len(grad_V)] == [2, 4, 4]
    want_flat = slopes(loss, flat(Q + K + V))
    assert flat(grad_Q + grad_K + grad_V) == close(want_flat)


@pytest.mark.parametrize("n_q, n_k", [(2, 4), (3, 3), (4, 2)])
def test_masked_gradients_are_those_of_the_kept_alone(
    n_q: int, n_k: int
) -> None:
    """Each query by itself, on the keys it sees."""
    r = random.Random(17)
    Q, K, V, grad_output = (
        random_matrix(r, *size)
        for size in ((n_q, 3), (n_k, 3), (n_k, 5), (n_q, 5)))
    for mask in (causal_mask(n_q, n_k), padding_mask(n_q, n_k, 1), [
            [r.random() < 0.5 for _ in range(n_k)] for _ in range(n_q)]):
        got_Q, got_K, got_V = attention_backward(Q, K, V, grad_output, mask)
        for i, keep in enumerate(mask):
            kept = [j for j in range(n_k) if keep[j]]
            if not kept:
                assert got_Q[i] == [0.0] * 3
                continue
            one_Q, one_K, one_V = attention_backward(
                [Q[i]], [K[j] for j in kept], [V[j] for j in kept],
                [grad_output[i]])
            assert got_Q[i] == pytest.approx(one_Q[0], abs=1e-15)
            for j, k, v in zip(kept, one_K, one_V):
                got_K[j] = [a - b for a, b in zip(got_K[j], k)]
                got_V[j] = [a - b for a, b in zip(got_V[j], v)]
        assert max(map(abs, flat(got_K + got_V))) < 1e-15


# 4 坏输入 | Bad input -------------------------------------------------------
# 报错怎么开头，然后是调用 | how the message begins, then calls; *: any message

BAD = """
hardmax needs scores without nan
    hardmax([nan, 1.0])
softmax_stable needs a finite maximum and no nan
    softmax_stable([1.0, nan]); softmax_stable([nan, 800.0])
    softmax_stable([inf, -inf]); softmax_stable([-inf, -inf])
    entmax([1.0, inf]); gumbel_softmax([1.0, inf], [0.5, 0.5])
    attention_with_softmax([[1.0]], [[-inf]], [[1.0]])
softmax_online needs a finite maximum and no nan
    softmax_online([nan, 800.0]); softmax_online([-inf])
log_softmax needs a finite maximum and no nan
    log_softmax([1.0, nan]); log_softmax([1.0, inf])
sparsemax needs a finite maximum and no nan
    sparsemax([1.0, nan]); sparsemax([1.0, inf])
logsumexp needs scores without nan
    logsumexp([nan])
softmax_with_temperature needs T > 0 (0: hardmax)
    softmax_with_temperature([1.0], 0.0); softmax_steps([1.0], -1.0)
    softmax_with_temperature([1.0], nan)
entropy needs p >= 0 with a sum of 1
    entropy([-0.5, 1.5]); entropy([0.9989]); entropy([1.0, nan])
softmax_backward needs p >= 0 with a sum of 1, or 0
    softmax_backward([0.9989], [1.0]); softmax_backward([nan, 1.0], G[:2])
    softmax_backward([0.5, 0.0, -0.5], G); softmax_backward([1.5, -0.5], G[:2])
softmax_backward needs finite grad_p, below 1e308
    softmax_backward([0.25, 0.25, 0.5], [1.7e308, -1e308, -1e308])
    attention_backward(A, A, A, [[1.0, 1.0, nan]] * 2)
sparsemax_backward needs p >= 0 with a sum of 1
    sparsemax_backward([0.9989], [1.0]); sparsemax_backward([nan], [1.0])
    sparsemax_backward([1.5, -0.5], [1.0, 2.0])
sparsemax_backward needs finite grad_p, below 1e308
    sparsemax_backward([1.0], [nan])
    sparsemax_backward([0.25, 0.25, 0.5], [1.7e308, -1e308, -1e308])
sample needs p >= 0 with a sum of 1
    sample([-0.5, 1.5], 0.5); sample([0.9989], 0.5); sample([1.0, nan], 0.5)
sample needs 0 <= u < 1, got
    sample([1.0], 1.0); sample([1.0], -0.1); sample([1.0], nan)
entmax needs 1 <= alpha <= 2, got
    entmax([1.0], 0.9); entmax([1.0], 2.1); entmax([1.0], nan)
softmax_top_k needs 1 <= k <= 2, got
    softmax_top_k([1.0, 2.0], 0); softmax_top_k([1.0, 2.0], 3)
softmax_top_p needs 0 < top_p <= 1, got
    softmax_top_p([1.0], 0.0); softmax_top_p([1.0], 1.1)
    softmax_top_p([1.0], nan)
dot needs lists of equal length, got 1 and 2
    dot([1.0], [1.0, 2.0])
dot needs lists of equal length, got 2 and 1
    dot([1.0, 2.0], [1.0])
attention_scores needs K with rows and d >= 1
    attention_scores(A, []); attention_with_softmax([[]], [[]], [[1.0]])
attention_with_softmax needs one V row per K row
    attention_with_softmax(A, A, B); attention_backward(A, A, A[:1], A)
attention_online needs d >= 1, one V row per K row
    attention_online(A, [], []); attention_online([[]], [[]], [[1.0]])
    attention_online(A, A, B)
softmax_masked needs True or False, got
    softmax_masked([1.0, 2.0], [T, -inf]); softmax_masked([1.0], [0.0])
    softmax_masked([1.0, 2.0], [T, 2])
attention_online needs True or False
    attention_online(A, A, A, [[T, T], [T, -inf]])
    attention_online(A, A, A, [[T, T], [T, 0.0]])
    attention_online(A, A, A, [[T, T], [T, 2]])
multi_head_attention needs kv_heads to divide heads
    multi_head_attention(A, [[1.0]] * 3, B, B, A, 1, None, 2)
weighted_sum needs finite rows, got nan or inf
    weighted_sum([1.0], [[nan]]); matmul([[1e200]], [[1e200]])
    attention_with_softmax(A, A, [[0.0], [inf]])
attention_online needs finite Q, K and V
    attention_online(A, A, [[1.0], [nan]]); attention_online(A, A, [[inf]] * 2)
padding_mask needs 0 <= length <= n_keys
    padding_mask(2, 3, -1); padding_mask(2, 3, 4)
split_heads needs equal rows that heads divides
    split_heads(A, 2); multi_head_attention(B, A, A, A, B, 3, None, 0)
    split_heads([[1.0, 2.0], [3.0, 4.0, 5.0]], 2)
heatmap needs weights from 0 to 1, not scores
    heatmap([[0.5, 2.0]]); heatmap([[-1.0]]); heatmap([[nan]])
cross_entropy needs 0 <= target < n, 0 <= ε <= 1
    cross_entropy([0.0], -1); cross_entropy([0.0], 1)
    cross_entropy([0.0], 0, -1); cross_entropy([0.0], 0, 2)
    cross_entropy([0.0], 0, nan)
cross_entropy_backward needs target, ε in range
    cross_entropy_backward([0.0], -1); cross_entropy_backward([0.0], 1)
    cross_entropy_backward([0.0], 0, -1); cross_entropy_backward([0.0], 0, 2)
    cross_entropy_backward([0.0], 0, nan)
*
    hardmax([]); softmax_stable([]); log_softmax([]); sparsemax([]); entmax([])
    entropy([]); sample([], 0.5); gumbel_softmax([1.0], [0.5, 0.5])
    gumbel_softmax([1.0], [0.0]); gumbel_softmax([1.0], [1.0])
    softmax_backward([1.0], [1.0, 2.0]); sparsemax_backward([1.0], [1.0, 2.0])
    softmax_masked([1.0, 2.0], [False]); transpose([[1.0], [1.0, 2.0]])
    weighted_sum([0.5, 0.5], B)
    matmul(A, [[1.0], [2.0, 3.0], [4.0]]); merge_heads([B, A])
    attention_online(A, B, B)
    attention_with_softmax(A, A, A, []); attention_online(A, A, A, [])
    attention_with_softmax(A, A, A, [[T, T]])
    attention_online(A, A, A, [[T, T]]); attention_online(A, A, A, [[T]] * 2)
    attention_online(A, A, [[1.0], []]); attention_backward(A, A, A, A[:1])
"""
NAMES: dict[str, Any] = {
    **FUNCTIONS, "inf": INF, "nan": NAN, "T": True, "G": [1.0, 2.0, 3.0],
    "A": [[1.0, 2.0, 3.0]] * 2, "B": [[1.0, 2.0]] * 3,
}


def test_bad_input() -> None:
    message = ""
    for line in BAD.strip().splitlines():
        if not line.startswith(" "):
            message = line
            continue
        for call in line.strip().split("; "):
            with pytest.raises((ValueError, TypeError)) as caught:
                print(call, eval(call, NAMES))
            said = str(caught.value)
            if message != "*":
                assert said.startswith(message) and len(said) <= 63, call


# 5 文本 | The text ----------------------------------------------------------

@pytest.mark.parametrize("name", FUNCTIONS)
def test_needs_is_what_the_code_uses(name: str) -> None:
    """In the order of the files, and all of it above the function."""
    used = [n for n in ("math", *FUNCTIONS) if n in names_used(name)]
    assert needs(name) == used
    ours = [n for n in used if n != "math"]
    assert [*ours, name] == [n for n in FUNCTIONS if n in (*ours, name)]
    assert len(ours) <= (10 if name.startswith("multi_head") or
                         name.endswith(("backward", "steps")) else 5)


def test_formulas_import_nothing_but_math() -> None:
    """And softmax_ref; main also what it demonstrates with."""
    for module in MODULES:
        formulas, demonstration = code(module).split("def main()")
        for line in formulas.splitlines():
            if "import " in line:
                assert line == "import math" or line.startswith(
                    "from softmax_ref import ")
        for line in demonstration.splitlines():
            if "import " in line:
                assert line.strip() in ("import random", "import sys")


def test_lines_have_at_most_79_columns() -> None:
    for module in MODULES + [sys.modules[__name__]]:
        for line in inspect.getsource(module).splitlines():
            assert columns(line) <= 79, line


def test_import_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for module in MODULES:
        importlib.reload(module)
    assert capsys.readouterr().out == ""


def test_walk_fits_the_screen() -> None:
    shown = walk("utf-8")
    assert shown.count("\n") <= 80
    for block in shown.split("\n\n"):
        assert block.count("\n") <= 14 and block.startswith("4.")
        assert max(map(columns, block.split("\n"))) <= 79
    assert "xamtfos" in shown and "?" not in shown


def test_walk_shows_these_numbers() -> None:
    shown = walk("utf-8")
    for line in [
        "       3        0  1.0000  0.6652 █████",
        "x - 1000       ZeroDivisionError       0.0900  0.2447  0.6652",
        "1 1 1          0.333     0.333     0.333       0.222",
        "1 2 3          0.09      0.245     0.665       0.223",
        "1 5 10         0.000123  0.00669   0.993       0.00677",
        "1 50 100       1.01e-43  1.93e-22  1           1.93e-22",
        "1 500 1000     0         7.12e-218 1           7.12e-218",
        "x    T = 0.1        T = 0.5        T = 1          T = 2          ",
        "2    0.0000         0.1173 █       0.2447 ██      0.3072 ██      ",
        "mat        0      0      1      0          4       2  0.6652  30",
        "q          0      0      4      2     output          1.0000  25.75",
        "d = 4              2.0             0.50           1.0",
        "d = 64             7.9             0.88           1.0",
        "d = 1024          31.9             0.97           1.0",
        "     the   ▆▂▂▁▆▂   ▆▂▂▁▆·",
        "epoch 0    epoch 1    epoch 2    epoch 4    epoch 10",
        "top-k, k = 2           0.5498   0.4502        0        0",
        "entmax, alpha = 1.5    0.4970   0.3660   0.1260   0.0110",
        "top-p, p = 0.8         0.4319   0.3536   0.2145        0",
    ]:
        assert f"\n{line}" in shown, line


def test_frames_of_the_readme_are_those_of_the_walk() -> None:
    learned = walk("utf-8").split("letter a row\n")[1].split("\n\n")[0]
    frames = BLOCKS[0][1].splitlines()
    for shown, line in zip(frames, learned.splitlines(), strict=True):
        cells = [line[start:start + 9] for start in (0, 22, 44)]
        assert shown == "  ".join(cells).rstrip()


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
def test_walk_on_any_console(encoding: str) -> None:
    shown = walk(encoding)
    assert "ZeroDivisionError" in shown and "0.6652" in shown
    assert ("减去最大值" in shown and "██" in shown) == (encoding == "gbk")


def test_both_languages_say_the_same() -> None:
    said: list[Any] = [pair for f in FUNCTIONS.values()
                       for pair in pairs(f.__doc__ or "")]
    for module in MODULES:
        said += pairs((module.__doc__ or "").split("\n", 1)[1])
    lines = "\n".join([text for _, text in BLOCKS]
                      + [inspect.getsource(m) for m in MODULES]).splitlines()
    for line in lines:  # comments, but not the headings of sections
        if "# " in line and HAN.search(line) and not line.endswith("--"):
            said.append(line.split("# ")[-1].split(" | "))
    prose = [line for line in re.sub(r"(?s)```.*?```", "", README).splitlines()
             if line and line[0] not in "#|<"]
    for line, after in zip(prose, prose[1:]):
        if HAN.search(line):
            one_line = "<br>" in line
            said.append(line.split("<br>")[:2] if one_line else (line, after))
    assert len(said) > 150
    for chinese, english in said:
        assert set(FACTS.findall(chinese)) == set(FACTS.findall(english)), (
            chinese, english)
        assert HAN.search(chinese) and not HAN.search(english), (
            chinese, english)


def test_every_source_is_in_the_references() -> None:
    for function in FUNCTIONS.values():
        for source in re.findall(
                r"(?:Source:|;) (\w.*? \d{4})\b", function.__doc__ or ""):
            assert f"- {source}." in README, source


def test_code_of_the_readme_to_copy() -> None:
    softmax, attention, arrays, _, _ = SCRIPTS
    start, _, body = source("softmax_stable").split('"""')
    assert softmax.endswith(start.rstrip() + body)
    Q, K = [[1.0, 0.0], [2.0, 1.0]], [[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]
    V, mask = [[1.0], [-2.0], [4.0]], [[True, False, True], [True] * 3]
    page: dict[str, Any] = {}
    exec(softmax + attention, page)
    for arguments in (Q, K, V), (Q, K, V, mask):
        for got, want in zip(page["attention"](*arguments),
                             attention_with_softmax(*arguments)):
            assert flat(got) == pytest.approx(flat(want))
    if importlib.util.find_spec("numpy"):
        exec(arrays, page)
        check_arrays(page, Q, K, V, mask)


def check_arrays(page: dict[str, Any], *arguments: Any) -> None:
    """Lists, small integers and batches are taken, and float32 is kept."""
    np, targets = page["np"], [1, 2]
    x: Any = [[200, 1, 3], [0, 250, 250]]
    forms: list[Any] = [x, np.array(x, "uint8"), np.array(x, "float32")]
    for form in forms:
        for name, ours in (("softmax", softmax_stable),
                           ("log_softmax", log_softmax)):
            got = page[name](form)
            assert (got.dtype == "float32") == (form is forms[2])
            for row, scores in zip([*got, page[name](form[0])], [*x, x[0]]):
                assert row.tolist() == pytest.approx(ours(scores), rel=1e-6)
        loss, grad = page["cross_entropy"](form, targets)
        losses = [cross_entropy(*pair) for pair in zip(x, targets)]
        assert loss == pytest.approx(sum(losses) / 2, rel=1e-6)
        for row, *pair in zip(grad, x, targets):
            assert row * 2 == pytest.approx(
                cross_entropy_backward(*pair), rel=1e-6)
    for wrong in ([0], [[0, 1, 0], [0, 0, 1]], [0.0, 1.0]):
        with pytest.raises((ValueError, IndexError)):
            page["cross_entropy"](x, wrong)
    batch = [np.array([A, A], "float32") for A in arguments]
    for got, want in zip(page["attention"](*batch),
                         attention_with_softmax(*arguments)):
        assert got.dtype == "float32" and got.shape[0] == 2
        assert flat(got[1].tolist()) == pytest.approx(flat(want), rel=1e-6)
    for got, want in zip(page["attention"](*arguments),
                         attention_with_softmax(*arguments)):
        assert flat(got.tolist()) == pytest.approx(flat(want))


def test_calls_of_the_readme_work_as_they_stand(
    capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, _, start, check = SCRIPTS
    names: dict[str, Any] = {}
    exec(start, names)
    table = README.split("| 我想要<br>I want |")[1].split("\n\n")[0]
    calls = re.findall(r"`(.*?)`", table)
    assert len(calls) > 25
    assert None not in [eval(call, names) for call in calls]
    lesson = README.split("## 在课堂上")[1].split("<details>")[0]
    for call in re.findall(r"<br>`(.*?)`", lesson):
        with contextlib.suppress(OverflowError, ZeroDivisionError):
            eval(call, names)
    capsys.readouterr()
    exec(check, names)
    assert f"```text\n{capsys.readouterr().out}```" in README


def test_a_broken_formula_is_named_as_the_readme_shows() -> None:
    broken: dict[str, Any] = {"math": math}
    without_m = source("softmax_stable").replace("(x_i - m) for", "(x_i) for")
    exec(without_m, broken)
    with pytest.raises(pytest.fail.Exception) as caught:
        run_examples(softmax_stable.__doc__ or "", broken,
                     "softmax_ref.softmax_stable")
    assert str(caught.value).strip() in README


@pytest.mark.parametrize("toward", [-INF, INF])
def test_examples_where_libm_rounds_differently(
    toward: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other platforms exp, log and log1p may differ by an ulp."""
    monkeypatch.delattr(math, "sumprod", raising=False)  # as before 3.12
    def nudged(exact: Callable[[float], float], x: float) -> float:
        y = exact(x)
        return y if y in (0.0, 1.0) else math.nextafter(y, toward)
    for exact in (math.exp, math.log, math.log1p):
        monkeypatch.setattr(
            math, exact.__name__, functools.partial(nudged, exact))
    for name in FUNCTIONS:
        test_examples_of_function(name)
    test_examples_of_readme()


# 工具 | Tools ---------------------------------------------------------------

README = (pathlib.Path(__file__).parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"(?s)```(\w+)\n(.*?)```", README)  # (language, text)
SCRIPTS = [text for language, text in BLOCKS
           if language == "python" and ">>>" not in text]


def random_matrix(r: random.Random, rows: int, columns: int) -> Matrix:
    return [[r.gauss(0.0, 1.0) for _ in range(columns)] for _ in range(rows)]


def flat(A: Matrix) -> Vector:
    return [v for row in A for v in row]


def run_examples(text: str, names: dict[str, Any], title: str) -> int:
    """Run the examples of a text; show the first that does not hold."""
    test = doctest.DocTestParser().get_doctest(text, names, title, None, 0)
    try:
        doctest.DebugRunner().run(test)
    except doctest.DocTestFailure as failure:
        example, got = failure.example, failure.got
    except doctest.UnexpectedException as failure:
        example, (kind, error, _) = failure.example, failure.exc_info
        got = f"{kind.__name__}: {error}\n"
    else:
        return len(test.examples)
    pytest.fail(f"{title}: an example does not hold\n\n{example.source}\n"
                f"expected:\n{example.want}\ngot:\n{got}", pytrace=False)


def source(name: str) -> str:
    return inspect.getsource(FUNCTIONS[name])


def code(thing: Any) -> str:
    """The source without docstrings."""
    return "".join(inspect.getsource(thing).split('"""')[::2])


def needs(name: str) -> list[str]:
    """What the docstring tells the copyist to bring along."""
    said = (FUNCTIONS[name].__doc__ or "").partition("需要 Needs: ")[2]
    said = " ".join(said.split())
    return [] if said == "无 nothing" else said.split(", ")


def names_used(name: str) -> set[str]:
    """What a function takes from outside, all the way down."""
    found = set(re.findall(r"\w+(?=\()|\bmath\b", code(FUNCTIONS[name])))
    found &= {"math", *FUNCTIONS} - {name}
    return found.union(*[names_used(n) for n in found if n != "math"])


@functools.cache
def walk(encoding: str) -> str:
    """What `make` prints on a console of this encoding."""
    console = io.TextIOWrapper(io.BytesIO(), encoding)
    with contextlib.redirect_stdout(console):
        for module in MODULES:
            module.main()
    console.seek(0)
    return console.read()


def columns(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line)


HAN = re.compile("[\u3000-\u9fff\uff01-\uff5e]")
FACTS = re.compile("|".join([
    r"\d[\d.]*(?<!\.)",        # numbers
    r"[ΣΠΔ√δετα∂=∞]",          # symbols
    r"\w+_\w+", r"\w+\(",      # names, calls
    r"\b[B-HJ-Z]\b",           # matrices; A and I are English words too
    r"(?<!')\b[b-hj-z]\b",     # vectors; so is a, and 's is no vector
    r"-?\binf\b", r"\bnan\b",
]), re.ASCII)


def pairs(text: str) -> list[tuple[str, str]]:
    """The paragraphs of prose, each cut into its Chinese and its English."""
    found = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if not re.match(r">>>|    |- ", paragraph):
            lines = paragraph.split("\n")
            cut = sum(1 for line in lines if HAN.search(line))
            assert 0 < cut < len(lines), f"one language only: {paragraph}"
            assert lines[cut - 1].endswith("。"), f"no full stop: {paragraph}"
            found.append((" ".join(lines[:cut]), " ".join(lines[cut:])))
    return found
