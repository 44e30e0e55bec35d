"""softmax 的变体：对数、稀疏、采样 | Variants: logs, sparse ones, sampling

第 4 章 4.6 节的参考实现，以及训练和生成时常用的几个函数。
Reference code for chapter 4, section 4.6, and a few functions that training
and generation often use.

    x   n 个分数，-inf 表示不参与 | n scores; -inf means left out
    m   最大的分数 max(x) | the largest score
    p   概率分布 | a distribution
    y   目标分布 | the target distribution
    τ   阈值 | threshold
    u   0 到 1 之间的均匀随机数 | uniform random numbers between 0 and 1
"""

import math

from softmax_ref import (
    bar_chart, for_console, hardmax, softmax_stable, softmax_with_temperature
)


# 4.6 对数与损失 | Logs and losses -------------------------------------------

def log_softmax(x: list[float]) -> list[float]:
    """softmax 的对数，但不先算 softmax，所以不会对 0 取对数。
    The log of softmax, without computing softmax, so no log of 0 is taken.

        log_softmax(x)_i = (x_i - m) - log1p(Σ_others exp(x_j - m))

    取 exp 就回到 softmax：
    Its exp is softmax:

    >>> [round(v, 4) for v in log_softmax([1.0, 2.0, 3.0])]
    [-2.4076, -1.4076, -0.4076]
    >>> [round(math.exp(v), 4) for v in log_softmax([1.0, 2.0, 3.0])]
    [0.09, 0.2447, 0.6652]

    先算 softmax 再取对数，下面的第一项就会是 log(0)，而不是 -1000：
    With softmax first and the log after, the first entry here would be log(0)
    rather than -1000:

    >>> log_softmax([0.0, 1000.0])
    [-1000.0, 0.0]

    先减 m，再减对数；如果减去两者的和，
    m 很大时，对数（这里是 log(2)）就会被舍入掉：
    Subtract m, then the log; where m is large, subtracting their sum would
    round the log, here log(2), away:

    >>> [round(v, 4) for v in log_softmax([1e16, 1e16])]
    [-0.6931, -0.6931]
    >>> 1e16 - (1e16 + math.log(2.0))
    0.0

    Σ 不含最大的一项 1，所以最高分的对数概率也准；SciPy 和 PyTorch 在此得 0：
    Σ leaves out the largest term, which is 1, so the log-probability of the
    largest score is accurate too; SciPy and PyTorch return 0 here:

    >>> f"{log_softmax([40.0, 0.0])[0]:.3e}"
    '-4.248e-18'

    误差只在末几位，哪怕结果像这里一样接近 0。
    Only the last few digits are off, even of a result as close to 0 as here.

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §4.1
    - 等价 Same as: scipy.special.log_softmax(x); torch.log_softmax(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        raise ValueError("log_softmax needs at least one score, got []")
    m = max(x)
    shifted = [x_i - m for x_i in x]
    others = math.fsum([math.exp(s) for s in shifted] + [-1.0])
    if math.isnan(others):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"log_softmax needs a finite maximum, got {bad}")
    log_sum = math.log1p(others)
    return [s - log_sum for s in shifted]


def cross_entropy(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> float:
    """交叉熵损失：目标类的对数概率取负，单位 nat；x 是分数，不是概率。
    Cross-entropy loss: minus the log-probability of the target class, in nats;
    x are scores, not probabilities.

        loss = -Σ_i y_i log_softmax(x)_i
        y_i = ε / n, plus 1 - ε where i = target,    ε = label_smoothing

    >>> f"{cross_entropy([2.0, 0.0, -1.0], target=0):.4f}"
    '0.1698'

    最常见的错误是先做一遍 softmax，[100, 0, 0] 变成 [1, 0, 0]，损失降不到 0：
    The most common mistake is to apply softmax first, which turns [100, 0, 0]
    into [1, 0, 0], and the loss cannot get down to 0:

    >>> f"{cross_entropy([100.0, 0.0, 0.0], 0):.4f}"
    '0.0000'
    >>> f"{cross_entropy([1.0, 0.0, 0.0], 0):.4f}"
    '0.5514'

    标签平滑把 ε 平分给所有的类，目标类也在内：
    Label smoothing shares ε among all classes, the target included:

    >>> f"{cross_entropy([2.0, 0.0, -1.0], 0, label_smoothing=0.1):.4f}"
    '0.3365'

    类从 0 数起，3 个类的最后一个是 2：
    Classes count from 0, and the last of 3 is 2:

    >>> cross_entropy([2.0, 0.0, -1.0], target=3)
    Traceback (most recent call last):
    ValueError: cross_entropy needs 0 <= target < 3, got 3

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.nn.functional.cross_entropy(x, target)
    - 需要 Needs: math, log_softmax
    """
    log_p = log_softmax(x)
    if not 0 <= target < len(x):
        raise ValueError(
            f"cross_entropy needs 0 <= target < {len(x)}, got {target}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(
            "cross_entropy needs label_smoothing 0 to 1, "
            f"got {label_smoothing}"
        )
    y = [label_smoothing / len(x)] * len(x)
    y[target] += 1.0 - label_smoothing
    # 0 * -inf 是 nan，跳过 y_i = 0 的类 | leave out classes of y_i = 0
    return max(0.0, -math.fsum(y_i * l for y_i, l in zip(y, log_p) if y_i))


def cross_entropy_backward(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> list[float]:
    """交叉熵对分数的梯度：概率减去目标分布。
    The gradient of cross-entropy for the scores: probability minus target.

        grad_x_i = p_i - y_i,    y as in cross_entropy

    用差商检验第一项：
    The first entry, checked by a difference quotient:

    >>> [round(g, 4) for g in cross_entropy_backward([2.0, 0.0, -1.0], 0)]
    [-0.1562, 0.1142, 0.042]
    >>> h = 1e-5
    >>> above = -math.log(softmax_stable([2.0 + h, 0.0, -1.0])[0])
    >>> below = -math.log(softmax_stable([2.0 - h, 0.0, -1.0])[0])
    >>> round((above - below) / (2 * h), 4)
    -0.1562

    各项之和为 0，所以目标那一项就是其余各项之和取负；p 舍入到 1 时它也不消失：
    The entries sum to 0, so the entry of the target is minus the sum of the
    others, and it does not vanish even where p rounds to 1:

    >>> f"{cross_entropy_backward([50.0, 0.0], 0)[0]:.4e}"
    '-1.9287e-22'
    >>> softmax_stable([50.0, 0.0])[0] - 1.0
    0.0

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.autograd.grad(cross_entropy(x, target), x)
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 0 <= target < len(x):
        raise ValueError(
            f"cross_entropy_backward needs 0 <= target < {len(x)}, "
            f"got {target}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(
            "cross_entropy_backward needs label_smoothing 0 to 1, "
            f"got {label_smoothing}"
        )
    grad_x = [p_i - label_smoothing / len(x) for p_i in p]
    grad_x[target] = 0.0
    grad_x[target] = -math.fsum(grad_x)
    return grad_x


