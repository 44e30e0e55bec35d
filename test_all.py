"""检验：softmax 承诺了什么 | The tests: what softmax promises

1 例子：每个例子的输出都是真的。
  Examples: what every example shows is what comes out.
2 性质：对任何分数都成立，列表和数组一样。
  Properties: they hold for all scores, in lists and arrays alike.
3 数值：与 420 位的标准答案只差末几位。
  Numbers: within a few last digits of exact answers in 420 digits.
4 坏输入：要么答对，要么报错，从不悄悄答错。
  Bad input: a right answer or an error, never silently a wrong one.
5 文本与运行：两种语言说的一样，拷走就能用，任何终端都能看。
  Text and runs: both languages agree, copies work, any console can show it.

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
from collections.abc import Callable, Iterator, Sequence
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
    multi_head_attention, padding_mask, shape, softmax_masked,
    softmax_online, split_heads, transpose
)
from softmax_ref import (
    bar_chart, copy_functions, entropy, for_console, hardmax, legend,
    logsumexp, numbers_row, show, softmax_backward,
    softmax_jacobian, softmax_naive, softmax_stable, softmax_steps,
    softmax_with_temperature, stacked_bar
)
from variants_ref import (
    cross_entropy, cross_entropy_backward, entmax, gumbel_softmax,
    log_softmax, sample, softmax_top_k, softmax_top_p, sparsemax,
    sparsemax_backward
)

MODULES = [softmax_ref, attention_ref, variants_ref]
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: thing
    for module in MODULES
    for name, thing in vars(module).items()
    if inspect.isfunction(thing) and thing.__module__ == module.__name__
    and name != "main"
}
HERE = pathlib.Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")
INF, NAN = math.inf, math.nan
Vector = list[float]
Matrix = list[list[float]]

getcontext().prec = 420  # enough for 1 + exp(-700), which needs 305 digits
getcontext().Emin = -10**9


# 1 例子 | Examples ----------------------------------------------------------
# 文档字符串和 README 里的例子，逐个运行；没有例子的函数算失败。
# Runs every example in the docstrings and README; no example is a failure.

@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_of_function(name: str) -> None:
    assert examples_at_home(name) > 0


def test_examples_of_readme() -> None:
    assert run_examples(README.replace("```", ""), {}, "README") > 100


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
    test_examples_of_readme()


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
    target, eps = order.index(0), 0.1
    if max(x) - min(x) < INF or -INF in x:  # else 0.1 is an error
        assert cross_entropy(mixed, target, eps) == cross_entropy(x, 0, eps)
    grad = cross_entropy_backward(x, 0, eps)
    assert cross_entropy_backward(mixed, target, eps) == [
        grad[i] for i in order]


class Array:
    """A list with the habits of a NumPy array: no truth value, + adds."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = [
            Array(v) if isinstance(v, list) else v for v in items]
        self.ndim = 1 + any(isinstance(v, Array) for v in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __getitem__(self, at: Any) -> Any:
        found = self.items[at]
        return Array(found) if isinstance(at, slice) else found

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __add__(self, other: Any) -> Any:
        return Array([a + b for a, b in zip(self, other, strict=True)])

    def __gt__(self, other: Any) -> Any:
        return Array([a > other for a in self])


@pytest.mark.parametrize("call", """
hardmax(x)
softmax_naive(x)
softmax_stable(x)
softmax_with_temperature(x, 0.5)
entropy(p)
logsumexp(x)
softmax_jacobian(x)
softmax_backward(p, x)
bar_chart(p)
softmax_steps(x)
stacked_bar(p)
numbers_row(p)
legend(x)
shape(X)
dot(x, p)
transpose(X)
matmul(X, Y)
attention_scores(X, X)
softmax_masked(x, keep)
attention_with_softmax(X, X, X, mask)
heatmap(Y)
hide(X, mask)
split_heads(X, 3)
merge_heads([X, Y])
multi_head_attention(X, Y, Y, Y, Y, 3, mask)
softmax_online(x)
attention_online(X, X, X, mask, 2)
attention_backward(X, X, X, X, mask)
log_softmax(x)
cross_entropy(x, 1, 0.1)
cross_entropy_backward(x, 1)
sparsemax(x)
sparsemax_backward(p, x)
entmax(x)
gumbel_softmax(x, p)
softmax_top_k(x, 2)
softmax_top_p(x, 0.8)
sample(p, 0.5)
""".split("\n")[1:-1])
def test_arrays_and_tuples_give_the_numbers_of_the_list(call: str) -> None:
    inputs: dict[str, Any] = {
        "x": [2.0, 1.0, -1.0], "p": [0.5, 0.25, 0.25],
        "keep": [True, False, True], "mask": causal_mask(3, 3),
        "X": [[1.0, 2.0, 0.5], [0.0, 1.0, 0.0], [3.0, 1.0, 2.0]],
        "Y": [[0.5, 0.0, 1.0], [0.25, 1.0, 0.0], [0.0, 0.0, 0.5]],
    }
    want = repr(eval(call, FUNCTIONS | inputs))
    for kind in (Array, tuple):
        other = {name: kind(value) for name, value in inputs.items()}
        got = eval(call, FUNCTIONS | other)
        assert repr(plain(got)) == repr(plain(eval(want)))


def plain(answer: Any) -> Any:
    """The answer with every array and tuple in it as a list."""
    if isinstance(answer, (Array, list, tuple)):
        return [plain(v) for v in answer]
    return answer


def test_ranges_are_scores_too() -> None:
    for name in ("softmax_stable", "log_softmax", "sparsemax", "entmax",
                 "hardmax", "softmax_online", "softmax_naive", "logsumexp"):
        function = FUNCTIONS[name]
        assert function(range(3)) == function([0.0, 1.0, 2.0])


def test_temperature_goes_from_hardmax_to_uniform() -> None:
    x = [1.0, 2.0, 3.0]
    assert softmax_with_temperature(x, 1e-308) == hardmax(x)
    assert softmax_with_temperature(x, 1.0) == softmax_stable(x)
    assert softmax_with_temperature(x, 1e300) == [1 / 3, 1 / 3, 1 / 3]
    cold, warm = (softmax_with_temperature(x, T) for T in (0.5, 2.0))
    assert entropy(cold) < entropy(softmax_stable(x)) < entropy(warm)
    squares = [p_i ** 2 for p_i in softmax_stable(x)]  # p^(1/T), T = 0.5
    assert cold == pytest.approx([s / sum(squares) for s in squares])
    assert softmax_with_temperature([1e308, -1e308], 1e308) == softmax_stable(
        [1.0, -1.0])


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


def test_backward_takes_probabilities_as_float32_has_them() -> None:
    for rounded in (9.9e-7, -9.9e-7):
        p, g = [0.5, 0.5 + rounded], [1.0, 0.0]
        assert softmax_backward(p, g) == pytest.approx([0.25, -0.25], 1e-5)
        assert sparsemax_backward(p, g) == [0.5, -0.5]
    assert softmax_backward([0.0, 0.0], [1.0, 2.0]) == [0.0, 0.0]  # masked
    assert softmax_backward([], []) == []


def test_entropy_of_the_extremes() -> None:
    assert str(entropy([1.0, 0.0])) == "0.0"  # not -0.0
    assert entropy([0.25] * 4) == pytest.approx(math.log(4.0))
    for rounded in (9.9e-7, -9.9e-7):  # a float32 sum is seldom closer to 1
        assert entropy([0.5, 0.5 + rounded]) == pytest.approx(math.log(2.0))
        assert entropy([1.0 + rounded]) >= 0.0
        assert sample([0.5, 0.5 + rounded], 0.5) == 1


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
    assert softmax_masked([1.0], [False]) == [0.0]


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
    whole = attention_online(Q, K, V, None, len(K))
    assert whole == attention_with_softmax(Q, K, V)[0]  # bit for bit
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


def test_a_hidden_pair_may_even_overflow() -> None:
    Q, K, V = [[1e200], [1.0]], [[1e200], [1.0]], [[1.0], [2.0]]
    mask = [[False, True], [True, True]]
    for attention in (attention_online,
                      lambda *a: attention_with_softmax(*a)[0]):
        assert attention(Q, K, V, mask) == [[2.0], [1.0]]
    nan_query = [[NAN], [1.0]]
    mask = [[False, False], [False, True]]
    for attention in (attention_online,
                      lambda *a: attention_with_softmax(*a)[0]):
        assert attention(nan_query, K, V, mask) == [[0.0], [2.0]]


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
        X, W_q, W_k, W_v, W_o, heads, mask, kv_heads)

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
        multi_head_attention(X, W_q, W_k, W_v, W_o, 4, None, 4))


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
    assert entmax([0.0, 0.0]) == [0.5, 0.5]
    assert entmax([-1.0, 1.0]) == [0.0, 1.0]  # no lower bound below 0
    assert sparsemax([0.0, -1e308, -1e308]) == [1.0, 0.0, 0.0]


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
    """Reaching top_p is enough, also where rounding has it just missed."""
    assert softmax_top_p([0.0] * 4, 0.5) == [0.5, 0.5, 0.0, 0.0]
    assert softmax_top_p([0.0] * 4, 0.51) == [1 / 3, 1 / 3, 1 / 3, 0.0]
    for n, top_p, count in ((10, 0.9, 9), (10, 0.8, 8), (6, 0.5, 3),
                            (10, 0.1, 1), (10, 0.95, 10), (10, 1e-9, 1)):
        assert softmax_top_p([0.0] * n, top_p).count(0.0) == n - count
    logs = [math.log(p_i) for p_i in (0.7, 0.2, 0.1)]
    for top_p, count in ((0.7, 1), (0.7 - 1e-9, 1), (0.9, 2), (0.9 + 1e-13, 2),
                         (0.9 + 1e-11, 3), (1.0, 3)):
        assert softmax_top_p(logs, top_p).count(0.0) == 3 - count
    far = [40.0, 0.0, -10.0]  # here the first p is 1.0 already
    assert softmax_top_p(far, 0.5) == [1.0, 0.0, 0.0]
    assert softmax_top_p([3.0], 1e-13) == [1.0]
    assert min(softmax_top_p(far, 1.0)) > 0.0  # 1 keeps everything
    many = softmax_top_p([0.0] * 100_000, 0.3)
    assert many.count(0.0) == 70_000


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
    assert sample([0.1] * 10, 0.8999999999999999) == 8
    assert sample([0.5, 0.4999999999, 0.0], 0.99999999999) == 1
    assert sample([1e-5] * 100_000, 0.31) == 31_000


