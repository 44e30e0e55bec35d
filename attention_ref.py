"""注意力：查询、键、值 | Attention: queries, keys and values

一个 token（词元，文本的一小段）要从周围的 token 和自身取信息，该取谁的？它的
查询 q 说要找什么，每个 token 的键 k 说自己有什么，值 v 是取到的内容。q 与 k 的
点积是相似度，softmax 把相似度变成权重，输出就是各个值的加权平均。
A token (a piece of text) takes information from the tokens around it and from
itself, but from which? Its query q says what it looks for, each token's key k
says what that token has, and the value v is what is taken from it. The dot
product of q and k is their similarity, softmax turns similarities into
weights, and the output is the values averaged with these weights.

自注意力里，三者都出自同一个 X：它的每一行是一个 token 的向量（嵌入），乘上训练
得来的矩阵（投影）：X W_q 得 Q，X W_k 得 K，X W_v 得 V。没有掩码时，注意力不看
次序，所以位置要另外给出，通常编进 X。
In self-attention all three come from one X: each row is the vector of a token
(its embedding). Learned matrices (projections) turn it into the three: X W_q
gives Q, X W_k gives K, X W_v gives V. Unmasked, attention does not see the
order, so positions must be supplied, usually encoded in X.

这是第 4 章 4.5 节。矩阵是由行组成的嵌套列表，一行一个 token。
This is section 4.5 of chapter 4. A matrix is a nested list of rows,
one row per token.

    Q               n_q × d         查询 | queries
    K               n_k × d         键 | keys
    V               n_k × d_v       值 | values
    X               n × d_model     输入 | the input
    S = Q Kᵀ / √d   n_q × n_k       分数 | scores
    h, h_kv                         查询头数，键和值的头数
                                    heads of queries, heads of keys and values
"""

import math

from softmax_ref import softmax_backward, softmax_stable


# 4.5 缩放点积注意力 | Scaled dot-product attention --------------------------

def dot(a: list[float], b: list[float]) -> float:
    """点积：对应的数相乘再相加，用来衡量相似度。
    The dot product: multiply in pairs and add up; a measure of similarity.

        a · b = Σ_i a_i b_i

    大致同向时为正，垂直时为 0，大致反向时为负：
    It is positive for vectors that point roughly the same way, 0 at right
    angles, negative for roughly opposite ones:

    >>> q = [1.0, 2.0]
    >>> dot(q, [1.0, 2.0]), dot(q, [2.0, -1.0]), dot(q, [-1.0, -2.0])
    (5.0, 0.0, -5.0)

    两个列表必须一样长，不然 zip 会悄悄截断：
    Both lists must be equally long; zip would silently cut the longer one:

    >>> dot([1.0, 2.0, 3.0], [4.0, 5.0])
    Traceback (most recent call last):
    ValueError: dot needs lists of equal length, got 3 and 2

    - 等价 Same as: numpy.dot(a, b); math.sumprod(a, b) (Python 3.12)
    - 需要 Needs: math
    """
    n, k = len(a), len(b)
    if n != k:
        raise ValueError(f"dot needs lists of equal length, got {n} and {k}")
    sumprod = vars(math).get("sumprod")  # 3.12 起，更快 | since 3.12, faster
    if sumprod is None:
        return sum([a_i * b_i for a_i, b_i in zip(a, b)])
    product: float = sumprod(a, b)
    return product


