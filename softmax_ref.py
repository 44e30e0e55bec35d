"""softmax：从分数到概率 | Softmax: from scores to probabilities

是哪一类，下一个词是什么，注意力该看哪里：模型给出的是分数，要用的却是概率。
softmax 把任意一组分数变成概率：分数越高，概率越大；领先越多，概率也高出越多。
Which class, which next word, where attention should look: a model gives
scores, but what we need are probabilities. Softmax turns any scores into
probabilities: the higher a score, the larger its probability, and the further
ahead, the larger its share.

这是第 4 章 4.1 到 4.4 节，从上往下读；每个例子都由测试实际运行。
These are sections 4.1 to 4.4 of chapter 4, to be read from the top; the tests
run every example.

    x             n 个分数（logits），-inf 表示不参与
                  n scores (logits); -inf means left out
    m = max(x)    最大的分数 | the largest score
    p             概率分布：各项非负，和为 1
                  a distribution: non-negative entries that sum to 1
    T             温度 | temperature
    [i = j]       成立时为 1，否则为 0 | 1 where it holds, else 0
    log           自然对数 | the natural logarithm
    nan           非数字，例如 inf - inf | not a number, such as inf - inf
"""

import math


# 4.1 softmax 是什么 | What softmax is ---------------------------------------

def softmax_naive(x: list[float]) -> list[float]:
    """softmax 把任意一组分数变成概率；这里照公式直接写。
    Softmax turns any scores into probabilities; straight from the formula.

        softmax(x)_i = exp(x_i) / Σ_j exp(x_j)

    exp 把每个分数变成正数，再除以总和，就得到和为 1 的概率：
    exp makes every score positive; divided by the total, these become
    probabilities, which sum to 1:

    >>> [round(p_i, 4) for p_i in softmax_naive([1.0, 2.0, 3.0])]
    [0.09, 0.2447, 0.6652]

    为什么用 exp（底数 > 1 就行，见 softmax_stable）？直接除以总和，会有负数
    （左边，总和 2）；取平方不分正负，最低的 -2 反而得 0.8（右边，总和 5）：
    Why exp (any base > 1, see softmax_stable)? Scores over their sum can be
    negative (left, sum 2); squares ignore signs: -2 gets 0.8 (right, sum 5):

    >>> [s / 2 for s in [-1, 1, 2]], [s * s / 5 for s in [-2, 0, 1]]
    ([-0.5, 0.5, 1.0], [0.8, 0.0, 0.2])

    分数超过约 709.78，exp 就上溢（超出浮点数的范围）；全都很低时则下溢（成了
    0）：先是悄悄算错（第一项应为 0.8808），再低，就成了 0 除以 0：
    Above about 709.78 exp overflows (leaves the range of floats); where all
    scores are very low it underflows (to 0): first the answer is silently
    wrong (the first entry should be 0.8808), and lower still it is 0 / 0:

    >>> softmax_naive([1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    OverflowError
    >>> softmax_naive([-744.0, -746.0])
    [1.0, 0.0]

    - 来源 Source: Blanchard, Higham & Higham 2021, Eq. (1.2)
    - 等价 Same as: numpy.exp(x) / numpy.exp(x).sum()
    - 需要 Needs: math
    """
    e = [math.exp(x_i) for x_i in x]
    total = sum(e)
    return [e_i / total for e_i in e]


def hardmax(x: list[float]) -> list[float]:
    """硬最大值（hardmax）：最大的分数得 1，其余得 0，这样的向量叫 one-hot。
    Hard max: 1 for the largest score, 0 for the rest; such a vector
    is called one-hot.

        hardmax(x)_i = [i = argmax x]

    它只说谁最大，不说大多少；并列时取第一个。训练靠梯度，也就是参数稍微一动，
    损失（预测有多差）变多少；而分数稍微一动，softmax 会变，hardmax 却不变，
    梯度几乎处处为 0，训练就不知道该往哪边调：
    It tells which is largest, not by how much; ties go to the first. Training
    is guided by the gradient: how much the loss (how bad the predictions are)
    changes as a parameter changes slightly. When scores change slightly,
    softmax changes, but hardmax does not: its gradient is 0 almost everywhere
    and gives no direction:

    >>> hardmax([1.0, 2.0, 3.0]), hardmax([1.0, 2.5, 3.0])
    ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0])

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §6.2.2.3
    - 等价 Same as: onnx Hardmax(axis=-1)
    - 需要 Needs: math
    """
    if any(map(math.isnan, x)):
        raise ValueError("hardmax needs scores without nan")

    best = x.index(max(x))
    return [1.0 if i == best else 0.0 for i in range(len(x))]