def test_gumbel_softmax_adds_the_noise_before_the_temperature() -> None:
    x, u = [1.0, -2.0, -INF], [0.25, 0.75, 0.5]
    noisy = [x_i - math.log(-math.log(u_i)) for x_i, u_i in zip(x, u)]
    for T in (0.5, 1.0):
        want = softmax_stable([v / T for v in noisy])
        assert gumbel_softmax(x, u, T) == pytest.approx(want)
    assert gumbel_softmax(x, u) == gumbel_softmax(x, u, 1.0)
    far = gumbel_softmax([1e17, 1e17], [0.5, 0.9])
    assert far == gumbel_softmax([0.0, 0.0], [0.5, 0.9])


def test_pictures() -> None:
    assert bar_chart([0.25, 0.75, 0.0], 4) == "0.2500 █\n0.7500 ███\n0.0000"
    assert bar_chart([1.0]) == bar_chart([1.0], 30) == "1.0000 " + "█" * 30
    assert bar_chart([0.5], 1) == "0.5000 █"
    assert bar_chart([-0.0]) == "0.0000"
    assert heatmap([[0.0, 0.25], [0.5, 0.75], [1.0, 1e-9]]) == (
        "|  ░░|\n|▒▒▓▓|\n|██░░|")
    assert softmax_steps([3.0, 5.0], 2.0).split("\n") == [
        "           x  (x - m) / T      exp   p",
        "           3           -1   0.3679   0.2689 ████",
        "           5            0   1.0000   0.7311 ████████████",
        "         sum                1.3679   1.0000",
    ]
    assert softmax_steps([1.0]) == softmax_steps([1.0], 1.0)
    assert softmax_steps([1.0]).startswith("           x        x - m ")
    for line in softmax_steps([-1.23456e-10, 1e99, -0.0]).split("\n")[1:4]:
        assert line[26:34].strip() in ("0.0000", "1.0000")
    for zeros in ([-0.0, 0.0], [0.0, -0.0]):
        assert "-0 " not in softmax_steps(zeros)
    assert "-0.5 " in softmax_steps([1.0, 1.5])
    assert stacked_bar([0.5, 0.25, 0.25], 8) == "████░░▒▒"
    assert stacked_bar([0.25] * 4) == "░░▒▒▒▓▓▓██"
    assert legend([1.0]) == "█ 1" and legend([1.0, -0.0]) == "█ 1 ░ 0"
    assert legend([123.4567, 1.0, 2.0, 4.0]) == "█ 123.457 ░ 1 ▒ 2 ▓ 4"
    assert legend([1.0] * 5) == "░ others █ max"
    assert legend([-1e-10, -1.23e-10]) == "█ x1 ░ x2"
    assert legend([-1234.56, 1e-100]) == "░ -1234.56 █ 1e-100"
    assert stacked_bar([0.1, 0.1, 0.1, 0.6, 0.1], 5) == "░░███"
    assert numbers_row([1.0, 0.0, -0.5]) == "      1       0 -0.5000"
    assert numbers_row([0.00005, 0.000049]) == " 0.0001 4.9e-05"
    assert numbers_row([0.5, 0.0, 0.0, 0.0, 0.9], 1) == (
        " 0.5    0 ... max  0.9")
    assert numbers_row([0.2, 0.1, 0.9, 0.0, 0.0], 1) == " 0.2  0.1  0.9 ..."
    assert numbers_row([0.01], 1) == "1.0e-02"
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


def mean_gap(x: Vector) -> float:
    """How far the scores are below the highest, on average under softmax."""
    m, p = max(x), softmax_stable(x)
    return math.fsum(p_i * (m - x_i) for x_i, p_i in zip(x, p) if p_i)


