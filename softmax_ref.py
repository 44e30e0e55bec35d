"""softmax：从分数到概率 | Softmax: from scores to probabilities

是哪一类，下一个词是什么，注意力该看哪里：模型给出的是分数，要用的却是概率。
softmax 把任意一组分数变成概率：分数越高，概率越大；领先越多，概率也高得越多。
Which class, which next word, where attention should look: a model gives
scores, but what we need are probabilities. Softmax turns any scores into
probabilities. The higher a score, the larger its probability, and the further
ahead, the larger its share.

这是第 4 章 4.1 到 4.4 节，从上往下读；每个例子都在测试中实际运行。
These are sections 4.1 to 4.4 of chapter 4, to be read from the top. The tests
run every example.

    x             n 个分数（logits），-inf 表示不参与
                  n scores (logits); -inf means left out
    m = max(x)    最大的分数 | the largest score
    p             概率分布：各项非负，和为 1
                  a distribution: non-negative entries that sum to 1
    T             温度 | temperature
    [i = j]       成立时为 1，否则为 0 | 1 if true, else 0
    log           自然对数 | the natural logarithm
    nan           非数字，例如 inf - inf | not a number, such as inf - inf
"""

import math


# 4.1 softmax 是什么 | What softmax is ---------------------------------------

def softmax_naive(x: list[float]) -> list[float]:
    """softmax 把任意一组分数变成概率；这里照公式直接写。
    Softmax turns any scores into probabilities; here, straight as the formula.

        p_i = softmax(x)_i = exp(x_i) / Σ_j exp(x_j)

    用 exp 把每个分数变成正数，再除以总和，就得到和为 1 的概率。两个概率相除，
    总和就约掉了，只剩差距：分数高出 1，概率就是对方的 e ≈ 2.718 倍。
    exp makes every score positive, and dividing by the total makes the sum 1.
    In the ratio of two probabilities the total cancels, and only the gap is
    left: a score higher by 1 has e ≈ 2.718 times the other's probability:

        p_i / p_j = exp(x_i) / exp(x_j) = exp(x_i - x_j)

    >>> p = softmax_naive([1.0, 2.0, 3.0])
    >>> [round(p_i, 4) for p_i in p], round(p[2] / p[1], 3)
    ([0.09, 0.2447, 0.6652], 2.718)

    为什么是 exp？换成别的 f，p_i / p_j = f(x_i) / f(x_j)。分数没有固定的零点，
    [5, 6] 和 [0, 1] 的概率应当相同。所以不论从哪里起，多一分，f 都要乘同一个
    b > 1；多 0.5 分就乘 √b（两次得 b），依此类推。
    Why exp? With some other f, p_i / p_j = f(x_i) / f(x_j). Scores have no
    fixed zero, so [5, 6] should get the same probabilities as [0, 1]. From
    wherever you start, one more point must multiply f by the same b > 1, and
    0.5 more by √b (twice gives b), and so on:

        f(6) / f(5) = f(1) / f(0) = b,    f(t + 1) = b f(t),    f(t) = b^t f(0)

    f(0) 会约掉。b = 2 也行，只是每个导数都要多乘 log(2)，所以取 b = e，也就是
    exp。直接用分数，会有负数；用平方，-2 和 2 就没有分别。
    f(0) cancels. b = 2 works too, but puts a log(2) into every derivative,
    hence b = e, which is exp. Bare scores may be negative; squares mix up -2
    and 2.

    分数超过约 709.78，exp 就上溢（超出浮点数的范围），会报错。总和上溢，或者各
    分数都极低，就会悄悄算错（末行应为 0.38、0.62 和 0.88、0.12）；再低就是 0
    除以 0。
    Above about 709.78 exp overflows (leaves the range of floats), which is an
    error. If the total overflows, or all scores are very low, the answer is
    silently wrong (the last line should be 0.38, 0.62 and 0.88, 0.12); lower
    still it is 0 / 0:

    >>> softmax_naive([1000.0])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    OverflowError
    >>> softmax_naive([709.0, 709.5]), softmax_naive([-744.0, -746.0])
    ([0.0, 0.0], [1.0, 0.0])

    - 来源 Source: Blanchard, Higham & Higham 2021, Eq. (1.2)
    - 等价 Same as: numpy.exp(x) / numpy.exp(x).sum()
    - 需要 Needs: math
    """
    e = [math.exp(x_i) for x_i in x]
    total = sum(e)
    return [e_i / total for e_i in e]