# 4.6 稀疏的变体 | Sparse variants -------------------------------------------

def sparsemax(x: list[float]) -> list[float]:
    """sparsemax：把分数投影到概率单纯形上，低分恰好得 0。
    Sparsemax: project the scores onto the simplex; low ones get exactly 0.

        sparsemax(x)_i = max(x_i - τ, 0),    τ = (Σ_top-k x_j - 1) / k

    单纯形由所有各项不小于 0、和为 1 的向量组成；sparsemax 取其中离 x 最近的：
    The simplex is made up of all vectors with no entry below 0 and a sum of 1;
    sparsemax takes the one nearest to x:

    >>> sparsemax([0.0, 0.5, 1.0])
    [0.0, 0.25, 0.75]
    >>> sparsemax([0.5, -9.0, 0.5])
    [0.5, 0.0, 0.5]

    从高到低逐个取分数，每取一个就重算阈值 τ，直到下一个分数不高于 τ；取到的
    k 个概率大于 0，这里 k = 2：
    Take scores from the highest down, with a new threshold τ each time, until
    the next one is not above τ; the k taken have probabilities above 0, and
    here k = 2:

    >>> tau = (1.0 + 0.5 - 1) / 2
    >>> [max(x_i - tau, 0.0) for x_i in [0.0, 0.5, 1.0]]
    [0.0, 0.25, 0.75]

    本章的例子只有一项大于 0，和 hardmax 一样；公式写错了，也看不出来：
    The chapter's example leaves only one entry above 0, as hardmax does, so a
    mistake in the formula would not show:

    >>> sparsemax([1.0, 2.0, 3.0])
    [0.0, 0.0, 1.0]

    - 来源 Source: Martins & Astudillo 2016, §2.2, Algorithm 1
    - 等价 Same as: entmax.sparsemax(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        raise ValueError("sparsemax needs at least one score, got []")
    m = max(x)
    shifted = [x_i - m for x_i in x]
    if any(map(math.isnan, shifted)):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"sparsemax needs a finite maximum, got {bad}")
    total: float = 0
    for k, s in enumerate(sorted(shifted, reverse=True), start=1):
        total += s
        threshold = (total - 1) / k
        if s <= threshold:
            break
        tau = threshold
    return [max(s - tau, 0.0) for s in shifted]


def sparsemax_backward(p: list[float], grad_p: list[float]) -> list[float]:
    """sparsemax 的反向传播：p 大于 0 处，grad_p 减去这些位置的均值；其余为 0。
    Backward pass of sparsemax: where p is above 0, grad_p minus its mean over
    those entries; 0 elsewhere.

        grad_x_i = grad_p_i - mean(grad_p over the support) if p_i > 0, else 0

    支撑集（support）是 p 大于 0 的位置；在它之外，分数稍微变动不影响结果：
    The support is where p is above 0; outside, a score can move a little and
    nothing changes:

    >>> sparsemax_backward([0.0, 0.25, 0.75], [5.0, 1.0, 2.0])
    [0.0, -0.5, 0.5]

    - 来源 Source: Martins & Astudillo 2016, Eq. (14)
    - 等价 Same as: torch.autograd.grad(sparsemax(x), x, grad_p)
    - 需要 Needs: math
    """
    if len(p) != len(grad_p):
        raise ValueError(
            "sparsemax_backward needs lists of equal length, "
            f"got {len(p)} and {len(grad_p)}"
        )
    for v in p + grad_p:
        if not math.isfinite(v):
            raise ValueError(
                f"sparsemax_backward needs finite numbers, got {v}"
            )
    support = [g_i for p_i, g_i in zip(p, grad_p) if p_i > 0.0]
    if not support:
        raise ValueError("sparsemax_backward needs an entry above 0, got none")
    mean = math.fsum(support) / len(support)
    return [g_i - mean if p_i > 0.0 else 0.0 for p_i, g_i in zip(p, grad_p)]


def entmax(x: list[float], alpha: float = 1.5) -> list[float]:
    """entmax：从 softmax 一路走到 sparsemax，alpha 决定走多远。
    Entmax: all the way from softmax to sparsemax; alpha says how far.

        entmax(x)_i = max(1 + (α - 1)(x_i - m - τ), 0)^(1 / (α - 1))

    α（alpha）为 1 是 softmax，为 2 是 sparsemax，越大越稀疏：
    At α (alpha) 1 it is softmax, at 2 sparsemax; the larger, the sparser:

    >>> for alpha in [1.0, 1.5, 2.0]:
    ...     print([round(p_i, 4) for p_i in entmax([0.0, 0.5, 1.0], alpha)])
    [0.1863, 0.3072, 0.5065]
    [0.0841, 0.2917, 0.6242]
    [0.0, 0.25, 0.75]

    用二分法求 τ：τ 越大，各项越小；使各项之和为 1 的 τ 只有一个，在 0 与
    log(n) 之间。
    τ is found by bisection: the larger τ, the smaller the entries; just one τ,
    between 0 and log(n), makes them sum to 1.

    - 来源 Source: Peters, Niculae & Martins 2019
    - 等价 Same as: entmax.entmax_bisect(x, alpha, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not 1.0 <= alpha <= 2.0:
        raise ValueError(f"entmax needs 1 <= alpha <= 2, got {alpha}")
    if alpha == 1.0:
        return softmax_stable(x)
    if not x:
        raise ValueError("entmax needs at least one score, got []")
    m = max(x)
    a = alpha - 1.0
    shifted = [a * (x_i - m) for x_i in x]
    if any(map(math.isnan, shifted)):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"entmax needs a finite maximum, got {bad}")

    low, high = 0.0, math.log(len(x))
    for _ in range(64):
        tau = (low + high) / 2.0
        base = [s - a * tau for s in shifted]
        p = [math.exp(math.log1p(b) / a) if b > -1.0 else 0.0 for b in base]
        if math.fsum(p) > 1.0:
            low = tau
        else:
            high = tau
    return p