@pytest.mark.parametrize("x", SCORES + BIG, ids=label)
def test_softmax_to_the_last_digits(x: Vector) -> None:
    """Within |x_i - m| + 3 + mean gap; online: + n; T rounds once more."""
    top = max(x) + mean_gap(x)
    stable, online = softmax_stable(x), softmax_online(x)
    for x_i, p_i, o_i, want in zip(x, stable, online, exact_softmax(x)):
        bound = top - x_i + 3
        assert error_in_ulp(p_i, want) <= bound
        assert error_in_ulp(o_i, want) <= bound + len(x)
    hot = softmax_with_temperature(x, 7.0)
    for x_i, p_i, want in zip(x, hot, exact_softmax(x, 7.0)):
        assert error_in_ulp(p_i, want) <= 2 * (top - x_i) / 7.0 + 3


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
        assert error_in_ulp(softmax_stable(x)[0], p) <= 3 + mean_gap(x)
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


@pytest.mark.parametrize("n_q, n_k", [(2, 4), (3, 3), (4, 2)])
def test_masked_gradients_are_those_of_the_kept_alone(
    n_q: int, n_k: int
) -> None:
    """Each query by itself, on the keys it sees; nothing hidden leaks."""
    r = random.Random(17)
    Q, K, V, grad_output = (
        random_matrix(r, *size)
        for size in ((n_q, 3), (n_k, 3), (n_k, 5), (n_q, 5)))
    for mask in (causal_mask(n_q, n_k), padding_mask(n_q, n_k, 1), [
            [r.random() < 0.5 for _ in range(n_k)] for _ in range(n_q)]):
        mask[0] = [False] * n_k
        grad_K: Matrix = [[0.0] * 3 for _ in K]
        grad_V: Matrix = [[0.0] * 5 for _ in V]
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
                grad_K[j] = [a + b for a, b in zip(grad_K[j], k)]
                grad_V[j] = [a + b for a, b in zip(grad_V[j], v)]
        assert sum(got_K, []) == pytest.approx(sum(grad_K, []), abs=1e-15)
        assert sum(got_V, []) == pytest.approx(sum(grad_V, []), abs=1e-15)


def test_what_the_mask_hides_has_no_gradient() -> None:
    Q, K = [[1.0, 2.0], [NAN, INF]], [[1.0, 0.0], [0.0, 1.0], [NAN, INF]]
    V, mask = [[1.0], [2.0], [-INF]], [[True, True, False], [False] * 3]
    grad_Q, grad_K, grad_V = attention_backward(
        Q, K, V, [[1.0], [1.0]], mask)
    short = attention_backward(Q[:1], K[:2], V[:2], [[1.0]])
    assert grad_Q == short[0] + [[0.0, 0.0]]
    assert grad_K == short[1] + [[0.0, 0.0]]
    assert grad_V == short[2] + [[0.0]]


# 4 坏输入 | Bad input -------------------------------------------------------
# 一张表：报错的原话，下面是得到它的调用，一行一个。
# One table: the message word for word and, below it, the calls, one a row.

