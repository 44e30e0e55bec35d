"""softmax：从分数到概率 | Softmax: from scores to probabilities

第 4 章 4.1 到 4.4 节的参考实现。从上往下读，每个例子都会运行。
Reference code for chapter 4, sections 4.1 to 4.4. Read it from the top; every
example is run and checked.

    x   n 个分数，-inf 表示不参与 | n scores; -inf means left out
    m   最大的分数 max(x) | the largest score
    e   指数项 exp(x_i - m)，不超过 1 | the exponentials, at most 1
    p   概率分布：各项不小于 0，和为 1 | a distribution: entries >= 0, sum 1
    T   温度 | temperature
"""

import math


# 4.1 softmax 是什么 | What softmax is ---------------------------------------

def hardmax(x: list[float]) -> list[float]:
    """硬最大值：最大的分数得 1，其余得 0。
    Hard max: the largest score gets 1, the others get 0.

        hardmax(x)_i = 1 if i is the first index of max(x), else 0

    最大值有并列时，取第一个：
    Where the maximum occurs more than once, the first is taken:

    >>> hardmax([3.0, 1.0, 3.0])
    [1.0, 0.0, 0.0]

    分数稍微变动，结果通常不变，所以梯度几乎处处为零，无法靠它学习：
    When a score moves a little, the result mostly stays as it was, so the
    gradient is zero almost everywhere and there is nothing to learn from:

    >>> hardmax([1.0, 2.0, 3.0]) == hardmax([1.0, 2.1, 3.0])
    True

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §6.2.2.3
    - 等价 Same as: onnx Hardmax(axis=-1)
    - 需要 Needs: math
    """
    if not x:
        raise ValueError("hardmax needs at least one score, got []")
    if any(map(math.isnan, x)):
        raise ValueError("hardmax needs scores that are numbers, got nan")
    best = x.index(max(x))
    return [1.0 if i == best else 0.0 for i in range(len(x))]


# 4.2 计算过程 | The computation ---------------------------------------------

def softmax_naive(x: list[float]) -> list[float]:
    """照公式直接写的 softmax；分数离 0 太远就出错，错法值得一看。
    Softmax just as the formula reads; scores far from 0 break it, in ways
    worth a look.

        softmax(x)_i = exp(x_i) / Σ_j exp(x_j)

    >>> [round(p_i, 4) for p_i in softmax_naive([1.0, 2.0, 3.0])]
    [0.09, 0.2447, 0.6652]

    分数超过 709.78，exp 就会上溢；NumPy 这时只警告，结果是 nan：
    Above 709.78 exp overflows; NumPy only warns here, and its result is nan:

    >>> softmax_naive([1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    OverflowError

    分数全都低到 -1000 时，指数项全部下溢为 0，于是 0 除以 0：
    With all scores as low as -1000 all exponentials underflow to 0, and 0 is
    divided by 0:

    >>> softmax_naive([-1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ZeroDivisionError

    还没低到报错的地步，结果就已经不对了（应为 0.7311）：
    Scores not quite low enough to raise an error already give a wrong result
    (0.7311 is right):

    >>> round(softmax_naive([-744.0, -745.0])[0], 4) == 0.7311
    False

    - 来源 Source: Blanchard, Higham & Higham 2021, Eq. (1.2)
    - 等价 Same as: numpy.exp(x) / numpy.exp(x).sum()
    - 需要 Needs: math
    """
    e = [math.exp(x_i) for x_i in x]
    total = sum(e)
    return [e_i / total for e_i in e]