# 采样 | Sampling ------------------------------------------------------------

def gumbel_softmax(
    x: list[float], u: list[float], temperature: float = 1.0
) -> list[float]:
    """Gumbel-softmax：给分数加上噪声再做 softmax，是可求导的采样。
    Gumbel-softmax: softmax of the scores plus noise; differentiable sampling.

        g_i = -log(-log(u_i)),    gumbel_softmax = softmax((x + g) / T)

    随机数 u 由外面传入，所以结果可以重现；最大的一项就是抽中的：
    The random numbers u are passed in, so the result is reproducible; the
    largest entry is the one drawn:

    >>> p = gumbel_softmax([2.0, 1.0], u=[0.5, 0.9], temperature=0.1)
    >>> [round(p_i, 4) for p_i in p]
    [0.0001, 0.9999]

    每一项成为最大项的频率，接近 softmax 的概率（Gumbel-max 技巧）：
    The share of draws in which an entry is the largest comes close to its
    softmax probability (the Gumbel-max trick):

    >>> import random
    >>> r = random.Random(1).random
    >>> draws = [gumbel_softmax([2.0, 1.0], [r(), r()]) for _ in range(10000)]
    >>> sum(p[0] > p[1] for p in draws) / len(draws)
    0.7298
    >>> round(softmax_stable([2.0, 1.0])[0], 4)
    0.7311

    - 来源 Source: Jang, Gu & Poole 2017, §2, Eqs. (1) and (2)
    - 等价 Same as: torch.nn.functional.gumbel_softmax(x, tau=temperature)
    - 需要 Needs: math, softmax_stable, softmax_with_temperature
    """
    if len(x) != len(u):
        raise ValueError(
            "gumbel_softmax needs lists of equal length, "
            f"got {len(x)} and {len(u)}"
        )
    for u_i in u:
        if not 0.0 < u_i < 1.0:
            raise ValueError(f"gumbel_softmax needs 0 < u < 1, got {u_i}")
    noisy = [x_i - math.log(-math.log(u_i)) for x_i, u_i in zip(x, u)]
    return softmax_with_temperature(noisy, temperature)


