"""softmax 的变体：对数、稀疏、采样 | Variants: logs, sparse ones, sampling

训练要的是 softmax 的对数，生成文本要按概率抽取，有时还想让不相干的恰好得 0。
这些都从 softmax 变来。
Training needs the log of softmax, generating text draws from it, and at times
what is irrelevant should get exactly 0. All of these come from softmax.

这是第 4 章 4.6 节，以及训练和生成时常用的几个函数。
This is section 4.6 of chapter 4, with a few functions that training and
generation often use.

    x   n 个分数，-inf 表示不参与 | n scores; -inf means left out
    m   max(x)，最大的分数 | max(x), the largest score
    p   概率分布 | a distribution
    y   目标分布 | the target distribution
    τ   阈值 | threshold
    u   0 到 1 之间的均匀随机数 | uniform random numbers between 0 and 1
"""

import math

from softmax_ref import (
    hardmax, legend, numbers_row, read_command, show, softmax_stable,
    softmax_with_temperature, stacked_bar
)


# 4.6 对数与损失 | Logs and losses -------------------------------------------

def log_softmax(x: list[float]) -> list[float]:
    """softmax 的对数：训练的损失由它算出。
    The log of softmax: the losses of training are computed from it.

        log_softmax(x)_i = (x_i - m) - log1p(Σ_others exp(x_j - m))

    为什么不先算 softmax 再取对数？概率会下溢为 0，就成了 log(0)，
    而不是 -1000：
    Why not softmax first and the log after? A probability may underflow to 0,
    which makes it log(0) rather than -1000:

    >>> log_softmax([0.0, 1000.0])
    [-1000.0, 0.0]

    先减 m，再减对数；如果先把 m 和对数加起来再减，m 很大时，对数就被舍入掉了：
    Subtract m, then the log; if m and the log are added first and then
    subtracted, a large m rounds the log away:

    >>> [round(v, 4) for v in log_softmax([1e16, 1e16])]
    [-0.6931, -0.6931]
    >>> 1e16 - (1e16 + math.log(2.0))
    0.0

    others 不含最大的一项 1，所以接近 0 的结果也只错在末几位；
    SciPy 和 PyTorch 在此得 0：
    others leaves out the largest term, which is 1, so even a result close to 0
    is off only in its last few digits; SciPy and PyTorch return 0 here:

    >>> f"{log_softmax([40.0, 0.0])[0]:.3e}"
    '-4.248e-18'

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §4.1
    - 等价 Same as: scipy.special.log_softmax(x); torch.log_softmax(x, dim=-1)
    - 需要 Needs: math
    """
    if len(x) == 0:
        raise ValueError("log_softmax needs at least one score, got []")
    if getattr(x[0], "ndim", 0) or isinstance(x[0], (list, tuple)):
        raise TypeError("log_softmax needs one row: [f(row) for row in X]")

    m = float(max(x))
    shifted = [float(x_i - m) for x_i in x]
    others = math.fsum([math.exp(s) for s in shifted] + [-1.0])
    if math.isnan(others):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"log_softmax needs a finite maximum, got {bad}")
    log_sum = math.log1p(others)
    return [s - log_sum for s in shifted]


