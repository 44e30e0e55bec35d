"""注意力：查询、键、值 | Attention: queries, keys and values

一个 token（词元，文本的一小段）要从周围的 token 和自身取信息，该取谁的？它的
查询 q 表示要找什么，每个 token 的键 k 表示自己有什么，值 v 是取到的内容。q 与
k 的点积是相似度，softmax 把相似度变成权重，输出就是各个值的加权平均。
A token (a piece of text) takes information from the tokens around it and from
itself, but from which? Its query q says what it looks for, each token's key k
says what that token has, and the value v is what is taken from it. The dot
product of q and k is their similarity, softmax turns similarities into
weights, and the output is the values averaged with these weights.

自注意力里，三者都出自同一个 X，它的每一行是一个 token 的向量（嵌入）。X 乘以
训练得来的矩阵（叫投影）：X W_q 得 Q，X W_k 得 K，X W_v 得 V。要找的与已有的
不是一回事，所以 W_q 与 W_k 不同；要是相同，Q = K，S = Q Qᵀ / √d 就总是对称的。
In self-attention all three come from one X, each row of which is the vector of
a token (its embedding). X is multiplied by learned matrices (projections): X
W_q gives Q, X W_k gives K, X W_v gives V. What a token looks for is not what
it has, so W_q and W_k differ. If they were the same, Q = K, and S = Q Qᵀ / √d
would always be symmetric.

注意力本身不区分先后顺序（因果掩码除外），所以要另外给出位置：加在 X 上，或者按
位置旋转 Q 和 K 的各行（RoPE，如今最常用），或者加在分数上（ALiBi）。
Attention itself ignores the order of the tokens (a causal mask aside), so
positions have to be supplied: by adding to X, by rotating the rows of Q and K
(RoPE, today's usual way), or by adding to the scores (ALiBi).

这是第 4 章 4.5 节。矩阵用嵌套列表表示，内层每个列表是一行，一行一个 token。
This is section 4.5 of chapter 4. A matrix is a nested list: each inner list is
a row, one row per token.

    Q               n_q × d         n_q 个查询，各有 d 个分量
                                    n_q queries of d components each
    K               n_k × d         n_k 个键 | n_k keys
    V               n_k × d_v       n_k 个值 | n_k values
    X               n × d_model     n 个 token | n tokens
    S = Q Kᵀ / √d   n_q × n_k       分数，S_ij = Q_i · K_j / √d
                                    scores, S_ij = Q_i · K_j / √d
    w = weights     n_q × n_k       权重，各行和为 1，全被屏蔽时为 0
                                    weights; rows sum to 1, or 0 if all masked
    h, h_kv                         查询的头数，键和值的头数（多头时）
                                    heads of Q, heads of K and V (if many)
"""

import math

from softmax_ref import softmax_backward, softmax_stable


# 4.5 缩放点积注意力 | Scaled dot-product attention --------------------------

def dot(a: list[float], b: list[float]) -> float:
    """点积：对应元素相乘再相加，用来衡量相似度。
    The dot product: multiply in pairs and add up; a measure of similarity.

        a · b = Σ_i a_i b_i = |a| |b| cos θ

    长度一定时，方向越接近，点积越大；夹角 90° 时为 0，更大时为负。
    For given lengths, the closer the directions, the larger it is; at 90° it
    is 0, beyond that negative:

    >>> q = [1.0, 2.0]
    >>> dot(q, [1.0, 2.0]), dot(q, [2.0, -1.0]), dot(q, [-1.0, -2.0])
    (5.0, 0.0, -5.0)

    - 等价 Same as: numpy.dot(a, b); math.sumprod(a, b) (Python 3.12)
    - 需要 Needs: math
    """
    n, k = len(a), len(b)
    if n != k:  # 不然 zip 会悄悄截断 | or zip would silently cut one
        raise ValueError(f"dot needs lists of equal length, got {n} and {k}")

    sumprod = vars(math).get("sumprod")  # 3.12 起，更快 | since 3.12, faster
    if sumprod:
        return float(sumprod(a, b))
    return sum([a_i * b_i for a_i, b_i in zip(a, b)])


