"""注意力：查询、键、值 | Attention: queries, keys and values

第 4 章 4.5 节的参考实现。矩阵是由行组成的嵌套列表，一行一个 token（词元）。
Reference code for chapter 4, section 4.5. A matrix is a nested list of rows,
one row per token.

    Q   n_q 个查询，维度 d，n_q × d | n_q queries of dimension d
    K   n_k 个键，维度 d，n_k × d | n_k keys of dimension d
    V   n_k 个值，维度 d_v，n_k × d_v | n_k values of dimension d_v
    X   输入，n × d_model | the input
    S   分数 Q Kᵀ / √d，n_q × n_k | the scores
    W   投影矩阵 | a projection
    h   头数 | the number of heads
"""

import math

from softmax_ref import for_console, softmax_backward, softmax_stable


# 矩阵就是嵌套列表 | Matrices are nested lists --------------------------------

def shape(A: list[list[float]] | list[list[bool]]) -> tuple[int, int]:
    """矩阵的形状（行数和列数）；各行长度必须相同。
    The shape of a matrix (rows and columns); rows must be of equal length.

    >>> shape([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    (2, 3)

    嵌套列表的各行可以不等长，zip 又会悄悄截断，所以先查形状：
    Rows of a nested list may differ in length, and zip silently drops what is
    left over, so the shape is checked first:

    >>> list(zip([1, 2, 3], [4, 5]))
    [(1, 4), (2, 5)]
    >>> shape([[1.0, 2.0], [3.0]])
    Traceback (most recent call last):
    ValueError: shape needs rows of equal length, got [1, 2]

    - 等价 Same as: numpy.shape(A)
    - 需要 Needs: 无 nothing
    """
    lengths = sorted({len(row) for row in A})
    if len(lengths) != 1 or lengths == [0]:
        raise ValueError(
            f"shape needs rows of equal length, got {lengths[:2]}"
        )
    return len(A), lengths[0]


def dot(a: list[float], b: list[float]) -> float:
    """点积：对应的数相乘再相加；长度一定时，方向越一致，点积越大。
    The dot product: multiply in pairs and add up; for vectors of given length,
    the more they point the same way, the larger it is.

        a · b = Σ_i a_i b_i

    >>> dot([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == 1*4 + 2*5 + 3*6
    True

    两个列表的元素个数必须相同：
    Both lists must have the same number of elements:

    >>> dot([1.0, 2.0, 3.0], [4.0, 5.0])
    Traceback (most recent call last):
    ValueError: dot needs lists of equal length, got 3 and 2

    - 等价 Same as: numpy.dot(a, b); math.sumprod(a, b) (Python 3.12)
    - 需要 Needs: 无 nothing
    """
    if len(a) != len(b):
        raise ValueError(
            f"dot needs lists of equal length, got {len(a)} and {len(b)}"
        )
    return sum([a_i * b_i for a_i, b_i in zip(a, b)])


def transpose(A: list[list[float]]) -> list[list[float]]:
    """转置：行变成列。
    Transpose: rows become columns.

        (Aᵀ)_ij = A_ji,    n × k -> k × n

    >>> transpose([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]

    - 等价 Same as: numpy.transpose(A)
    - 需要 Needs: shape
    """
    shape(A)
    return [list(column) for column in zip(*A)]


def matmul(A: list[list[float]], B: list[list[float]]) -> list[list[float]]:
    """矩阵乘法：A 的每一行与 B 的每一列做点积。
    Matrix multiplication: each row of A dot each column of B.

        (A B)_ij = A_i · (Bᵀ)_j,    (n × k) (k × d) -> n × d

    >>> matmul([[1.0, 2.0, 3.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    [[4.0, 5.0]]

    A 的列数必须等于 B 的行数：
    A must have as many columns as B has rows:

    >>> matmul([[1.0, 2.0, 3.0]], [[1.0, 0.0]])
    Traceback (most recent call last):
    ValueError: matmul needs inner sizes that agree, got 1x3 and 1x2

    - 等价 Same as: numpy.matmul(A, B)
    - 需要 Needs: math, shape, dot, transpose
    """
    (n, k), (rows, d) = shape(A), shape(B)
    if k != rows:
        raise ValueError(
            f"matmul needs inner sizes that agree, got {n}x{k} and {rows}x{d}"
        )
    columns = transpose(B)
    # Python 3.12 起有更快更准的 sumprod | from 3.12 on: faster, more exact
    product = getattr(math, "sumprod", dot)
    return [[product(row, column) for column in columns] for row in A]


