"""softmax 的变体：对数、稀疏、采样 | Variants: logs, sparsity, sampling

训练要的是 softmax 的对数，生成文本要按概率采样，有时还要让无关的项恰好得 0；
这些都建立在 softmax 之上。
Training needs the log of softmax, text generation samples from the
probabilities, and sometimes irrelevant entries should get exactly 0. All of
these build on softmax.

这是第 4 章 4.6 节，以及训练和生成时常用的几个函数。
This is section 4.6 of chapter 4, with a few functions that training and
generation often use.

    x        n 个分数，-inf 表示不参与 | n scores; -inf means left out
    m        max(x)，最大的分数 | max(x), the largest score
    p        概率分布 | a distribution
    y        目标分布 | the target distribution
    ε        标签平滑系数 | label smoothing
    s        s_i = x_i - m
    τ        相对于 m 的阈值 | a threshold, relative to m
    u        0 与 1 之间的均匀随机数 | uniform random numbers between 0 and 1
    [i = j]  成立时为 1，否则为 0 | 1 if true, else 0
"""

import math

from softmax_ref import softmax_stable, softmax_with_temperature

softmax_standard = softmax_stable  # 4.6 节这样叫它 | what section 4.6 calls it


# 4.6 对数与损失 | Logs and losses -------------------------------------------

def log_softmax(x: list[float]) -> list[float]:
    """softmax 的对数：训练的损失由它算出。
    The log of softmax: training losses are computed from it.

        log_softmax(x)_i = log(exp(x_i - m) / Σ_j exp(x_j - m))
                         = (x_i - m) - log(Σ_j exp(x_j - m))

    为什么不先算 softmax 再取对数？概率可能下溢成 0，math.log(0) 就报错，得不到
    下面的 -1000。
    Why not softmax first and then the log? A probability may underflow to 0,
    and math.log(0) is an error, not the -1000 below:

    >>> log_softmax([0.0, 1000.0])
    [-1000.0, 0.0]

    先减 m，再减对数。要是先把 m 和对数加起来，m 很大时，对数就被舍入掉了。
    Subtract m, then the log. If m and the log were added first, a large m
    would round the log away:

    >>> round(log_softmax([1e16, 1e16])[0], 4), 1e16 - (1e16 + math.log(2.0))
    (-0.6931, 0.0)

    总和是最大的一项 1，加上其余各项。其余很小时，加在 1 上也会被舍入掉；
    log1p(y) 是 log(1 + y)，却不先加（SciPy 和 PyTorch 在这里得 0）。
    The total is the largest term, 1, plus the others. If those are tiny, they
    would be rounded away when added to 1; log1p(y) is log(1 + y) without that
    addition (SciPy and PyTorch return 0 here):

    >>> f"{log_softmax([40.0, 0.0])[0]:.3e}"
    '-4.248e-18'

    - 来源 Source: Goodfellow, Bengio & Courville 2016, §4.1
    - 等价 Same as: scipy.special.log_softmax(x); torch.log_softmax(x, dim=-1)
    - 需要 Needs: math
    """
    m = max(x)
    e = [math.exp(x_i - m) for x_i in x]
    others = math.fsum(e + [-1.0])  # 其余之和 | the sum of the others
    if math.isnan(others):
        raise ValueError("log_softmax needs a finite maximum and no nan")
    log_sum = math.log1p(others)
    return [x_i - m - log_sum for x_i in x]