def attention_scores(
    Q: list[list[float]],  # n_q × d
    K: list[list[float]],  # n_k × d
    scale: float | None = None,  # None: 1/√d
) -> list[list[float]]:
    """注意力分数：每个查询与每个键的点积，也就是相似度，再除以 √d。
    Attention scores: the dot product of each query with each key, over √d.

        S = Q Kᵀ / √d,    S_ij = (Q_i · K_j) scale,    scale = 1/√d

    为什么除以 √d？设 r_1 到 r_d 相互独立，各随机取 1 或 -1。把和平方：每个
    r_a² 都是 1，其余的积有正有负，平均为 0，所以和的大小约为 √d。
    Why √d? Let r_1 to r_d be independent, each 1 or -1 at random. In the
    square of their sum each r_a² is 1, and the other products, of either sign,
    average 0, so the sum is about √d in size:

        (r_1 + ... + r_d)² = Σ_a r_a² + Σ_(a≠b) r_a r_b = d + Σ_(a≠b) r_a r_b

    点积也是 d 项之和。q 和 k 的分量相互独立、均值为 0、方差为 1 时，平均可以
    相乘：(q_a k_a)² 的平均是 1 · 1，q_a k_a q_b k_b 的平均是 0。所以 d 越大，
    分数越分散，softmax 越饱和，梯度几乎传不回去；除以 √d，大小就约为 1。下例
    √64 = 8。
    A dot product is a sum of d terms, too. For independent components of q and
    k with mean 0 and variance 1, averages multiply: (q_a k_a)² averages 1 · 1,
    and q_a k_a q_b k_b averages 0. So the larger d, the further apart the
    scores, and the more softmax saturates, until hardly any gradient passes
    back. Divided by √d, scores are about 1 in size. Here √64 = 8:

    >>> import random
    >>> g = random.Random(0).gauss
    >>> X = [[g(0.0, 1.0) for _ in range(64)] for _ in range(90)]
    >>> for scale in [1.0, None]:
    ...     S = attention_scores(X[:50], X[50:], scale)
    ...     mean = sum(s * s for row in S for s in row) / (50 * 40)
    ...     print(round(math.sqrt(mean), 1))
    7.9
    1.0

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1) and footnote 4
    - 等价 Same as: Q @ K.T / math.sqrt(Q.shape[-1])
    - 需要 Needs: math, dot
    """
    if not K or not K[0]:
        raise ValueError("attention_scores needs K with rows and d >= 1")

    if scale is None:
        scale = 1.0 / math.sqrt(len(K[0]))
    return [[dot(q, k) * scale for k in K] for q in Q]  # n_q × n_k


def softmax_masked(x: list[float], keep: list[bool]) -> list[float]:
    """带掩码的 softmax：概率只分给保留（True）的分数；一个也不留，就全是 0。
    Masked softmax: probability for kept (True) scores only; all 0 if none is
    kept.

        p_i = exp(x_i) [keep_i] / Σ_kept exp(x_j)

    不保留的分数换成 -inf，因为 exp(-inf) = 0。一个也不留就是 0 / 0，约定为 0：
    什么都没看到，也不传梯度。把分数乘 0 不行：exp(0) = 1，照样分到概率。
    Scores not kept become -inf, as exp(-inf) = 0. With none kept it is 0 / 0,
    taken as 0: nothing is seen, and no gradient passes. Multiplying scores by
    0 will not do: exp(0) = 1 still gets a share:

    >>> keep = [True, True, False]
    >>> [round(p_i, 4) for p_i in softmax_masked([2.0, 1.0, 3.0], keep)]
    [0.7311, 0.2689, 0.0]
    >>> [round(p_i, 4) for p_i in softmax_stable([2.0, 1.0, 3.0 * 0])]
    [0.6652, 0.2447, 0.09]

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: jax.nn.softmax(x, where=keep)
    - 需要 Needs: math, softmax_stable
    """
    # 加到分数上的掩码不行 | not a mask to be added to the scores
    for k in keep:
        if not isinstance(k, int) or k not in (True, False):
            raise ValueError(f"softmax_masked needs True or False, got {k!r}")

    kept = [x_i if k else -math.inf for x_i, k in zip(x, keep, strict=True)]
    return softmax_stable(kept) if any(keep) else [0.0] * len(x)


def weighted_sum(
    weights: list[float],  # n
    rows: list[list[float]],  # n × d
) -> list[float]:
    """加权和：每一行乘自己的权重，再相加；权重为 0 的行跳过。
    Weighted sum: each row times its weight, added up; weight 0 is skipped.

        weighted_sum(w, V) = Σ_j w_j V_j

    >>> weighted_sum([0.25, 0.75], [[8.0, 0.0], [4.0, 4.0]])
    [5.0, 3.0]

    跳过，而不是乘 0：0 乘 nan 还是 nan，被屏蔽处的 nan 不能混进结果。
    Skipped, not multiplied by 0: 0 times nan is nan, and even a nan in a
    masked row must not get into the result:

    >>> weighted_sum([0.5, 0.5, 0.0], [[5.0], [6.0], [math.nan]])
    [5.5]

    - 等价 Same as: numpy.dot(weights, rows), but for a nan at weight 0
    - 需要 Needs: math, dot
    """
    w = [w_j for w_j in weights if w_j != 0.0]
    kept = [row for w_j, row in zip(weights, rows, strict=True) if w_j != 0.0]
    if not kept:  # 权重全为 0 | all weights 0
        return [0.0] * len(rows[0])

    total = [dot(w, list(column)) for column in zip(*kept, strict=True)]
    if not all(map(math.isfinite, total)):
        raise ValueError("weighted_sum needs finite rows, got nan or inf")
    return total