def softmax_top_k(x: list[float], k: int) -> list[float]:
    """top-k：只在最高的 k 个分数之间做 softmax，其余为 0。
    Top-k: softmax among the k highest scores, 0 elsewhere.

        p_i = exp(x_i) / Σ_top-k exp(x_j) if x_i is in the top k, else 0

    >>> [round(p_i, 4) for p_i in softmax_top_k([1.0, 3.0, 2.0], k=2)]
    [0.0, 0.7311, 0.2689]

    分数并列时，下标小的优先，恰好留下 k 个：
    Ties go to the lower index, so that exactly k are kept:

    >>> softmax_top_k([5.0, 5.0, 5.0], k=2)
    [0.5, 0.5, 0.0]

    k 不能大于分数的个数：
    k cannot be larger than the number of scores:

    >>> softmax_top_k([5.0, 5.0, 5.0], k=4)
    Traceback (most recent call last):
    ValueError: softmax_top_k needs 1 <= k <= 3, got 4

    - 来源 Source: Fan, Lewis & Dauphin 2018, §5.4
    - 等价 Same as: TopKLogitsWarper(k) of transformers, then softmax
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 1 <= k <= len(x):
        raise ValueError(f"softmax_top_k needs 1 <= k <= {len(x)}, got {k}")
    order = sorted(range(len(x)), key=lambda i: x[i], reverse=True)
    kept = set(order[:k])
    total = math.fsum(p[i] for i in kept)
    return [p_i / total if i in kept else 0.0 for i, p_i in enumerate(p)]


def softmax_top_p(x: list[float], top_p: float) -> list[float]:
    """top-p（核采样）：从高到低保留，直到累积概率达到 top_p，重新归一化。
    Top-p (nucleus): keep from the top until the cumulative probability reaches
    top_p, then renormalise.

        kept = the fewest, from the highest down, with Σ_kept p_i >= top_p

    跨过界线的那一个也要保留，否则 top_p 较小时一个都不剩：
    The one that crosses the line is kept too; otherwise a small top_p would
    keep none at all:

    >>> x = [math.log(0.5), math.log(0.4), math.log(0.1)]
    >>> [round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.8)]
    [0.5556, 0.4444, 0.0]
    >>> softmax_top_p(x, top_p=0.1)
    [1.0, 0.0, 0.0]

    - 来源 Source: Holtzman et al. 2020, Eqs. (2) and (3)
    - 等价 Same as: TopPLogitsWarper(top_p) of transformers, then softmax
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"softmax_top_p needs 0 < top_p <= 1, got {top_p}")
    order = sorted(range(len(x)), key=lambda i: x[i], reverse=True)
    kept: set[int] = set()
    total = 0.0
    for i in order:
        kept.add(i)
        total += p[i]
        # 舍入可能让总和过早到 1 | rounding may bring the total to 1 too early
        if total >= top_p and top_p < 1.0:
            break
    total = math.fsum(p[i] for i in kept)
    return [p_i / total if i in kept else 0.0 for i, p_i in enumerate(p)]