def hardmax(x: list[float]) -> list[float]:
    """硬最大值（hardmax）：最大的得 1，其余得 0；这种向量叫 one-hot（独热）。
    Hard max: 1 for the largest score, 0 for the rest, a one-hot vector.

        hardmax(x)_i = [i = argmax x]

    argmax x 是最大值的下标：只说谁最大，不说大多少。训练靠梯度，也就是参数
    稍动时，损失（预测有多差）变化的快慢。分数稍动，softmax 跟着变，hardmax 却
    不变，梯度几乎处处为 0，训练就不知道该往哪边调。
    argmax x is the index of the largest score. It tells which is largest, not
    by how much. Training is guided by the gradient: how fast the loss (how bad
    the predictions are) changes as a parameter moves slightly. When scores
    move slightly, softmax moves too, but hardmax does not. Its gradient is 0
    almost everywhere and gives training no direction:

    >>> hardmax([1.0, 2.0, 3.0]), hardmax([1.0, 2.5, 3.0])
    ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0])

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §6.2.2.3
    - 等价 Same as: onnx Hardmax(axis=-1)
    - 需要 Needs: math
    """
    if any(map(math.isnan, x)):
        raise ValueError("hardmax needs scores without nan")

    best = x.index(max(x))  # 并列时取第一个 | ties go to the first
    return [1.0 if i == best else 0.0 for i in range(len(x))]


# 4.2 计算过程，4.3 饱和 | The computation, saturation -----------------------

