"""softmax 的变体：对数、稀疏、采样 | Variants: logs, sparse ones, sampling

训练要的是 softmax 的对数，生成文本要按概率采样，有时还要让不相干的项恰好得 0；
这些都是 softmax 的变体。
Training needs the log of softmax, text generation samples from the
probabilities, and at times what is irrelevant should get exactly 0; all of
these are variants of softmax.

这是第 4 章 4.6 节，以及训练和生成时常用的几个函数。
This is section 4.6 of chapter 4, with a few functions that training and
generation often use.

    x        n 个分数，-inf 表示不参与 | n scores; -inf means left out
    m        max(x)，最大的分数 | max(x), the largest score
    p        概率分布 | a distribution
    y, ε     目标分布，标签平滑 | the target distribution, label smoothing
    τ        阈值，相对于 m | a threshold, relative to m
    u        0 与 1 之间的均匀随机数 | uniform random numbers between 0 and 1
    [i = j]  成立时为 1，否则为 0 | 1 where it holds, else 0
"""

import math

from softmax_ref import softmax_stable, softmax_with_temperature

softmax_standard = softmax_stable  # 4.6 节的名字 | its name in section 4.6


# 4.6 对数与损失 | Logs and losses -------------------------------------------

def log_softmax(x: list[float]) -> list[float]:
    """softmax 的对数：训练的损失由它算出。
    The log of softmax: training losses are computed from it.

        log_softmax(x)_i = (x_i - m) - log1p(Σ_j exp(x_j - m) - 1)

    为什么不先算 softmax 再取对数？概率下溢成 0，结果就是 log(0)，
    而不是 -1000：
    Why not softmax first and then the log? A probability may underflow to 0,
    which gives log(0) instead of -1000:

    >>> log_softmax([0.0, 1000.0])
    [-1000.0, 0.0]

    先减 m，再减对数；要是先把两者加起来，m 很大时，对数就被舍入掉了：
    Subtract m, then the log; were the two added first, a large m would
    round the log away:

    >>> round(log_softmax([1e16, 1e16])[0], 4), 1e16 - (1e16 + math.log(2.0))
    (-0.6931, 0.0)

    减去的 1 就是最大的一项 exp(0)；log1p(y) 是 log(1 + y)，但很小的 y 不会先被
    舍入掉（SciPy 和 PyTorch 在这里得 0）：
    The 1 subtracted is the largest term, exp(0); log1p(y) is log(1 + y), but a
    tiny y is not first rounded away (SciPy and PyTorch return 0 here):

    >>> f"{log_softmax([40.0, 0.0])[0]:.3e}"
    '-4.248e-18'

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §4.1
    - 等价 Same as: scipy.special.log_softmax(x); torch.log_softmax(x, dim=-1)
    - 需要 Needs: math
    """
    m = max(x)
    others = math.fsum([math.exp(x_i - m) for x_i in x] + [-1.0])
    if math.isnan(others):
        raise ValueError("log_softmax needs a finite maximum and no nan")
    log_sum = math.log1p(others)
    return [x_i - m - log_sum for x_i in x]