BAD = """
hardmax needs at least one score, got []
    hardmax([])
hardmax needs scores that are numbers, got nan
    hardmax([1.0, nan])
    hardmax([nan, 1.0])
softmax_stable needs at least one score, got []
    softmax_stable([])
    entmax([])
    softmax_jacobian([])
    softmax_steps([])
    softmax_with_temperature([], 1.0)
    softmax_masked([], [])
    cross_entropy_backward([], 0)
    gumbel_softmax([], [])
softmax_stable needs a finite maximum, got nan
    softmax_stable([1.0, nan])
    softmax_stable([nan, 800.0])
    entmax([1.0, nan])
    softmax_top_k([1.0, nan, 3.0], 1)
    softmax_top_p([nan], 0.5)
    softmax_with_temperature([nan], 1.0)
    attention_with_softmax([[1.0]], [[nan], [0.0]], A)
softmax_stable needs a finite maximum, got inf
    softmax_stable([1.0, inf])
    softmax_stable([inf, -inf, inf])
    entmax([1.0, inf])
    attention_with_softmax([[1.0]], [[inf], [0.0]], A)
softmax_stable needs a finite maximum, got -inf
    softmax_stable([-inf])
    softmax_stable([-inf, -inf])
    entmax([-inf, -inf])
    softmax_masked([-inf, 1.0], [T, F])
    attention_with_softmax([[1.0]], [[-inf]], [[1.0]])
softmax_online needs at least one score, got []
    softmax_online([])
softmax_online needs a finite maximum, got nan
    softmax_online([1.0, nan])
    softmax_online([nan, 800.0])
softmax_online needs a finite maximum, got inf
    softmax_online([1.0, inf])
    softmax_online([inf, -inf, inf])
softmax_online needs a finite maximum, got -inf
    softmax_online([-inf])
    softmax_online([-inf, -inf])
log_softmax needs at least one score, got []
    log_softmax([])
    cross_entropy([], 0)
log_softmax needs a finite maximum, got nan
    log_softmax([1.0, nan])
    log_softmax([nan, 800.0])
log_softmax needs a finite maximum, got inf
    log_softmax([1.0, inf])
    log_softmax([inf, -inf, inf])
log_softmax needs a finite maximum, got -inf
    log_softmax([-inf])
    log_softmax([-inf, -inf])
sparsemax needs at least one score, got []
    sparsemax([])
sparsemax needs a finite maximum, got nan
    sparsemax([1.0, nan])
    sparsemax([nan, 800.0])
sparsemax needs a finite maximum, got inf
    sparsemax([1.0, inf])
    sparsemax([inf, -inf, inf])
sparsemax needs a finite maximum, got -inf
    sparsemax([-inf])
    sparsemax([-inf, -inf])
entmax needs 1 <= alpha <= 2, got 0.9
    entmax([1.0], 0.9)
entmax needs 1 <= alpha <= 2, got 2.1
    entmax([1.0], 2.1)
entmax needs 1 <= alpha <= 2, got nan
    entmax([1.0], nan)
softmax_top_k needs 1 <= k <= 2, got 0
    softmax_top_k([1.0, 2.0], 0)
softmax_top_k needs 1 <= k <= 2, got 3
    softmax_top_k([1.0, 2.0], 3)
softmax_top_p needs 0 < top_p <= 1, got 0.0
    softmax_top_p([1.0], 0.0)
softmax_top_p needs 0 < top_p <= 1, got 1.1
    softmax_top_p([1.0], 1.1)
softmax_top_p needs 0 < top_p <= 1, got nan
    softmax_top_p([1.0], nan)
softmax_with_temperature needs 0 < T < inf, got -1
    softmax_steps([1.0], -1.0)
    softmax_with_temperature([1.0], -1.0)
logsumexp needs scores that are numbers, got nan
    logsumexp([inf, nan])
softmax_with_temperature needs a finite maximum, got inf
    softmax_with_temperature([1.0, inf], 1.0)
    softmax_with_temperature([inf, -inf], 1.0)
    gumbel_softmax([1.0, inf], [0.5, 0.5])
softmax_with_temperature needs a finite maximum, got -inf
    softmax_with_temperature([-inf, -inf], 1.0)
    gumbel_softmax([-inf], [0.5])
softmax_with_temperature needs 0 < T < inf, got 0; try hardmax
    softmax_with_temperature([1.0], 0.0)
softmax_with_temperature needs 0 < T < inf, got inf
    softmax_with_temperature([1.0], inf)
softmax_with_temperature needs 0 < T < inf, got nan
    softmax_with_temperature([1.0], nan)
entropy needs entries >= 0, got -1.0
    entropy([-1.0])
sample needs entries >= 0, got -1.0
    sample([-1.0], 0.5)
softmax_backward needs entries >= 0, got -1.0
    softmax_backward([-1.0], [1.0])
sparsemax_backward needs entries >= 0, got -1.0
    sparsemax_backward([-1.0], [1.0])
entropy needs entries >= 0, got -0.5
    entropy([-0.5, 1.5])
entropy needs a sum of 1, got 0
    entropy([])
entropy needs a sum of 1, got 0.75
    entropy([0.5, 0.25])
entropy needs a sum of 1, got 1.5
    entropy([0.5, 1.0])
entropy needs a sum of 1, got nan
    entropy([1.0, nan])
entropy needs a sum of 1, got inf
    entropy([inf])
    entropy([1e308, 1e308])
entropy needs a sum of 1, got 1.0000011
    entropy([1.0 + 1.1e-6])
entropy needs a sum of 1, got 0.9999989
    entropy([1.0 - 1.1e-6])
sample needs entries >= 0, got -0.5
    sample([-0.5, 1.5], 0.5)
sample needs a sum of 1, got 0
    sample([], 0.5)
sample needs a sum of 1, got 0.75
    sample([0.5, 0.25], 0.5)
sample needs a sum of 1, got 1.5
    sample([0.5, 1.0], 0.5)
sample needs a sum of 1, got nan
    sample([1.0, nan], 0.5)
sample needs a sum of 1, got inf
    sample([inf], 0.5)
sample needs a sum of 1, got 1.0000011
    sample([1.0 + 1.1e-6], 0.5)
sample needs a sum of 1, got 0.9999989
    sample([1.0 - 1.1e-6], 0.5)
sample needs 0 <= u < 1, got -0.1
    sample([1.0], -0.1)
sample needs 0 <= u < 1, got 1.0
    sample([1.0], 1.0)
sample needs 0 <= u < 1, got nan
    sample([1.0], nan)
softmax_backward needs lists of equal length, got 2 and 1
    softmax_backward([0.5, 0.5], [1.0])
softmax_backward needs a sum of 1, got 6.0
    softmax_backward([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
softmax_backward needs entries >= 0, got -0.5
    softmax_backward([-0.5, 1.5], [1.0, 2.0])
softmax_backward needs a sum of 1, got 1.0000011
    softmax_backward([0.5, 0.5 + 1.1e-6], [1.0, 2.0])
softmax_backward needs a sum of 1, got 0.9999989
    softmax_backward([0.5, 0.5 - 1.1e-6], [1.0, 2.0])
softmax_backward needs a sum of 1, got nan
    softmax_backward([nan, 1.0], [1.0, 2.0])
softmax_backward needs finite gradients, got nan or inf
    softmax_backward([1.0000005], [M])
    softmax_backward([0.5, 0.5], [1.0, nan])
    softmax_backward([0.0, 1.0], [1.0, inf])
    softmax_backward([0.0, 1.0], [-inf, inf])
sparsemax_backward needs lists of equal length, got 1 and 2
    sparsemax_backward([1.0], [1.0, 2.0])
sparsemax_backward needs a sum of 1, got 3.0
    sparsemax_backward([1.0, 2.0], [1.0, 2.0])
sparsemax_backward needs a sum of 1, got 0
    sparsemax_backward([], [])
sparsemax_backward needs a sum of 1, got 0.0
    sparsemax_backward([0.0], [1.0])
sparsemax_backward needs entries >= 0, got -0.5
    sparsemax_backward([-0.5, 1.5], [1.0, 2.0])
sparsemax_backward needs a sum of 1, got 1.0000011
    sparsemax_backward([0.5, 0.5 + 1.1e-6], [1.0, 2.0])
sparsemax_backward needs a sum of 1, got 0.9999989
    sparsemax_backward([0.5, 0.5 - 1.1e-6], [1.0, 2.0])
sparsemax_backward needs a sum of 1, got nan
    sparsemax_backward([nan, 1.0], [1.0, 2.0])
sparsemax_backward needs finite gradients, got nan or inf
    sparsemax_backward([0.0, 1.0], [inf, 1.0])
    sparsemax_backward([0.0, 1.0], [1.0, nan])
    sparsemax_backward([0.25, 0.25, 0.5], [1.7e308, -1e308, -1e308])
bar_chart needs width >= 1, got 0
    bar_chart([0.5], 0)
bar_chart needs width >= 1, got nan
    bar_chart([0.5], nan)
bar_chart needs 0 <= p <= 1, got -0.5
    bar_chart([-0.5])
bar_chart needs 0 <= p <= 1, got 1.5
    bar_chart([1.5])
bar_chart needs 0 <= p <= 1, got nan
    bar_chart([nan])
no function softmax; try softmax_stable
    copy_functions("softmax")
no function attention; try attention_with_softmax
    copy_functions("attention")
no function main; try -h
    copy_functions("main")
no function softmax_stabel; try softmax_stable
    copy_functions("softmax_stabel")
shape needs rows of equal length, got []
    shape([])
    transpose([])
    heatmap([])
    attention_with_softmax([], A, A)
    attention_online([], A, A)
shape needs rows of equal length, got [0]
    shape([[]])
shape needs rows of equal length, got [1, 9]
    shape([[1.0] * 9, [1.0]])
shape needs rows of equal length, got [3, 4]
    shape([[1.0] * 5, [1.0] * 4, [1.0] * 3])
dot needs lists of equal length, got 1 and 2
    dot([1.0], [1.0, 2.0])
matmul needs inner sizes that agree, got 2x3 and 2x3
    matmul(A, A)
matmul needs a finite product, got nan
    matmul([[inf, 1.0]], [[1.0], [-inf]])
    attention_with_softmax(A, A, [[1.0], [nan]])
    multi_head_attention([[1.0, 2.0]], A, A, A, [[nan], [1.0], [1.0]], 1)
    multi_head_attention([[1.0, nan]], A, A, A, [[1.0]] * 3, 1)
    attention_backward(A, A, A, [[1.0, 1.0, nan]] * 2)
matmul needs a finite product, got inf
    matmul([[1e200, 1.0]], [[1e200], [1.0]])
    attention_with_softmax(A, A, [[1.0], [inf]])
    attention_backward([[1e10]], [[0.0], [0.0]], [[1e308], [-1e308]], [[1.0]])
matmul needs a finite product, got -inf
    matmul([[-1e200, 1.0]], [[1e200], [1.0]])
    attention_with_softmax(A, A, [[1.0], [-inf]])
attention_scores needs Q and K of equal d, got 3 and 2
    attention_scores(A, B)
softmax_masked needs lists of equal length, got 2 and 1
    softmax_masked([1.0, 2.0], [T])
softmax_masked needs True or False, got 0.0
    softmax_masked([1.0, 2.0], [T, 0.0])
    softmax_masked([1.0, 2.0], [T, Float32(0)])
softmax_masked needs True or False, got 1.0
    softmax_masked([1.0, 2.0], [T, 1.0])
softmax_masked needs True or False, got -inf
    softmax_masked([1.0, 2.0], [T, -inf])
softmax_masked needs True or False, got 2
    softmax_masked([1.0, 2.0], [T, 2])
softmax_masked needs True or False, got -1
    softmax_masked([1.0, 2.0], [T, -1])
softmax_masked needs True or False, got None
    softmax_masked([1.0, 2.0], [T, None])
softmax_masked needs True or False, got no
    softmax_masked([1.0, 2.0], [T, "no"])
softmax_masked needs True or False, got 0
    softmax_masked([1.0, 2.0], [T, Decimal(0)])
softmax_masked needs True or False, got 1
    softmax_masked([1.0, 2.0], [T, Fraction(1)])
attention_shapes needs V as long as K, got 3 and 2
    attention_shapes(A, A, B)
    attention_with_softmax(A, A, B)
    attention_online(A, A, B)
attention_shapes needs Q and K of equal d, got 1 and 2
    attention_shapes([[1.0]], [[1.0, 2.0]], [[1.0]])
attention_shapes needs Q and K of equal d, got 3 and 2
    attention_with_softmax(A, B, B)
    attention_online(A, B, B)
attention_shapes needs a mask of 2x2, got 1x2
    attention_with_softmax(A, A, A, [[T, T]])
attention_shapes needs a mask of 2x2, got 2x1
    attention_with_softmax(A, A, A, [[T], [T]])
attention_shapes needs a mask of 2x2, got 3x2
    attention_online(A, A, A, [[T, T]] * 3)
attention_shapes needs True or False, got 0.0
    attention_with_softmax(A, A, A, [[T, T], [T, 0.0]])
    attention_online(A, A, A, [[T, T], [T, Float32(0)]])
attention_shapes needs True or False, got 1.0
    attention_with_softmax(A, A, A, [[1.0, 0.0], [1.0, 1.0]])
attention_shapes needs True or False, got -inf
    attention_online(A, A, A, [[T, T], [T, -inf]])
attention_shapes needs True or False, got 2
    attention_online(A, A, A, [[T, T], [T, 2]])
attention_shapes needs True or False, got None
    attention_online(A, A, A, [[T, T], [T, None]])
attention_shapes needs True or False, got 0
    attention_online(A, A, A, [[T, T], [T, Decimal(0)]])
attention_with_softmax needs finite S, got -inf
    attention_with_softmax([[1.0]], [[-inf], [0.0]], A)
    attention_with_softmax([[1.0, 1.0]], [[-M, -M], [-M, 0.0]], A)
attention_online needs finite S and output, got nan
    attention_online(A, A, [[1.0], [nan]])
    attention_online([[1.0]], [[nan], [0.0]], A)
attention_online needs finite S and output, got inf
    attention_online(A, A, [[1.0], [inf]])
    attention_online([[1.0]], [[inf], [0.0]], A)
attention_online needs finite S and output, got -inf
    attention_online([[1.0]], [[-inf], [0.0]], A)
attention_online needs block >= 1, got 0
    attention_online(A, A, A, None, 0)
heatmap needs 0 <= w <= 1, got -0.5
    heatmap([[0.5, -0.5]])
heatmap needs 0 <= w <= 1, got 1.5
    heatmap([[0.5, 1.5]])
heatmap needs 0 <= w <= 1, got nan
    heatmap([[0.5, nan]])
causal_mask needs sizes >= 1, got 0 and 2
    causal_mask(0, 2)
causal_mask needs sizes >= 1, got 2 and 0
    causal_mask(2, 0)
padding_mask needs sizes >= 1, got 0 and 2
    padding_mask(0, 2, 0)
padding_mask needs sizes >= 1, got 2 and 0
    padding_mask(2, 0, 0)
padding_mask needs 0 <= length <= 3, got -1
    padding_mask(2, 3, -1)
padding_mask needs 0 <= length <= 3, got 4
    padding_mask(2, 3, 4)
split_heads needs heads >= 1 that divide 3, got 0
    split_heads(A, 0)
    multi_head_attention(B, A, A, A, B, 0)
split_heads needs heads >= 1 that divide 3, got 2
    split_heads(A, 2)
split_heads needs heads >= 1 that divide 3, got -1
    split_heads(A, -1)
hide needs 3 columns, got 2
    hide(B, [[T, T]])
hide needs 3 columns, got 0
    hide(B, [])
merge_heads needs heads of equal shape, got []
    merge_heads([])
merge_heads needs heads of equal shape, got [(1, 1), (2, 3)]
    merge_heads([B, A, [[1.0]]])
multi_head_attention needs kv_heads >= 1 that divide 3, got 0
    multi_head_attention(B, A, A, A, B, 3, None, 0)
multi_head_attention needs kv_heads >= 1 that divide 3, got 2
    multi_head_attention(B, A, A, A, B, 3, None, 2)
multi_head_attention needs kv_heads >= 1 that divide 3, got -1
    multi_head_attention(B, A, A, A, B, 3, None, -1)
matmul needs inner sizes that agree, got 2x2 and 3x2
    attention_backward(A, A, A, [[1.0, 2.0]] * 2)
matmul needs inner sizes that agree, got 2x2 and 4x3
    attention_backward(A, A, A, A + A)
cross_entropy needs 0 <= target < 2, got -1
    cross_entropy([1.0, 2.0], -1)
cross_entropy needs 0 <= target < 2, got 2
    cross_entropy([1.0, 2.0], 2)
cross_entropy needs label_smoothing 0 to 1, got -1
    cross_entropy([1.0, 2.0], 0, -1)
cross_entropy needs label_smoothing 0 to 1, got 1.5
    cross_entropy([1.0, 2.0], 0, 1.5)
cross_entropy needs label_smoothing 0 to 1, got nan
    cross_entropy([1.0, 2.0], 0, nan)
cross_entropy needs gaps below 1.8e308, got inf
    cross_entropy([1e308, -1e308], 0, 0.1)
cross_entropy_backward needs 0 <= target < 2, got -1
    cross_entropy_backward([1.0, 2.0], -1)
cross_entropy_backward needs 0 <= target < 2, got 2
    cross_entropy_backward([1.0, 2.0], 2)
cross_entropy_backward needs label_smoothing 0 to 1, got -1
    cross_entropy_backward([1.0, 2.0], 0, -1)
cross_entropy_backward needs label_smoothing 0 to 1, got 1.5
    cross_entropy_backward([1.0, 2.0], 0, 1.5)
cross_entropy_backward needs label_smoothing 0 to 1, got nan
    cross_entropy_backward([1.0, 2.0], 0, nan)
gumbel_softmax needs 0 < u < 1, got 0.0
    gumbel_softmax([1.0], [0.0])
gumbel_softmax needs 0 < u < 1, got 1.0
    gumbel_softmax([1.0], [1.0])
gumbel_softmax needs 0 < u < 1, got nan
    gumbel_softmax([1.0], [nan])
gumbel_softmax needs lists of equal length, got 1 and 2
    gumbel_softmax([1.0], [0.5, 0.5])
needs numbers or T=1, got x; -h for help
    read_command(["2", "x"], "", T=1.0)
needs numbers, got y; -h for help
    read_command(["1", "y", "z"], "")
    read_command(["y", "T=z"], "")
needs numbers or T=1, got t=2; -h for help
    read_command(["t=2"], "", T=1.0)
needs numbers or T=1, got T=hot; -h for help
    read_command(["T=hot"], "", T=1.0)
needs numbers, got --short; -h for help
    read_command(["--short"], "")
"""