def softmax_stable(x: list[float]) -> list[float]:
    """稳定的 softmax：先减去最大值，再取指数。
    Stable softmax: subtract the maximum, then exponentiate.

        softmax(x)_i = exp(x_i) / Σ_j exp(x_j)
                     = (exp(x_i) / exp(m)) / (Σ_j exp(x_j) / exp(m))
                     = exp(x_i - m) / Σ_j exp(x_j - m),    m = max(x)

    分子、分母同时除以 exp(m)，概率不变。
    Both parts of the fraction are divided by exp(m); no probability changes:

    >>> softmax_stable([1000.0, 1001.0]) == softmax_stable([0.0, 1.0])
    True

    为什么减最大值？最大的一项成了 exp(0) = 1，所以不会上溢；总和至少是 1，所以
    不会 0 除以 0。减平均值不行：[0, 2000] 变成 [-1000, 1000]，照样上溢。
    Why the maximum? The largest term becomes exp(0) = 1, so nothing overflows,
    and the total is at least 1, so there is no 0 / 0. The mean will not do:
    [0, 2000] becomes [-1000, 1000], which still overflows.

    最高分领先很多时，softmax 就会饱和（本章称“极端化”）：最高分的概率接近 1，
    其余接近 0，甚至下溢成 0；总和至少是 1，别的概率不受影响。
    If the highest score is far ahead, softmax saturates ("extremization" in
    the chapter): that score gets almost 1, the others almost 0. They may even
    underflow to 0, which is harmless, as the total is at least 1:

    >>> softmax_stable([1000.0, 1.0, -math.inf])
    [1.0, 0.0, 0.0]

    只有两个分数时，不减 m 而减 x_1，可见 p_1 就是差距 z 的 sigmoid。一个样本
    可以同属几类时（照片里既有猫又有狗），不用 softmax，每类各用一个 sigmoid。
    With two scores, subtract x_1 instead of m: p_1 is the sigmoid of their gap
    z. Where several classes may hold at once (a photo of a cat and a dog), use
    a sigmoid for each instead of softmax:

        p_1 = exp(0) / (exp(0) + exp(x_2 - x_1)) = 1 / (1 + exp(-z))
        z = x_1 - x_2

    >>> f"{softmax_stable([2.0, 0.0])[0]:.4f}, {1 / (1 + math.exp(-2.0)):.4f}"
    '0.8808, 0.8808'

    - 来源 Source: Blanchard, Higham & Higham 2021, §4
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    m = max(x)
    e = [math.exp(x_i - m) for x_i in x]  # 最大的一项是 1 | the largest is 1
    total = math.fsum(e)  # 至少是 1，精确相加 | at least 1, summed exactly
    if math.isnan(total):  # 有 nan 或 inf，或全是 -inf | nan, inf, or all -inf
        raise ValueError("softmax_stable needs a finite maximum and no nan")
    return [e_i / total for e_i in e]


# 4.4 温度 | Temperature -----------------------------------------------------

def softmax_with_temperature(
    x: list[float], temperature: float
) -> list[float]:
    """带温度的 softmax：T 低则尖锐，T 高则平坦。
    Softmax with temperature: a low T makes it sharp, a high T flat.

        softmax(x / T)_i = exp((x_i - m) / T) / Σ_j exp((x_j - m) / T)

    除以 T 就是缩放差距。模型生成文本时，调低 T 更稳妥，调高 T 更多样：写代码约
    0.2 到 0.5，翻译 1.0，创作 1.2 到 1.5（本章的表，经验之谈）。
    Dividing by T scales the gaps. When a model writes text, a low T plays it
    safe and a high T varies more: about 0.2 to 0.5 for code, 1.0 for
    translation, 1.2 to 1.5 for fiction (the chapter's table, a rule of thumb):

    >>> for T in [0.1, 1.0, 10.0]:
    ...     p = softmax_with_temperature([1.0, 2.0, 3.0], T)
    ...     print([round(p_i, 4) for p_i in p])
    [0.0, 0.0, 1.0]
    [0.09, 0.2447, 0.6652]
    [0.3006, 0.3322, 0.3672]

    换底数就相当于换 T：2^x = exp(x log(2))，也就是 T = 1 / log(2)。T 趋于 0
    时，唯一的最大值得到全部概率，就像 hardmax；最大值并列时则平分。
    Another base is just another T: 2^x = exp(x log(2)) is T = 1 / log(2). As T
    approaches 0, a single maximum gets everything, as in hardmax; ties share
    it:

    >>> softmax_with_temperature([1.0, 3.0, 3.0], 0.001)
    [0.0, 0.5, 0.5]

    - 来源 Source: Hinton, Vinyals & Dean 2015, §2, Eq. (1)
    - 等价 Same as: torch.softmax(x / T, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not temperature > 0.0:
        raise ValueError("softmax_with_temperature needs T > 0 (0: hardmax)")

    m = max(x)  # 先减，否则 x / T 会上溢 | first, or x / T may overflow
    return softmax_stable([(x_i - m) / temperature for x_i in x])


def entropy(p: list[float]) -> float:
    """熵衡量 p 有多平坦，单位是纳特（nat，取自然对数）：从 0 到 log(n)。
    Entropy measures how flat p is, in nats (natural logs): from 0 to log(n).

        entropy(p) = Σ_i p_i (-log(p_i)),    0 log(0) = 0

    -log(p_i) 是看到 i 时的意外程度。几件独立的事都发生，概率相乘，意外程度却应
    相加，所以取对数：-log(p q) = -log(p) - log(q)。熵是意外程度按 p 加权的
    平均。exp(entropy) 叫困惑度，例如困惑度为 4，就像在 4 项里等可能地挑一个。
    -log(p_i) is the surprise of seeing i. When independent events all happen,
    their probabilities multiply, but surprises should add, hence the log:
    -log(p q) = -log(p) - log(q). Entropy is the average surprise, weighted by
    p. exp(entropy) is the perplexity: at 4, p is as uncertain as an even
    choice among 4 options:

    >>> round(math.exp(entropy([0.25, 0.25, 0.25, 0.25])), 9)
    4.0
    >>> entropy([0.0, 1.0, 0.0])
    0.0

    - 来源 Source: Goodfellow, Bengio & Courville 2016
    - 等价 Same as: scipy.stats.entropy(p)
    - 需要 Needs: math
    """
    if min(p) < 0.0 or not abs(math.fsum(p) - 1.0) <= 1e-3:
        raise ValueError("entropy needs p >= 0 with a sum of 1")

    return max(0.0, -math.fsum(p_i * math.log(p_i) for p_i in p if p_i > 0.0))


# 本章之外：对数与梯度 | Beyond the chapter: logs and gradients ---------------

def logsumexp(x: list[float]) -> float:
    """指数和的对数：max 的平滑版本，最多比 max 大 log(n)。
    The log of a sum of exponentials: a smooth max, at most log(n) above it.

        logsumexp(x) = log(Σ_i exp(x_i)) = m + log(Σ_i exp(x_i - m))

    它就是 softmax 分母的对数，所以 log(p_i) = x_i - logsumexp(x)，损失和梯度都
    由此推出。因为 (log f)' = f' / f，它对 x_j 的导数恰好是 p_j。
    It is the log of the denominator of softmax, so
    log(p_i) = x_i - logsumexp(x), from which losses and gradients are derived.
    As (log f)' = f' / f, its derivative with respect to x_j is just p_j:

        ∂logsumexp(x) / ∂x_j = exp(x_j) / Σ_i exp(x_i) = p_j

    用差商（输出的变化除以输入的变化）检验。
    Check by a difference quotient (change of output over change of input):

    >>> h = 1e-5
    >>> rise = logsumexp([1.0, 2.0, 3.0 + h]) - logsumexp([1.0, 2.0, 3.0 - h])
    >>> e = [math.exp(x_i) for x_i in [1.0, 2.0, 3.0]]
    >>> round(rise / (2 * h), 4), round(e[2] / sum(e), 4)
    (0.6652, 0.6652)

    - 来源 Source: Blanchard, Higham & Higham 2021, Algorithm 4.1
    - 等价 Same as: scipy.special.logsumexp(x); torch.logsumexp(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:  # 空和的对数 | the log of an empty sum
        return -math.inf

    m = max(x)
    # m 是 inf 时，inf - inf 是 nan | if m is inf, inf - inf is nan
    e = [1.0 if x_i == m else math.exp(x_i - m) for x_i in x]
    others = math.fsum(e + [-1.0])  # 其余之和 | the sum of the others
    if math.isnan(others):
        raise ValueError("logsumexp needs scores without nan")
    # log1p(y) = log(1 + y)，y 很小也准 | log1p(y) = log(1 + y), for tiny y too
    return m + math.log1p(others)


def softmax_jacobian(x: list[float]) -> list[list[float]]:
    """雅可比矩阵：第 i 个概率随第 j 个分数变得多快。
    The Jacobian: how fast probability i changes with score j.

        log(p_i) = x_i - logsumexp(x)
        ∂log(p_i) / ∂x_j = [i = j] - p_j
        ∂log(p_i) / ∂x_j = (∂p_i / ∂x_j) / p_i
        J_ij = ∂p_i / ∂x_j = p_i ([i = j] - p_j)

    第二行：x_i 只在 i = j 时随 x_j 变，而 logsumexp 的导数是 p_j。第三行又是
    (log f)' = f' / f。两行相等，乘以 p_i 就得 J。有温度 T 时，x_j / T 的导数是
    1 / T，J 也要乘它；2^x 就是 T = 1 / log(2)，J 要乘 log(2)。
    Second line: x_i changes with x_j only if i = j, and the derivative of
    logsumexp is p_j. The third is (log f)' = f' / f again. The two are equal;
    times p_i they give J. With a temperature T, x_j / T has the derivative
    1 / T, and so J is multiplied by it; 2^x is T = 1 / log(2), which
    multiplies J by log(2):

    >>> for row in softmax_jacobian([1.0, 2.0, 3.0]):
    ...     print([round(J_ij, 4) for J_ij in row])
    [0.0819, -0.022, -0.0599]
    [-0.022, 0.1848, -0.1628]
    [-0.0599, -0.1628, 0.2227]

    对角线上是 p_i (1 - p_i)，其余是 -p_i p_j：一个分数上升，别的概率就下降。
    最高分领先很多时，J 的各项都接近 0：softmax 饱和了，梯度几乎传不回去，除非
    grad_p 极大（见 variants_ref 的 `cross_entropy_backward`）。下面是 J 中
    最大的一项。
    The diagonal is p_i (1 - p_i), the rest -p_i p_j: as one score rises, the
    other probabilities fall. With the highest score far ahead, all of J is
    close to 0: softmax is saturated and passes hardly any gradient back,
    unless grad_p is huge (see `cross_entropy_backward` in variants_ref). The
    largest entry of J:

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
    return [[p_i * ((i == j) - p_j) for j, p_j in enumerate(p)]  # n × n
            for i, p_i in enumerate(p)]


def softmax_backward(p: list[float], grad_p: list[float]) -> list[float]:
    """反向传播：已知损失对 p 的梯度，求损失对 x 的梯度。
    Backward pass: given the loss's gradient for p, find that for x.

        grad_x_i = Σ_j grad_p_j ∂p_j / ∂x_i
                 = Σ_j grad_p_j p_j ([i = j] - p_i)
                 = grad_p_i p_i - p_i Σ_j p_j grad_p_j
                 = p_i (grad_p_i - Σ_j p_j grad_p_j)

    第一行是链式法则：x_i 影响每个 p_j，各处的影响相加。第三行把 i = j 的一项
    单独写出。末行不用矩阵，只要 O(n) 次运算：p_i 乘以 grad_p_i 高出平均值（按
    p 加权）的部分，所以 grad_p 各项相等时得 0。
    The first line is the chain rule: x_i acts on every p_j, and the effects
    add up. The third writes the term i = j on its own. The last needs no
    matrix, only O(n) operations: p_i times how far grad_p_i lies above the
    mean (weighted by p), so equal entries of grad_p give 0:

    >>> softmax_backward([0.5, 0.5], [1.0, 0.0])
    [0.25, -0.25]
    >>> softmax_backward([0.25, 0.75], [8.0, 8.0])
    [0.0, 0.0]

    - 来源 Source: Martins & Astudillo 2016, Eq. (13)
    - 等价 Same as: jax.vjp(jax.nn.softmax, x)[1](grad_p)
    - 需要 Needs: math
    """
    # 全为 0 也行：全被屏蔽的一行 | all 0 is fine: a row all masked
    if any(p) and (min(p) < 0.0 or not abs(math.fsum(p) - 1.0) <= 1e-3):
        raise ValueError("softmax_backward needs p >= 0 with a sum of 1, or 0")

    mean = math.fsum(p_i * g_i for p_i, g_i in zip(p, grad_p, strict=True))
    grad_x = [p_i * (g_i - mean) for p_i, g_i in zip(p, grad_p)]
    if not all(map(math.isfinite, grad_x)):
        raise ValueError("softmax_backward needs finite grad_p, below 1e308")
    return grad_x


# 画出来看 | Pictures ---------------------------------------------------------

def bar_chart(p: list[float], width: int = 30) -> str:
    """把概率画成横条，一行一个；概率为 1 的横条有 width 格。
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
    A table, as if by hand: subtract the maximum m, divide by T, exp,
    normalise.

    >>> print(softmax_steps([1.0, 2.0, 3.0]))
           x  (x-m)/T     exp       p
           1       -2  0.1353  0.0900 █
           2       -1  0.3679  0.2447 ██
           3        0  1.0000  0.6652 █████
         sum           1.5032  1.0000

    - 需要 Needs: math, softmax_stable, softmax_with_temperature, bar_chart
    """
    p = softmax_with_temperature(x, temperature)
    m = max(x)
    gaps = [(x_i - m) / temperature for x_i in x]
    e = [math.exp(gap) for gap in gaps]
    bars = bar_chart(p, width=8).split("\n")
    lines = [f"{'x':>8}{'(x-m)/T':>9}{'exp':>8}{'p':>8}"]
    for x_i, gap, e_i, bar in zip(x, gaps, e, bars):
        lines.append(f"{x_i:8g} {gap:8.4g}{e_i:8.4f}  {bar}")
    lines.append(f"{'sum':>8}{sum(e):17.4f}{sum(p):8.4f}")
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
4.4  温度 T 低则尖锐，高则平坦
4.4  A low T sharpens, a high T flattens
x    T = 0.1        T = 0.5        T = 1          T = 2          T = 10""")
    charts = [bar_chart(softmax_with_temperature(x, T), 7).split("\n")
              for T in [0.1, 0.5, 1.0, 2.0, 10.0]]
    for x_i, *bars in zip(x, *charts):
        print(f"{x_i:<4g}", *[f"{bar:14}" for bar in bars])


if __name__ == "__main__":
    main()