def softmax_stable(x: list[float]) -> list[float]:
    """数值稳定的 softmax：先减去最大值，再取指数。
    Stable softmax: subtract the maximum, then exponentiate.

        softmax(x)_i = exp(x_i - m) / Σ_j exp(x_j - m),    m = max(x)

    每个分数都减去 C，等于分子和分母同除以 exp(C)，商不变，这就是平移不变性；
    取 C = m，最大的指数项就变为 exp(0) = 1：
    Subtracting C from every score divides numerator and denominator by exp(C),
    which leaves the quotient unchanged: this is shift invariance. With C = m
    the largest exponential becomes exp(0) = 1:

    >>> [round(p_i, 4) for p_i in softmax_stable([1000.0, 1001.0, 1002.0])]
    [0.09, 0.2447, 0.6652]
    >>> softmax_stable([1000.0, 1001.0]) == softmax_stable([0.0, 1.0])
    True

    差距很大时会饱和（本章称“极端化”），其余各项接近 0；差距再大，就恰好是 0：
    With large gaps it saturates ("extremization" in the chapter): all entries
    but the largest approach 0, and at still larger gaps are exactly 0:

    >>> softmax_stable([1000.0, 1.0, 1.0])
    [1.0, 0.0, 0.0]

    用 math.fsum 求和，误差不会累积：每个概率只错在末几位，分数比 m 低得越多，
    错的位数越多。
    Summing with math.fsum keeps errors from piling up: each probability is off
    only in its last few digits, in more of them the further its score is
    below m.

    最大值必须有限；-inf 不参与，概率恰好是 0：
    The maximum must be finite; -inf is left out, its probability exactly 0:

    >>> softmax_stable([7.0, 7.0, -math.inf])
    [0.5, 0.5, 0.0]
    >>> softmax_stable([1.0, math.inf])
    Traceback (most recent call last):
    ValueError: softmax_stable needs a finite maximum, got inf

    - 来源 Source: Blanchard, Higham & Higham 2021, §4
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        raise ValueError("softmax_stable needs at least one score, got []")
    m = max(x)
    e = [math.exp(x_i - m) for x_i in x]
    total = math.fsum(e)
    if math.isnan(total):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"softmax_stable needs a finite maximum, got {bad}")
    return [e_i / total for e_i in e]


# 4.4 温度 | Temperature -----------------------------------------------------

def softmax_with_temperature(
    x: list[float], temperature: float
) -> list[float]:
    """带温度的 softmax：T 小则尖锐，T 大则平坦。
    Softmax with temperature: a small T makes it sharp, a large T flat.

        softmax(x / T)_i = exp((x_i - m) / T) / Σ_j exp((x_j - m) / T)

    >>> for T in [0.1, 1.0, 10.0]:
    ...     print([round(p_i, 4) for p_i in
    ...            softmax_with_temperature([1.0, 2.0, 3.0], T)])
    [0.0, 0.0, 1.0]
    [0.09, 0.2447, 0.6652]
    [0.3006, 0.3322, 0.3672]

    先减最大值，再除以 T；T 极小时，直接算 x / T 会上溢为 inf。
    并列的最大值平分概率：
    The maximum is subtracted before dividing by T; at a tiny T, x / T itself
    would overflow to inf. Tied maxima share the probability equally:

    >>> softmax_with_temperature([1.0, 3.0, 3.0], 1e-308)
    [0.0, 0.5, 0.5]

    T 不能是 0；最大值唯一时，T 趋近 0 的极限就是 hardmax：
    T cannot be 0; as T approaches 0, the limit is hardmax, provided that the
    maximum is unique:

    >>> softmax_with_temperature([1.0, 2.0], 0.0)
    Traceback (most recent call last):
    ValueError: softmax_with_temperature needs T > 0, got 0.0; try hardmax

    - 来源 Source: Hinton, Vinyals & Dean 2015, §2, Eq. (1)
    - 等价 Same as: torch.softmax(x / T, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if temperature == 0.0:
        raise ValueError(
            "softmax_with_temperature needs T > 0, got 0.0; try hardmax"
        )
    if not 0.0 < temperature < math.inf:
        raise ValueError(
            f"softmax_with_temperature needs 0 < T < inf, got {temperature}"
        )
    m = max(x, default=0.0)
    if math.isinf(m):
        raise ValueError(
            f"softmax_with_temperature needs a finite maximum, got {m}"
        )
    return softmax_stable([(x_i - m) / temperature for x_i in x])


def entropy(p: list[float]) -> float:
    """熵：p 有多平坦，单位是 nat（用自然对数）；最尖锐为 0，最平坦为 log(n)。
    Entropy: how flat p is, in nats (natural logs); 0 at its sharpest, log(n)
    at its flattest.

        entropy(p) = -Σ_i p_i log(p_i),    0 log 0 = 0

    >>> entropy([0.0, 1.0, 0.0])
    0.0

    exp(entropy) 是困惑度，p 的不确定程度相当于在这么多个等可能的选项里挑一个：
    exp(entropy) is the perplexity; p is as uncertain as a pick among that many
    equally likely options:

    >>> round(math.exp(entropy([0.25, 0.25, 0.25, 0.25])), 9)
    4.0

    p 必须是概率分布，分数要先经过 softmax：
    p has to be a distribution; scores go through softmax first:

    >>> entropy([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    ValueError: entropy needs a sum of 1, got 6.0

    - 来源 Source: Goodfellow, Bengio & Courville 2016
    - 等价 Same as: scipy.stats.entropy(p)
    - 需要 Needs: math
    """
    if any(p_i < 0.0 for p_i in p):
        raise ValueError(f"entropy needs entries >= 0, got {min(p)}")
    if not abs(sum(p) - 1.0) <= 1e-9:
        raise ValueError(f"entropy needs a sum of 1, got {sum(p)}")
    return max(0.0, -math.fsum(p_i * math.log(p_i) for p_i in p if p_i > 0.0))


# 本章之外：对数与梯度 | Beyond the chapter: logs and gradients ---------------

def logsumexp(x: list[float]) -> float:
    """指数和的对数：max 的平滑版本。
    The log of the sum of exponentials: a smooth version of max.

        logsumexp(x) = log(Σ_i exp(x_i)) = m + log1p(Σ_others exp(x_i - m))

    others 是最大项以外的各项，最大项恰好是 1；log1p(y) 就是 log(1 + y)，但 y
    再小也不会被 1 吞没：
    others stands for every term but the largest, which is exactly 1; log1p(y)
    is log(1 + y), but however small y is, the 1 does not swallow it:

    >>> f"{logsumexp([0.0, -40.0]):.3e}"
    '4.248e-18'
    >>> math.log(math.exp(0.0) + math.exp(-40.0))
    0.0

    分数都加 c，结果也加 c；softmax 则不变：
    Add c to every score and the result grows by c; softmax stays the same:

    >>> logsumexp([1000.0, 1000.0]) == 1000.0 + math.log(2.0)
    True

    误差只在末几位，按 m 与结果中绝对值较大的那个算；空列表和 -inf 得 -inf：
    Only the last few digits are off, those of m or of the result, whichever is
    larger in size; an empty list and -inf give -inf:

    >>> logsumexp([]), logsumexp([-math.inf])
    (-inf, -inf)

    - 来源 Source: Blanchard, Higham & Higham 2021, Algorithm 4.1
    - 等价 Same as: scipy.special.logsumexp(x); torch.logsumexp(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        return -math.inf
    m = max(x)
    e = [1.0 if x_i == m else math.exp(x_i - m) for x_i in x]
    # 去掉最大的一项，它是 1 | leave out the largest, which is 1
    others = math.fsum(e + [-1.0])
    if math.isnan(others):
        raise ValueError("logsumexp needs scores that are numbers, got nan")
    return m + math.log1p(others)


def softmax_jacobian(x: list[float]) -> list[list[float]]:
    """雅可比矩阵：分数 j 增加一点时，概率 i 变化多少。
    The Jacobian: how much probability i changes as score j grows a little.

        J_ij = ∂p_i / ∂x_j = p_i (δ_ij - p_j),    n × n,    δ_ij = 1 if i = j

    对角线外也不为零，因为一个分数上升，其他概率都会下降；各行之和为 0：
    It is not zero off the diagonal, for when one score rises, all the other
    probabilities fall; each row sums to 0:

    >>> for row in softmax_jacobian([1.0, 2.0, 3.0]):
    ...     print([round(J_ij, 4) for J_ij in row])
    [0.0819, -0.022, -0.0599]
    [-0.022, 0.1848, -0.1628]
    [-0.0599, -0.1628, 0.2227]

    用差商再算一遍最后一列，就是梯度检验（J 对称，所以也是最后一行）：
    The last column by difference quotients is a gradient check (J being
    symmetric, it is the last row too):

    >>> h = 1e-5
    >>> above = softmax_stable([1.0, 2.0, 3.0 + h])
    >>> below = softmax_stable([1.0, 2.0, 3.0 - h])
    >>> [round((a - b) / (2 * h), 4) for a, b in zip(above, below)]
    [-0.0599, -0.1628, 0.2227]

    饱和之后，梯度也是 0，和 hardmax 一样：
    Once softmax saturates, its gradient is 0 too, like that of hardmax:

    >>> softmax_jacobian([1000.0, 1.0])[0][0]
    0.0

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
    """反向传播：由损失对 p 的梯度，得到对 x 的梯度。
    Backward pass: turns the gradient of the loss with respect to p into the
    gradient with respect to x.

        grad_x_i = p_i (grad_p_i - Σ_j p_j grad_p_j)

    这就是雅可比矩阵乘 grad_p，但不必构造矩阵，只需 O(n)：
    This is the Jacobian times grad_p, in O(n), without building the matrix:

    >>> softmax_backward([0.5, 0.5], [1.0, 0.0])
    [0.25, -0.25]

    grad_p 各项相同时梯度为 0，因为概率之和恒为 1，不能一起上升：
    Where all entries of grad_p are equal the gradient is 0, as probabilities
    always sum to 1 and cannot rise together:

    >>> softmax_backward([0.25, 0.75], [8.0, 8.0])
    [0.0, 0.0]

    - 来源 Source: Martins & Astudillo 2016, Eq. (13)
    - 等价 Same as: jax.vjp(jax.nn.softmax, x)[1](grad_p)
    - 需要 Needs: math
    """
    if len(p) != len(grad_p):
        raise ValueError(
            "softmax_backward needs lists of equal length, "
            f"got {len(p)} and {len(grad_p)}"
        )
    for v in p + grad_p:
        if not math.isfinite(v):
            raise ValueError(f"softmax_backward needs finite numbers, got {v}")
    mean = math.fsum(p_i * g_i for p_i, g_i in zip(p, grad_p))
    return [p_i * g_i - p_i * mean for p_i, g_i in zip(p, grad_p)]


# 画出来看 | Pictures --------------------------------------------------------

def bar_chart(p: list[float], width: int = 30) -> str:
    """把概率画成横条，一行一个；概率 1 对应 width 格。
    Probabilities as bars, one per line; the bar for 1 is width blocks long.

    >>> print(bar_chart([0.25, 0.75, 0.0], width=8))
    0.2500 ██
    0.7500 ██████
    0.0000

    - 需要 Needs: 无 nothing
    """
    if not width >= 1:
        raise ValueError(f"bar_chart needs width >= 1, got {width}")
    lines = []
    for p_i in p:
        if not 0.0 <= p_i <= 1.0:
            raise ValueError(f"bar_chart needs 0 <= p <= 1, got {p_i}")
        lines.append(f"{p_i:.4f} {'█' * int(p_i * width + 0.5)}".rstrip())
    return "\n".join(lines)


def softmax_steps(x: list[float], temperature: float = 1.0) -> str:
    """把计算过程列成表，像手算那样：减去 m，取指数，再归一化，使总和为 1。
    The calculation as a table, as if by hand: subtract m, exponentiate, then
    normalise to a sum of 1.

    >>> print(softmax_steps([1.0, 2.0, 3.0]))
             x        x - m      exp   p
             1           -2   0.1353   0.0900 ███
             2           -1   0.3679   0.2447 ███████
             3            0   1.0000   0.6652 ████████████████████
           sum                1.5032   1.0000

    - 需要 Needs: math, softmax_stable, softmax_with_temperature, bar_chart
    """
    p = softmax_with_temperature(x, temperature)
    m = max(x)
    middle = "x - m" if temperature == 1.0 else "(x - m) / T"
    shifted = [(x_i - m) / temperature for x_i in x]
    e = [math.exp(s_i) for s_i in shifted]
    lines = [f"{'x':>10} {middle:>12} {'exp':>8}   p"]
    for x_i, s_i, e_i, bar in zip(x, shifted, e, bar_chart(p).split("\n")):
        lines.append(f"{x_i:10g} {s_i:12g} {e_i:8.4f}   {bar}")
    lines.append(f"{'sum':>10} {sum(e):21.4f}   {sum(p):.4f}")
    return "\n".join(lines)


def for_console(text: str, encoding: str) -> str:
    """把文本改成该编码的终端能显示的样子：横条换成 #，无法编码的行略去。
    Text as a console of this encoding can show it: bars become #, and lines
    that cannot be encoded are left out.

    >>> print(for_console("概率\\nprobability\\n████ ▓▓▒▒░░", "ascii"))
    probability
    #### ++--..

    - 需要 Needs: 无 nothing
    """
    shades = "".join(shade for shade in "█▓▒░" if shade in text)
    if shades.encode(encoding, "ignore").decode(encoding) != shades:
        text = text.translate(str.maketrans("█▓▒░", "#+-."))
    return "\n".join(
        line for line in text.split("\n")
        if line.encode(encoding, "ignore").decode(encoding) == line
    )


def main(argv: list[str] | None = None) -> int:
    """走一遍 4.1 到 4.4 节，或者计算命令行给出的分数。
    Walk through sections 4.1 to 4.4, or work through scores given on the
    command line.
    """
    import sys

    def show(*lines: str) -> None:
        print(for_console("\n".join(lines), sys.stdout.encoding or "utf-8"))

    def row(p: list[float], digits: int = 4) -> str:
        return " ".join(f"{p_i:.{digits}f}" for p_i in p)

    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        try:
            show(softmax_steps([float(a) for a in arguments]))
        except ValueError as error:
            print(f"softmax_ref.py: {error}", file=sys.stderr)
            return 2
        return 0

    x = [1.0, 2.0, 3.0]
    show(f"""\
--- 4.1  What softmax is ----------------------------------------------
硬最大值只留下最大的分数；softmax 让每个分数都分到概率
Hard max keeps only the largest score; softmax gives each score a share

{softmax_steps(x)}

   softmax   {row(softmax_stable(x))}
   hardmax   {row(hardmax(x))}
""")

    lines = []
    for x in ([1.0, 2.0, 3.0], [1000.0, 1001.0, 1002.0],
              [-1000.0, -1001.0, -1002.0]):
        try:
            naive = row(softmax_naive(x))
        except ArithmeticError as error:
            naive = type(error).__name__
        lines.append(f"{str(x):28} {naive:22} {row(softmax_stable(x))}")
    show(f"""\
--- 4.2  Naive and stable ---------------------------------------------
照公式直接算，分数太高会上溢，全都太低会变成 0 除以 0；先减最大值就没事
The plain formula overflows for large scores and divides 0 by 0 where all are
very negative; subtract the maximum first, and all is well

{'scores':28} {'softmax_naive':22} softmax_stable""", *lines)

    show("""
--- 4.3  Saturation ---------------------------------------------------
差距越大，越接近 one-hot，这就是饱和（本章称“极端化”）；横条是最大概率
The larger the gaps, the closer to one-hot: this is saturation
("extremization" in the chapter); the bar is the largest probability
""",
         *(f"{str(x):21} {row(softmax_stable(x), 6)}  "
           + "█" * round(26 * max(softmax_stable(x)))
           for x in ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0, 5.0, 10.0],
                     [1.0, 50.0, 100.0], [1.0, 500.0, 1000.0])))

    lines = []
    for T in [0.1, 0.5, 1.0, 2.0, 5.0, 10.0]:
        p = softmax_with_temperature([1.0, 2.0, 3.0], T)
        one, two = round(36 * p[0]), round(36 * (p[0] + p[1]))
        bar = "░" * one + "▒" * (two - one) + "█" * (36 - two)
        lines.append(f"T = {T:4.1f}   {row(p)}   {bar}")
    show("""
--- 4.4  Temperature --------------------------------------------------
温度低则尖锐，高则平坦，趋近均匀分布；每条横条按三个概率分成三段
Low temperatures sharpen, high ones flatten towards uniform; each bar is
cut into the three probabilities
""", *lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