def cross_entropy(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> float:
    """交叉熵损失：目标类（正确答案）的概率取对数再取负，单位 nat；x 是分数。
    Cross-entropy loss: minus the log of the probability of the target (the
    right answer), in nats; x are scores.

        loss = -Σ_i y_i log_softmax(x)_i

        y_i = ε / n, plus 1 - ε where i = target,    ε = label_smoothing

    目标类的概率是 1 时损失为 0；这个概率越接近 0，损失越大，没有上限：
    The loss is 0 where the target has probability 1, and grows without bound
    as this probability approaches 0:

    >>> [round(cross_entropy([2.0, 0.0, -8.0], i), 4) for i in range(3)]
    [0.127, 2.127, 10.127]

    最常见的错误是先做一遍 softmax，[100, 0, 0] 变成 [1, 0, 0]，损失降不到 0：
    The most common mistake is to apply softmax first, which turns [100, 0, 0]
    into [1, 0, 0], and the loss cannot get down to 0:

    >>> f"{cross_entropy([100.0, 0.0, 0.0], 0):.4f}"
    '0.0000'
    >>> f"{cross_entropy([1.0, 0.0, 0.0], 0):.4f}"
    '0.5514'

    没有标签平滑时，差距越大损失越小，模型就越来越自信；标签平滑把 ε 平分给所有
    的类，别的类概率太小，损失就变大。左边 ε = 0，右边 ε = 0.1：
    Without label smoothing a larger gap always lowers the loss, and the model
    grows ever more confident; label smoothing shares ε among all classes, so
    that too small a probability of the others costs. On the left ε = 0, on the
    right ε = 0.1:

    >>> for gap in [1.0, 3.0, 9.0]:
    ...     losses = [cross_entropy([gap, 0.0], 0, eps) for eps in [0.0, 0.1]]
    ...     print([round(loss, 4) for loss in losses])
    [0.3133, 0.3633]
    [0.0486, 0.1986]
    [0.0001, 0.4501]

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.nn.functional.cross_entropy(x, target)
    - 需要 Needs: math, log_softmax
    """
    log_p = log_softmax(x)
    n = len(x)
    if not 0 <= target < n:
        raise ValueError(
            f"cross_entropy needs 0 <= target < {n}, got {target}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError("cross_entropy needs label_smoothing 0 to 1, "
                         f"got {label_smoothing}")

    y = [label_smoothing / n] * n
    y[target] += 1.0 - label_smoothing
    # 0 * -inf 是 nan，跳过 y_i = 0 的类 | leave out classes of y_i = 0
    loss = max(0.0, -math.fsum(y_i * l for y_i, l in zip(y, log_p) if y_i))
    if loss == math.inf and label_smoothing and math.isfinite(min(x)):
        raise ValueError("cross_entropy needs gaps below 1.8e308, got inf")
    return loss


def cross_entropy_backward(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> list[float]:
    """交叉熵对分数的梯度：概率减去目标分布。
    The gradient of cross-entropy with respect to the scores: probability
    minus target.

        grad_x_i = p_i - y_i,    y as in cross_entropy

    目标类的分数要提高（梯度为负），其余按各自的概率降低；
    p 与 y 一致时不再变动：
    It pushes the target's score up (its gradient is negative) and every
    other score down, in proportion to its probability; where p matches y
    nothing moves:

    >>> [round(g, 4) for g in cross_entropy_backward([2.0, 0.0, -1.0], 0)]
    [-0.1562, 0.1142, 0.042]

    softmax 饱和了，却答错了，梯度也不消失，所以分类器照样能学：
    Where softmax is saturated but wrong, the gradient does not vanish, and so
    a classifier learns all the same:

    >>> [round(g, 4) for g in cross_entropy_backward([64.0, 0.0], 1)]
    [1.0, -1.0]

    用差商检验第一项：
    The first entry, checked by a difference quotient:

    >>> h = 1e-5
    >>> above = -math.log(softmax_stable([2.0 + h, 0.0, -1.0])[0])
    >>> below = -math.log(softmax_stable([2.0 - h, 0.0, -1.0])[0])
    >>> round((above - below) / (2 * h), 4)
    -0.1562

    各项之和为 0（只差舍入误差），所以目标那一项由其余各项之和取负得到，
    即使 p 舍入到 1 也不消失：
    The entries sum to 0 (up to rounding), so the entry of the target is
    taken as minus the sum of the others, and does not vanish even where p
    rounds to 1:

    >>> f"{cross_entropy_backward([50.0, 0.0], 0)[0]:.4e}"
    '-1.9287e-22'
    >>> softmax_stable([50.0, 0.0])[0] - 1.0
    0.0

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.autograd.grad(cross_entropy(x, target), x)
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    n = len(x)
    if not 0 <= target < n:
        raise ValueError(
            f"cross_entropy_backward needs 0 <= target < {n}, got {target}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError("cross_entropy_backward needs label_smoothing "
                         f"0 to 1, got {label_smoothing}")

    grad_x = [p_i - label_smoothing / n for p_i in p]
    # 目标项也是 p - y，由其余各项算得更准 | p - y too, from the others
    grad_x[target] = 0.0
    grad_x[target] = -math.fsum(grad_x)
    return grad_x


# 4.6 稀疏的变体 | Sparse variants -------------------------------------------

def sparsemax(x: list[float]) -> list[float]:
    """sparsemax：把分数投影到概率单纯形上，低分恰好得 0。
    Sparsemax: project the scores onto the simplex; low ones get exactly 0.

        sparsemax(x)_i = max(x_i - τ, 0),    τ = (Σ_support x_j - 1) / k

    各项不小于 0、和为 1 的全体向量叫单纯形；sparsemax 取其中离 x 最近的：
    The simplex is made up of all vectors with no entry below 0 and a sum of 1;
    sparsemax takes the one nearest to x:

    >>> sparsemax([0.0, 0.5, 1.0])
    [0.0, 0.25, 0.75]
    >>> sparsemax([0.5, -9.0, 0.5])
    [0.5, 0.0, 0.5]

    从高到低逐个取分数，每取一个就重算阈值 τ，直到下一个分数不高于 τ；
    取到的 k 个（支撑集，support）概率大于 0，这里 k = 2：
    Take scores from the highest down, with a new threshold τ each time, until
    the next one is not above τ; the k taken (the support) have probabilities
    above 0, and here k = 2:

    >>> tau = (1.0 + 0.5 - 1) / 2
    >>> [max(x_i - tau, 0.0) for x_i in [0.0, 0.5, 1.0]]
    [0.0, 0.25, 0.75]

    τ 从 m - 1 开始，只升不降，所以不高于 m - 1 的分数都得 0，不必排序。
    本章的例子只剩一项，和 hardmax 一样，公式写错了也看不出来：
    τ starts at m - 1 and only rises, so scores not above m - 1 get 0 and are
    left out of the sorting. The chapter's example leaves a single entry, as
    hardmax does, and a wrong formula would not show:

    >>> sparsemax([1.0, 2.0, 3.0])
    [0.0, 0.0, 1.0]

    - 来源 Source: Martins & Astudillo 2016, §2.2, Algorithm 1
    - 等价 Same as: entmax.sparsemax(x, dim=-1)
    - 需要 Needs: math
    """
    if len(x) == 0:
        raise ValueError("sparsemax needs at least one score, got []")

    m = max(x)
    shifted = [x_i - m for x_i in x]
    if math.isnan(sum(shifted)):
        bad = m if math.isinf(m) else math.nan
        raise ValueError(f"sparsemax needs a finite maximum, got {bad}")
    total: float = 0
    tau: float = -1  # 从 m 量起 | measured from m
    near = sorted([s for s in shifted if s > tau], reverse=True)
    for k, s in enumerate(near, start=1):
        if s <= tau:
            break
        total += s
        tau = (total - 1) / k
    return [s - tau if s > tau else 0.0 for s in shifted]


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
        raise ValueError("sparsemax_backward needs lists of equal length, "
                         f"got {len(p)} and {len(grad_p)}")
    if len(p) > 0 and min(p) < 0.0:
        raise ValueError(
            f"sparsemax_backward needs entries >= 0, got {min(p)}")
    total = sum(map(float, p))
    if not abs(total - 1.0) <= 1e-6:
        raise ValueError(f"sparsemax_backward needs a sum of 1, got {total}")

    support = [g_i for p_i, g_i in zip(p, grad_p) if p_i > 0.0]
    mean = math.fsum(support) / len(support)
    grad_x = [g_i - mean for g_i in grad_p]
    if not all(map(math.isfinite, grad_x)):
        raise ValueError(
            "sparsemax_backward needs finite gradients, got nan or inf")
    return [g_i if p_i > 0.0 else 0.0 for p_i, g_i in zip(p, grad_x)]


def entmax(x: list[float], alpha: float = 1.5) -> list[float]:
    """entmax：从 softmax 一路走到 sparsemax，alpha 决定走多远。
    Entmax: a family from softmax to sparsemax; alpha says how far along.

        entmax(x)_i = max(1 + (α - 1)(x_i - m - τ), 0)^(1 / (α - 1))

    α（alpha）趋近 1 的极限是 softmax，为 2 是 sparsemax，越大越稀疏：
    As α (alpha) approaches 1 the limit is softmax, at 2 it is sparsemax; the
    larger, the sparser:

    >>> for alpha in [1.0, 1.5, 2.0]:
    ...     print([round(p_i, 4) for p_i in entmax([0.0, 0.5, 1.0], alpha)])
    [0.1863, 0.3072, 0.5065]
    [0.0841, 0.2917, 0.6242]
    [0.0, 0.25, 0.75]

    用二分法求 τ：τ 越大，各项越小；使各项之和为 1 的 τ 只有一个，
    在 0 与 log(n) 之间。
    τ is found by bisection: the larger τ, the smaller the entries; just one τ,
    between 0 and log(n), makes them sum to 1.

    - 来源 Source: Peters, Niculae & Martins 2019
    - 等价 Same as: entmax.entmax_bisect(x, alpha, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not 1.0 <= alpha <= 2.0:
        raise ValueError(f"entmax needs 1 <= alpha <= 2, got {alpha}")

    p = softmax_stable(x)
    if alpha == 1.0:
        return p
    m = float(max(x))
    a = alpha - 1.0
    shifted = [a * (x_i - m) for x_i in x]
    low, high = 0.0, math.log(len(x))
    for _ in range(64):
        tau = (low + high) / 2.0
        base = [s - a * tau for s in shifted]
        p = [math.exp(math.log1p(b) / a) if b > -1.0 else 0.0 for b in base]
        if math.fsum(p) > 1.0:
            low = tau
        else:
            high = tau
    total = math.fsum(p)
    return [p_i / total for p_i in p]


# 采样 | Sampling ------------------------------------------------------------

def gumbel_softmax(
    x: list[float], u: list[float], temperature: float = 1.0
) -> list[float]:
    """Gumbel-softmax：给分数加上噪声再做 softmax，是可微的采样。
    Gumbel-softmax: softmax of the scores plus noise; differentiable sampling.

        g_i = -log(-log(u_i)),    gumbel_softmax = softmax((x + g) / T)

    抽出一个下标，像 hardmax 一样没有梯度，模型学不到怎么抽。
    把随机性挪到噪声里，再用 softmax 代替取最大，梯度就能通过；
    T 越低越接近 one-hot，最大的就是抽中的：
    An index that is drawn passes no gradient, like hardmax, so the model
    cannot learn how to draw. Moving the chance into added noise, with softmax
    in place of the maximum, lets it pass; the lower T, the closer to one-hot,
    and the largest entry is the one drawn:

    >>> p = gumbel_softmax([2.0, 1.0], u=[0.5, 0.9], temperature=0.1)
    >>> [round(p_i, 4) for p_i in p]
    [0.0001, 0.9999]

    为什么是这种噪声？因为加上它（服从 Gumbel 分布），每一项成为最大项的频率，
    就是 softmax 的概率，这可以证明（Gumbel-max 技巧），这里只抽一万次看看：
    Why this noise? Because with it (it has the Gumbel distribution) each entry
    is the largest as often as its softmax probability says, which can be
    proved (the Gumbel-max trick) and is tried here in ten thousand draws:

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
        raise ValueError("gumbel_softmax needs lists of equal length, "
                         f"got {len(x)} and {len(u)}")
    for u_i in u:
        if not 0.0 < u_i < 1.0:
            raise ValueError(f"gumbel_softmax needs 0 < u < 1, got {u_i}")

    m = max(x, default=0.0)
    m = 0.0 if math.isinf(m) else m  # the next function says so
    noisy = [x_i - m - math.log(-math.log(u_i)) for x_i, u_i in zip(x, u)]
    return softmax_with_temperature(noisy, temperature)


def softmax_top_k(x: list[float], k: int) -> list[float]:
    """top-k：只在最高的 k 个分数之间做 softmax，其余为 0。
    Top-k: softmax among the k highest scores, 0 elsewhere.

        p_i = exp(x_i) / Σ_top-k exp(x_j) if x_i is in the top k, else 0

    词表里有几万个几乎不可能的 token，加起来却常被抽中，生成的文本就跑题；
    top-k 把它们去掉：
    A vocabulary has tens of thousands of very unlikely tokens, which together
    are drawn often and derail the text; top-k removes them:

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

    top-k 不管分布尖不尖，都留 k 个；top-p 在模型有把握时留得少，
    没把握时留得多：
    Top-k keeps k whether the distribution is sharp or flat; top-p keeps few
    where the model is sure and many where it is not:

    >>> for x in [9.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]:
    ...     print([round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.8)])
    [1.0, 0.0, 0.0, 0.0]
    [0.4223, 0.4223, 0.1554, 0.0]

    跨过界线的那一个也要保留，否则 top_p 较小时一个都不剩；累积恰好等于 top_p，
    或者只差舍入误差，都算达到：
    The one that crosses the line is kept too; otherwise a small top_p would
    keep none at all. Reaching top_p is enough, and so is missing it by a
    rounding error:

    >>> x = [math.log(0.7), math.log(0.2), math.log(0.1)]
    >>> [round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.9)]
    [0.7778, 0.2222, 0.0]

    - 来源 Source: Holtzman et al. 2020, Eqs. (2) and (3)
    - 等价 Same as: TopPLogitsWarper(top_p) of transformers, then softmax
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"softmax_top_p needs 0 < top_p <= 1, got {top_p}")

    order = sorted(range(len(x)), key=lambda i: x[i], reverse=True)
    kept: set[int] = set()
    high, low = 0.0, 0.0  # high + low：精确的累积概率 | the exact total
    for i in order:
        kept.add(i)
        parts = [high, low, p[i]]
        high = math.fsum(parts)
        low = math.fsum(parts + [-high])
        if high >= top_p - 1e-12 and top_p < 1.0:
            break
    total = math.fsum(p[i] for i in kept)
    return [p_i / total if i in kept else 0.0 for i, p_i in enumerate(p)]