def attention_with_softmax(
    Q: list[list[float]],  # n_q × d
    K: list[list[float]],  # n_k × d
    V: list[list[float]],  # n_k × d_v
    mask: list[list[bool]] | None = None,  # n_q × n_k
) -> tuple[list[list[float]], list[list[float]]]:
    """单头注意力：每个查询得到各个值的加权平均；返回输出和权重。
    Single-head attention: each query gets a weighted average of the values;
    returns the output and the weights.

        weights = softmax(Q Kᵀ / √d)    n_q × n_k
        output = weights V              n_q × d_v

    下面三个 token 的键各有四个分量，依次表示动物、动作、地点、过去时。第一个
    查询找动物；第二个主要找地点，也找过去时。先猜猜，各在哪个键上权重最大。
    Here are the keys of three tokens; their components stand for animal,
    action, place, past tense. The first query looks for an animal, the second
    mainly for a place but also for the past tense. First guess on which key
    each puts its largest weight:

    >>> K = [[1.0, 0.0, 0.0, 0.0],  # cat
    ...      [0.0, 1.0, 0.0, 1.0],  # sat
    ...      [0.0, 0.0, 1.0, 0.0]]  # mat
    >>> Q = [[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 2.0]]
    >>> V = [[10.0], [20.0], [30.0]]
    >>> output, weights = attention_with_softmax(Q, K, V)
    >>> [[round(w, 4) for w in row] for row in weights]
    [[0.787, 0.1065, 0.1065], [0.09, 0.2447, 0.6652]]

    于是这里第一个输出最接近 cat 的 10，第二个最接近 mat 的 30。
    So here the first output is nearest to cat's 10, the second to mat's 30:

    >>> [[round(v, 4) for v in row] for row in output]
    [[13.1952], [25.7521]]

    mask 中 True 表示可以关注（见 `causal_mask`）。
    In mask, True means attend (see `causal_mask`).

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1)
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, softmax_stable, dot, attention_scores, softmax_masked,
      weighted_sum
    """
    if len(K) != len(V):
        raise ValueError("attention_with_softmax needs one V row per K row")
    if mask is None:
        mask = [[True] * len(K) for _ in Q]

    scores = attention_scores(Q, K)  # n_q × n_k
    weights = [softmax_masked(x, keep)  # 各行和为 1 | rows sum to 1
               for x, keep in zip(scores, mask, strict=True)]  # n_q × n_k
    output = [weighted_sum(p, V) for p in weights]  # n_q × d_v
    return output, weights


# 掩码与图 | Masks and pictures -----------------------------------------------

def causal_mask(n_queries: int, n_keys: int) -> list[list[bool]]:
    """因果掩码：只能关注自己和前面的位置，True 表示可以。
    Causal mask: attend to oneself and earlier positions; True means attend.

        keep_ij = j <= i + n_keys - n_queries

    训练时整个序列一次算完，每个位置都要预测下一个 token；要是看得到后面，照抄
    就行。
    In training the whole sequence is computed at once, and each position has
    to predict the next token. If it could see what follows, it would just
    copy.

    生成时，一次添一个或几个 token。前面的 token 看不到新的，各层的 X 不变，
    键和值也不变，所以存起来反复用（KV 缓存）；查询只管自己的输出，用过就不再
    需要。于是查询比键少，掩码按右下角对齐，最后一个查询看得到所有的键。
    In generation one or a few tokens are added at a time. The earlier ones do
    not see the new, so their X in each layer stays the same, as do their keys
    and values, which are stored for reuse (the KV cache). A query serves only
    its own output and is not needed again. Hence there are fewer queries than
    keys. The mask is aligned bottom-right, and the last query sees every key:

    >>> for row in causal_mask(3, 5):
    ...     print(*map(int, row))
    1 1 1 0 0
    1 1 1 1 0
    1 1 1 1 1

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: torch.ones(n, n, dtype=torch.bool).tril(), n = n_q = n_k
    - 需要 Needs: 无 nothing
    """
    offset = n_keys - n_queries  # 前面已存的键 | keys stored before
    return [[j <= i + offset for j in range(n_keys)] for i in range(n_queries)]


def padding_mask(
    n_queries: int, n_keys: int, length: int
) -> list[list[bool]]:
    """填充掩码：只有前 length 个键是真正的 token，后面都是填充。
    Padding mask: the first length keys are real tokens, the rest padding.

        keep_ij = j < length

    一批序列长短不一，短的用填充补齐。掩码屏蔽的是键（列），不是查询（行）。
    所以填充的 K 和 V 不管是什么，都进不了输出；填充的 Q 照样参与计算，只是输出
    不用。
    The sequences of a batch differ in length, and padding fills up the short
    ones. The mask hides keys (columns), not queries (rows). So whatever
    padding K and V hold, it cannot get into the output; padding rows of Q are
    computed like the rest, and their outputs are ignored:

    >>> for row in padding_mask(2, 3, length=2):
    ...     print(*map(int, row))
    1 1 0
    1 1 0

    - 等价 Same as: ~key_padding_mask of torch.nn.MultiheadAttention
    - 需要 Needs: 无 nothing
    """
    if not 0 <= length <= n_keys:
        raise ValueError("padding_mask needs 0 <= length <= n_keys")
    return [[j < length for j in range(n_keys)] for _ in range(n_queries)]