def attention_scores(
    Q: list[list[float]], K: list[list[float]], scale: float | None = None
) -> list[list[float]]:
    """注意力分数：每个查询与每个键的点积，也就是相似度，再除以 √d。
    Attention scores: each query dot each key, their similarity, divided by √d.

        S = Q Kᵀ / √d,    S_ij = (Q_i · K_j) scale,    scale = 1/√d

    为什么除以 √d？若 q 和 k 的分量相互独立，均值为 0，方差为 1，
    则每个乘积 q_c k_c 的均值为 0，方差为 E[q_c²] E[k_c²] = 1。d 项的方差
    相加得 d，标准差就是 √d：d 很大时，softmax 饱和，几乎不传梯度。
    除以 √d，标准差回到 1：
    Why √d? If the components of q and k are independent with mean 0 and
    variance 1, each product q_c k_c has mean 0 and variance
    E[q_c²] E[k_c²] = 1. The variances of d terms add up to d, so the standard
    deviation is √d: for a large d softmax saturates and passes hardly any
    gradient. Dividing by √d brings the standard deviation back to 1:

    >>> import random
    >>> g = random.Random(0).gauss
    >>> X = [[g(0.0, 1.0) for _ in range(64)] for _ in range(90)]
    >>> for scale in [1.0, None]:
    ...     S = sum(attention_scores(X[:50], X[50:], scale), [])
    ...     print(round(math.sqrt(sum(s * s for s in S) / len(S)), 1))
    7.9
    1.0

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1) and footnote 4
    - 等价 Same as: Q @ K.T / math.sqrt(Q.shape[-1])
    - 需要 Needs: math, dot
    """
    if not K or not K[0]:
        raise ValueError("attention_scores needs K with rows and d >= 1")
    scale = 1.0 / math.sqrt(len(K[0])) if scale is None else scale
    return [[dot(q, k) * scale for k in K] for q in Q]


def softmax_masked(x: list[float], keep: list[bool]) -> list[float]:
    """带掩码的 softmax：概率只分给保留（True）的分数；一个也不留，就全是 0。
    Masked softmax: probability for the kept (True) scores only; with none
    kept, all are 0.

        p_i = exp(x_i) [keep_i] / Σ_kept exp(x_j)

    把要屏蔽的分数换成 -inf，再做 softmax，因为 exp(-inf) = 0。一个也不留，
    就是 0 / 0，约定为 0：什么都没看到，也不传梯度。把分数乘 0 不行：
    exp(0) = 1，那个位置照样分到概率：
    Replace the scores not kept with -inf, then apply softmax, as
    exp(-inf) = 0. With none kept this is 0 / 0, and 0 by convention: nothing
    is seen, and no gradient passes. Multiplying the scores by 0 will not do:
    exp(0) = 1, and that position still gets a share:

    >>> keep = [True, True, False]
    >>> [round(p_i, 4) for p_i in softmax_masked([2.0, 1.0, 3.0], keep)]
    [0.7311, 0.2689, 0.0]
    >>> [round(p_i, 4) for p_i in softmax_stable([2.0, 1.0, 3.0 * 0])]
    [0.6652, 0.2447, 0.09]

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: jax.nn.softmax(x, where=keep)
    - 需要 Needs: math, softmax_stable
    """
    for k in keep:
        if not isinstance(k, int) or k not in (True, False):
            raise ValueError(f"softmax_masked needs True or False, got {k!r}")

    kept = [x_i if k else -math.inf for x_i, k in zip(x, keep, strict=True)]
    return softmax_stable(kept) if any(keep) else [0.0] * len(x)


def weighted_sum(
    weights: list[float], rows: list[list[float]]
) -> list[float]:
    """加权和：每一行乘自己的权重，再相加；权重为 0 的行跳过。
    Weighted sum: each row times its weight, added up; rows of
    weight 0 are skipped.

        weighted_sum(w, V) = Σ_j w_j V_j

    >>> weighted_sum([0.25, 0.75], [[8.0, 0.0], [4.0, 4.0]])
    [5.0, 3.0]

    0 乘 nan 还是 nan，所以权重为 0 的行要跳过，不能照样乘；这样，被屏蔽的行里
    即使有 nan，也进不了结果：
    0 times nan is nan, so a row of weight 0 must be skipped, not multiplied;
    then even a nan in a masked row cannot get into the result:

    >>> 0.0 * math.nan
    nan
    >>> weighted_sum([0.5, 0.5, 0.0], [[5.0], [6.0], [math.nan]])
    [5.5]

    - 等价 Same as: numpy.dot(weights, rows)
    - 需要 Needs: math, dot
    """
    w = [w_j for w_j in weights if w_j != 0.0]
    kept = [row for w_j, row in zip(weights, rows, strict=True) if w_j != 0.0]
    total = [dot(w, [*column]) for column in zip(*kept, strict=True)]
    if not all(map(math.isfinite, total)):
        raise ValueError("weighted_sum needs finite rows, got nan or inf")
    return total or [0.0] * len(rows[0])  # 权重全为 0 | all weights 0