def cross_entropy(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> float:
    """交叉熵损失：目标类（正确答案）的概率取对数再取负，单位 nat；x 是分数。
    Cross-entropy loss: minus the log of the probability of the target class
    (the right answer), in nats; x are scores.

        loss = -Σ_i y_i log_softmax(x)_i,    y_i = (1 - ε) [i = target] + ε / n

    为什么是 -log p？各题独立时，全部答对的概率（似然）是每题目标类的概率 p 的
    乘积，取对数变成和，再取负，就成了越小越好的损失：p = 1 时为 0，p 趋于 0 时
    没有上限。叫“交叉”，因为一边是目标 y，一边是预测 p；y = p 时就是熵。
    依次以每一类为目标：
    Why -log p? The probability of getting all of several independent answers
    right (the likelihood) is the product of the targets' p; the log turns it
    into a sum, and the minus sign makes that a loss, the smaller the better: 0
    at p = 1, without bound as p approaches 0. It is "cross" because it takes
    two distributions, the target y and the prediction p; for y = p it is the
    entropy. With each class in turn as the target:

    >>> [round(cross_entropy([2.0, 0.0, -8.0], i), 4) for i in range(3)]
    [0.127, 2.127, 10.127]

    常见的错误是先做一遍 softmax，[100, 0, 0] 变成 [1, 0, 0]，
    损失就降不到 0 了：
    A common mistake is to apply softmax first: [100, 0, 0] becomes [1, 0, 0],
    and the loss cannot get down to 0:

    >>> f"{cross_entropy([100.0, 0.0, 0.0], 0):.4f}"
    '0.0000'
    >>> f"{cross_entropy([1.0, 0.0, 0.0], 0):.4f}"
    '0.5514'

    标签平滑把 ε 平分给所有的类；分数的差距太大，损失反而上升，
    模型就不会过分自信：
    Label smoothing shares ε among all classes; too large a gap then costs
    more, and the model does not grow overconfident:

    >>> [round(cross_entropy([g, 0.0], 0, 0.1), 4) for g in [1.0, 3.0, 9.0]]
    [0.3633, 0.1986, 0.4501]

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.nn.functional.cross_entropy(x, target)
    - 需要 Needs: math, log_softmax
    """
    n, log_p = len(x), log_softmax(x)
    if not (0 <= target < n and 0.0 <= label_smoothing <= 1.0):
        raise ValueError("cross_entropy needs 0 <= target < n, 0 <= ε <= 1")

    y = [label_smoothing / n] * n
    y[target] += 1.0 - label_smoothing
    # 0 乘 -inf 是 nan，要略去 | 0 times -inf is nan and must be left out
    return max(0.0, -math.fsum(y_i * v for y_i, v in zip(y, log_p) if y_i))


def cross_entropy_backward(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> list[float]:
    """交叉熵对分数的梯度：预测减目标。
    The gradient of cross-entropy with respect to the scores:
    predicted minus target.

        grad_x = p - y,    y_i = (1 - ε) [i = target] + ε / n

    推导：log p_i = x_i - logsumexp(x) 对 x_j 求导，得 [i = j] - p_j；乘 -y_i，
    对 i 求和，因为各 y_i 之和为 1，就得到 p_j - y_j：
    Derivation: log p_i = x_i - logsumexp(x) has the derivative
    [i = j] - p_j with respect to x_j; times -y_i, summed over i, it is
    p_j - y_j, as the y_i sum to 1:

    >>> for eps in [0.0, 0.3]:
    ...     grad = cross_entropy_backward([2.0, 0.0, -1.0], 0, eps)
    ...     print([round(g, 4) for g in grad])
    [-0.1562, 0.1142, 0.042]
    [0.0438, 0.0142, -0.058]

    ε = 0 时逆着梯度走，目标的分数升高，其余的降低，降多少与各自的概率成正比。
    即使 softmax 已经饱和，而且答错了，梯度也不会消失：
    For ε = 0, a step against the gradient raises the target's score and lowers
    the others, in proportion to their probabilities. Even where softmax is
    saturated and wrong, the gradient does not vanish:

    >>> [round(g, 4) for g in cross_entropy_backward([64.0, 0.0], 1)]
    [1.0, -1.0]

    各项之和为 0，所以目标那一项取其余各项之和的相反数；p 舍入成 1 时，它也不会
    变成 0（除非下溢）：
    The entries sum to 0, so the target's is taken as minus the sum of the
    others; it stays non-zero where p rounds to 1 (short of underflow):

    >>> f"{cross_entropy_backward([50.0, 0.0], 0)[0]:.4e}"
    '-1.9287e-22'
    >>> softmax_stable([50.0, 0.0])[0] - 1.0
    0.0

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.autograd.grad(cross_entropy(x, target), x)
    - 需要 Needs: math, softmax_stable
    """
    n, p = len(x), softmax_stable(x)
    if not (0 <= target < n and 0.0 <= label_smoothing <= 1.0):
        raise ValueError("cross_entropy_backward needs target, ε in range")

    grad_x = [p_i - label_smoothing / n for p_i in p]
    grad_x[target] = 0.0
    grad_x[target] = -math.fsum(grad_x)
    return grad_x


# 4.6 稀疏的变体 | Sparse variants -------------------------------------------

def sparsemax(x: list[float]) -> list[float]:
    """sparsemax：离分数 x 最近（欧氏距离）的概率分布，低分可以恰好得 0。
    Sparsemax: the distribution nearest to x (Euclidean); low scores may get 0.

        p_i = max(s_i - τ, 0),    τ = (Σ_support s_j - 1) / k,    s_i = x_i - m

    要让不相干的项恰好为 0（可以跳过，也容易看懂），就用它；代价是这些项没有
    梯度，-log p 可能是 inf：
    Use it where irrelevant entries should be exactly 0 (to skip them, or for
    easy reading); the price: these get no gradient, and -log p may be inf:

    >>> sparsemax([0.125, 0.5, 1.0])
    [0.0, 0.25, 0.75]

    支撑集（support）是 p 大于 0 的 k 项，其中各 s 减同一个 τ：总共减多少已定，
    均摊最近。从高到低取，重算 τ（从 -1 起只升不降），直到下一个 s 不高于 τ：
    On the support, the k entries with p above 0, each s loses the same τ: for
    a fixed total, equal cuts are nearest. Take the highest first, recomputing
    τ (which rises from -1), until the next s is not above it:

    >>> tau = (sum([0.0, -0.5]) - 1.0) / 2
    >>> [max(s - tau, 0.0) for s in [-0.875, -0.5, 0.0]]
    [0.0, 0.25, 0.75]

    - 来源 Source: Martins & Astudillo 2016, §2.2, Algorithm 1
    - 等价 Same as: entmax.sparsemax(x, dim=-1)
    - 需要 Needs: math
    """
    m, total, tau = max(x), 0.0, -1.0
    near = sorted([x_i - m for x_i in x if not x_i - m <= tau], reverse=True)
    if math.isnan(sum(near)):  # not <= 会留下 nan | not <= keeps a nan
        raise ValueError("sparsemax needs a finite maximum and no nan")
    for k, s in enumerate(near, start=1):
        if s <= tau:
            break
        total += s
        tau = (total - 1.0) / k
    return [x_i - m - tau if x_i - m > tau else 0.0 for x_i in x]


def sparsemax_backward(p: list[float], grad_p: list[float]) -> list[float]:
    """sparsemax 的反向传播：p 大于 0 处，grad_p 减去那里的平均值；其余为 0。
    Backward pass of sparsemax: where p is above 0, grad_p minus its mean
    there; 0 elsewhere.

        grad_x_i = (grad_p_i - mean_support(grad_p)) [p_i > 0]

    支撑集之外，分数稍微变动，结果不变，所以梯度为 0：
    Outside the support, moving a score a little changes nothing, hence the 0:

    >>> sparsemax_backward([0.0, 0.25, 0.75], [5.0, 1.0, 2.0])
    [0.0, -0.5, 0.5]

    - 来源 Source: Martins & Astudillo 2016, Eq. (14)
    - 等价 Same as: torch.autograd.grad(sparsemax(x), x, grad_p)
    - 需要 Needs: math
    """
    support = [g_i for p_i, g_i in zip(p, grad_p, strict=True) if p_i > 0.0]
    mean = math.fsum(support) / (len(support) or 1)
    grad_x = [g_i - mean if p_i > 0.0 else 0.0 for p_i, g_i in zip(p, grad_p)]
    off = abs(math.fsum(p) - 1.0)
    if not off <= 1e-6 or not all(map(math.isfinite, grad_x)):
        raise ValueError("sparsemax_backward needs sum(p) = 1, finite grad_p")
    return grad_x


def entmax(x: list[float], alpha: float = 1.5) -> list[float]:
    """entmax：从 softmax 到 sparsemax 的一族函数，由 α（alpha）决定。
    Entmax: a family running from softmax to sparsemax, set by α (alpha).

        p_i = max(1 + (α - 1)(x_i - c), 0)^(1 / (α - 1)),    Σ_i p_i = 1

    α 趋于 1 时，它趋于 exp(x_i - c)，也就是 softmax；α = 2 时是
    max(1 + x_i - c, 0)，也就是 sparsemax；α 越大越稀疏：
    As α approaches 1 it becomes exp(x_i - c), which is softmax; at α = 2 it is
    max(1 + x_i - c, 0), which is sparsemax; the larger α, the sparser:

    >>> for alpha in [1.0, 1.5, 2.0]:
    ...     print([round(p_i, 4) for p_i in entmax([0.0, 0.5, 1.0], alpha)])
    [0.1863, 0.3072, 0.5065]
    [0.0841, 0.2917, 0.6242]
    [0.0, 0.25, 0.75]

    c 使 Σ_i p_i = 1，用牛顿法求；Σ_i p_i 对 c 的导数是 -Σ_i p_i^(2 - α)。
    从 c = m 起，Σ_i p_i 不小于 1，又是 c 的凸函数，所以 c 只升不降，
    也不会越过解。
    c makes Σ_i p_i = 1 and is found by Newton's method; the derivative of
    Σ_i p_i with respect to c is -Σ_i p_i^(2 - α). Start at c = m, where
    Σ_i p_i is at least 1; as Σ_i p_i is convex in c, each step raises c and
    none overshoots.

    - 来源 Source: Peters, Niculae & Martins 2019
    - 等价 Same as: entmax.entmax_bisect(x, alpha, dim=-1)
    - 需要 Needs: math, softmax_stable
    """
    if not 1.0 <= alpha <= 2.0:
        raise ValueError(f"entmax needs 1 <= alpha <= 2, got {alpha}")

    p = softmax_stable(x)
    if alpha == 1.0:
        return p
    m, a, c = max(x), alpha - 1.0, 0.0  # c 相对于 m | c relative to m
    for _ in range(99):  # 十几步足够 | a dozen or so do
        gaps = [a * (x_i - m - c) for x_i in x]
        p = [math.exp(math.log1p(g) / a) if g > -1.0 else 0.0 for g in gaps]
        total = math.fsum(p)
        slope = math.fsum(p_i ** (2.0 - alpha) for p_i in p if p_i > 0.0)
        c, c_old = c + (total - 1.0) / slope, c
        if c <= c_old:
            break
    return [p_i / total for p_i in p]


# 采样 | Sampling ------------------------------------------------------------

def gumbel_softmax(
    x: list[float], u: list[float], temperature: float = 1.0
) -> list[float]:
    """Gumbel-softmax：给分数加上噪声再做 softmax，是可微（能求导）的采样。
    Gumbel-softmax: softmax of the scores plus noise; differentiable sampling.

        g_i = -log(-log(u_i)),    gumbel_softmax = softmax((x + g) / T)

    直接抽下标，像 hardmax 一样没有梯度，模型无法靠反向传播学会怎么抽。把随机性
    放进噪声，用 softmax 代替取最大，梯度就能通过；T 越低，结果越接近 one-hot：
    Like hardmax, drawing an index passes no gradient, and backpropagation
    cannot teach a model how to draw. Put the randomness into noise, use
    softmax in place of the maximum, and gradients pass; the lower T, the
    closer to one-hot:

    >>> p = gumbel_softmax([2.0, 1.0], u=[0.5, 0.9], temperature=0.1)
    >>> [round(p_i, 4) for p_i in p]
    [0.0001, 0.9999]

    为什么是这种噪声（Gumbel 分布）？因为加上它，各项成为最大项的概率恰好是各自
    的 softmax 概率（Gumbel-max 技巧）；抽一万次看看：
    Why this noise (the Gumbel distribution)? Because with it each entry comes
    out largest with exactly its softmax probability (the Gumbel-max trick);
    here in ten thousand draws:

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
    m = max(x)  # 先减去，否则会吞没噪声 | first, or it swallows the noise
    noisy = [x_i - m - math.log(-math.log(u_i))
             for x_i, u_i in zip(x, u, strict=True)]
    return softmax_with_temperature(noisy, temperature)


def softmax_top_k(x: list[float], k: int) -> list[float]:
    """top-k：只在最高的 k 个分数之间做 softmax，其余为 0。
    Top-k: softmax among the k highest scores, 0 elsewhere.

        p_i = exp(x_i) [i ∈ top-k] / Σ_top-k exp(x_j)

    词表里有几万个几乎不可能的 token，加起来却常被抽中，文本就跑题；
    top-k 去掉它们：
    A vocabulary has tens of thousands of very unlikely tokens, which together
    are drawn often and derail the text; top-k removes them:

    >>> [round(p_i, 4) for p_i in softmax_top_k([1.0, 3.0, 2.0], k=2)]
    [0.0, 0.7311, 0.2689]

    并列时下标小的优先，恰好留下 k 个：
    Ties go to the lower index, so that exactly k are kept:

    >>> softmax_top_k([5.0, 5.0, 5.0], k=2)
    [0.5, 0.5, 0.0]

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
    """top-p（核采样）：从高到低保留，累积概率达到 top_p 为止，再除以总和。
    Top-p (nucleus): keep from the top until the cumulative probability reaches
    top_p, then divide by the total.

        k = min {k : p_(1) + ... + p_(k) >= top_p},    p_(1) >= p_(2) >= ...

    不管分布尖锐还是平坦，top-k 都留 k 个；top-p 在模型有把握时留得少，
    没把握时留得多：
    Top-k keeps k whether the distribution is sharp or flat; top-p keeps few
    where the model is sure and many where it is not:

    >>> for x in [9.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]:
    ...     print([round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.8)])
    [1.0, 0.0, 0.0, 0.0]
    [0.4223, 0.4223, 0.1554, 0.0]

    跨过界线的那一个也要留，否则 top_p 小的时候一个都不剩；刚好达到（误差在
    1e-9 以内）就算达到；top_p = 1 时全部保留：
    The one that crosses the line is kept too, or a small top_p would keep
    none; just reaching top_p (to within 1e-9) is enough; top_p = 1 keeps all:

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

    kept: set[int] = set()
    reached = 0.0
    for i in sorted(range(len(x)), key=lambda i: x[i], reverse=True):
        kept.add(i)
        reached += p[i]
        if reached >= top_p - 1e-9 and top_p < 1.0:
            break
    total = math.fsum(p[i] for i in kept)
    return [p_i / total if i in kept else 0.0 for i, p_i in enumerate(p)]


def sample(p: list[float], u: float) -> int:
    """按概率 p 抽一个下标（逆变换采样）；u 是 0 到 1 之间的均匀随机数。
    Draw an index with probabilities p (inverse transform sampling); u is a
    uniform random number between 0 and 1.

        sample(p, u) = min {i : u < p_0 + ... + p_i}

    把 0 到 1 按概率切成几段，看 u 落在哪一段；概率为 0 的不会被抽中：
    Cut the line from 0 to 1 into pieces as long as the probabilities, and see
    which one u falls into; an index of probability 0 is never drawn:

    >>> [sample([0.2, 0.0, 0.8], u) for u in [0.0, 0.19, 0.2, 0.99]]
    [0, 0, 2, 2]

    - 等价 Same as: numpy.searchsorted(numpy.cumsum(p), u, side="right")
    - 需要 Needs: math
    """
    total = math.fsum(p)
    if min(p) < 0.0 or not abs(total - 1.0) <= 1e-6 or not 0.0 <= u < 1.0:
        raise ValueError("sample needs p >= 0 with a sum of 1, 0 <= u < 1")

    # 取起点不超过 u 的最后一段 | the last piece that starts at or below u
    start, drawn = 0.0, 0
    for i, p_i in enumerate(p):
        if p_i > 0.0 and start <= u:
            drawn = i
        start += p_i
    return drawn


def main() -> None:
    """同一组分数的各种变体（4.6 节） | The variants side by side (4.6)."""
    import sys
    if hasattr(sys.stdout, "reconfigure"):  # 无法编码的换成 ? | unprintable: ?
        sys.stdout.reconfigure(errors="replace")

    x = [1.2, 1.0, 0.5, 0.0]
    print("""
4.6  同一组分数：取对数，让低分恰好为 0，或者只留最高的几个
4.6  One set of scores: as logs, with exact zeros, or only the highest kept""")
    for name, row in [("x", x),
                      ("softmax", softmax_stable(x)),
                      ("log_softmax", log_softmax(x)),
                      ("entmax, alpha = 1.5", entmax(x, 1.5)),
                      ("sparsemax", sparsemax(x)),
                      ("top-k, k = 2", softmax_top_k(x, 2)),
                      ("top-p, p = 0.8", softmax_top_p(x, 0.8))]:
        print(f"{name:20}", *[f"{v:8.4f}" if v else f"{0:8}" for v in row])


if __name__ == "__main__":
    main()