def heatmap(weights: list[list[float]]) -> str:
    """热图：一行一个查询，一格一个键；权重越大，方块越高，· 是 0。
    A heat map: a row for each query, a character for each key; the larger the
    weight, the taller the block; · is 0.

        ▁ ≤ 1/64     ▂ ≤ 1/16    ▃ ≤ 9/64     ▄ ≤ 1/4
        ▅ ≤ 25/64    ▆ ≤ 9/16    ▇ ≤ 49/64    █ ≤ 1

    高度按 √w 分八级，小的权重才看得清。
    The eight heights go by √w, which keeps small weights apart:

    >>> print(heatmap([[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [0.05, 0.45, 0.5]]))
    █··
    █▄·
    ▂▆▆

    - 需要 Needs: math
    """
    if not all(0.0 <= w <= 1.001 for row in weights for w in row):
        raise ValueError("heatmap needs weights from 0 to 1, not scores")

    heights = [[min(math.ceil(8 * math.sqrt(w)), 8) for w in row]
               for row in weights]
    return "\n".join("".join("·▁▂▃▄▅▆▇█"[h] for h in row) for row in heights)


def attention_steps(
    q: list[float],  # d
    K: list[list[float]],  # n_k × d
    V: list[list[float]],  # n_k × d_v
) -> str:
    """一个查询的注意力，像手算那样列成表：点积，除以 √d，权重，值，输出。
    The attention of one query as a table, as if by hand: dot products, divided
    by √d, weights, values, output.

    >>> K = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    >>> print(attention_steps([0.0, 0.0, 4.0, 2.0], K, [[10], [20], [30]]))
       q · k    / √d  weight  v
           0       0  0.0900  10
           2       1  0.2447  20
           4       2  0.6652  30
      output          1.0000  25.7521

    - 需要 Needs: math, softmax_stable, dot, attention_scores, softmax_masked,
      weighted_sum, attention_with_softmax
    """
    output, weights = attention_with_softmax([q], K, V)
    products = attention_scores([q], K, scale=1.0)[0]
    scores = attention_scores([q], K)[0]
    lines = [f"{'q · k':>8}{'/ √d':>8}  weight  v"]
    for product, score, w, v in zip(products, scores, weights[0], V):
        values = " ".join(f"{v_c:g}" for v_c in v)
        lines.append(f"{product:8.4g} {score:7.4g}{w:8.4f}  {values}")
    values = " ".join(f"{o_c:.4f}" for o_c in output[0])
    lines.append(f"{'output':>8}{sum(weights[0]):16.4f}  {values}")
    return "\n".join(lines)


# 多头 | Many heads -----------------------------------------------------------

def transpose(A: list[list[float]]) -> list[list[float]]:
    """转置：行变成列。
    Transpose: rows become columns.

        (Aᵀ)_ij = A_ji,    n × k -> k × n

    >>> transpose([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]

    - 等价 Same as: numpy.transpose(A)
    - 需要 Needs: 无 nothing
    """
    return [list(column) for column in zip(*A, strict=True)]


def matmul(A: list[list[float]], B: list[list[float]]) -> list[list[float]]:
    """矩阵乘法：结果的每一行是 B 各行的加权和，权重是 A 的对应行。
    Matrix multiplication: each row of the product is a sum of the rows of B,
    weighted by the corresponding row of A.

        (A B)_ij = Σ_k A_ik B_kj,    (n × k) (k × d) -> n × d

    >>> matmul([[1.0, 2.0, 3.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    [[4.0, 5.0]]

    注意力的输出 `weights V` 就是这样算的；这里也跳过权重为 0 的行。
    The output of attention, `weights V`, is such a product; here, too, rows of
    weight 0 are skipped.

    - 等价 Same as: numpy.matmul(A, B)
    - 需要 Needs: math, dot, weighted_sum
    """
    return [weighted_sum(row, B) for row in A]  # n × d


def split_heads(X: list[list[float]], heads: int) -> list[list[list[float]]]:
    """把列分给各个头，每个 token 仍占一行。
    Divide the columns among the heads; each token keeps its row.

        n × (h d) -> h × n × d

    为什么要多个头？一个头对每个查询只有一行权重，要找的东西都混成一个平均；
    几个头可以各找各的，比如前一个词和主语。每个头分到 d = d_model / h 列，总
    计算量与一个宽的头相近。字母表示 token，数字表示列，看每一项去了哪里。
    Why several heads? One head has one row of weights per query and mixes all
    it looks for into one average. Several can look for different things, for
    example the previous word and the subject. Each gets d = d_model / h
    columns, so together they cost about as much as a single wide head. Letters
    for tokens and digits for columns show where each entry goes:

    >>> X = [[f"{token}{column}" for column in range(6)] for token in "ab"]
    >>> for head in split_heads(X, heads=2):
    ...     print(head)
    [['a0', 'a1', 'a2'], ['b0', 'b1', 'b2']]
    [['a3', 'a4', 'a5'], ['b3', 'b4', 'b5']]

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: X.reshape(n, heads, d).swapaxes(0, 1)
    - 需要 Needs: 无 nothing
    """
    columns = len(X[0])
    if heads < 1 or columns % heads or any(len(row) != columns for row in X):
        raise ValueError("split_heads needs equal rows that heads divides")

    d = columns // heads
    return [[row[i * d:(i + 1) * d] for row in X]  # n × d
            for i in range(heads)]


