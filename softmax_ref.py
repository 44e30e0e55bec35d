"""softmax：从分数到概率 | Softmax: from scores to probabilities

分类、注意力、生成文本，算到最后都是一组分数，而要用的是概率。
softmax 把任意实数变成概率分布，不只看得出谁最大，也看得出大多少。
Classifying, attending, writing text: all end in scores, but need
probabilities. Softmax turns any real numbers into a probability distribution
and keeps not only which is largest, but also by how much.

这是第 4 章 4.1 到 4.4 节。从上往下读，就会知道为什么用 exp，为什么先减最大值，
为什么饱和之后几乎没有梯度，然后自己写出稳定的 softmax。
每个例子都由测试实际运行。
These are sections 4.1 to 4.4 of chapter 4. Read from the top to learn why
there is an exp, why the maximum is subtracted first, why a saturated softmax
passes hardly any gradient, and then write a stable one yourself. Every example
is run.

    x                     n 个分数（logits），-inf 表示不参与
                          n scores (logits); -inf means left out
    m = max(x)            最大的分数 | the largest score
    e_i = exp(x_i - m)    指数项，不超过 1 | the exponentials, at most 1
    p                     概率分布：各项不小于 0，和为 1
                          a distribution: entries >= 0, sum 1
    T                     温度 | temperature
"""

import math


# 4.1 softmax 是什么 | What softmax is ---------------------------------------

def softmax_naive(x: list[float]) -> list[float]:
    """softmax：把任意分数变成概率；这里照公式直接写。
    Softmax: any scores become probabilities; written just as the formula is.

        softmax(x)_i = exp(x_i) / Σ_j exp(x_j)

    exp 把分数变成正数，除以总和，就成了和为 1 的一组概率：
    exp makes each score positive, and dividing by the total makes them
    probabilities, which sum to 1:

    >>> [round(p_i, 4) for p_i in softmax_naive([1.0, 2.0, 3.0])]
    [0.09, 0.2447, 0.6652]

    平方也不会是负数，为什么不用？因为它不看正负号，最低的 -2 反而得 0.8：
    Squares are never negative either, so why not those? They ignore the sign,
    and -2, the lowest score, would get 0.8:

    >>> [s * s / 5 for s in [-2.0, 0.0, 1.0]]
    [0.8, 0.0, 0.2]

    exp 保留次序，把差距变成倍数：分数高 1，概率就是 e 倍，分数本身多大都一样：
    exp keeps the order and turns gaps into ratios: a score higher by 1 has e
    times the probability, however large the scores are:

    >>> p = softmax_naive([1.0, 2.0, 3.0])
    >>> round(p[1] / p[0], 4), round(p[2] / p[1], 4), round(math.e, 4)
    (2.7183, 2.7183, 2.7183)

    但分数超过 709.78，exp 就上溢：
    But for a score above 709.78 exp overflows:

    >>> softmax_naive([1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    OverflowError

    很低的分数会下溢：先是悄悄算错（第一项应为 0.8808），再低就是 0 除以 0：
    Very low scores underflow: first the answer is silently wrong (the first
    entry should be 0.8808), and lower still 0 is divided by 0:

    >>> softmax_naive([-744.0, -746.0])
    [1.0, 0.0]
    >>> softmax_naive([-1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ZeroDivisionError

    - 来源 Source: Blanchard, Higham & Higham 2021, Eq. (1.2)
    - 等价 Same as: numpy.exp(x) / numpy.exp(x).sum()
    - 需要 Needs: math
    """
    e = [math.exp(x_i) for x_i in x]
    total = sum(e)
    return [e_i / total for e_i in e]