def cross_entropy(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> float:
    """交叉熵损失：目标类（正确答案）的概率取对数再取负，单位纳特；x 是分数。
    Cross-entropy loss: minus the log of the probability of the target class
    (the right answer), in nats; x are scores.

        loss = -Σ_i y_i log_softmax(x)_i,    y_i = (1 - ε) [i = target] + ε / n

    为什么是 -log(p)？把每个样本看作一道题，各题独立时，全部答对的概率（似然）
    是各题目标类概率 p 之积。取对数变成和，再取负，就成了越小越好的损失：p = 1
    时为 0，p 趋于 0 时趋于无穷。n 个分数相等时是 log(n)，开始训练时大约如此。
    Why -log(p)? Take each sample as a question. If they are independent, the
    probability of getting all right (the likelihood) is the product of the p
    of their target classes. The log turns it into a sum, the minus sign into a
    loss, the smaller the better: 0 at p = 1, without bound as p approaches 0.
    n equal scores give log(n), about the loss before training:

    >>> [round(cross_entropy([2.0, 0.0, -8.0], i), 4) for i in range(3)]
    [0.127, 2.127, 10.127]
    >>> round(cross_entropy([0.0] * 10, target=7), 4)
    2.3026

    叫“交叉”，因为一边是目标 y，一边是预测 p。它是 y 的熵加上 KL 散度，后者衡量
    p 离 y 有多远，p = y 时为 0。
    It is "cross" because it takes two distributions, the target y and the
    prediction p. It is the entropy of y plus the KL divergence, which tells
    how far p is from y and is 0 for p = y:

        -Σ_i y_i log(p_i) = -Σ_i y_i log(y_i) + Σ_i y_i log(y_i / p_i)

    常见的错误是先做一遍 softmax，[100, 0, 0] 变成 [1, 0, 0]，损失就降不到 0。
    A common mistake is to apply softmax first: [100, 0, 0] becomes [1, 0, 0],
    and the loss cannot get down to 0:

    >>> f"{cross_entropy([100.0, 0.0, 0.0], 0):.4f}"
    '0.0000'
    >>> f"{cross_entropy([1.0, 0.0, 0.0], 0):.4f}"
    '0.5514'

    标签平滑把 ε 平分给所有类别。分数的差距太大，损失反而上升，过分自信就受到
    抑制。
    Label smoothing spreads ε evenly over all classes. Too large a gap then
    raises the loss, which discourages overconfidence:

    >>> [round(cross_entropy([g, 0.0], 0, 0.1), 4) for g in [1.0, 3.0, 9.0]]
    [0.3633, 0.1986, 0.4501]

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.nn.functional.cross_entropy(x, target)
    - 需要 Needs: math, log_softmax
    """
    n = len(x)
    log_p = log_softmax(x)
    if not (0 <= target < n and 0.0 <= label_smoothing <= 1.0):
        raise ValueError("cross_entropy needs 0 <= target < n, 0 <= ε <= 1")

    y = [label_smoothing / n] * n  # ε 由各类平分 | all classes share ε
    y[target] += 1.0 - label_smoothing  # 其余归目标 | the rest is the target's
    # 0 乘 -inf 是 nan，要略去 | 0 times -inf is nan and must be left out
    return max(0.0, -math.fsum(y_i * v for y_i, v in zip(y, log_p) if y_i))


def cross_entropy_backward(
    x: list[float], target: int, label_smoothing: float = 0.0
) -> list[float]:
    """交叉熵对 x 的梯度：预测减目标。
    The gradient of cross-entropy with respect to x: predicted minus target.

        grad_x = p - y,    y_i = (1 - ε) [i = target] + ε / n

    推导用到 ∂log(p_i) / ∂x_j = [i = j] - p_j（见 `softmax_jacobian`）。
    Derived from ∂log(p_i) / ∂x_j = [i = j] - p_j (see `softmax_jacobian`):

        ∂loss / ∂x_j = -Σ_i y_i ([i = j] - p_j)
                     = -y_j + p_j Σ_i y_i = p_j - y_j,    Σ_i y_i = 1

    >>> for eps in [0.0, 0.3]:
    ...     grad = cross_entropy_backward([2.0, 0.0, -1.0], 0, eps)
    ...     print([round(g, 4) for g in grad])
    [-0.1562, 0.1142, 0.042]
    [0.0438, 0.0142, -0.058]

    ε = 0 时，沿负梯度走一步，目标的分数升高，其余的降低，降多少与各自的概率
    成正比。即使 softmax 已经饱和，而且答错了，梯度也不会消失；用平方误差就会，
    因为要乘 J，而 J 这时接近 0。
    For ε = 0, a step against the gradient raises the target's score and lowers
    the others, in proportion to their probabilities. Even where softmax is
    saturated and wrong, the gradient does not vanish. That of squared error
    would, as it is multiplied by J, which is then close to 0:

    >>> [round(g, 4) for g in cross_entropy_backward([64.0, 0.0], 1)]
    [1.0, -1.0]

    - 来源 Source: Szegedy et al. 2016, §7
    - 等价 Same as: torch.autograd.grad(cross_entropy(x, target), x)
    - 需要 Needs: math, softmax_stable
    """
    n = len(x)
    p = softmax_stable(x)
    if not (0 <= target < n and 0.0 <= label_smoothing <= 1.0):
        raise ValueError("cross_entropy_backward needs target, ε in range")

    grad_x = [p_i - label_smoothing / n for p_i in p]  # p - ε / n
    # p - y 的和为 0，由此求目标项 | p - y sums to 0: the target's entry
    grad_x[target] = -math.fsum(g for i, g in enumerate(grad_x) if i != target)
    return grad_x


# 4.6 稀疏的变体 | Sparse variants -------------------------------------------

def sparsemax(x: list[float]) -> list[float]:
    """sparsemax：离分数 x 最近（欧氏距离）的概率分布，低分可以恰好得 0。
    Sparsemax: the distribution nearest to x (Euclidean); low scores may get 0.

        p_i = max(s_i - τ, 0),    Σ_i p_i = 1,    s_i = x_i - m

    要让无关的项恰好为 0，就用它；代价是这些项没有梯度，-log(p) 无穷大。
    Use it where irrelevant entries should be exactly 0. The price is that
    these get no gradient, and -log(p) is infinite:

    >>> sparsemax([0.125, 0.5, 1.0])
    [0.0, 0.25, 0.75]

    p 的和固定，所以同减 m 后，最近的仍最近。p 大于 0 的 k 项叫支撑集
    （support），它们的 s_j 之和要变成 1，总共改多少就定了。每项都减 τ 最近：
    一项多减 δ，另一项就少减 δ，平方和更大。
    As the sum of p is fixed, with m subtracted the nearest stays the nearest.
    The k entries with p above 0 are the support. Their s_j are changed to sum
    to 1, which fixes the total change. -τ for each is nearest: δ more from one
    is δ less from another, and the squares add up to more:

        (τ + δ)² + (τ - δ)² = 2 τ² + 2 δ²
        Σ_support (s_j - τ) = 1,    τ = (Σ_support s_j - 1) / k

    只有最高的一项（s = 0）时，τ = (0 - 1) / 1 = -1。从高到低逐项看，s 高于 τ
    的加入：新的 τ' 介于 τ 与 s 之间，已加入的仍为正。余下的 s <= τ，留在 0：从
    别项分 δ 给它（末行），τ - s >= 0，所以更远。
    With the highest alone (s = 0), τ = (0 - 1) / 1 = -1. From the top, entries
    join while s is above τ: the new τ' lies between τ and s, so all that have
    joined stay positive. The rest, with s <= τ, stay at 0: giving one δ from
    the others (last line) is farther, as τ - s >= 0.

        τ' = ((k - 1) τ + s) / k,    k >= 2
        (δ - s)² + (τ + δ)² = s² + τ² + 2 δ (τ - s) + 2 δ²

    上例的 s，一步一步来。
    The s of the example above, step by step:

    >>> total, tau = 0.0, -1.0
    >>> for k, s in enumerate([0.0, -0.5, -0.875], start=1):
    ...     if s <= tau:
    ...         break
    ...     total += s
    ...     tau = (total - 1.0) / k
    ...     print(f"k = {k}  s = {s}  τ = {tau}")
    k = 1  s = 0.0  τ = -1.0
    k = 2  s = -0.5  τ = -0.75

    - 来源 Source: Martins & Astudillo 2016, §2.2, Algorithm 1
    - 等价 Same as: entmax.sparsemax(x, dim=-1)
    - 需要 Needs: math
    """
    m = max(x)
    s = [x_i - m for x_i in x]
    if math.isnan(sum(s)):  # 有 nan，或 inf - inf | a nan, or inf - inf
        raise ValueError("sparsemax needs a finite maximum and no nan")

    total, tau = 0.0, -1.0
    near = sorted([s_i for s_i in s if s_i > tau], reverse=True)
    for k, s_k in enumerate(near, start=1):
        if s_k <= tau:  # 支撑集到此为止 | here the support ends
            break
        total += s_k
        tau = (total - 1.0) / k
    return [s_i - tau if s_i > tau else 0.0 for s_i in s]


def sparsemax_backward(p: list[float], grad_p: list[float]) -> list[float]:
    """sparsemax 的反向传播：p 大于 0 处，grad_p 减去那里的平均值；其余为 0。
    Backward pass of sparsemax: grad_p minus its mean where p > 0, else 0.

        p_i = x_i - (Σ_support x_j - 1) / k
        ∂p_i / ∂x_j = [i = j] - 1 / k
        grad_x_i = grad_p_i - Σ_support grad_p_j / k

    这三行只对支撑集成立（第一行的 m 抵消了）。低于阈值时，分数稍动，结果不变，
    所以是 0。
    These lines hold on the support (m cancels in the first). Below the
    threshold, moving a score a little changes nothing, hence 0:

    >>> sparsemax_backward([0.0, 0.25, 0.75], [5.0, 1.0, 2.0])
    [0.0, -0.5, 0.5]

    - 来源 Source: Martins & Astudillo 2016, Eq. (14)
    - 等价 Same as: torch.autograd.grad(sparsemax(x), x, grad_p)
    - 需要 Needs: math
    """
    if min(p) < 0.0 or not abs(math.fsum(p) - 1.0) <= 1e-3:
        raise ValueError("sparsemax_backward needs p >= 0 with a sum of 1")

    support = [g_i for p_i, g_i in zip(p, grad_p, strict=True) if p_i > 0.0]
    mean = math.fsum(support) / len(support)
    grad_x = [g_i - mean if p_i > 0.0 else 0.0 for p_i, g_i in zip(p, grad_p)]
    if not all(map(math.isfinite, grad_x)):
        raise ValueError("sparsemax_backward needs finite grad_p, below 1e308")
    return grad_x


def entmax(x: list[float], alpha: float = 1.5) -> list[float]:
    """entmax：从 softmax 到 sparsemax 的一族函数，由 α（alpha）决定。
    Entmax: a family running from softmax to sparsemax, set by α (alpha).

        p_i = max(1 + (α - 1)(s_i - c), 0)^(1 / (α - 1)),    Σ_i p_i = 1

    s_i = x_i - m，c 使总和为 1。α = 2 时，p_i = max(1 + s_i - c, 0)，就是
    sparsemax。α 趋于 1 时，令 N = 1 / (α - 1)，(1 + (s_i - c) / N)^N 趋于
    exp(s_i - c)，就是 softmax。α 越大越稀疏。
    s_i = x_i - m, and c makes the sum 1. At α = 2, p_i = max(1 + s_i - c, 0),
    which is sparsemax. As α approaches 1, with N = 1 / (α - 1),
    (1 + (s_i - c) / N)^N becomes exp(s_i - c), which is softmax. The larger α,
    the sparser:

    >>> for alpha in [1.0, 1.5, 2.0]:
    ...     print([round(p_i, 4) for p_i in entmax([0.0, 0.5, 1.0], alpha)])
    [0.1863, 0.3072, 0.5065]
    [0.0841, 0.2917, 0.6242]
    [0.0, 0.25, 0.75]

    - 来源 Source: Peters, Niculae & Martins 2019
    - 等价 Same as: entmax.entmax_bisect(x, alpha, dim=-1), 1 < alpha
    - 需要 Needs: math, softmax_stable
    """
    if not 1.0 <= alpha <= 2.0:
        raise ValueError(f"entmax needs 1 <= alpha <= 2, got {alpha}")

    p = softmax_stable(x)
    if alpha == 1.0:
        return p
    m = max(x)
    s = [x_i - m for x_i in x]
    a = alpha - 1.0
    c = 0.0  # 从 0 起只升 | only rises from 0
    for _ in range(99):  # 牛顿法，约 20 步就够 | Newton: about 20 steps
        gaps = [a * (s_i - c) for s_i in s]
        p = [math.exp(math.log1p(g) / a) if g > -1.0 else 0.0 for g in gaps]
        total = math.fsum(p)
        slope = math.fsum(p_i ** (2.0 - alpha) for p_i in p if p_i > 0.0)
        step = (total - 1.0) / slope  # ∂p_i / ∂c = -p_i^(2 - α)
        if c + step <= c:  # c 不再上升就停 | c rises no more
            break
        c += step
    return [p_i / total for p_i in p]


# 采样 | Sampling ------------------------------------------------------------

def gumbel_softmax(
    x: list[float], u: list[float], temperature: float = 1.0
) -> list[float]:
    """Gumbel-softmax：给分数加上噪声再做 softmax，近似采样，却能求导（可微）。
    Gumbel-softmax: a noisy softmax, almost a sample, but differentiable.

        g_i = -log(-log(u_i)),    gumbel_softmax = softmax((x + g) / T)

    直接按概率抽下标，像 hardmax 一样没有梯度，模型无法靠反向传播学会怎么抽。把
    随机性放进噪声，用 softmax 代替取最大，梯度就能通过；T 越低越像 one-hot。
    Like hardmax, drawing an index passes no gradient, so backpropagation
    cannot teach a model how to draw. With the randomness in noise, and softmax
    for the maximum, gradients pass. The lower T, the closer to one-hot:

    >>> p = gumbel_softmax([2.0, 1.0], u=[0.5, 0.9], temperature=0.1)
    >>> [round(p_i, 4) for p_i in p]
    [0.0001, 0.9999]

    为什么是这种噪声？设想每一项有一个闹钟，互不相干，每一瞬间，闹钟 i 响的机会
    都与 exp(x_i) 成正比；第一声不论何时响，是 i 的概率都是 exp(x_i) / Σ_j
    exp(x_j)，正是 softmax。若每单位时间平均响 1 次，在 t / N 这一小段里响的
    机会约为 t / N；到 t 还没响，就是 N 段都没响；-log(u) 正是这种等待时间。
    次数是 exp(x_i) 倍，等待时间就除以 exp(x_i)；再取 -log，最早的就变成
    最大的。
    Why this noise? Imagine an alarm clock for each entry, independent of the
    others. At every instant the chance that clock i rings is proportional to
    exp(x_i), so whenever the first one rings, it is i with probability
    exp(x_i) / Σ_j exp(x_j), which is softmax. With 1 ring per unit of time on
    average, the chance of one in a short time t / N is about t / N, and
    silence until t is silence in all N pieces. -log(u) is such a waiting time.
    With exp(x_i) times as many rings, the wait is divided by exp(x_i), and
    -log turns the earliest into the largest:

        P(-log(u) > t) = P(u < exp(-t)) = exp(-t) = lim_(N→∞) (1 - t / N)^N
        -log(-log(u_i) / exp(x_i)) = x_i - log(-log(u_i)) = x_i + g_i

    所以 x_i + g_i 居首的概率恰好是 p_i（Gumbel-max 技巧）；抽一万次看看。
    So x_i + g_i is the largest with probability exactly p_i (the Gumbel-max
    trick). In ten thousand draws:

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
    m = max(x)  # 先减 m，不然会舍入掉噪声 | m first, or noise is rounded away
    noisy = [x_i - m - math.log(-math.log(u_i))
             for x_i, u_i in zip(x, u, strict=True)]
    return softmax_with_temperature(noisy, temperature)


def softmax_top_k(x: list[float], k: int) -> list[float]:
    """top-k：只在最高的 k 个分数之间做 softmax，其余为 0。
    Top-k: softmax among the k highest scores, 0 elsewhere.

        p_i = exp(x_i) [i ∈ top-k] / Σ_top-k exp(x_j)

    词表里有几万个概率极小的 token，合起来却常被抽中，使文本跑题；top-k 去掉
    它们。
    A vocabulary has tens of thousands of very unlikely tokens, which together
    are drawn often and derail the text; top-k removes them:

    >>> [round(p_i, 4) for p_i in softmax_top_k([1.0, 3.0, 2.0], k=2)]
    [0.0, 0.7311, 0.2689]

    并列时下标小的优先，恰好留下 k 个。
    Ties go to the lower index, so that exactly k are kept:

    >>> softmax_top_k([5.0, 5.0, 5.0], k=2)
    [0.5, 0.5, 0.0]

    - 来源 Source: Fan, Lewis & Dauphin 2018, §5.4
    - 等价 Same as: TopKLogitsWarper(k) of transformers, then softmax (no tie)
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 1 <= k <= len(x):
        raise ValueError(f"softmax_top_k needs 1 <= k <= {len(x)}, got {k}")

    order = sorted(range(len(x)), key=lambda i: x[i], reverse=True)
    kept = set(order[:k])
    total = math.fsum(p[i] for i in kept)  # 留下的重新归一化 | renormalised
    return [p_i / total if i in kept else 0.0 for i, p_i in enumerate(p)]


def softmax_top_p(x: list[float], top_p: float) -> list[float]:
    """top-p（核采样）：从高到低保留，累积概率达到 top_p 为止，再除以总和。
    Top-p (nucleus): keep from the top until the cumulative probability reaches
    top_p, then divide by the total.

        k = min {k : p_(1) + ... + p_(k) >= top_p},    p_(1) >= p_(2) >= ...

    不管分布尖锐还是平坦，top-k 都留 k 个；top-p 在模型有把握时留得少，没把握
    时留得多。与降低 T 不同，它只截去尾巴，留下各项的比例不变。
    Top-k keeps k whether the distribution is sharp or flat; top-p keeps few
    where the model is sure and many where it is not. Unlike a lower T, it just
    cuts the tail off and keeps the proportions of the rest:

    >>> for x in [9.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]:
    ...     print([round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.8)])
    [1.0, 0.0, 0.0, 0.0]
    [0.4223, 0.4223, 0.1554, 0.0]

    刚达到 top_p 的那一项也要留，否则 top_p 较小时一个都不剩；误差在 1e-9 以内
    就算达到；top_p = 1 时全部保留。
    The entry that reaches top_p is kept too, or a small top_p would keep none.
    Reaching it to within 1e-9 is enough, and top_p = 1 keeps all:

    >>> x = [math.log(0.7), math.log(0.2), math.log(0.1)]
    >>> [round(p_i, 4) for p_i in softmax_top_p(x, top_p=0.9)]
    [0.7778, 0.2222, 0.0]

    - 来源 Source: Holtzman et al. 2020, Eqs. (2) and (3)
    - 等价 Same as: TopPLogitsWarper(top_p) of transformers, then softmax (no
      tie)
    - 需要 Needs: math, softmax_stable
    """
    p = softmax_stable(x)
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"softmax_top_p needs 0 < top_p <= 1, got {top_p}")

    kept: set[int] = set()
    reached = 0.0  # 累积概率 | cumulative probability
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

    把 0 到 1 切成几段，每段的长度就是概率，看 u 落在哪段；概率为 0 的抽不中。
    Cut the line from 0 to 1 into pieces whose lengths are the probabilities,
    and see which one u falls into. An index of probability 0 is never drawn:

    >>> [sample([0.2, 0.0, 0.8], u) for u in [0.0, 0.19, 0.2, 0.99]]
    [0, 0, 2, 2]

    - 等价 Same as: numpy.searchsorted(numpy.cumsum(p), u, "right"), nearly
    - 需要 Needs: math
    """
    total = math.fsum(p)
    if min(p) < 0.0 or not abs(total - 1.0) <= 1e-3:
        raise ValueError("sample needs p >= 0 with a sum of 1")
    if not 0.0 <= u < 1.0:
        raise ValueError(f"sample needs 0 <= u < 1, got {u}")

    # 取起点不超过 u 的最后一段 | the last piece that starts at or below u
    start, drawn = 0.0, 0
    for i, p_i in enumerate(p):
        if p_i > 0.0 and start <= u * total:  # 总和未必是 1 | it may not be 1
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