def sample(p: list[float], u: float) -> int:
    """按概率 p 抽一个下标（逆变换采样）；u 是 0 到 1 的均匀随机数。
    Draw an index with probabilities p (inverse transform sampling); u is a
    uniform random number from 0 to 1.

        sample(p, u) = the first i with u < p_0 + ... + p_i

    把 0 到 1 按概率切成几段，u 落在哪一段就抽中哪一个；概率为 0 的不会被抽中：
    The line from 0 to 1 is cut into pieces whose lengths are the
    probabilities, and u falls into one of them; an index of probability 0 is
    never drawn:

    >>> [sample([0.2, 0.0, 0.8], u) for u in [0.0, 0.19, 0.2, 0.99]]
    [0, 0, 2, 2]

    - 等价 Same as: numpy.searchsorted(numpy.cumsum(p), u, side="right")
    - 需要 Needs: math
    """
    if len(p) > 0 and min(p) < 0.0:
        raise ValueError(f"sample needs entries >= 0, got {min(p)}")
    if not abs(sum(map(float, p)) - 1.0) <= 1e-6:
        raise ValueError(f"sample needs a sum of 1, got {sum(map(float, p))}")
    if not 0.0 <= u < 1.0:
        raise ValueError(f"sample needs 0 <= u < 1, got {u}")

    high, low, drawn = 0.0, 0.0, 0  # high + low：精确的累积概率 | exact total
    for i, p_i in enumerate(p):
        parts = [high, low, p_i]
        high = math.fsum(parts)
        low = math.fsum(parts + [-high])
        if p_i > 0.0:
            drawn = i
        if u < high:
            break
    return drawn