def hardmax(x: list[float]) -> list[float]:
    """硬最大值：最大的分数得 1，其余得 0（这叫 one-hot）；
    softmax 是它的平滑版本。
    Hard max: the largest score gets 1, the others 0 (this is called one-hot);
    softmax is its smooth version.

        hardmax(x)_i = 1 if i is the first index of max(x), else 0

    它只说谁最大，不说大多少。训练是沿着梯度一点点调整分数，而分数稍微
    变动时，hardmax 不变，梯度几乎处处为零，不知道该往哪边调；softmax
    会跟着变，所以能学：
    It says which is largest but not by how much. Training moves the scores
    little by little along a gradient, but when a score moves a little, hardmax
    stays the same: its gradient is zero almost everywhere and points nowhere;
    softmax moves along, and so it can learn:

    >>> hardmax([1.0, 2.0, 3.0]), hardmax([1.0, 2.5, 3.0])
    ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0])

    并列时取第一个：
    Of equal maxima the first is taken:

    >>> hardmax([3.0, 1.0, 3.0])
    [1.0, 0.0, 0.0]

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §6.2.2.3
    - 等价 Same as: onnx Hardmax(axis=-1)
    - 需要 Needs: math
    """
    if len(x) == 0:
        raise ValueError("hardmax needs at least one score, got []")
    if any(map(math.isnan, x)):
        raise ValueError("hardmax needs scores that are numbers, got nan")

    best = max(range(len(x)), key=lambda i: x[i])
    return [1.0 if i == best else 0.0 for i in range(len(x))]


# 4.2 计算过程，4.3 饱和 | The computation, saturation -----------------------