def merge_heads(outputs: list[list[list[float]]]) -> list[list[float]]:
    """把各个头的输出按 token 拼成一行；split_heads 的逆操作。
    Put the heads side by side, token by token; the inverse of split_heads.

        h × n × d -> n × (h d)

    第一个结果是对的；第二个只改形状（reshape）不转置，b 混进了 a 的行。
    The first result is right; the second, a reshape without a transpose, has b
    in the row of a:

    >>> heads = [[["a0", "a1"], ["b0", "b1"]], [["a2", "a3"], ["b2", "b3"]]]
    >>> merge_heads(heads)
    [['a0', 'a1', 'a2', 'a3'], ['b0', 'b1', 'b2', 'b3']]
    >>> [a + b for a, b in heads]
    [['a0', 'a1', 'b0', 'b1'], ['a2', 'a3', 'b2', 'b3']]

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: outputs.swapaxes(0, 1).reshape(n, heads * d)
    - 需要 Needs: 无 nothing
    """
    return [[v for row in rows for v in row]  # h d
            for rows in zip(*outputs, strict=True)]


def multi_head_attention(
    X: list[list[float]],  # n × d_model
    W_q: list[list[float]],  # d_model × (h d)
    W_k: list[list[float]],  # d_model × (h_kv d)
    W_v: list[list[float]],  # d_model × (h_kv d_v)
    W_o: list[list[float]],  # (h d_v) × d_model
    heads: int,  # h
    mask: list[list[bool]] | None = None,  # n × n
    kv_heads: int | None = None,  # h_kv; None: h
) -> tuple[list[list[float]], list[list[list[float]]]]:
    """多头自注意力：投影，分头，各算注意力，拼起来，再投影；返回输出和各头
    权重。
    Multi-head self-attention: project, split, attend in each head, merge,
    project again; returns the output and the weights of each head.

        Q = X W_q    n × (h d)          head_i = attention(Q_i, K_g, V_g)
        K = X W_k    n × (h_kv d)       g = i // (h / h_kv)
        V = X W_v    n × (h_kv d_v)     output = merge(heads) W_o

    Q_i 是头 i 的 Q，√d 里的 d 是一个头的维度；W_o 把各头混合起来。这里投影都用
    单位矩阵 I，两个头就分别看 X 的左半和右半。下面是第三个 token 作查询时，
    各头的权重。
    Q_i is the Q of head i, and the d in √d is that of one head; W_o mixes the
    heads. Here every projection is the identity I, so the two heads look at
    the left and the right half of X. These are the weights of each head with
    the third token as the query:

    >>> X = [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 0.0, 1.0]]
    >>> I = [[float(i == j) for j in range(4)] for i in range(4)]
    >>> output, weights = multi_head_attention(X, I, I, I, I, heads=2)
    >>> for head in weights:
    ...     print([round(w, 4) for w in head[2]])
    [0.0501, 0.1017, 0.8482]
    [0.576, 0.14, 0.284]

    KV 缓存里，每层每个 token 要存 2 h_kv d 个数（d_v = d 时）。kv_heads
    （h_kv）少于 heads（h）时，几个查询头共用一组键和值，缓存就小了，效果可能
    略降。这叫分组查询注意力（GQA）；kv_heads = 1 时叫多查询注意力（MQA）。
    共用，就相当于 W_k、W_v 里几个头的列相同；查询不同，所以权重仍然不同。
    In the KV cache each layer stores 2 h_kv d numbers per token (if d_v = d).
    With kv_heads (h_kv) below heads (h), several query heads share keys and
    values, and the cache shrinks, perhaps at some loss of quality. This is
    grouped-query attention (GQA) or, with kv_heads = 1, multi-query attention
    (MQA). It is as if several heads had equal columns in W_k and W_v. Their
    queries still differ, and so do their weights:

    >>> W = [[row[0]] for row in I]  # 4 × 1
    >>> W_4 = [row * 4 for row in W]  # 4 × 4
    >>> shared = multi_head_attention(X, I, W, W, I, heads=4, kv_heads=1)
    >>> shared == multi_head_attention(X, I, W_4, W_4, I, heads=4)
    True

    - 来源 Source: Vaswani et al. 2017, §3.2.2; Ainslie et al. 2023, §2.2
    - 等价 Same as: torch.nn.MultiheadAttention (W transposed, mask inverted)
    - 需要 Needs: math, softmax_stable, dot, attention_scores, softmax_masked,
      weighted_sum, attention_with_softmax, matmul, split_heads, merge_heads
    """
    if kv_heads is None:
        kv_heads = heads
    Q = split_heads(matmul(X, W_q), heads)  # h × n × d
    K = split_heads(matmul(X, W_k), kv_heads)  # h_kv × n × d
    V = split_heads(matmul(X, W_v), kv_heads)  # h_kv × n × d_v
    if heads % kv_heads:
        raise ValueError("multi_head_attention needs kv_heads to divide heads")

    group = heads // kv_heads  # 几个头共用一组 K、V | heads that share K and V
    results = [attention_with_softmax(q, K[i // group], V[i // group], mask)
               for i, q in enumerate(Q)]
    merged = merge_heads([output for output, _ in results])  # n × (h d_v)
    return matmul(merged, W_o), [weights for _, weights in results]


# 一次遍历 | One pass ---------------------------------------------------------

def softmax_online(x: list[float]) -> list[float]:
    """在线 softmax：逐个读入分数，一次遍历得到最大值和分母。
    Online softmax: maximum and denominator in one pass, score by score.

        m' = max(m, x_i),    s' = s exp(m - m') + exp(x_i - m')

    要读完才知道最大值，所以先减当前的最大值 m：s 是已读各项的 exp(x_j - m) 之
    和。m 变成 m' 时，s 里的每一项都要变成 exp(x_j - m')，都乘同一个数就行。
    The maximum is known only at the end, so subtract the running one, m: s is
    the sum of exp(x_j - m) over what has been read. When m becomes m', every
    term in s has to become exp(x_j - m'), and one factor does it for all:

        exp(x_j - m') = exp(x_j - m) exp(m - m')

    >>> m, s = 1.0, 1.0  # 读完第一个分数 | after the first score
    >>> for x_i in [3.0, 2.0]:
    ...     m_old, m = m, max(m, x_i)
    ...     s = s * math.exp(m_old - m) + math.exp(x_i - m)
    ...     print(f"m = {m}  s = {s:.4f}")
    m = 3.0  s = 1.1353
    m = 3.0  s = 1.5032
    >>> [round(p_i, 4) for p_i in softmax_online([1.0, 3.0, 2.0])]
    [0.09, 0.6652, 0.2447]

    - 来源 Source: Milakov & Gimelshein 2018, §3, Algorithm 3
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    m, s = -math.inf, 0.0
    for x_i in x:
        if x_i != -math.inf:  # -inf 减 -inf 是 nan | -inf - -inf is nan
            m_old, m = m, max(m, x_i)
            s = s * math.exp(m_old - m) + math.exp(x_i - m)
    if not s >= 1.0:  # nan，或者没有分数可读 | nan, or no score to read
        raise ValueError("softmax_online needs a finite maximum and no nan")
    return [math.exp(x_i - m) / s for x_i in x]


def attention_online(
    Q: list[list[float]],  # n_q × d
    K: list[list[float]],  # n_k × d
    V: list[list[float]],  # n_k × d_v
    mask: list[list[bool]] | None = None,  # n_q × n_k
) -> list[list[float]]:
    """在线注意力：一次只取一个键，不存整行分数。
    Attention in one pass: one key at a time, with no row of scores stored.

        s = Σ_(r<j) exp(S_r - m),    s o = Σ_(r<j) exp(S_r - m) V_r
        m' = max(m, S_j),    s' = s exp(m - m') + exp(S_j - m')
        s' o' = s o exp(m - m') + exp(S_j - m') V_j

    序列一长，n_q × n_k 个分数就存不下，所以用完就丢。做法就是在线 softmax：o
    是已读各值（r < j）的加权平均，s o 与 s 一样，每一项都含 exp(S_r - m)，所以
    m 变成 m' 时，都要乘 exp(m - m')。
    For long sequences n_q × n_k scores are too many to store, so each is used
    and dropped. This is online softmax: o is the weighted average of the
    values read (r < j). In s o as in s, every term contains exp(S_r - m), so
    when m becomes m', both take the factor exp(m - m').

    FlashAttention 也是这样，一次取一块键和值。乘法一次没少，仍随 n_q n_k d
    增长；省下的是存分数的内存，以及在慢速内存里写、读它们的时间。输出与
    `attention_with_softmax` 的相同（不计舍入误差）。
    FlashAttention does the same, a block of keys and values at a time. What it
    saves is not multiplications, which still grow as n_q n_k d, but the memory
    for the scores, and the time to write them to slow memory and read them
    back. The output is that of `attention_with_softmax`, up to rounding:

    >>> K = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    >>> Q = [[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 2.0]]
    >>> output = attention_online(Q, K, [[10.0], [20.0], [30.0]])
    >>> [[round(v, 4) for v in row] for row in output]
    [[13.1952], [25.7521]]

    - 来源 Source: Dao et al. 2022, §3.1, Algorithm 1
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, dot
    """
    if not K or not K[0] or len(K) != len(V):
        raise ValueError("attention_online needs d >= 1, one V row per K row")

    scale = 1.0 / math.sqrt(len(K[0]))
    output = []  # n_q × d_v
    # 没有掩码，处处为 True | no mask: True everywhere
    rows = [(True for _ in K) for _ in Q] if mask is None else mask
    for q, row in zip(Q, rows, strict=True):
        m, s, o = -math.inf, 0.0, [0.0] * len(V[0])
        for k, v, keep in zip(K, V, row, strict=True):
            if not isinstance(keep, int) or keep not in (True, False):
                raise ValueError("attention_online needs True or False")
            if keep:
                S_j = dot(q, k) * scale
                m_old, m = m, max(m, S_j)
                old = s * math.exp(m_old - m)
                new = math.exp(S_j - m)
                s = old + new
                o = [o_c * (old / s) + v_c * (new / s)  # d_v
                     for o_c, v_c in zip(o, v, strict=True)]
        if not all(map(math.isfinite, o)):
            raise ValueError("attention_online needs finite Q, K and V")
        output.append(o)
    return output


# 梯度 | Gradients ------------------------------------------------------------

def attention_backward(
    Q: list[list[float]],  # n_q × d
    K: list[list[float]],  # n_k × d
    V: list[list[float]],  # n_k × d_v
    grad_output: list[list[float]],  # n_q × d_v
    mask: list[list[bool]] | None = None,  # n_q × n_k
) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """注意力的反向传播：已知损失对输出的梯度，求损失对 Q、K、V 的梯度。
    Backward pass of attention: from the gradient of the loss with respect to
    the output to those with respect to Q, K and V.

    g_i 是 grad_output 的第 i 行，Δ 表示微小的变化（只看一阶）。各处对损失的
    影响相加，就是 Δloss；其中每个变化的系数，就是它的梯度。
    g_i is row i of grad_output, and Δ a slight change (to first order). All
    effects on the loss add up to Δloss, in which the coefficient of each
    change is its gradient:

        output_i = Σ_j w_ij V_j
        Δloss = Σ_i g_i · Δoutput_i = Σ_ij g_i · (Δw_ij V_j + w_ij ΔV_j)
            grad_w_ij = g_i · V_j
            grad_V_j = Σ_i w_ij g_i
        w_i = softmax(S_i)
            grad_S_i = softmax_backward(w_i, grad_w_i)
        Σ_ij grad_w_ij Δw_ij = Σ_ij grad_S_ij ΔS_ij
        S_ij = Q_i · K_j / √d,    ΔS_ij = (ΔQ_i · K_j + Q_i · ΔK_j) / √d
            grad_Q_i = Σ_j grad_S_ij K_j / √d
            grad_K_j = Σ_i grad_S_ij Q_i / √d

    w 只随 S 变，所以那两个和相等。每个 i 都含 ΔV_j，所以 grad_V_j 对 i 求和；
    同样，grad_Q_i 对 j 求和，grad_K_j 对 i 求和。
    w changes only through S, so the two sums are equal. ΔV_j occurs for every
    i, so grad_V_j is a sum over i. Likewise grad_Q_i is a sum over j, and
    grad_K_j one over i.

    mask 与前向计算所用的相同。用差商检验，损失是第二个输出。
    Use the mask of the forward pass. Check by difference quotients, with the
    second output as the loss:

    >>> Q, K = [[1.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [0.0, 1.0]]
    >>> V, causal = [[1.0], [4.0]], [[True, False], [True, True]]
    >>> grad_Q, grad_K, _ = attention_backward(Q, K, V, [[0.0], [1.0]], causal)
    >>> def loss(q, k):
    ...     Q, K = [[1.0, 0.0], [0.0, q]], [[1.0, k], [0.0, 1.0]]
    ...     return attention_with_softmax(Q, K, V, causal)[0][1][0]
    >>> slope_q = (loss(2 + 1e-5, 2) - loss(2 - 1e-5, 2)) / 2e-5
    >>> slope_k = (loss(2, 2 + 1e-5) - loss(2, 2 - 1e-5)) / 2e-5
    >>> [round(v, 6) for v in (grad_Q[1][1], slope_q, grad_K[0][1], slope_k)]
    [-0.333732, -0.333732, -0.667463, -0.667463]

    - 来源 Source: Dao et al. 2022, Appendix B.4
    - 等价 Same as: torch.autograd.grad(output, (Q, K, V), grad_output)
    - 需要 Needs: math, softmax_stable, softmax_backward, dot,
      attention_scores, softmax_masked, weighted_sum,
      attention_with_softmax, transpose, matmul
    """
    _, weights = attention_with_softmax(Q, K, V, mask)  # n_q × n_k
    scale = 1.0 / math.sqrt(len(K[0]))
    G = []  # grad_S / √d, n_q × n_k
    for w, g in zip(weights, grad_output, strict=True):
        # 权重为 0 处，V 可能是 nan | where the weight is 0, V may be nan
        grad_w = [dot(g, v) if w_j > 0.0 else 0.0 for w_j, v in zip(w, V)]
        grad_S = softmax_backward(w, grad_w)
        G.append([scale * s for s in grad_S])

    grad_Q = matmul(G, K)  # n_q × d
    grad_K = matmul(transpose(G), Q)  # n_k × d
    grad_V = matmul(transpose(weights), grad_output)  # n_k × d_v
    return grad_Q, grad_K, grad_V


def main() -> None:
    """走一遍 4.5 节 | Walk through section 4.5."""
    import random
    import sys
    if hasattr(sys.stdout, "reconfigure"):  # 无法编码的换成 ? | unprintable: ?
        sys.stdout.reconfigure(errors="replace")

    K = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    q = [0.0, 0.0, 4.0, 2.0]
    print("""
4.5  点积 q · k 是相似度，softmax 把它变成权重，输出是各个 v 的加权平均
4.5  q · k is a similarity, softmax makes it a weight to average the v""")
    left = ["      animal action  place   past"]
    for word, row in zip(["cat", "sat", "mat", "q"], K + [q]):
        left.append(f"{word:5}" + "".join(f"{v:7g}" for v in row))
    table = attention_steps(q, K, [[10.0], [20.0], [30.0]])
    for features, steps in zip(left, table.split("\n")):
        print(f"{features:36}{steps}")
    print("""
4.5  为什么除以 √d（8 个键）：d 越大，分数越分散，最大的权重越接近 1
4.5  Why √d (8 keys): a larger d spreads scores; the top weight nears 1
           rms QK^T    mean top weight     rms QK^T/√d    mean top weight""")
    for d in [4, 64, 1024]:
        g = random.Random(d + 12).gauss
        X = [[g(0.0, 1.0) for _ in range(d)] for _ in range(108)]
        line = f"d = {d:<4}"
        for scale in (1.0, None):
            S = attention_scores(X[8:], X[:8], scale)  # 100 × 8
            rms = math.sqrt(sum(dot(row, row) for row in S) / (100 * 8))
            top = sum(max(softmax_stable(row)) for row in S) / 100
            line += f"{rms:14.1f}{top:17.2f}"
        print(line)
    print("""
4.5  单词之间的注意力（相同字母越多越相似）；左：没有掩码，右：因果掩码
4.5  Attention between words (shared letters count); right: a causal mask
     · 0  ▁ 1/64  ▂ 1/16  ▃ 9/64  ▄ 1/4  ▅ 25/64  ▆ 9/16  ▇ 49/64  █ 1  (≤)""")
    words = "the cat sat on the mat".split()
    X = [[2.0 * word.count(a) for a in "acehmnost"] for word in words]  # 6 × 9
    pictures = [heatmap(attention_with_softmax(X, X, X, mask)[1]).split()
                for mask in (None, causal_mask(6, 6))]
    for rows in zip(words, *pictures):
        print("     {:6}{}   {}".format(*rows))
    print("""
4.5  一个头只凭位置学倒写单词；没见过“softmax”一词，应写成 xamtfos，每行一字母
4.5  A head learns to write words backwards, by position alone. It never saw
     the word "softmax" and should write xamtfos, a letter a row""")
    abc, g, frames = "abcdefghijklmnopqrstuvwxyz", random.Random(0).gauss, []
    V = {word: [[10.0 * (a == b) for a in abc] for b in word]  # 7 × 26
         for word in ("softmax", "weights", "queries", "product", "entropy")}
    # 一行一个位置，不含字母 | a row per position, without letters
    Q = [[g(0.0, 0.1) for _ in range(8)] for _ in range(7)]  # 7 × 8
    K = [[g(0.0, 0.1) for _ in range(8)] for _ in range(7)]  # 7 × 8
    for epoch in range(11):
        output, weights = attention_with_softmax(Q, K, V["softmax"])
        text = "".join(abc[o.index(max(o))] for o in output)
        loss = 0.0
        for word in ("weights", "queries", "product", "entropy"):
            output, _ = attention_with_softmax(Q, K, V[word])
            grad = [softmax_stable(o) for o in output]  # 先是 p | p at first
            for p, letter in zip(grad, reversed(word)):
                loss -= math.log(p[abc.index(letter)]) / (4 * 7)  # 平均 | mean
                p[abc.index(letter)] -= 1.0  # p - y
            grad_Q, grad_K, _ = attention_backward(Q, K, V[word], grad)
            for row, slope in zip(Q + K, grad_Q + grad_K):
                row[:] = [v - 0.5 * dv for v, dv in zip(row, slope)]
        if epoch in (0, 1, 2, 4, 10):
            frames.append([f"epoch {epoch}", f"loss {loss:.2f}", text,
                           "softmax", *heatmap(weights).split()])
    for lines in zip(*frames):
        print("  ".join(f"{line:9}" for line in lines).rstrip())


if __name__ == "__main__":
    main()