class Float32:
    """A number with a kind, as in NumPy and PyTorch; float32, unless told."""

    def __init__(self, value: float, dtype: str = "float32") -> None:
        self.value = value
        self.dtype = pathlib.PurePath(dtype)  # no string, but prints as one

    def __eq__(self, other: object) -> bool:
        return self.value == other

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return str(float(self.value))


NAMES: dict[str, Any] = {
    **FUNCTIONS, "inf": INF, "nan": NAN, "M": sys.float_info.max,
    "T": True, "F": False, "A": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    "B": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "Decimal": Decimal, "Fraction": Fraction, "Float32": Float32,
}
CASES = [
    (call, message)
    for message, *calls in (
        block.split("\n    ") for block in re.split(r"\n(?=\S)", BAD.strip()))
    for call in calls
]


@pytest.mark.parametrize("call, message", CASES)
def test_bad_input(call: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        eval(call, NAMES)
    assert str(caught.value) == message
    assert len(message) <= 63


def test_booleans_and_integers_of_arrays_are_a_mask() -> None:
    for dtype in ("bool", "torch.bool", "int64"):
        keep: Any = [Float32(1, dtype), Float32(0, dtype)]
        assert softmax_masked([1.0, 2.0], keep) == [1.0, 0.0]
        V = [[1.0], [2.0]]
        assert attention_online([[0.0]], V, V, [keep]) == [[1.0]]


def test_a_matrix_is_shown_the_way() -> None:
    for X in ([[1.0, 2.0], [3.0, 4.0]], Array([[1.0, 2.0], [3.0, 4.0]])):
        for call in ("softmax_stable(X)", "log_softmax(X)", "entmax(X)",
                     "cross_entropy(X, 0)", "softmax_top_k(X, 1)"):
            with pytest.raises(TypeError, match=r"\[f\(row\) for row in X\]"):
                eval(call, NAMES | {"X": X})
    for flat in ([1.0], [1.0, 2.0]):
        with pytest.raises(TypeError, match=r"list of rows.*got 1.0"):
            FUNCTIONS["shape"](flat)


ONE_LIST = [
    "hardmax", "softmax_stable", "softmax_jacobian", "logsumexp", "entropy",
    "softmax_online", "log_softmax", "sparsemax", "entmax", "bar_chart",
    "shape", "transpose", "heatmap",
]


@pytest.mark.parametrize("name", ONE_LIST)
def test_what_is_no_list_is_a_type_error(name: str) -> None:
    for wrong in (None, 0.0, map(float, ["1"]), (v for v in [1.0])):
        with pytest.raises(TypeError):
            FUNCTIONS[name](wrong)


@pytest.mark.parametrize("call", """
softmax_stable(["1", "2"])
cross_entropy([1.0, 2.0], 0.5)
softmax_top_k([1.0, 2.0], 1.5)
softmax_with_temperature(map(float, "12"), 1.0)
softmax_masked(map(float, "12"), [T, T])
softmax_backward(map(float, "01"), [1.0, 2.0])
sparsemax_backward([0.0, 1.0], map(float, "12"))
softmax_top_p(map(float, "12"), 0.5)
gumbel_softmax(map(float, "12"), [0.5, 0.5])
sample(map(float, "01"), 0.5)
dot(map(float, "12"), [1.0, 2.0])
matmul(map(list, "12"), A)
attention_with_softmax(map(list, "12"), A, A)
merge_heads(map(list, [A]))
padding_mask(1, 3, 1.5)
""".split("\n")[1:-1])
def test_where_python_raises_by_itself(call: str) -> None:
    with pytest.raises(TypeError):
        eval(call, NAMES)


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
def test_copied_function_runs_its_examples_alone(name: str) -> None:
    page = types.ModuleType("homework")
    page.__file__ = softmax_ref.__file__  # copy_functions reads the files
    code = copy_functions(name)
    exec(code, vars(page))
    wanted = [n for n in FUNCTIONS if n in (*needs(name), name)]
    assert re.findall(r"(?m)^def (\w+)", code) == wanted
    assert code.startswith("import math\n\n\n" if "math" in needs(name)
                           else "def ")
    assert examples_of(name, vars(page)) > 0


def test_copies_are_typed_and_short_ones_do_the_same(
    tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("mypy")
    for name in FUNCTIONS:
        for short in (False, True):
            file = tmp_path / f"{name}_{short}.py"
            code = copy_functions(name, short=short)
            file.write_text(code + "\n", encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null",
         *map(str, tmp_path.glob("*.py"))], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_short_copy_keeps_the_opening_and_the_formula() -> None:
    assert copy_functions("dot", short=True) == '''\
def dot(a: list[float], b: list[float]) -> float:
    """点积：对应的数相乘再相加，用来衡量相似度。
    The dot product: multiply in pairs and add up; a measure of similarity.

        a · b = Σ_i a_i b_i
    """
''' + copy_functions("dot").split('"""\n')[1]
    online = copy_functions("attention_online", short=True)
    assert "o' = o (s exp(m - m') / s') + Σ_j (e_j / s') V_j\n" in online
    assert ">>>" not in online and "Needs" not in online
    assert copy_functions("shape") == inspect.getsource(shape).rstrip()
    both = copy_functions("transpose", "shape", "transpose", short=True)
    assert both == copy_functions("transpose", short=True)


def test_formulas_import_nothing_but_math() -> None:
    """Only what runs and copies asks the standard library for more."""
    for module in MODULES:
        tree = ast.parse(SOURCES[module.__name__ + ".py"])
        for node in tree.body:
            imports = {alias.name for part in ast.walk(node)
                       if isinstance(part, ast.Import) for alias in part.names}
            if isinstance(node, ast.ImportFrom):
                assert node.module == "softmax_ref" != module.__name__
            elif getattr(node, "name", "") in ("main", "copy_functions",
                                               "read_command", "show"):
                assert imports <= {"difflib", "random", "sys"}
            else:
                assert imports <= {"math"}


def test_functions_use_only_what_stands_above_them() -> None:
    order = list(FUNCTIONS)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in FUNCTIONS:
                assert order.index(node.id) < order.index(name)


def test_every_function_is_in_the_map_of_the_readme() -> None:
    for name in FUNCTIONS:
        assert f"`{name}`" in README.split("## 地图")[1], name


def columns(line: str, wide: str = "WF") -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in wide) for c in line)


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