def sample(p: list[float], u: float) -> int:
    """按概率 p 抽一个下标（逆变换采样）；u 是 0 到 1 的均匀随机数。
    Draw an index with probabilities p (inverse transform sampling); u is a
    uniform random number from 0 to 1.

        sample(p, u) = the first i with u < p_0 + ... + p_i

    >>> [sample([0.2, 0.0, 0.8], u) for u in [0.0, 0.19, 0.2, 0.99]]
    [0, 0, 2, 2]

    概率为 0 的下标不会被抽中，即使舍入使总和略小于 1：
    An index of probability 0 is never drawn, even if rounding leaves the sum a
    little below 1:

    >>> sample([0.5, 0.4999999999, 0.0], u=0.99999999999)
    1

    - 等价 Same as: numpy.searchsorted(numpy.cumsum(p), u, side="right")
    - 需要 Needs: 无 nothing
    """
    if any(p_i < 0.0 for p_i in p):
        raise ValueError(f"sample needs entries >= 0, got {min(p)}")
    if not abs(sum(p) - 1.0) <= 1e-9:
        raise ValueError(f"sample needs a sum of 1, got {sum(p)}")
    if not 0.0 <= u < 1.0:
        raise ValueError(f"sample needs 0 <= u < 1, got {u}")
    total, drawn = 0.0, 0
    for i, p_i in enumerate(p):
        total += p_i
        if p_i > 0.0:
            drawn = i
        if u < total:
            break
    return drawn


def main(argv: list[str] | None = None) -> int:
    """把同一组分数的各种变体并排列出；也可以在命令行给出自己的分数。
    The variants side by side on one set of scores, which can be given on the
    command line.
    """
    import sys

    def show(*lines: str) -> None:
        print(for_console("\n".join(lines), sys.stdout.encoding or "utf-8"))

    arguments = sys.argv[1:] if argv is None else argv
    try:
        x = [float(a) for a in arguments] or [0.0, 0.5, 1.0, 1.2]
        charts = [bar_chart(entmax(x, alpha), width=12).split("\n")
                  for alpha in (1.0, 1.5, 2.0)]
    except ValueError as error:
        print(f"variants_ref.py: {error}", file=sys.stderr)
        return 2

    show(f"""\
--- 4.6  Sparse variants ----------------------------------------------
softmax 每一项都大于 0；sparsemax 让低分恰好得 0；1.5-entmax 在两者之间
Softmax keeps every entry above 0; sparsemax gives low scores exactly 0;
1.5-entmax is in between

{'x':>10}   {'softmax':20} {'1.5-entmax':20} sparsemax""",
         *(f"{x_i:10g}   {one:20} {two:20} {three}"
           for x_i, one, two, three in zip(x, *charts)))

    columns = zip(x, log_softmax(x), softmax_top_k(x, min(2, len(x))),
                  softmax_top_p(x, 0.8), hardmax(x))
    show("""
--- 4.6  Logs and truncation ------------------------------------------
对数概率；只留最高的 2 个；留到累积概率 0.8 为止；只留最高的 1 个
Log-probability; only the 2 highest; the top ones until they total 0.8;
only the 1 highest

         x   log_softmax     top-k 2   top-p 0.8     hardmax""",
         *(f"{x_i:10g}   {log_p_i:11.5g} {k_i:11.4f} {p_i:11.4f} {h_i:11.4f}"
           for x_i, log_p_i, k_i, p_i, h_i in columns))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