# 4.5 缩放点积注意力 | Scaled dot-product attention --------------------------

def attention_shapes(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> tuple[int, int, int]:
    """检查 Q、K、V 和掩码的形状是否相配；返回 n_q、n_k、d_v。
    Check that the shapes of Q, K, V and a mask fit; returns n_q, n_k, d_v.

        Q: n_q × d    K: n_k × d    V: n_k × d_v    mask: n_q × n_k

    >>> Q, K = [[1.0, 0.0]], [[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]]
    >>> V = [[5.0], [6.0], [7.0]]
    >>> attention_shapes(Q, K, V)
    (1, 3, 1)

    每个键都要有一个值；掩码里只能是 True 和 False：
    Each key needs a value; a mask holds nothing but True and False:

    >>> attention_shapes(Q, K, V[:2])
    Traceback (most recent call last):
    ValueError: attention_shapes needs V as long as K, got 2 and 3
    >>> attention_shapes(Q, K, V, [[1.0, 1.0, 0.0]])
    Traceback (most recent call last):
    ValueError: attention_shapes needs True or False, got 1.0

    - 需要 Needs: shape
    """
    (n_q, _), (n_k, _), (n_v, d_v) = shape(Q), shape(K), shape(V)
    if n_v != n_k:
        raise ValueError(
            f"attention_shapes needs V as long as K, got {n_v} and {n_k}"
        )
    if mask is not None:
        rows, columns = shape(mask)
        if (rows, columns) != (n_q, n_k):
            raise ValueError(
                f"attention_shapes needs a mask of {n_q}x{n_k}, "
                f"got {rows}x{columns}"
            )
        for keep in mask:
            for k in keep:
                if isinstance(k, float) or k not in (True, False):
                    raise ValueError(
                        f"attention_shapes needs True or False, got {k}"
                    )
    return n_q, n_k, d_v


def attention_scores(
    Q: list[list[float]], K: list[list[float]], scale: float | None = None
) -> list[list[float]]:
    """注意力分数：每个查询与每个键的点积，再除以 √d。
    Attention scores: each query dot each key, divided by √d.

        S_ij = (Q_i · K_j) scale,    n_q × n_k,    scale = 1/√d

    d 是每个键的维度，不是键的个数，也不是 d_model；这里 d = 4，√d = 2：
    d is the dimension of a key, not the number of keys, nor d_model; here
    d = 4 and √d = 2:

    >>> Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> attention_scores(Q, K, scale=1.0)
    [[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    >>> attention_scores(Q, K)
    [[1.0, 0.0, 0.5], [0.0, 0.5, 0.5]]

    各分量相互独立、均值为 0、方差为 1 时，点积的方差等于 d，除以 √d 后回到 1；
    这里 d = 64，由 2000 个点积估计方差：
    For independent components of mean 0 and variance 1, the dot product has
    variance d, and dividing it by √d brings the variance back to 1; here
    d = 64, and the variance is estimated from 2000 dot products:

    >>> import random
    >>> g = random.Random(0).gauss
    >>> Q = [[g(0.0, 1.0) for _ in range(64)] for _ in range(50)]
    >>> K = [[g(0.0, 1.0) for _ in range(64)] for _ in range(40)]
    >>> for scale in [1.0, None]:
    ...     S = [s for row in attention_scores(Q, K, scale) for s in row]
    ...     print(round(sum(s * s for s in S) / len(S), 1))
    62.7
    1.0

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1) and footnote 4
    - 等价 Same as: Q @ K.T / math.sqrt(Q.shape[-1])
    - 需要 Needs: math, shape, dot
    """
    (_, d), (_, d_k) = shape(Q), shape(K)
    if d != d_k:
        raise ValueError(
            f"attention_scores needs Q and K of equal d, got {d} and {d_k}"
        )
    if scale is None:
        scale = 1.0 / math.sqrt(d)
    product = getattr(math, "sumprod", dot)
    return [[product(q, k) * scale for k in K] for q in Q]


def softmax_masked(x: list[float], keep: list[bool]) -> list[float]:
    """带掩码的 softmax：概率只分给保留的分数，其余恰好是 0。
    Masked softmax: probability for the kept scores only, exactly 0 elsewhere.

        p_i = exp(x_i) / Σ_kept exp(x_j) if keep_i, else 0;    none kept: all 0

    等于先把不保留的分数换成 -inf；那些分数即使是 nan，也不影响结果：
    The same as putting -inf in place of the others; even if those are nan, the
    result does not change:

    >>> softmax_masked([1.0, math.nan, 1.0], [True, False, True])
    [0.5, 0.0, 0.5]

    分数乘 0 并没有屏蔽它，因为 exp(0) = 1，那个位置照样分到概率：
    Multiplying a score by 0 does not mask it, for exp(0) = 1, and so that
    position still gets a share:

    >>> [round(p_i, 4) for p_i in softmax_stable([2.0, 1.0, 3.0 * 0])]
    [0.6652, 0.2447, 0.09]
    >>> keep = [True, True, False]
    >>> [round(p_i, 4) for p_i in softmax_masked([2.0, 1.0, 3.0], keep)]
    [0.7311, 0.2689, 0.0]

    加到分数上的那种掩码（0 和 -inf）意思不同，要先换成布尔值：
    A mask meant to be added to the scores (0 and -inf) works differently and
    must first be turned into booleans:

    >>> additive = [0.0, -math.inf]
    >>> softmax_masked([1.0, 2.0], additive)
    Traceback (most recent call last):
    ValueError: softmax_masked needs True or False, got 0.0
    >>> softmax_masked([1.0, 2.0], [a == 0.0 for a in additive])
    [1.0, 0.0]

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: jax.nn.softmax(x, where=keep)
    - 需要 Needs: math, softmax_stable
    """
    if len(x) != len(keep):
        raise ValueError(
            "softmax_masked needs lists of equal length, "
            f"got {len(x)} and {len(keep)}"
        )
    for k in keep:
        if isinstance(k, float) or k not in (True, False):
            raise ValueError(f"softmax_masked needs True or False, got {k}")
    if x and not any(keep):
        return [0.0] * len(x)
    return softmax_stable([s if k else -math.inf for s, k in zip(x, keep)])


def attention_with_softmax(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> tuple[list[list[float]], list[list[float]]]:
    """单头注意力：softmax 给出权重，输出是值的加权和；返回输出和权重。
    Single-head attention: softmax gives the weights, and the output is the
    weighted sum of the values; returns output and weights.

        weights = softmax(Q Kᵀ / √d)    n_q × n_k
        output = weights V              n_q × d_v

    一行是一个查询的权重，和为 1；各列之和不一定是 1：
    A row holds the weights of one query and sums to 1; a column need not:

    >>> Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> V = [[10.0], [20.0], [30.0]]
    >>> output, weights = attention_with_softmax(Q, K, V)
    >>> for row in weights:
    ...     print([round(w, 4) for w in row], "sum", round(sum(row), 9))
    [0.5065, 0.1863, 0.3072] sum 1.0
    [0.2327, 0.3837, 0.3837] sum 1.0
    >>> [[round(v, 4) for v in row] for row in output]
    [[18.0072], [21.5096]]

    mask 为 n_q × n_k，True 表示可以关注；对所有查询都屏蔽的值，是 nan 也无妨：
    mask is n_q × n_k, and True means attend; a value hidden from all queries
    may even be nan:

    >>> V[2] = [math.nan]
    >>> mask = [[True, False, False], [False, False, False]]
    >>> attention_with_softmax(Q, K, V, mask)
    ([[10.0], [0.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])

    没有掩码时，这个 nan 会进入输出，所以报错：
    Without a mask this nan would get into the output, so it is an error:

    >>> attention_with_softmax(Q, K, V)
    Traceback (most recent call last):
    ValueError: attention_with_softmax needs finite S and V, got nan

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1)
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, softmax_stable, shape, dot, transpose, matmul,
      attention_shapes, attention_scores, softmax_masked
    """
    _, n_k, _ = attention_shapes(Q, K, V, mask)
    if mask is None:
        mask = [[True] * n_k for _ in Q]
    scores = attention_scores(Q, K)
    weights = [softmax_masked(row, keep) for row, keep in zip(scores, mask)]
    # 0 * nan 是 nan，没人关注的值换成 0 | zero out unattended values
    seen = [any(column) for column in zip(*mask)]
    values = [v if s else [0.0] * len(v) for v, s in zip(V, seen)]
    output = matmul(weights, values)
    kept = [s for row, keep in zip(scores, mask)
            for s, k in zip(row, keep) if k]
    bad = [a for row in [kept] + output for a in row if not math.isfinite(a)]
    if bad:
        raise ValueError(
            f"attention_with_softmax needs finite S and V, got {bad[0]}"
        )
    return output, weights


def heatmap(weights: list[list[float]]) -> str:
    """把注意力权重画成热图：一行一个查询，一列一个键；只有 0 是空白。
    Attention weights as a heat map: a row for each query, a column for each
    key; only 0 is blank.

    >>> print(heatmap([[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.1, 0.3, 0.6]]))
    |██    |
    |▓▓▒▒  |
    |░░▒▒▓▓|

    - 需要 Needs: math, shape
    """
    shape(weights)
    lines = []
    for row in weights:
        for w in row:
            if not 0.0 <= w <= 1.0:
                raise ValueError(f"heatmap needs 0 <= w <= 1, got {w}")
        cells = [" ░▒▓█"[math.ceil(w * 4)] * 2 for w in row]
        lines.append(f"|{''.join(cells)}|")
    return "\n".join(lines)


# 掩码 | Masks ---------------------------------------------------------------

def causal_mask(n_queries: int, n_keys: int) -> list[list[bool]]:
    """因果掩码：每个位置只能关注自己和之前的位置，True 表示可以。
    Causal mask: each position may attend to itself and to those before it;
    True means that it may.

        keep_ij = j <= i + n_keys - n_queries

    >>> for row in causal_mask(3, 3):
    ...     print(*map(int, row))
    1 0 0
    1 1 0
    1 1 1

    查询少于键时，向右下对齐，最后一个查询可以关注全部的键：
    With fewer queries than keys it is aligned bottom-right, and the last query
    may attend to every key:

    >>> for row in causal_mask(2, 5):
    ...     print(*map(int, row))
    1 1 1 1 0
    1 1 1 1 1

    逐个生成 token 时，以前的键和值都已存好（KV 缓存），每步只有一个新查询：
    When tokens are generated one by one, the earlier keys and values are
    already stored (the KV cache), and each step has just one new query:

    >>> causal_mask(1, 5) == causal_mask(5, 5)[-1:]
    True

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: torch.ones(n, n, dtype=torch.bool).tril()
    - 需要 Needs: 无 nothing
    """
    if n_queries < 1 or n_keys < 1:
        raise ValueError(
            f"causal_mask needs sizes >= 1, got {n_queries} and {n_keys}"
        )
    offset = n_keys - n_queries
    return [[j <= i + offset for j in range(n_keys)] for i in range(n_queries)]


def padding_mask(
    n_queries: int, n_keys: int, length: int
) -> list[list[bool]]:
    """填充掩码：只有前 length 个键是实际的 token，后面都是填充。
    Padding mask: only the first length keys are real tokens, the rest padding.

        keep_ij = j < length

    屏蔽的是键（列），不是查询（行）；屏蔽一个查询，它就没有键可以关注了：
    It hides keys (columns), not queries (rows); a hidden query would have no
    key to attend to:

    >>> for row in padding_mask(2, 3, length=2):
    ...     print(*map(int, row))
    1 1 0
    1 1 0

    与别的掩码合用时，逐项取 and；这里是与因果掩码合用：
    To combine it with another mask, here a causal one, take the and of each
    pair of entries:

    >>> causal = [[True, False], [True, True]]
    >>> for padding_row, causal_row in zip(padding_mask(2, 2, 1), causal):
    ...     print([p and c for p, c in zip(padding_row, causal_row)])
    [True, False]
    [True, False]

    - 等价 Same as: ~key_padding_mask of torch.nn.MultiheadAttention
    - 需要 Needs: 无 nothing
    """
    if n_queries < 1 or n_keys < 1:
        raise ValueError(
            f"padding_mask needs sizes >= 1, got {n_queries} and {n_keys}"
        )
    if not 0 <= length <= n_keys:
        raise ValueError(
            f"padding_mask needs 0 <= length <= {n_keys}, got {length}"
        )
    row = [True] * length + [False] * (n_keys - length)
    return [list(row) for _ in range(n_queries)]


# 多头 | Many heads -----------------------------------------------------------

def split_heads(X: list[list[float]], heads: int) -> list[list[list[float]]]:
    """把列分给各个头，每个 token 留在自己那一行。
    Deal out the columns to the heads; each token stays on its own row.

        n × (h d) -> h × n × d

    用字母标出 token，用数字标出列，就能看清谁去了哪里：
    With a letter for the token and a digit for the column, one can see who
    goes where:

    >>> split_heads([["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]], 2)
    [[['a0', 'a1'], ['b0', 'b1']], [['a2', 'a3'], ['b2', 'b3']]]

    头数必须整除列数：
    The number of heads must divide the number of columns:

    >>> split_heads([["a0", "a1", "a2"]], 2)
    Traceback (most recent call last):
    ValueError: split_heads needs heads that divide 3, got 2

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: X.reshape(n, heads, d).swapaxes(0, 1)
    - 需要 Needs: shape
    """
    _, columns = shape(X)
    if heads < 1 or columns % heads:
        raise ValueError(
            f"split_heads needs heads that divide {columns}, got {heads}"
        )
    d = columns // heads
    return [[row[h * d:h * d + d] for row in X] for h in range(heads)]


def merge_heads(outputs: list[list[list[float]]]) -> list[list[float]]:
    """把各个头的输出按 token 拼回一行；split_heads 的逆操作。
    Put the heads side by side, token by token; the inverse of split_heads.

        h × n × d -> n × (h d)

    第一个结果是对的；第二个只 reshape 而不转置，token b 混进了 token a 的行：
    The first result is right; the second, a reshape without a transpose, has
    token b in the row of token a:

    >>> heads = [[["a0", "a1"], ["b0", "b1"]], [["a2", "a3"], ["b2", "b3"]]]
    >>> merge_heads(heads)
    [['a0', 'a1', 'a2', 'a3'], ['b0', 'b1', 'b2', 'b3']]
    >>> [sum(head, []) for head in heads]
    [['a0', 'a1', 'b0', 'b1'], ['a2', 'a3', 'b2', 'b3']]

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: outputs.swapaxes(0, 1).reshape(n, heads * d)
    - 需要 Needs: shape
    """
    shapes = sorted({shape(head) for head in outputs})
    if len(shapes) != 1:
        raise ValueError(
            f"merge_heads needs heads of equal shape, got {shapes[:2]}"
        )
    return [[v for row in rows for v in row] for rows in zip(*outputs)]


def multi_head_attention(
    X: list[list[float]],
    W_q: list[list[float]],
    W_k: list[list[float]],
    W_v: list[list[float]],
    W_o: list[list[float]],
    heads: int,
    kv_heads: int | None = None,
    mask: list[list[bool]] | None = None,
) -> tuple[list[list[float]], list[list[list[float]]]]:
    """多头自注意力：投影，分头，各做注意力，拼回，再投影；返回输出和各头权重。
    Multi-head self-attention: project, split, attend in each head, merge,
    project; returns the output and the weights of each head.

        Q = X W_q    n × (h d)          output = merge(heads) W_o
        K = X W_k    n × (h_kv d)       head_i = attention(Q_i, K_j, V_j)
        V = X W_v    n × (h_kv d_v)     j = i // (h / h_kv)

    >>> X = [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]
    >>> I = [[float(i == j) for j in range(4)] for i in range(4)]
    >>> output, weights = multi_head_attention(X, I, I, I, I, heads=2)

    投影都是单位矩阵时，就是左右两半各做一次注意力；√d 里的 d 是每头的维度：
    With identity projections it is attention on the left and right half; the d
    in √d is the dimension of one head:

    >>> left, right = [row[:2] for row in X], [row[2:] for row in X]
    >>> output == merge_heads([attention_with_softmax(half, half, half)[0]
    ...                        for half in (left, right)])
    True

    kv_heads 少于 heads 时，几个查询头共用键和值，即分组查询注意力（GQA）；
    kv_heads 为 1 就是多查询注意力（MQA）：
    With kv_heads fewer than heads, some query heads share keys and values, as
    in grouped-query attention (GQA); with kv_heads 1 it is multi-query
    attention (MQA):

    >>> half = [row[:2] for row in I]
    >>> twice = [row + row for row in half]
    >>> shared = multi_head_attention(X, I, half, half, I, 2, kv_heads=1)
    >>> shared == multi_head_attention(X, I, twice, twice, I, 2)
    True

    - 来源 Source: Vaswani et al. 2017, §3.2.2; Ainslie et al. 2023, §2.2
    - 等价 Same as: torch.nn.MultiheadAttention (weights transposed, no bias)
    - 需要 Needs: math, softmax_stable, shape, dot, transpose, matmul,
      attention_shapes, attention_scores, softmax_masked,
      attention_with_softmax, split_heads, merge_heads
    """
    Q = split_heads(matmul(X, W_q), heads)
    if kv_heads is None:
        kv_heads = heads
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(
            f"multi_head_attention needs kv_heads that divide {heads}, "
            f"got {kv_heads}"
        )
    K = split_heads(matmul(X, W_k), kv_heads)
    V = split_heads(matmul(X, W_v), kv_heads)
    group = heads // kv_heads
    results = [
        attention_with_softmax(Q[i], K[i // group], V[i // group], mask)
        for i in range(heads)
    ]
    output = matmul(merge_heads([head for head, _ in results]), W_o)
    bad = [a for row in output for a in row if not math.isfinite(a)]
    if bad:
        raise ValueError(
            f"multi_head_attention needs a finite output, got {bad[0]}"
        )
    return output, [weights for _, weights in results]


# 在线计算 | One pass, block by block ----------------------------------------

def softmax_online(x: list[float]) -> list[float]:
    """在线 softmax：只遍历一次，就得到最大值和归一化分母。
    Online softmax: one pass finds both the maximum and the normaliser.

        m' = max(m, x_i),    s' = s exp(m - m') + exp(x_i - m')

    m 变大时，已有的 s 要先乘 exp(m - m')；逐步来看：
    When m grows, s is first multiplied by exp(m - m'); step by step:

    >>> m, s = -math.inf, 0.0
    >>> for x_i in [1.0, 3.0, 2.0]:
    ...     m, m_old = max(m, x_i), m
    ...     s = s * math.exp(m_old - m) + math.exp(x_i - m)
    ...     print(f"m = {m}  s = {s:.4f}")
    m = 1.0  s = 1.0000
    m = 3.0  s = 1.1353
    m = 3.0  s = 1.5032
    >>> [round(p_i, 4) for p_i in softmax_online([1.0, 3.0, 2.0])]
    [0.09, 0.6652, 0.2447]

    两段分数各算各的 (m, s)，也能这样合并，所以可以分块算，也可以分到多台机器
    上算；这里的两段是 [1.0] 和 [3.0, 2.0]：
    The (m, s) pairs of two parts merge in the same way, so the work can be
    split into blocks, or across machines; the parts here are [1.0] and
    [3.0, 2.0]:

    >>> (m_a, s_a), (m_b, s_b) = (1.0, 1.0), (3.0, 1.0 + math.exp(-1.0))
    >>> m = max(m_a, m_b)
    >>> f"{s_a * math.exp(m_a - m) + s_b * math.exp(m_b - m):.4f}"
    '1.5032'

    误差比 softmax_stable 大一些，随分数的个数增长。
    Its error is somewhat larger than that of softmax_stable and grows with the
    number of scores.

    - 来源 Source: Milakov & Gimelshein 2018, §3, Algorithm 3
    - 等价 Same as: scipy.special.softmax(x); torch.softmax(x, dim=-1)
    - 需要 Needs: math
    """
    if not x:
        raise ValueError("softmax_online needs at least one score, got []")
    m, s = -math.inf, 0.0
    for x_i in x:
        if x_i != -math.inf:
            m_old, m = m, max(m, x_i)
            s = s * math.exp(m_old - m) + math.exp(x_i - m)
    if not s >= 1.0:
        bad = m if s == 0.0 or m == math.inf else math.nan
        raise ValueError(f"softmax_online needs a finite maximum, got {bad}")
    return [math.exp(x_i - m) / s for x_i in x]


def attention_online(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
    block: int = 16,
) -> list[list[float]]:
    """分块的注意力：输出相同，额外的内存不随键数增长；FlashAttention 的思路。
    Attention in blocks: the same output, in extra memory that does not grow
    with the keys; the idea of FlashAttention.

        m' = max(m, S_j),    e_j = exp(S_j - m')
        s' = s exp(m - m') + Σ_j e_j
        o' = o (s exp(m - m') / s') + Σ_j (e_j / s') V_j

    与在线 softmax 相同，只是已有的输出 o 也要跟着缩放；每块最多 block 个键：
    As in online softmax, except that the output so far, o, is rescaled too;
    a block holds at most block keys:

    >>> Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> V = [[10.0], [20.0], [30.0]]
    >>> for block in [1, 2, 3]:
    ...     print([[round(v, 4) for v in row]
    ...            for row in attention_online(Q, K, V, block=block)])
    [[18.0072], [21.5096]]
    [[18.0072], [21.5096]]
    [[18.0072], [21.5096]]

    - 来源 Source: Dao et al. 2022, §3.1, Algorithm 1
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, shape, dot, transpose, matmul, attention_shapes,
      attention_scores
    """
    if block < 1:
        raise ValueError(f"attention_online needs block >= 1, got {block}")
    _, n_k, d_v = attention_shapes(Q, K, V, mask)
    output = []
    for i, q in enumerate(Q):
        m, s, o = -math.inf, 0.0, [0.0] * d_v
        for start in range(0, n_k, block):
            part = slice(start, start + block)
            S = attention_scores([q], K[part])[0]
            keep = [True] * len(S) if mask is None else mask[i][part]
            S = [S_j for S_j, k in zip(S, keep) if k]
            values = [v for v, k in zip(V[part], keep) if k]
            if not S:
                continue
            m_old, m = m, max([m] + S)
            e = [math.exp(S_j - m) for S_j in S]
            old = s * math.exp(m_old - m)
            s = old + math.fsum(e)
            added = matmul([[e_j / s for e_j in e]], values)[0]
            o = [o_k * (old / s) + a_k for o_k, a_k in zip(o, added)]
            bad = [a for a in S + o if not math.isfinite(a)]
            if bad:
                raise ValueError(
                    f"attention_online needs finite S and V, got {bad[0]}"
                )
        output.append(o)
    return output


def attention_backward(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    grad_output: list[list[float]],
) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """注意力（无掩码）的反向传播：由损失对输出的梯度，得到对 Q、K、V 的梯度。
    Backward pass of attention (no mask): turns the gradient of the loss with
    respect to the output into those with respect to Q, K and V.

        grad_V = weightsᵀ grad_output
        grad_S = softmax_backward(weights, grad_output Vᵀ) / √d, row by row
        grad_Q = grad_S K,    grad_K = grad_Sᵀ Q

    用差商检验 grad_Q 的第一个分量：
    The first component of grad_Q, checked by a difference quotient:

    >>> Q, K, V = [[1.0, 0.0]], [[1.0, 2.0], [0.0, 1.0]], [[1.0], [4.0]]
    >>> grad_Q, grad_K, grad_V = attention_backward(Q, K, V, [[1.0]])
    >>> h = 1e-5
    >>> above = attention_with_softmax([[1.0 + h, 0.0]], K, V)[0][0][0]
    >>> below = attention_with_softmax([[1.0 - h, 0.0]], K, V)[0][0][0]
    >>> round(grad_Q[0][0], 6), round((above - below) / (2 * h), 6)
    (-0.469196, -0.469196)

    只有一个查询、grad_output 为 1 时，grad_V 就是这个查询的权重：
    With one query and grad_output 1, grad_V is the weights of this query:

    >>> grad_V == transpose(attention_with_softmax(Q, K, V)[1])
    True

    - 来源 Source: Dao et al. 2022, Appendix B.4
    - 等价 Same as: torch.autograd.grad(output, (Q, K, V), grad_output)
    - 需要 Needs: math, softmax_stable, softmax_backward, shape, dot,
      transpose, matmul, attention_shapes, attention_scores,
      softmax_masked, attention_with_softmax
    """
    _, weights = attention_with_softmax(Q, K, V)
    grad_V = matmul(transpose(weights), grad_output)
    grad_weights = matmul(grad_output, transpose(V))
    scale = 1.0 / math.sqrt(len(Q[0]))
    grad_S = [
        [g * scale for g in softmax_backward(p, grad_p)]
        for p, grad_p in zip(weights, grad_weights)
    ]
    grad_Q, grad_K = matmul(grad_S, K), matmul(transpose(grad_S), Q)
    bad = [g for row in grad_Q + grad_K + grad_V for g in row
           if not math.isfinite(g)]
    if bad:
        raise ValueError(
            f"attention_backward needs finite gradients, got {bad[0]}"
        )
    return grad_Q, grad_K, grad_V


def main(argv: list[str] | None = None) -> int:
    """走一遍 4.5 节：分数、缩放、权重、输出、因果掩码。
    Walk through section 4.5: scores, scaling, weights, output, causal mask.
    """
    import sys

    def show(*lines: str) -> None:
        print(for_console("\n".join(lines), sys.stdout.encoding or "utf-8"))

    def row(numbers: list[float], digits: int = 4) -> str:
        return " ".join(f"{v:.{digits}f}" for v in numbers)

    if sys.argv[1:] if argv is None else argv:
        print("attention_ref.py takes no arguments", file=sys.stderr)
        return 2

    Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    V = [[10.0], [20.0], [30.0]]
    raw, scaled = attention_scores(Q, K, scale=1.0), attention_scores(Q, K)
    output, weights = attention_with_softmax(Q, K, V)
    pictures = heatmap(weights).split("\n")
    show("""\
--- 4.5  Scaled dot-product attention ---------------------------------
两个查询，三个键，d = 4：点积除以 2，逐行 softmax，再对值 10、20、30 加权求和
Two queries, three keys, d = 4: dot products, divided by 2, softmax row by
row, then the weighted sum of the values 10, 20, 30

          Q K^T   scaled        weights                picture    output""",
         *(f"query {i}   {row(raw[i], 0)}   {row(scaled[i], 1)}   "
           f"{row(weights[i])}   {pictures[i]}   {row(output[i])}"
           for i in range(len(Q))))

    show("""
--- 4.5  Why divide by the square root of d ---------------------------
各分量相互独立、服从标准正态分布，d = 64 时分数的大小一般约为 8，
softmax 会饱和；除以 8 就不会
With independent standard normal components and d = 64, scores are typically
about 8 in size and softmax saturates; dividing by 8 prevents this
""",
         *(f"{str(x):18} {row(softmax_stable(x))}   "
           + "█" * round(30 * max(softmax_stable(x)))
           for x in ([8.0, 0.0, -8.0], [1.0, 0.0, -1.0])))

    X = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0],
         [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    _, free = attention_with_softmax(X, X, X)
    _, causal = attention_with_softmax(X, X, X, causal_mask(4, 4))
    left, right = heatmap(free).split("\n"), heatmap(causal).split("\n")
    show("""
--- 4.5  Causal mask --------------------------------------------------
四个 token 的自注意力；有因果掩码时，每个 token 只看自己和之前的
Self-attention of four tokens; with a causal mask each token sees itself and
those before it

          no mask      causal mask   weights under the causal mask""",
         *(f"token {i}   {left[i]}   {right[i]}    {row(causal[i])}"
           for i in range(len(X))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