FACTS = re.compile("|".join([
    r"\d[\d.]*(?<!\.)",        # numbers
    r"[ΣΠ√δετα=∞]",            # symbols
    r"\w+_\w+", r"\w+\(",      # names, calls
    r"\b[B-HJ-Z]\b",           # matrices; A and I are English words too
    r"(?<!')\b[b-hj-z]\b",     # vectors; so is a, and 's is no vector
    r"-?\binf\b", r"\bnan\b",
]), re.ASCII)


def facts(text: str) -> set[str]:
    """What both languages must share; titles in ** ** of the README aside."""
    return set(FACTS.findall(re.sub(r"\*\*.*?\*\*", "", text)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_languages_say_the_same(name: str) -> None:
    for chinese, english in pairs(FUNCTIONS[name].__doc__ or ""):
        assert facts(chinese) == facts(english), (chinese, english)
        for word in re.findall(r"[A-Za-z][A-Za-z0-9_]*", chinese):
            assert word.lower() in english.lower(), (word, english)


def test_module_heads_say_the_same_in_both_languages() -> None:
    for module in MODULES:
        _, text = (module.__doc__ or "").split("\n", 1)
        for chinese, english in pairs(text):
            assert facts(chinese) == facts(english), (chinese, english)


def prose_of_readme() -> list[str]:
    """The lines outside of code, tables, headings and folds."""
    text = re.sub(r"(?s)```.*?```", "", README)
    return [line for line in text.splitlines()
            if line and line[0] not in "#|<"]


def test_both_languages_of_the_readme_say_the_same() -> None:
    lines = prose_of_readme()
    for chinese, english in zip(lines, lines[1:]):
        if HAN.search(chinese):
            assert not HAN.search(english), english
            assert facts(chinese) == facts(english), (chinese, english)


def test_each_language_of_a_bullet_starts_its_own_line() -> None:
    lines = re.sub(r"(?s)```.*?```", "", README).splitlines()
    for line, below in zip(lines, lines[1:]):
        if below.startswith("  ") and not line.startswith("    "):
            assert line.endswith("\\"), line


def test_titles_of_misconceptions_say_so() -> None:
    section = README.split("## 常见误解")[1].split("</details>")[0]
    titles = re.findall(r"\*\*\d+ (.*?)\*\*", section)
    assert len(titles) == 56
    for chinese, english in zip(titles[::2], titles[1::2]):
        assert chinese.startswith("误以为") and english.startswith("Myth: ")


def test_calls_of_the_readme_work_as_they_stand() -> None:
    """Those of the table "I want", after its examples have been typed in."""
    start, rest = README.split("| 我想要<br>I want |")
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(start):
        exec(example.source, names)
    calls = [call for row in rest.split("\n\n")[0].splitlines()
             for call in re.findall(r"`(.*?)`", row)]
    assert len(calls) > 25
    for call in calls:
        assert eval(call, names) is not None, call


def test_homework_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks without a prompt, below what the commands above them copy."""
    commands = re.findall(r"(?m)^python3 softmax_ref.py (.*) > hw", README)
    code = [copy_functions(*re.findall(r"(?<!-)\b[a-z]\w+", command))
            for command in commands]
    blocks = [block for block in re.findall(r"(?s)```python\n(.*?)```", README)
              if ">>>" not in block]
    assert (len(code), len(blocks)) == (3, 2)
    for page, block in zip(code[1:], blocks):
        exec(page + "\n" + block, {})
    assert len(capsys.readouterr().out.splitlines()) == 4


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


def run(script: str, *arguments: str, encoding: str = "utf-8",
        folder: pathlib.Path = HERE) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", folder / script, *arguments],
        capture_output=True, env=environment)


WALK = """
4.1  What softmax is -----------------------------------------------------
scores; hardmax keeps only the highest
       score   hardmax   softmax
           1         0   0.0900 █
           2         0   0.2447 ████
           3         1   0.6652 ███████████
4.2  The computation -----------------------------------------------------
           x        x - m      exp   p
           1           -2   0.1353   0.0900 █
           2           -1   0.3679   0.2447 ████
           3            0   1.0000   0.6652 ███████████
         sum                1.5032   1.0000
4.2  Overflow and underflow ----------------------------------------------
scores      softmax_naive                     softmax_stable
x           0.0900  0.2447  0.6652            0.0900  0.2447  0.6652
x + 1000    OverflowError                     0.0900  0.2447  0.6652
x - 1000    ZeroDivisionError                 0.0900  0.2447  0.6652
4.3  Saturation ("extremization" in the chapter) -------------------------
scores                 softmax                       largest p (1 - p)
[1.0, 1.0, 1.0]       0.333333  0.333333  0.333333            0.222222
[1.0, 2.0, 3.0]       0.090031  0.244728  0.665241            0.222695
[1.0, 5.0, 10.0]      0.000123  0.006692  0.993185            0.006768
[1.0, 50.0, 100.0]     1.0e-43   1.9e-22         1             1.9e-22
[1.0, 500.0, 1000.0]         0  7.1e-218         1            7.1e-218
4.4  Temperature ---------------------------------------------------------
     T  entropy perplexity  softmax(x / T)   ░ 1 ▒ 2 █ 3
   0.1   0.0005     1.0005 2.1e-09 4.5e-05  1.0000 ██████████
   0.5   0.4411     1.5543  0.0159  0.1173  0.8668 ▒█████████
     1   0.8324     2.2988  0.0900  0.2447  0.6652 ░▒▒███████
     2   1.0202     2.7737  0.1863  0.3072  0.5065 ░░▒▒▒█████
     5   1.0854     2.9607  0.2693  0.3289  0.4018 ░░░▒▒▒████
    10   1.0953     2.9900  0.3006  0.3322  0.3672 ░░░▒▒▒████
4.5  Scaled dot-product attention ----------------------------------------
         Q           K           V
row 0    1 0 1 0     1 0 1 0     10
row 1    0 1 0 0     0 1 0 1     20
row 2                1 1 0 0     30
         Q K^T   / sqrt(4)     weights, by softmax       output
query 0  2 0 1   1.0 0.0 0.5    0.5065  0.1863  0.3072   18.0072
query 1  0 1 1   0.0 0.5 0.5    0.2327  0.3837  0.3837   21.5096
4.5  Why divide by the square root of d ----------------------------------
    d  spread   weight   p (1 - p)   / sqrt(d): spread   weight   p (1 - p)
    4    2.33     0.52      0.2168                 1.17     0.35      0.2129
   16    4.28     0.77      0.1369                 1.07     0.38      0.2186
   64    8.24     0.86      0.0900                 1.03     0.36      0.2145
  256   15.84     0.95      0.0359                 0.99     0.35      0.2151
 1024   31.68     0.95      0.0307                 0.99     0.35      0.2177
4.5  Causal mask ---------------------------------------------------------
         X        no mask              causal mask          picture
token 0  1 0 2 0  0.67 0.15 0.09 0.09  1.00   .    .    .   |██      |
token 1  0 1 1 0  0.34 0.34 0.20 0.12  0.50 0.50   .    .   |▒▒▒▒    |
token 2  1 1 0 2  0.06 0.06 0.72 0.16  0.07 0.07 0.86   .   |░░░░██  |
token 3  1 0 0 1  0.17 0.10 0.46 0.28  0.17 0.10 0.46 0.28  |░░░░▒▒▒▒|
picture: ░░ up to 0.25   ▒▒ up to 0.5   ▓▓ up to 0.75   ██ up to 1
4.6  Sparse variants -----------------------------------------------------
alpha        x from the highest:  █ 1.2 ▓ 1 ▒ 0.5 ░ 0
  1.0  softmax     0.3822  0.3129  0.1898  0.1151   ████▓▓▓▒▒░
 1.25              0.4327  0.3355  0.1637  0.0682   ████▓▓▓▓▒░
  1.5  1.5-entmax  0.4970  0.3660  0.1260  0.0110   █████▓▓▓▓▒
 1.75              0.5540  0.3886  0.0573       0   ██████▓▓▓▒
  2.0  sparsemax   0.6000  0.4000       0       0   ██████▓▓▓▓
4.6  Logs and truncation -------------------------------------------------
           x  log_softmax   softmax    total     top-p     top-k   hardmax
         1.2     -0.96184    0.3822    0.3822    0.4319    0.5498         1
           1      -1.1618    0.3129    0.6951    0.3536    0.4502         0
         0.5      -1.6618    0.1898    0.8849    0.2145         0         0
           0      -2.1618    0.1151         1         0         0         0
"""


def test_what_the_walk_shows() -> None:
    shown = [line for module in MODULES for line in
             run(module.__name__ + ".py").stdout.decode().splitlines()]
    numbers = [line for line in shown if line and line in WALK.splitlines()]
    assert numbers == WALK.strip("\n").splitlines()


@pytest.mark.parametrize("script", [m.__name__ + ".py" for m in MODULES])
def test_walk_on_consoles_of_any_encoding(script: str) -> None:
    whole = run(script).stdout.decode("utf-8").splitlines()
    for encoding in ("gbk", "cp1252", "ascii"):
        result = run(script, encoding=encoding)
        assert (result.returncode, result.stderr) == (0, b"")
        lines = result.stdout.decode(encoding).splitlines()
        chinese = sum(1 for line in whole if HAN.search(line))
        assert len(lines) == len(whole) - (0 if encoding == "gbk" else chinese)


@pytest.mark.parametrize("command", [
    "softmax_ref.py", "softmax_ref.py 2 1 0.1 T=0.5",
    "softmax_ref.py -1.23456e-10 1e300 -0 7 T=123456",
    "attention_ref.py", "attention_ref.py d=100",
    "variants_ref.py", "variants_ref.py 3 1 0.2 k=1 top_p=0.9",
    "softmax_ref.py -h", "attention_ref.py -h", "variants_ref.py -h",
])
def test_screens_fit_also_where_blocks_are_two_columns_wide(
    command: str
) -> None:
    result = run(*command.split())
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode()
    assert max(columns(line, "WFA") for line in text.splitlines()) <= 79
    for screen in re.split(r"\n\n(?=4\.)", text):
        assert len(screen.strip("\n").splitlines()) <= 14, screen


def test_own_numbers() -> None:
    for words in ("2 -1 0.1", "2,-1,0.1", "[2, -1, 0.1]", "2 ， -1 ， 0.1"):
        for script in ("softmax_ref.py", "variants_ref.py"):
            result = run(script, *words.split(" "))
            assert result.returncode == 0 and b"0.8338" in result.stdout
    warm = run("softmax_ref.py", "2", "1", "T", "=", "4").stdout.decode()
    assert "     4<  0.6854     1.9846  0.5622  0.4378 ██████░░░░" in warm
    assert "x * 50" in warm and "[1.0, 5.0" not in warm
    assert "-0 " not in run("softmax_ref.py", "-0", "0").stdout.decode()
    cut = run("variants_ref.py", "3", "1", "k=1", "top_p=0.95").stdout.decode()
    assert "reaches 0.95; top-k keeps 1, hardmax" in cut
    assert "\n  100   " in run("attention_ref.py", "d=100").stdout.decode()
    run_1e308 = run("softmax_ref.py", "1e308", "-1e308")
    assert run_1e308.returncode == 0


@pytest.mark.parametrize("command", [
    "softmax_ref.py 2 x", "softmax_ref.py nan", "softmax_ref.py T=0",
    "softmax_ref.py t=1", "softmax_ref.py softmax_stabel",
    "variants_ref.py inf", "variants_ref.py 1 2 k=0",
    "variants_ref.py 1 2 k=1.5",
    "variants_ref.py top_p=2", "attention_ref.py 2", "attention_ref.py d=0",
    "attention_ref.py d=1.5", "attention_ref.py --short",
    "attention_ref.py d=inf", "attention_ref.py d=nan",
    "variants_ref.py k=inf", "variants_ref.py k=nan", "softmax_ref.py T=nan",
])
def test_a_wrong_argument_gets_one_line(command: str) -> None:
    script, *words = command.split()
    result = run(script, *words)
    assert (result.returncode, result.stdout) == (2, b"")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(script.encode() + b": ")


def test_main_as_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    for module in MODULES:
        assert module.main([]) == module.main(["-h"]) == 0
        assert module.main(["--help"]) == 0
        assert "\n4." in capsys.readouterr().out
        assert module.main(["1", "x"]) == 2


def test_names_on_the_command_line_copy(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "一个 folder with softmax_ref.py in it"
    folder.mkdir()
    for file in SOURCES:
        (folder / file).write_text(SOURCES[file], encoding="utf-8")
    names = ["multi_head_attention", "causal_mask", "cross_entropy"]
    want = copy_functions(*names) + "\n"
    for script in ("softmax_ref.py", "attention_ref.py", "variants_ref.py"):
        for encoding in ("utf-8", "gbk", "ascii"):
            result = run(script, *names, encoding=encoding, folder=folder)
            assert result.stdout.decode("utf-8").splitlines() == (
                want.splitlines())
    short = run("softmax_ref.py", "--short", "dot", folder=folder)
    assert short.stdout.decode() == copy_functions("dot", short=True) + "\n"
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "softmax_ref.py").write_text(
        SOURCES["softmax_ref.py"], encoding="utf-8")
    assert run("softmax_ref.py", "entropy", folder=alone).returncode == 0
    homework = tmp_path / "homework.py"
    homework.write_text(want, encoding="utf-8")
    examples = subprocess.run(
        [sys.executable, "-B", "-m", "doctest", homework], capture_output=True)
    assert (examples.returncode, examples.stdout) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_closed_output_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for script in ("softmax_ref.py", "attention_ref.py", "variants_ref.py"):
        for words in ("", "multi_head_attention cross_entropy"):
            command = f"'{sys.executable}' -B {script} {words}"
            closed = subprocess.run(
                command + " >&-", shell=True, cwd=HERE, capture_output=True)
            reader, writer = os.pipe()
            os.close(reader)  # as head does
            piped = subprocess.run(
                command, shell=True, cwd=HERE, stdout=writer,
                stderr=subprocess.PIPE)
            os.close(writer)
            for result in (closed, piped):
                assert (result.returncode, result.stderr) == (0, b"")


def test_show_writes_errors_to_the_standard_error(
    capsys: pytest.CaptureFixture[str]
) -> None:
    assert show("wrong", 2) == 2
    assert show("right") == 0
    assert capsys.readouterr() == ("right\n", "wrong\n")