def attention_with_softmax(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> tuple[list[list[float]], list[list[float]]]:
    """单头注意力：每个查询得到各个值的加权平均；返回输出和权重。
    Single-head attention: each query gets a weighted average of the values;
    returns the output and the weights.

        weights = softmax(Q Kᵀ / √d)    n_q × n_k
        output = weights V              n_q × d_v

    三个 token 的键，四个分量依次表示动物、动作、地点、过去时。第一个查询找
    动物；第二个主要找地点，也找过去时。先猜一猜，它们各在哪个键上的权重最大：
    The keys of three tokens, whose components stand for animal, action, place,
    past tense. The first query seeks an animal; the second above all a place,
    and also the past. Guess first which key each will weight most:

    >>> K = [[1.0, 0.0, 0.0, 0.0],  # cat
    ...      [0.0, 1.0, 0.0, 1.0],  # sat
    ...      [0.0, 0.0, 1.0, 0.0]]  # mat
    >>> Q = [[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 2.0]]
    >>> V = [[10.0], [20.0], [30.0]]
    >>> output, weights = attention_with_softmax(Q, K, V)
    >>> [[round(w, 4) for w in row] for row in weights]
    [[0.787, 0.1065, 0.1065], [0.09, 0.2447, 0.6652]]

    所以第一个输出最接近 cat 的 10，第二个最接近 mat 的 30：
    So the first output is nearest to cat's 10, the second to mat's 30:

    >>> [[round(v, 4) for v in row] for row in output]
    [[13.1952], [25.7521]]

    mask 是 n_q × n_k，True 表示可以关注（见 `causal_mask`）。
    mask is n_q × n_k, and True means attend (see `causal_mask`).

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1)
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, softmax_stable, dot, attention_scores, softmax_masked,
      weighted_sum
    """
    if mask is None:
        mask = [[True] * len(K)] * len(Q)

    scores = attention_scores(Q, K)
    weights = [softmax_masked(x, keep)
               for x, keep in zip(scores, mask, strict=True)]
    output = [weighted_sum(p, V) for p in weights]
    return output, weights


# 掩码与热图 | Masks and heat maps -------------------------------------------

def causal_mask(n_queries: int, n_keys: int) -> list[list[bool]]:
    """因果掩码：只能关注自己和之前的位置，True 表示可以。
    Causal mask: attend only to oneself and to earlier positions;
    True means attend.

        keep_ij = j <= i + n_keys - n_queries

    训练时整个序列一次算完，每个位置都要预测下一个 token；要是看得到后面，
    照抄就行，什么也学不到。生成时，以前的键和值都已存好（KV 缓存），查询比键
    少；所以掩码与右下角对齐，最后一个查询看得到所有的键：
    In training the whole sequence is computed at once, and each position has
    to predict the next token; if it could see what follows, it would copy that
    and learn nothing. In generation the earlier keys and values are stored
    (the KV cache), so there are fewer queries than keys; hence the mask is
    aligned bottom-right, and the last query sees every key:

    >>> for row in causal_mask(3, 5):
    ...     print(*map(int, row))
    1 1 1 0 0
    1 1 1 1 0
    1 1 1 1 1

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: torch.ones(n, n, dtype=torch.bool).tril()
    - 需要 Needs: 无 nothing
    """
    offset = n_keys - n_queries
    return [[j <= i + offset for j in range(n_keys)] for i in range(n_queries)]


def padding_mask(
    n_queries: int, n_keys: int, length: int
) -> list[list[bool]]:
    """填充掩码：只有前 length 个键是真正的 token，后面都是填充。
    Padding mask: only the first length keys are real tokens, the
    rest is padding.

        keep_ij = j < length

    一批序列长短不一，短的用填充补齐。屏蔽的是键（列），不是查询（行），
    所以填充的 K 和 V 不管是什么，都进不了输出；填充的 Q 照样参加计算，
    输出弃之不用：
    The sequences of a batch differ in length, and padding fills up the short
    ones. It hides keys (columns), not queries (rows): whatever the padding is
    in K and V, it cannot get into the output; padding rows of Q are computed
    like the rest, and their outputs are ignored:

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
    """热图：一行一个查询，两格一个键；权重越大，方块越高，· 是 0。
    A heat map: a row for each query, two characters for each key; the larger
    the weight, the taller the block; · is 0.

        ▂ ≤ 1/16    ▄ ≤ 1/4    ▆ ≤ 9/16    █ ≤ 1

    >>> print(heatmap([[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [0.05, 0.45, 0.5]]))
    ██····
    ██▄▄··
    ▂▂▆▆▆▆

    - 需要 Needs: math
    """
    return "\n".join(
        "".join("·▂▄▆█"[math.ceil(4 * math.sqrt(w))] * 2 for w in row)
        for row in weights)


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
    """矩阵乘法：结果的每一行，是 B 的各行按 A 的对应行加权求和。
    Matrix multiplication: each row of the product is a sum of the rows of B,
    weighted by the corresponding row of A.

        (A B)_ij = Σ_k A_ik B_kj,    (n × k) (k × d) -> n × d

    >>> matmul([[1.0, 2.0, 3.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    [[4.0, 5.0]]

    注意力的输出 `weights V` 就是这样算的；这里也跳过权重为 0 的行。
    The output of attention, `weights V`, is computed just so; here too, rows
    of weight 0 are skipped.

    - 等价 Same as: numpy.matmul(A, B)
    - 需要 Needs: math, dot, weighted_sum
    """
    return [weighted_sum(row, B) for row in A]


def split_heads(X: list[list[float]], heads: int) -> list[list[list[float]]]:
    """把列分给各个头，每个 token 仍占一行。
    Divide the columns among the heads; each token keeps its row.

        n × (h d) -> h × n × d

    为什么要多个头？一个头对每个查询只有一行权重，只能按一种方式看；几个头各看
    各的，比如一个看前一个词，一个看主语。每个头分到 d = d_model / h 列，
    总的计算量就和一个宽的头差不多。用字母标出 token，用数字标出列，就看得清每
    一项去了哪里：
    Why several heads? One head has one row of weights per query and looks in
    one way; several look for different things, say one for the word before,
    one for the subject. Each gets d = d_model / h columns, so that together
    they cost about as much as a single wide head. Letters for tokens and
    digits for columns show where each entry goes:

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
    if heads < 1 or columns % heads:
        raise ValueError(f"split_heads needs heads that divide {columns}")
    d = columns // heads
    return [[row[i * d:i * d + d] for row in X] for i in range(heads)]


def merge_heads(outputs: list[list[list[float]]]) -> list[list[float]]:
    """把各个头的输出按 token 拼成一行；split_heads 的逆操作。
    Put the heads side by side, token by token; the inverse of split_heads.

        h × n × d -> n × (h d)

    第一个结果是对的；第二个只改形状（reshape）而不转置，token b 混进了
    token a 的行：
    The first result is right; the second, a reshape without a transpose, has
    token b in the row of token a:

    >>> heads = [[["a0", "a1"], ["b0", "b1"]], [["a2", "a3"], ["b2", "b3"]]]
    >>> merge_heads(heads)
    [['a0', 'a1', 'a2', 'a3'], ['b0', 'b1', 'b2', 'b3']]
    >>> [sum(head, []) for head in heads]
    [['a0', 'a1', 'b0', 'b1'], ['a2', 'a3', 'b2', 'b3']]

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: outputs.swapaxes(0, 1).reshape(n, heads * d)
    - 需要 Needs: 无 nothing
    """
    return [sum(rows, []) for rows in zip(*outputs, strict=True)]


def multi_head_attention(
    X: list[list[float]],
    W_q: list[list[float]],
    W_k: list[list[float]],
    W_v: list[list[float]],
    W_o: list[list[float]],
    heads: int,
    mask: list[list[bool]] | None = None,
    kv_heads: int | None = None,
) -> tuple[list[list[float]], list[list[list[float]]]]:
    """多头自注意力：先投影，再分成几个头，各自算注意力，然后拼起来，最后再投影
    一次；返回输出和各头的权重。
    Multi-head self-attention: project, split, attend in each head, merge,
    project again; returns the output and the weights of each head.

        Q = X W_q    n × (h d)          output = merge(heads) W_o
        K = X W_k    n × (h_kv d)       head_i = attention(Q_i, K_g, V_g)
        V = X W_v    n × (h_kv d_v)     g = i // (h / h_kv)

    √d 里的 d 是一个头的维度；W_o 把各头混合起来。这里投影都用单位矩阵 I，
    两个头就分别看 X 的左半和右半，看到的内容也就不同。每个头里第三个
    token 的权重：
    The d in √d is that of one head; W_o mixes the heads. Here every projection
    is the identity I, so the two heads look at the left and the right half of
    X, and see different things. The weights of the third token in each head:

    >>> X = [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 0.0, 1.0]]
    >>> I = [[float(i == j) for j in range(4)] for i in range(4)]
    >>> output, weights = multi_head_attention(X, I, I, I, I, heads=2)
    >>> for head in weights:
    ...     print([round(w, 4) for w in head[2]])
    [0.0501, 0.1017, 0.8482]
    [0.576, 0.14, 0.284]

    每个 token 的键和值都要存进 KV 缓存。kv_heads（h_kv）少于 heads（h）时，
    几个查询头共用一组键和值，缓存就小了，这叫分组查询注意力（GQA）；
    kv_heads = 1 时叫多查询注意力（MQA）。例子里，头 0 和头 1 共用一组，头 2 和
    头 3 共用一组；各头中第三个 token 对第一个键的权重：
    The keys and values of every token go into the KV cache. With kv_heads
    (h_kv) below heads (h), several query heads share keys and values, and the
    cache shrinks: grouped-query attention (GQA) or, with kv_heads = 1,
    multi-query attention (MQA). Heads 0 and 1 share, as do 2 and 3; the third
    token's weight on the first key, in each head:

    >>> W = [row[:2] for row in I]  # K、V 各 2 列 | K and V: 2 columns
    >>> _, weights = multi_head_attention(X, I, W, W, I, heads=4, kv_heads=2)
    >>> [round(head[2][0], 4) for head in weights]
    [0.4223, 0.4683, 0.3333, 0.09]

    - 来源 Source: Vaswani et al. 2017, §3.2.2; Ainslie et al. 2023, §2.2
    - 等价 Same as: torch.nn.MultiheadAttention (W transposed, no bias)
    - 需要 Needs: math, softmax_stable, dot, attention_scores, softmax_masked,
      weighted_sum, attention_with_softmax, matmul, split_heads, merge_heads
    """
    kv_heads = heads if kv_heads is None else kv_heads
    Q = split_heads(matmul(X, W_q), heads)
    K = split_heads(matmul(X, W_k), kv_heads)
    V = split_heads(matmul(X, W_v), kv_heads)
    group = range(heads // kv_heads)  # 共用一组键和值的头 | share one K and V
    shared = [(k, v) for k, v in zip(K, V) for _ in group]
    results = [attention_with_softmax(q, k, v, mask)
               for q, (k, v) in zip(Q, shared, strict=True)]
    output = matmul(merge_heads([head for head, _ in results]), W_o)
    return output, [weights for _, weights in results]


# 一次遍历 | One pass ---------------------------------------------------------

def softmax_online(x: list[float]) -> list[float]:
    """在线 softmax：逐个读入分数，一次遍历得到最大值和分母。
    Online softmax: maximum and denominator in one pass, score by score.

        m' = max(m, x_i),    s' = s exp(m - m') + exp(x_i - m')

    最大值未知，怎么减？先减当前的 m；m 变大时，已有的和 s 乘 exp(m - m')：
    How to subtract an unknown maximum? Subtract the running one, m; when m
    grows, multiply the sum so far, s, by exp(m - m'):

    >>> m, s = 1.0, 1.0  # 读完第一个分数 | after the first score
    >>> for x_i in [3.0, 2.0]:
    ...     m, m_old = max(m, x_i), m
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
        if x_i != -math.inf:
            m, m_old = max(m, x_i), m
            s = s * math.exp(m_old - m) + math.exp(x_i - m)
    if not s >= 1.0:
        raise ValueError("softmax_online needs a finite maximum and no nan")
    return [math.exp(x_i - m) / s for x_i in x]


def attention_online(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> list[list[float]]:
    """在线注意力：一次只取一个键，不存整行分数。
    Attention in one pass: one key at a time, with no row of scores stored.

        m' = max(m, S_j),    s' = s exp(m - m') + exp(S_j - m')
        o' = (s exp(m - m') / s') o + (exp(S_j - m') / s') V_j

    序列一长，n_q × n_k 个分数就存不下，所以用完就丢。这就是在线 softmax，
    只是已有的输出 o 也要跟着缩放。FlashAttention 也是这样，一次取一块键。
    分数和值都有限时，输出与 `attention_with_softmax` 的相同（不计舍入）：
    For long sequences n_q × n_k scores are too many to store: each is used and
    dropped. This is online softmax, except that the output so far, o, is
    rescaled too. FlashAttention does the same, a block of keys at a time. For
    finite scores and values the output is, up to rounding, that of
    `attention_with_softmax`:

    >>> K = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    >>> Q = [[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 2.0]]
    >>> output = attention_online(Q, K, [[10.0], [20.0], [30.0]])
    >>> [[round(v, 4) for v in row] for row in output]
    [[13.1952], [25.7521]]

    - 来源 Source: Dao et al. 2022, §3.1, Algorithm 1
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, softmax_stable, dot, softmax_masked
    """
    if not K or not K[0]:
        raise ValueError("attention_online needs K with rows and d >= 1")
    scale, output = 1.0 / math.sqrt(len(K[0])), []
    rows = [None] * len(Q) if mask is None else mask
    for q, row in zip(Q, rows, strict=True):
        if row is not None:  # 只为检查掩码 | just to check the mask
            softmax_masked([0.0] * len(K), row)
        m, s, o = -math.inf, 0.0, [0.0] * len(V[0])
        for j, (k, v) in enumerate(zip(K, V, strict=True)):
            if row is not None and not row[j]:
                continue
            S_j = dot(q, k) * scale
            m, m_old = max(m, S_j), m
            old, new = s * math.exp(m_old - m), math.exp(S_j - m)
            s = old + new
            o = [o_c * (old / s) + v_c * (new / s)
                 for o_c, v_c in zip(o, v, strict=True)]
        if not all(map(math.isfinite, o)):
            raise ValueError("attention_online needs finite Q, K and V")
        output.append(o)
    return output


# 梯度 | Gradients ------------------------------------------------------------

def attention_backward(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    grad_output: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """注意力的反向传播：已知损失对输出的梯度，求损失对 Q、K、V 的梯度。
    Backward pass of attention: from the gradient of the loss with respect to
    the output to those with respect to Q, K and V.

        grad_S_i = softmax_backward(weights_i, grad_output_i Vᵀ)
        grad_Q = (grad_S / √d) K,    grad_K = (grad_S / √d)ᵀ Q
        grad_V = weightsᵀ grad_output

    由 output_i = Σ_j weights_ij V_j 和 S_ij = Q_i · K_j / √d 逐层求导。mask 要
    与前向计算所用的相同；这里是因果掩码，损失是第一个输出，它只看第一个
    token，所以第二个值的梯度是 0：
    Differentiate output_i = Σ_j weights_ij V_j and S_ij = Q_i · K_j / √d in
    turn. mask must be that of the forward pass; here it is causal, and the
    loss is the first output, which sees the first token only, so the gradient
    of the second value is 0:

    >>> Q, K = [[1.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [0.0, 1.0]]
    >>> V, causal = [[1.0], [4.0]], [[True, False], [True, True]]
    >>> attention_backward(Q, K, V, [[1.0], [0.0]], causal)[2]
    [[1.0], [0.0]]

    用差商检验，损失是第二个输出：
    Checked by difference quotients, the loss being the second output:

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
    _, weights = attention_with_softmax(Q, K, V, mask)
    scale = 1.0 / math.sqrt(len(K[0]))
    G = []  # grad_S / √d
    for p, g in zip(weights, grad_output, strict=True):
        grad_p = [dot(g, v) if p_j > 0.0 else 0.0 for p_j, v in zip(p, V)]
        G.append([scale * s for s in softmax_backward(p, grad_p)])

    grad_V = matmul(transpose(weights), grad_output)
    return matmul(G, K), matmul(transpose(G), Q), grad_V


def main() -> None:
    """走一遍 4.5 节 | Walk through section 4.5."""
    import random
    import sys
    if hasattr(sys.stdout, "reconfigure"):  # 无法编码的换成 ? | unprintable: ?
        sys.stdout.reconfigure(errors="replace")
    K = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    V, q = [[10.0], [20.0], [30.0]], [0.0, 0.0, 4.0, 2.0]
    output, weights = attention_with_softmax([q], K, V)
    print("""
4.5  点积 q · k 是相似度，softmax 把它变成权重，输出是各个 v 的加权平均
4.5  q · k is a similarity, softmax makes it a weight, the output averages v
        animal action place  past   q·k  /√d  weight     v""")
    print("q     ", *[f"{q_i:6g}" for q_i in q])
    for name, k, p, v in zip(["cat", "sat", "mat"], K, weights[0], V):
        print(f"{name:6}", *[f"{k_i:6g}" for k_i in k],
              f"{dot(q, k):5g}{dot(q, k) / 2:5g}{p:8.4f}{v[0]:6g}")
    print(f"output{output[0][0]:56.4f}")
    print("""
4.5  为什么除以 √d（8 个键）：d 越大，分数的标准差越大，最大的权重越接近 1
4.5  Why √d (8 keys): a larger d spreads the scores, the top weight nears 1
           std QK^T    mean top weight     std QK^T/√d    mean top weight""")
    for d in [4, 64, 1024]:
        g = random.Random(d + 12).gauss
        X = [[g(0.0, 1.0) for _ in range(d)] for _ in range(108)]
        print(f"d = {d:<4}" + "".join(
            f"{math.sqrt(sum(dot(s, s) for s in S) / 800):14.1f}"
            f"{sum(max(softmax_stable(s)) for s in S) / 100:17.2f}"
            for S in [attention_scores(X[8:], X[:8], c) for c in (1.0, None)]))
    print("""
4.5  词看词（有相同的字母就相似）；左：没有掩码，右：因果掩码，看不到后面
4.5  Words look at words (shared letters); left: no mask, right: causal""")
    words = "the cat sat on the mat".split()
    X = [[2.0 * word.count(a) for a in "acehmnost"] for word in words]
    pictures = [heatmap(attention_with_softmax(X, X, X, mask)[1]).split()
                for mask in (None, causal_mask(6, 6))]
    legend = ["█ ≤ 1", "▆ ≤ 9/16", "▄ ≤ 1/4", "▂ ≤ 1/16", "· = 0", ""]
    for word, *row in zip(words, *pictures, legend):
        print(f"     {word:6}{'   '.join(row)}".rstrip())
    print("""
4.5  一个头只看位置，倒写四个等长词，边学边试"softmax"；每行写、每列读一个字母
4.5  A head learns to reverse four 7-letter words (by position alone), trying
     "softmax" as it goes; each row a letter written, each column one read""")
    abc, g, frames = "abcdefghijklmnopqrstuvwxyz", random.Random(0).gauss, []
    letters = {word: [[10.0 * (a == b) for a in abc] for b in word] for word in
               ["softmax", "weights", "queries", "product", "entropy"]}
    Q, K = ([[g(0.0, 0.1) for _ in range(8)] for _ in range(7)] for _ in "QK")
    for epoch in range(11):
        output, weights = attention_with_softmax(Q, K, letters["softmax"])
        text, loss = "".join(abc[o.index(max(o))] for o in output), 0.0
        for word in list(letters)[1:]:
            output, _ = attention_with_softmax(Q, K, letters[word])
            grad = [softmax_stable(o) for o in output]  # 当作分数 | as scores
            for i, letter in enumerate(reversed(word)):
                loss -= math.log(grad[i][abc.index(letter)]) / 28
                grad[i][abc.index(letter)] -= 1.0  # p - y
            grads = attention_backward(Q, K, letters[word], grad)
            for row, step in zip(Q + K, grads[0] + grads[1]):
                row[:] = [a - 0.5 * b for a, b in zip(row, step)]
        if epoch in (0, 1, 2, 4, 10):
            frames.append([f"epoch {epoch}", f"loss {loss:.2f}", text,
                           *heatmap(weights).split()])
    for lines in zip(*frames):
        print("  ".join(f"{line:14}" for line in lines).rstrip())


if __name__ == "__main__":
    main()