# 4.2 计算过程，4.3 饱和 | The computation, saturation -----------------------

def softmax_stable(x: list[float]) -> list[float]:
    """稳定的 softmax：先减去最大值，再取指数。
    Stable softmax: subtract the maximum, then exponentiate.

        softmax(x)_i = exp(x_i - m) / Σ_j exp(x_j - m),    m = max(x)

    分数没有固有的零点，只有差距算数：减去 m，就是分子、分母同除以 exp(m)，
    概率不变。换成别的函数，要各分数加 c 而 f(x_i) / f(x_j) 不变，
    f(t + c) / f(t) 对所有 t 都要相同，即 f(c) / f(0)；递增的正函数里，只有 b^t
    和它的倍数这样把加变成乘：
    Scores have no zero of their own, only gaps count: subtracting m divides
    numerator and denominator by exp(m) and changes no probability. For
    f(x_i) / f(x_j) to survive adding c to every score, f(t + c) / f(t) must be
    the same for all t, namely f(c) / f(0). Of increasing positive functions
    only b^t and its multiples turn adding into multiplying this way:

    >>> softmax_stable([1000.0, 1001.0]) == softmax_stable([0.0, 1.0])
    True

    最大的一项是 exp(0) = 1，不会上溢；总和至少是 1，不会 0 除以 0。最高分领先
    很多时，softmax 饱和（本章称“极端化”）：最高分的概率接近 1，其余接近 0，
    甚至下溢成 0：
    The largest term is exp(0) = 1, so none overflows; the total is at least 1,
    so there is no 0 / 0. If the highest score is far ahead, softmax saturates
    ("extremization" in the chapter): that score gets almost 1, the others
    almost 0 or, by underflow, 0:

    >>> softmax_stable([1000.0, 1.0, -math.inf])
    [1.0, 0.0, 0.0]

    - 来源 Source: Blanchard, Higham & Higham 2021, §4
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    m = max(x)
    e = [math.exp(x_i - m) for x_i in x]
    total = math.fsum(e)  # 精确相加，只舍入一次 | exact, rounded once
    if not total >= 1.0:  # 有 nan 或 inf，或全是 -inf | nan, inf, or all -inf
        raise ValueError("softmax_stable needs a finite maximum and no nan")
    return [e_i / total for e_i in e]


# 4.4 温度 | Temperature -----------------------------------------------------

def softmax_with_temperature(
    x: list[float], temperature: float
) -> list[float]:
    """带温度的 softmax：T 低则尖锐，T 高则平坦。
    Softmax with temperature: a low T makes it sharp, a high T flat.

        softmax(x / T)_i = exp((x_i - m) / T) / Σ_j exp((x_j - m) / T)

    除以 T 就是缩放差距：T = 0.1 放大到 10 倍，T = 10 缩小到 1/10；换底数也只是
    换 T：2^x 就是 T = 1 / log(2)。“温度”一词来自物理：越热越均匀：
    Dividing by T scales the gaps: T = 0.1 makes them 10 times as large, T = 10
    a tenth; another base is just another T: 2^x is T = 1 / log(2). The word is
    from physics: the hotter, the more even:

    >>> for T in [0.1, 1.0, 10.0]:
    ...     p = softmax_with_temperature([1.0, 2.0, 3.0], T)
    ...     print([round(p_i, 4) for p_i in p])
    [0.0, 0.0, 1.0]
    [0.09, 0.2447, 0.6652]
    [0.3006, 0.3322, 0.3672]

    T 趋于 0 时，唯一的最大值得到全部概率，就像 hardmax；最大值并列时则平分。
    先减 m 再除以 T，T 再小，最大的一项也还是 exp(0) = 1：
    As T approaches 0, a single maximum gets all the probability, as in
    hardmax; ties share it. As m is subtracted before dividing, the largest
    term is still exp(0) = 1 even for a tiny T:

    >>> softmax_with_temperature([1.0, 3.0, 3.0], 1e-308)
    [0.0, 0.5, 0.5]

    - 来源 Source: Hinton, Vinyals & Dean 2015, §2, Eq. (1)
    - 等价 Same as: torch.softmax(x / T, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not temperature > 0.0:
        raise ValueError("softmax_with_temperature needs T > 0 (0: hardmax)")

    m = max(x)
    return softmax_stable([(x_i - m) / temperature for x_i in x])


def entropy(p: list[float]) -> float:
    """熵衡量 p 有多平坦，单位是 nat（取自然对数）：从 0 到 log(n)。
    Entropy measures how flat p is, in nats (natural logs): from 0 to log(n).

        entropy(p) = -Σ_i p_i log(p_i),    0 log(0) = 0

    exp(entropy) 叫困惑度：p 的不确定程度，相当于等可能地在这么多个
    选项里挑一个：
    exp(entropy) is the perplexity: p is as uncertain as an even choice among
    that many options:

    >>> round(math.exp(entropy([0.25, 0.25, 0.25, 0.25])), 9)
    4.0
    >>> entropy([0.0, 1.0, 0.0])
    0.0

    p 必须是概率分布，分数要先经过 softmax：
    p has to hold probabilities; scores go through softmax first:

    >>> entropy([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    ValueError: entropy needs p >= 0 with a sum of 1

    - 来源 Source: Goodfellow, Bengio & Courville 2016
    - 等价 Same as: scipy.stats.entropy(p)
    - 需要 Needs: math
    """
    if min(p) < 0.0 or not abs(math.fsum(p) - 1.0) <= 1e-6:
        raise ValueError("entropy needs p >= 0 with a sum of 1")

    return max(0.0, -math.fsum(p_i * math.log(p_i) for p_i in p if p_i > 0.0))


# 本章之外：对数与梯度 | Beyond the chapter: logs and gradients ---------------

def logsumexp(x: list[float]) -> float:
    """指数和的对数：max 的平滑版本，最多比 max 大 log(n)。
    The log of the sum of exponentials: a smooth max, at most log(n) above it.

        logsumexp(x) = log(Σ_i exp(x_i)) = m + log1p(Σ_i exp(x_i - m) - 1)

    损失和梯度都由它推出：log softmax(x)_i = x_i - logsumexp(x)，而 logsumexp
    对 x_j 的导数是 exp(x_j) / Σ_i exp(x_i)，恰好是 softmax。用差商（输入动
    一点，输出变多少）检验：
    Losses and gradients are derived from it:
    log softmax(x)_i = x_i - logsumexp(x), and logsumexp has the derivative
    exp(x_j) / Σ_i exp(x_i) with respect to x_j, which is softmax. Checked by a
    difference quotient (move an input a little, see the output change):

    >>> h = 1e-5
    >>> rise = logsumexp([1.0, 2.0, 3.0 + h]) - logsumexp([1.0, 2.0, 3.0 - h])
    >>> e = [math.exp(x_i) for x_i in [1.0, 2.0, 3.0]]
    >>> round(rise / (2 * h), 4), round(e[2] / sum(e), 4)
    (0.6652, 0.6652)

    减去的 1 就是最大的一项 exp(0)。log1p(y) 就是 log(1 + y)，但很小的 y 不会先
    被 1 + y 舍入掉：
    The 1 subtracted is the largest term, exp(0). log1p(y) is log(1 + y), but a
    tiny y is not first rounded away in 1 + y:

    >>> f"{logsumexp([0.0, -40.0]):.3e}", math.log(1.0 + math.exp(-40.0))
    ('4.248e-18', 0.0)

    - 来源 Source: Blanchard, Higham & Higham 2021, Algorithm 4.1
    - 等价 Same as: scipy.special.logsumexp(x); torch.logsumexp(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        return -math.inf

    m = max(x)
    # x_i == m：inf - inf 会是 nan | where x_i == m: inf - inf would be nan
    e = [1.0 if x_i == m else math.exp(x_i - m) for x_i in x]
    others = math.fsum(e + [-1.0])
    if math.isnan(others):
        raise ValueError("logsumexp needs scores without nan")
    return m + math.log1p(others)


def softmax_jacobian(x: list[float]) -> list[list[float]]:
    """雅可比矩阵：分数 j 变一点，概率 i 变多少。
    The Jacobian: how much probability i changes with score j.

        J_ij = ∂p_i / ∂x_j = p_i (δ_ij - p_j),    δ_ij = [i = j]

    推导：log p_i = x_i - logsumexp(x)，而 logsumexp 对 x_j 的导数是 p_j，
    所以 ∂log p_i / ∂x_j = δ_ij - p_j；又因为
    ∂p_i / ∂x_j = p_i ∂log p_i / ∂x_j，就得到 J：
    Derivation: log p_i = x_i - logsumexp(x), and logsumexp has the derivative
    p_j with respect to x_j, so ∂log p_i / ∂x_j = δ_ij - p_j; and as
    ∂p_i / ∂x_j = p_i ∂log p_i / ∂x_j, this gives J:

    >>> for row in softmax_jacobian([1.0, 2.0, 3.0]):
    ...     print([round(J_ij, 4) for J_ij in row])
    [0.0819, -0.022, -0.0599]
    [-0.022, 0.1848, -0.1628]
    [-0.0599, -0.1628, 0.2227]

    对角线上是 p_i (1 - p_i)；一个分数上升，别的概率就下降，所以对角线以外为
    负。最高分领先很多时，J 的各项都接近 0：饱和的 softmax 几乎不传梯度（例外见
    variants_ref 的 `cross_entropy_backward`）。J 中最大的一项：
    The diagonal is p_i (1 - p_i); as one score rises, the other
    probabilities fall, hence the negative entries. With the highest score
    far ahead all of J is close to 0: a saturated softmax passes hardly any
    gradient (for an exception see `cross_entropy_backward` in variants_ref).
    The largest entry of J:

    >>> for x in [1.0, 0.0, -1.0], [8.0, 0.0, -8.0], [64.0, 0.0, -64.0]:
    ...     print(f"{max(map(max, softmax_jacobian(x))):.0e}")
    2e-01
    3e-04
    2e-28

    - 来源 Source: Martins & Astudillo 2016, Eq. (8)
    - 等价 Same as: jax.jacobian(jax.nn.softmax)(x)
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    return [
        [p_i * ((i == j) - p_j) for j, p_j in enumerate(p)]
        for i, p_i in enumerate(p)
    ]


def softmax_backward(p: list[float], grad_p: list[float]) -> list[float]:
    """反向传播：已知损失对 p 的梯度，求损失对 x 的梯度。
    Backward pass: from the gradient of a loss with respect to p to that
    with respect to x.

        grad_x_i = p_i (grad_p_i - Σ_j p_j grad_p_j)

    这就是（对称的）雅可比矩阵乘 grad_p（链式法则），但不必构造矩阵，运算量只有
    O(n)。p_i 乘的是 grad_p_i 高出平均值（按 p 加权）的部分，所以 grad_p 各项
    相等时，梯度为 0：
    It is the Jacobian, which is symmetric, times grad_p (the chain rule), in
    O(n) and without the matrix. p_i is multiplied by how far grad_p_i lies
    above the mean (weighted by p), so equal grad_p_i give gradient 0:

    >>> softmax_backward([0.5, 0.5], [1.0, 0.0])
    [0.25, -0.25]
    >>> softmax_backward([0.25, 0.75], [8.0, 8.0])
    [0.0, 0.0]

    - 来源 Source: Martins & Astudillo 2016, Eq. (13)
    - 等价 Same as: jax.vjp(jax.nn.softmax, x)[1](grad_p)
    - 需要 Needs: math
    """
    total = math.fsum(p)
    mean = math.fsum(p_i * g_i for p_i, g_i in zip(p, grad_p, strict=True))
    # 和为 0：注意力中全被屏蔽的一行 | 0: in attention, a fully masked row
    if min(abs(total - 1.0), abs(total)) > 1e-6 or not math.isfinite(mean):
        raise ValueError("softmax_backward needs sum(p) = 1, finite gradients")
    # 乘开再减，很大的梯度也不会上溢 | multiplied out, so as not to overflow
    return [p_i * g_i - p_i * mean for p_i, g_i in zip(p, grad_p)]


# 画出来看 | Pictures ---------------------------------------------------------

def bar_chart(p: list[float], width: int = 30) -> str:
    """把概率画成横条，一行一个；概率 1 的横条有 width 格。
    Probabilities as bars, one per line; the bar for 1 has width blocks.

    >>> print(bar_chart([0.25, 0.75, 0.0], width=8))
    0.2500 ██
    0.7500 ██████
    0.0000

    - 需要 Needs: 无 nothing
    """
    bars = ["█" * int(p_i * width + 0.5) for p_i in p]
    return "\n".join(f"{p_i:.4f} {bar}".rstrip() for p_i, bar in zip(p, bars))


def softmax_steps(x: list[float], temperature: float = 1.0) -> str:
    """像手算那样列成表：减去最大值 m，除以 T，取指数，除以总和。
    A table, as if by hand: subtract the maximum m, divide by T, exponentiate,
    divide by the sum.

    >>> print(softmax_steps([1.0, 2.0, 3.0]))
             x  (x - m) / T      exp   p
             1           -2   0.1353   0.0900 █
             2           -1   0.3679   0.2447 ████
             3            0   1.0000   0.6652 ███████████
           sum                1.5032

    - 需要 Needs: math, softmax_stable, softmax_with_temperature, bar_chart
    """
    p = softmax_with_temperature(x, temperature)
    m = max(x)
    gaps = [(x_i - m) / temperature for x_i in x]
    e = [math.exp(gap) for gap in gaps]
    bars = bar_chart(p, width=16).split("\n")
    lines = [f"{'x':>10}  (x - m) / T      exp   p"]
    for x_i, gap, e_i, bar in zip(x, gaps, e, bars):
        lines.append(f"{x_i:10g} {gap:12g} {e_i:8.4f}   {bar}")
    lines.append(f"{'sum':>10} {sum(e):21.4f}")
    return "\n".join(lines)


def main() -> None:
    """走一遍 4.1 到 4.4 节 | Walk through sections 4.1 to 4.4."""
    import sys
    if hasattr(sys.stdout, "reconfigure"):  # 无法编码的换成 ? | unprintable: ?
        sys.stdout.reconfigure(errors="replace")

    x = [1.0, 2.0, 3.0]
    print(f"""\
4.1  减去最大值 m，除以温度 T（这里 T = 1），取指数，除以总和
4.1  Subtract the maximum m, divide by T (here T = 1), exp, divide by the sum
{softmax_steps(x)}

4.2  每个分数加 1000 或减 1000，概率本应不变；照公式直接算，就会出错
4.2  Every score +1000 or -1000 should change nothing; the plain formula fails
               softmax_naive           softmax_stable""")
    for name, c in [("x", 0.0), ("x + 1000", 1000.0), ("x - 1000", -1000.0)]:
        shifted = [x_i + c for x_i in x]
        try:
            naive = "  ".join(f"{p_i:.4f}" for p_i in softmax_naive(shifted))
        except ArithmeticError as error:
            naive = type(error).__name__
        stable = "  ".join(f"{p_i:.4f}" for p_i in softmax_stable(shifted))
        print(f"{name:15}{naive:24}{stable}")

    print("""
4.3  最高分领先很多就饱和（极端化）：概率接近 0 和 1，∂p_i/∂x_j 接近 0
4.3  A score far ahead saturates softmax: p near 0 and 1, ∂p_i/∂x_j near 0
x              softmax(x)                      largest ∂p_i/∂x_j""")
    for x_2, x_3 in [(1, 1), (2, 3), (5, 10), (50, 100), (500, 1000)]:
        J = softmax_jacobian([1.0, x_2, x_3])
        p = "".join(f"{p_i:<10.3g}" for p_i in softmax_stable([1.0, x_2, x_3]))
        print(f"{f'1 {x_2} {x_3}':15}{p}  {max(map(max, J)):.3g}")

    print("""
4.4  温度 T 低则尖锐，高则平坦；三段的长短表示分数 1（▂）、2（▄）、3（█）的概率
4.4  A low T sharpens, a high T flattens; bars: p of scores 1 ▂, 2 ▄, 3 █""")
    for T in [0.1, 0.5, 1.0, 2.0, 10.0]:
        a, b = (round(60 * p_i) for p_i in softmax_with_temperature(x, T)[:2])
        print(f"T={T:<4g}", "▂" * a + "▄" * b + "█" * (60 - a - b))


if __name__ == "__main__":
    main()