def main(argv: list[str] | None = None) -> int:
    """把同一组分数的各种变体并排列出；分数、k 和 top_p 可以在命令行给出。
    The variants side by side on one set of scores; the scores, k and top_p can
    be given on the command line.
    """
    import sys

    usage = """\
python3 variants_ref.py                         本章的几种变体
python3 variants_ref.py                         the variants of the chapter
python3 variants_ref.py 3 1 0.2 k=2 top_p=0.9   自己的分数和界限
python3 variants_ref.py 3 1 0.2 k=2 top_p=0.9   your scores and limits
python3 variants_ref.py cross_entropy           复制函数；--short 说明从简
python3 variants_ref.py cross_entropy           copy; --short: brief notes"""

    try:
        text, x, options = read_command(
            sys.argv[1:] if argv is None else argv, usage,
            k=2.0, top_p=0.8, T=1.0)
        if text:
            return show(text)
        x, T = sorted(x or [0.0, 0.5, 1.0, 1.2], reverse=True), options["T"]
        softmax_with_temperature(x, T)  # checks both
        x, x_T = [x_i / T for x_i in x], "x" if T == 1.0 else "x / T"
        if options["k"] % 1 != 0:
            raise ValueError(f"k needs a whole number, got {options['k']:g}")
        k, top_p = min(int(options["k"]), len(x)), options["top_p"]
        p, log_p, top = softmax_stable(x), log_softmax(x), hardmax(x)
        k_of, p_of = softmax_top_k(x, k), softmax_top_p(x, top_p)
    except ValueError as error:
        return show(f"variants_ref.py: {error}", 2)

    lines = [f"""
4.6  稀疏的变体
4.6  Sparse variants -----------------------------------------------------
entmax 从 softmax（alpha = 1，处处大于 0）走到 sparsemax（alpha = 2）：
alpha 越大，越多的低分恰好得 0；分数从高到低排
entmax leads from softmax (alpha = 1, above 0 everywhere, until it underflows)
to sparsemax (alpha = 2): the larger alpha, the more low scores get exactly 0

alpha    {x_T:>5} from the highest:  {legend(x)}"""]
    for alpha, name in ((1.0, "softmax"), (1.25, ""), (1.5, "1.5-entmax"),
                        (1.75, ""), (2.0, "sparsemax")):
        q = entmax(x, alpha)
        lines.append(
            f"{alpha:5}  {name:11}{numbers_row(q)}   {stacked_bar(q)}")

    lines += [f"""
4.6  对数与截断
4.6  Logs and truncation -------------------------------------------------
log_softmax 是 softmax 的对数；total 从上往下累加，top-p 留到它达到 {top_p:g}；
top-k 留 {k} 个，hardmax 留 1 个
log_softmax is the log of softmax; the total adds up from the top, and top-p
keeps until it reaches {top_p:g}; top-k keeps {k}, hardmax keeps 1

{x_T:>12}  log_softmax   softmax    total     top-p     top-k   hardmax"""]
    for i, x_i in enumerate(x):
        cells = [p[i], round(math.fsum(p[:i + 1]), 12), p_of[i], k_of[i]]
        shown = "   ".join(f"{cell:>7}" for cell in numbers_row(cells).split())
        lines.append(
            f"{x_i + 0.0:12g} {log_p[i]:12.5g}   {shown}   {top[i]:7g}")
    return show("\n".join(lines))


if __name__ == "__main__":
    raise SystemExit(main())