def softmax_stable(x: list[float]) -> list[float]:
    """数值稳定的 softmax：先减去最大值，再取指数。
    Stable softmax: subtract the maximum, then exponentiate.

        softmax(x)_i = exp(x_i - m) / Σ_j exp(x_j - m),    m = max(x)

    减去 m，就是分子和分母同除以 exp(m)，商不变（平移不变性，只差舍入误差）；
    最大的指数项变成 exp(0) = 1，不会上溢：
    Subtracting m divides numerator and denominator by exp(m), which leaves the
    quotient as it is (shift invariance, up to rounding); the largest
    exponential becomes exp(0) = 1, and nothing overflows:

    >>> [round(p_i, 4) for p_i in softmax_stable([1000.0, 1001.0, 1002.0])]
    [0.09, 0.2447, 0.6652]
    >>> softmax_stable([1000.0, 1001.0]) == softmax_stable([0.0, 1.0])
    True

    所以起作用的只有差距；只有 2 个分数时，第一个概率就是差距的 sigmoid：
    So only the gaps matter; with 2 scores the first probability is the sigmoid
    of their gap:

    >>> softmax_stable([3.0, 1.0])[0] == 1.0 / (1.0 + math.exp(-2.0))
    True

    差距很大就会饱和（本章称“极端化”）：最大的一项接近 1，其余接近 0；
    差距再大，就下溢为 0：
    With large gaps it saturates ("extremization" in the chapter): the largest
    entry approaches 1 and the others 0, until they underflow to 0:

    >>> [f"{p_i:.0e}" for p_i in softmax_stable([100.0, 50.0, 1.0])]
    ['1e+00', '2e-22', '1e-43']
    >>> softmax_stable([1000.0, 1.0, 1.0])
    [1.0, 0.0, 0.0]

    每个概率只错在末几位，分数比 m 低得越多，错的位数越多。最大值必须有限；
    -inf 不参与，概率恰好是 0：
    Rounding affects only the last digits of a probability, more of them the
    further its score lies below m. The maximum must be finite; -inf is left
    out, its probability exactly 0:

    >>> softmax_stable([7.0, 7.0, -math.inf])
    [0.5, 0.5, 0.0]
    >>> softmax_stable([1.0, math.inf])
    Traceback (most recent call last):
    ValueError: softmax_stable needs a finite maximum, got inf

    - 来源 Source: Blanchard, Higham & Higham 2021, §4
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    if len(x) == 0:
        raise ValueError("softmax_stable needs at least one score, got []")
    if getattr(x[0], "ndim", 0) or isinstance(x[0], (list, tuple)):
        raise TypeError("softmax_stable needs one row: [f(row) for row in X]")

    m = float(max(x))
    e = [math.exp(x_i - m) for x_i in x]
    total = math.fsum(e)
    if not total >= 1.0:  # also catches nan
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"softmax_stable needs a finite maximum, got {bad}")
    return [e_i / total for e_i in e]


# 4.4 温度 | Temperature -----------------------------------------------------

def softmax_with_temperature(
    x: list[float], temperature: float
) -> list[float]:
    """带温度的 softmax：T 低则尖锐，T 高则平坦。
    Softmax with temperature: a low T makes it sharp, a high T flat.

        softmax(x / T)_i = exp((x_i - m) / T) / Σ_j exp((x_j - m) / T)

    除以 T 就是缩放差距：T = 0.1 放大到 10 倍，T = 10 缩小到 1/10。这个名字来自
    物理：能量为 E 的状态，概率正比于 exp(-E / T)，越热越均匀；分数相当于 -E：
    Dividing by T scales the gaps: T = 0.1 makes them 10 times as large, T = 10
    shrinks them to 1/10. The name is from physics, where a state of energy E
    has a probability proportional to exp(-E / T): the hotter, the more even; a
    score stands for -E:

    >>> for T in [0.1, 1.0, 10.0]:
    ...     p = softmax_with_temperature([1.0, 2.0, 3.0], T)
    ...     print([round(p_i, 4) for p_i in p])
    [0.0, 0.0, 1.0]
    [0.09, 0.2447, 0.6652]
    [0.3006, 0.3322, 0.3672]

    先减 m 再除以 T，T 再小也不会上溢；并列的最大值平分概率：
    As m is subtracted before dividing by T, even a tiny T cannot overflow;
    equal maxima share the probability:

    >>> softmax_with_temperature([1.0, 3.0, 3.0], 1e-308)
    [0.0, 0.5, 0.5]

    exp 换成别的底，例如 2，只相当于换一个 T。T 不能是 0；
    T 趋近 0 的极限是 hardmax，只要最大值唯一：
    Another base than that of exp, say 2, amounts to another T. T cannot be 0;
    the limit as T approaches 0 is hardmax, provided the maximum is unique:

    >>> softmax_with_temperature([1.0, 2.0], 0.0)
    Traceback (most recent call last):
    ValueError: softmax_with_temperature needs 0 < T < inf, got 0; try hardmax

    - 来源 Source: Hinton, Vinyals & Dean 2015, §2, Eq. (1)
    - 等价 Same as: torch.softmax(x / T, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not 0.0 < temperature < math.inf:
        got = "0; try hardmax" if temperature == 0.0 else f"{temperature:g}"
        raise ValueError(
            f"softmax_with_temperature needs 0 < T < inf, got {got}")
    m = float(max(x)) if len(x) > 0 else 0.0
    if math.isinf(m):
        raise ValueError(
            f"softmax_with_temperature needs a finite maximum, got {m}")

    return softmax_stable([
        (x_i - m) / temperature if x_i - m > -math.inf
        # x_i - m 上溢时，各减半再算 | where x_i - m overflows, halve both
        else (x_i / 2 - m / 2) / temperature * 2 for x_i in x])


def entropy(p: list[float]) -> float:
    """熵：p 有多平坦，单位 nat（自然对数）；最尖锐时为 0，最平坦时为 log(n)。
    Entropy: how flat p is, in nats (natural logs), from 0 at its sharpest to
    log(n) at its flattest.

        entropy(p) = -Σ_i p_i log(p_i),    0 log 0 = 0

    exp(entropy) 是困惑度：p 的不确定程度，相当于在这么多个选项里随便挑一个：
    exp(entropy) is the perplexity: p is as uncertain as a uniform random
    choice among that many options:

    >>> round(math.exp(entropy([0.25, 0.25, 0.25, 0.25])), 9)
    4.0
    >>> entropy([0.0, 1.0, 0.0])
    0.0

    p 必须是概率分布，分数要先经过 softmax：
    p has to be a distribution; scores go through softmax first:

    >>> entropy([1.0, 2.0, 3.0])
    Traceback (most recent call last):
    ValueError: entropy needs a sum of 1, got 6.0

    - 来源 Source: Goodfellow, Bengio & Courville 2016
    - 等价 Same as: scipy.stats.entropy(p)
    - 需要 Needs: math
    """
    if len(p) > 0 and min(p) < 0.0:
        raise ValueError(f"entropy needs entries >= 0, got {min(p)}")
    if not abs(sum(map(float, p)) - 1.0) <= 1e-6:
        raise ValueError(f"entropy needs a sum of 1, got {sum(map(float, p))}")

    return max(0.0, -math.fsum(p_i * math.log(p_i) for p_i in p if p_i > 0.0))


# 本章之外：对数与梯度 | Beyond the chapter: logs and gradients ---------------

def logsumexp(x: list[float]) -> float:
    """指数和的对数：max 的平滑版本。
    The log of the sum of exponentials: a smooth version of max.

        logsumexp(x) = log(Σ_i exp(x_i)) = m + log1p(Σ_others exp(x_i - m))

    它略高于 max，最多高 log(n)；分数都加 c，它也加 c，softmax 则不变：
    It is a little above max, by log(n) at most; add c to every score and it
    grows by c, whereas softmax stays the same:

    >>> logsumexp([1000.0, 1000.0]) == 1000.0 + math.log(2.0)
    True

    others 是去掉一个最大项之后的各项，去掉的恰好是 1；
    log1p(y) 就是 log(1 + y)，但 y 再小也不会被 1 吞没：
    others stands for all terms except one largest term, which is exactly 1;
    log1p(y) is log(1 + y), but however small y is, the 1 does not swallow it:

    >>> f"{logsumexp([0.0, -40.0]):.3e}"
    '4.248e-18'
    >>> math.log(math.exp(0.0) + math.exp(-40.0))
    0.0

    误差只在末几位：m 和结果谁的绝对值大，就是谁的末几位。
    空列表和 -inf 得 -inf：
    Only the last few digits are off, those of m or of the result, whichever is
    larger in size; an empty list and -inf give -inf:

    >>> logsumexp([]), logsumexp([-math.inf])
    (-inf, -inf)

    - 来源 Source: Blanchard, Higham & Higham 2021, Algorithm 4.1
    - 等价 Same as: scipy.special.logsumexp(x); torch.logsumexp(x, dim=-1)
    - 需要 Needs: math
    """
    if len(x) == 0:
        return -math.inf

    m = float(max(x))
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

    一个分数上升，别的概率都下降，所以对角线外也不为零。各列之和为 0，
    因为概率的总和恒为 1；各行之和为 0，因为所有分数一起变时概率不变
    （都只差舍入误差）：
    When one score rises all other probabilities fall, so the entries off the
    diagonal are not zero. Columns sum to 0, as the probabilities always
    total 1; rows sum to 0, as moving all scores together changes nothing (up
    to rounding):

    >>> for row in softmax_jacobian([1.0, 2.0, 3.0]):
    ...     print([round(J_ij, 4) for J_ij in row])
    [0.0819, -0.022, -0.0599]
    [-0.022, 0.1848, -0.1628]
    [-0.0599, -0.1628, 0.2227]

    差距一大，导数就小：饱和的 softmax 几乎没有梯度，也就学不动，
    注意力除以 √d 就是为了避免这一点（后面直接接交叉熵则没有这个问题，
    见 `cross_entropy_backward`）。矩阵里最大的一项：
    Once the gaps are large the derivatives are small: a saturated softmax has
    hardly any gradient and cannot learn, which is why attention divides by √d
    (with cross-entropy right behind it there is no such problem, see
    `cross_entropy_backward`). The largest entry of the matrix:

    >>> for x in [1.0, 0.0, -1.0], [8.0, 0.0, -8.0], [64.0, 0.0, -64.0]:
    ...     print(f"{max(map(max, softmax_jacobian(x))):.0e}")
    2e-01
    3e-04
    2e-28

    用差商再算一遍最后一列，就是梯度检验（J 对称，所以也是最后一行）：
    The last column by difference quotients is a gradient check (J being
    symmetric, it is the last row too):

    >>> h = 1e-5
    >>> above = softmax_stable([1.0, 2.0, 3.0 + h])
    >>> below = softmax_stable([1.0, 2.0, 3.0 - h])
    >>> [round((a - b) / (2 * h), 4) for a, b in zip(above, below)]
    [-0.0599, -0.1628, 0.2227]

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
    """反向传播：由损失（训练要减小的数）对 p 的梯度，得到对 x 的梯度。
    Backward pass: turns the gradient of the loss (the number that training
    lowers) with respect to p into the gradient with respect to x.

        grad_x_i = p_i (grad_p_i - Σ_j p_j grad_p_j)

    这就是雅可比矩阵乘 grad_p，但不必构造矩阵，只需 O(n)：
    This is the Jacobian times grad_p, in O(n), without building the matrix:

    >>> softmax_backward([0.5, 0.5], [1.0, 0.0])
    [0.25, -0.25]

    grad_p 各项相同时梯度为 0（只差舍入误差）：概率之和恒为 1，不能一起上升：
    Where all entries of grad_p are equal the gradient is 0 (up to rounding),
    as probabilities always sum to 1 and cannot rise together:

    >>> softmax_backward([0.25, 0.75], [8.0, 8.0])
    [0.0, 0.0]

    p 是概率，不是分数：
    p holds probabilities, not scores:

    >>> softmax_backward([1.0, 2.0], [1.0, 0.0])
    Traceback (most recent call last):
    ValueError: softmax_backward needs a sum of 1, got 3.0

    - 来源 Source: Martins & Astudillo 2016, Eq. (13)
    - 等价 Same as: jax.vjp(jax.nn.softmax, x)[1](grad_p)
    - 需要 Needs: math
    """
    if len(p) != len(grad_p):
        raise ValueError("softmax_backward needs lists of equal length, "
                         f"got {len(p)} and {len(grad_p)}")
    if len(p) > 0 and min(p) < 0.0:
        raise ValueError(f"softmax_backward needs entries >= 0, got {min(p)}")
    total = sum(map(float, p))
    if not (abs(total - 1.0) <= 1e-6 or total == 0.0):  # 0: masked
        raise ValueError(f"softmax_backward needs a sum of 1, got {total}")

    mean = math.fsum(p_i * g_i for p_i, g_i in zip(p, grad_p))
    # 先乘后减，g_i 再大也不会上溢 | multiplied out, large g_i do not overflow
    grad_x = [p_i * g_i - p_i * mean for p_i, g_i in zip(p, grad_p)]
    if not all(map(math.isfinite, grad_x)):
        raise ValueError(
            "softmax_backward needs finite gradients, got nan or inf")
    return grad_x


# 画出来看，运行，复制 | Pictures, running, copying --------------------------

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
    for p_i in p[:]:  # [:] refuses a generator, which would be used up
        if not 0.0 <= p_i <= 1.0:
            raise ValueError(f"bar_chart needs 0 <= p <= 1, got {p_i}")

    bars = ["█" * int(p_i * width + 0.5) for p_i in p]
    return "\n".join(
        f"{p_i + 0.0:.4f} {bar}".rstrip() for p_i, bar in zip(p, bars))


def legend(x: list[float]) -> str:
    """图例：stacked_bar 里哪种深浅是哪个分数；越高越深。
    A legend: which shade of stacked_bar is which score; the higher the darker.

    >>> legend([2.0, 1.0, 0.5])
    '█ 2 ▒ 1 ░ 0.5'

    - 需要 Needs: 无 nothing
    """
    if len(x) > 4:
        return "░ others █ max"
    names = [f"{x_i + 0.0:g}" for x_i in x]
    if max(map(len, names)) > 8:
        names = [f"x{i + 1}" for i in range(len(names))]
    order = sorted(range(len(x)), key=lambda i: x[i])  # the highest gets █
    shades = ["█", "░█", "░▒█", "░▒▓█"][len(x) - 1]
    return " ".join(
        f"{shades[order.index(i)]} {name}" for i, name in enumerate(names))


def stacked_bar(p: list[float], width: int = 10) -> str:
    """一条横条，按各个概率切成几段；多于四个时，只切出最大的一个。
    One bar, cut into the probabilities; of more than four, only the largest is
    cut out.

    >>> stacked_bar([0.5, 0.125, 0.375], width=8)
    '████░▒▒▒'

    - 需要 Needs: math, legend
    """
    if len(p) > 4:
        largest = round(width * float(max(p)))
        return "░" * (width - largest) + "█" * largest
    ends = [round(width * math.fsum(p[:i])) for i in range(len(p) + 1)]
    shades = legend(p).split(" ")[::2]
    return "".join(shade * (end - start)
                   for shade, start, end in zip(shades, ends, ends[1:]))


def numbers_row(p: list[float], digits: int = 4) -> str:
    """概率排成一行：恰好是 0 或 1 的写成 0、1，太小的写成 1.0e-43 这样；
    多于四个时只写三个，最大的总在其中。
    Probabilities in a row: 0 and 1 only where they are exactly 0 and 1,
    tiny ones like 1.0e-43; of more than four only three, with the largest
    among them.

    >>> numbers_row([0.0, 0.25, 1e-43, 1.0])
    '      0  0.2500 1.0e-43       1'

    - 需要 Needs: 无 nothing
    """
    shown = [
        f"{p_i:g}" if p_i in (0.0, 1.0) else
        f"{p_i:.{digits}f}" if abs(p_i) >= 0.5 / 10 ** digits else
        f"{p_i:.1e}" for p_i in p
    ]
    cells = [f"{v:>{digits + 3}}" for v in shown]
    top = max(range(len(p)), key=lambda i: p[i])
    if len(p) > 4 and top > 2:
        cells = [*cells[:2], "... max", cells[top]]
    elif len(p) > 4:
        cells = [*cells[:3], "..."]
    return " ".join(cells)


def softmax_steps(x: list[float], temperature: float = 1.0) -> str:
    """把计算过程列成表，像手算那样：减去最大值 m，取指数，除以总和。
    The calculation as a table, as if by hand: subtract the maximum m,
    exponentiate, divide by the sum.

    >>> print(softmax_steps([1.0, 2.0, 3.0]))
               x        x - m      exp   p
               1           -2   0.1353   0.0900 █
               2           -1   0.3679   0.2447 ████
               3            0   1.0000   0.6652 ███████████
             sum                1.5032   1.0000

    - 需要 Needs: math, softmax_stable, softmax_with_temperature, bar_chart
    """
    p = softmax_with_temperature(x, temperature)
    m = max(x)
    middle = "x - m" if temperature == 1.0 else "(x - m) / T"
    shifted = [(x_i - m) / temperature for x_i in x]
    e = [math.exp(s_i) for s_i in shifted]
    bars = bar_chart(p, width=16).split("\n")
    lines = [f"{'x':>12} {middle:>12} {'exp':>8}   p"]
    for x_i, s_i, e_i, bar in zip(x, shifted, e, bars):  # + 0.0: no -0
        lines.append(f"{x_i + 0.0:12g} {s_i + 0.0:12g} {e_i:8.4f}   {bar}")
    lines.append(f"{'sum':>12} {sum(e):21.4f}   {sum(p):.4f}")
    return "\n".join(lines)


def copy_functions(*names: str, short: bool = False) -> str:
    """取出函数和它们需要的一切，每个一次，按次序，成为可以单独运行的代码。
    The functions with all that they need, each once and in order, as code that
    runs by itself.

    次序和名字来自文档字符串末尾的 Needs；三个文件里的函数都可以取：
    Names and order come from Needs, at the end of a docstring; any function of
    the three files will do:

    >>> for line in copy_functions("sample", "entropy").split("\\n"):
    ...     if line.startswith(("import", "def")):
    ...         print(line)
    import math
    def entropy(p: list[float]) -> float:
    def sample(p: list[float], u: float) -> int:

    short 为真时，文档字符串只留开头和公式。
    With short true, a docstring keeps only its opening and the formula.

    - 需要 Needs: 无 nothing
    """
    import difflib

    code: dict[str, str] = {}
    for file in ("softmax_ref.py", "attention_ref.py", "variants_ref.py"):
        path = __file__[:-len("softmax_ref.py")] + file
        try:
            with open(path, encoding="utf-8") as opened:
                blocks = opened.read().split("\n\n\n")
        except FileNotFoundError:  # this file may stand alone
            continue
        for block in blocks:
            _, found, rest = f"\n{block}".partition("\ndef ")
            if found and not rest.startswith("main("):
                code[rest.split("(")[0]] = f"def {rest.rstrip()}"

    wanted: set[str] = set()
    for name in names:
        if name not in code:
            usual = {"softmax": ["softmax_stable"],
                     "attention": ["attention_with_softmax"]}
            near = usual.get(name) or difflib.get_close_matches(name, code)
            raise ValueError(f"no function {name}; try {[*near, '-h'][0]}")
        needs = code[name].split("需要 Needs: ")[1].split('"""')[0]
        wanted |= {name, *" ".join(needs.split()).split(", ")}

    parts = ["import math"] if "math" in wanted else []
    for name in filter(wanted.__contains__, code):
        start, doc, body = code[name].split('"""', 2)
        if short:
            opening, *others = doc.split("\n\n")
            while others and others[0].startswith(" " * 8):  # the formula
                opening += "\n\n" + others.pop(0)
            doc = f"{opening.rstrip()}\n    "
        parts.append(f'{start}"""{doc}"""{body}')
    return "\n\n\n".join(parts)


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


def read_command(
    words: list[str], usage: str, **options: float
) -> tuple[str, list[float], dict[str, float]]:
    """读命令行：得到要打印的文本（用法或代码）、分数和选项，三者之一。
    Read a command line: a text to print (the usage or code), or scores
    and options.

    >>> read_command(["2,", "1", "T=0.5"], "", T=1.0)
    ('', [2.0, 1.0], {'T': 0.5})
    >>> read_command(["-h"], "usage: ...", T=1.0)
    ('usage: ...', [], {'T': 1.0})

    - 需要 Needs: copy_functions
    """
    import sys

    line = " ".join(words).replace(" =", "=").replace("= ", "=")
    x: list[float] = []
    names: list[str] = []
    for word in line.translate(str.maketrans(",;，[]()", " " * 7)).split():
        name, is_option, value = word.partition("=")
        try:
            if is_option and name in options:
                options[name] = float(value)
            else:
                x.append(float(word))
        except ValueError:
            names.append(word)
    if "-h" in names or "--help" in names:
        return usage, [], options
    functions = [name for name in names if name != "--short"]
    if functions and not x and all(map(str.isidentifier, functions)):
        if hasattr(sys.stdout, "reconfigure"):  # code is UTF-8 everywhere
            sys.stdout.reconfigure(encoding="utf-8")
        return copy_functions(*functions, short="--short" in names), [], {}
    if names:
        known = "".join(f" or {name}={v:g}" for name, v in options.items())
        raise ValueError(f"needs numbers{known}, got {names[0]}; -h for help")
    return "", x, options


def show(text: str, status: int = 0) -> int:
    """打印到终端，返回 status；status 不为 0 时打印到标准错误。
    Print to the console and return status; if that is not 0, to the standard
    error. A closed console is no error.

    >>> show("p = 1")
    p = 1
    0

    - 需要 Needs: for_console
    """
    import sys

    stream = sys.stderr if status else sys.stdout
    if stream is not None:  # None: closed before we began
        try:
            text = for_console(text, stream.encoding or "utf-8")
            print(text, file=stream, flush=True)
        except BrokenPipeError:  # as in: | head
            try:
                stream.close()
            except BrokenPipeError:
                pass
    return status


def main(argv: list[str] | None = None) -> int:
    """走一遍 4.1 到 4.4 节，用本章的分数，或者命令行给出的分数和温度。
    Walk through sections 4.1 to 4.4, on the chapter's scores or on scores and
    a temperature from the command line.
    """
    import sys

    usage = """\
python3 softmax_ref.py                    本章的分数
python3 softmax_ref.py                    the scores of the chapter
python3 softmax_ref.py 2 1 0.1 T=0.5      自己的分数和温度
python3 softmax_ref.py 2 1 0.1 T=0.5      your scores and temperature
python3 softmax_ref.py softmax_stable     复制函数；--short 说明从简
python3 softmax_ref.py softmax_stable     copy functions; --short: brief"""

    def naive(x: list[float]) -> str:
        try:
            return numbers_row(softmax_naive(x))
        except ArithmeticError as error:
            return f" {type(error).__name__}"

    try:
        text, x, options = read_command(
            sys.argv[1:] if argv is None else argv, usage, T=1.0)
        if text:
            return show(text)
        own, x, T = bool(x), x or [1.0, 2.0, 3.0], options["T"]
        p, steps = softmax_stable(x), softmax_steps(x, T)
        not_T = "" if T == 1.0 else " (T = 1)"  # what T does not touch
    except ValueError as error:
        return show(f"softmax_ref.py: {error}", 2)

    bars = bar_chart(p, width=16).split("\n")
    lines = ["""
4.1  softmax 是什么
4.1  What softmax is -----------------------------------------------------
任意分数变成概率：都不小于 0，总和为 1，分数越高，概率越大；hardmax 只留最高的
Any scores become probabilities: none below 0, summing to 1, higher for higher
scores; hardmax keeps only the highest

       score   hardmax   softmax""" + not_T]
    lines += [f"{x_i + 0.0:12g} {h_i:9g}   {bar}"
              for x_i, h_i, bar in zip(x, hardmax(x), bars)]
    first, second = (sorted(x, reverse=True) * 2)[:2]
    if 0.0 < first - second < 700.0:
        gap = first - second
        lines += ["", f"""\
最高的两个分数相差 {gap:g}，它们的概率之比是 exp({gap:g}) = {math.exp(gap):.4g}
The two highest scores are {gap:g} apart, so the ratio of their probabilities
is exp({gap:g}) = {math.exp(gap):.4g}"""]

    divide = " " if T == 1.0 else f" divide by T = {T:g},\n"
    by_T = "" if T == 1.0 else f"除以 T = {T:g}，"
    lines += [f"""
4.2  计算过程
4.2  The computation -----------------------------------------------------
减去最大值 m = {max(x):g}，{by_T}取指数，除以总和
Subtract the maximum, m = {max(x):g},{divide}exponentiate, divide by the sum

{steps}"""]

    shifts = [[x_i + shift for x_i in x] for shift in (0.0, 1000.0, -1000.0)]
    lines += ["""
4.2  上溢与下溢
4.2  Overflow and underflow ----------------------------------------------
给每个分数加 1000 或减 1000，概率本该不变；照公式直接算就出错，先减最大值就不会
Add 1000 to every score, or subtract it, and the probabilities should not
change; the plain formula breaks, subtracting the maximum first does not

scores      softmax_naive                     softmax_stable""" + not_T]
    for name, scores in zip(("x", "x + 1000", "x - 1000"), shifts):
        stable = numbers_row(softmax_stable(scores))
        lines.append(f"{name:10} {naive(scores):33} {stable}")

    cases = {str(case): case for case in (
        [1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0, 5.0, 10.0],
        [1.0, 50.0, 100.0], [1.0, 500.0, 1000.0])}
    if own:
        cases = {f"x * {c}": [x_i * c for x_i in x]
                 for c in (0.1, 1, 5, 50, 500) if math.isfinite(max(x) * c)}
    lines += ["""
4.3  饱和（本章称“极端化”）
4.3  Saturation ("extremization" in the chapter) -------------------------
差距很大时接近 one-hot（只有一项是 1），导数 p (1 - p) 也接近 0，几乎没有梯度；
写成 0 和 1 的，恰好是 0 和 1
With large gaps it is close to one-hot (a single 1), the derivatives p (1 - p)
are close to 0, and hardly any gradient passes; a bare 0 or 1 is exact

scores                 softmax                       largest p (1 - p)"""
              + not_T]
    for name, case in cases.items():
        p = softmax_stable(case)
        slope = numbers_row([max(p_i * (1.0 - p_i) for p_i in p)], 6)
        lines.append(f"{name:20} {numbers_row(p, 6):39} {slope}")

    lines += [f"""
4.4  温度
4.4  Temperature ---------------------------------------------------------
T 低则尖锐，T 高则平坦；熵衡量有多平坦，取 exp 得困惑度，相当于几个等可能的选项
A low T sharpens, a high T flattens; entropy says how flat, and its exp, the
perplexity, how many equally likely options that amounts to

     T  entropy perplexity  softmax(x / T)   {legend(x)}"""]
    for t in sorted({0.1, 0.5, 1.0, 2.0, 5.0, 10.0, T}):
        p = softmax_with_temperature(x, t)
        mark = "<" if t == T != 1.0 else " "
        lines.append(f"{t:6g}{mark}{entropy(p):8.4f} "
                     f"{math.exp(entropy(p)):10.4f} "
                     f"{numbers_row(p)} {stacked_bar(p)}")
    return show("\n".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
