"""注意力：查询、键、值 | Attention: queries, keys and values

一个 token（词元，文本的一小段）要从别的 token 那里取信息，该取谁的？它的查询 q
说要找什么，每个 token 的键 k 说自己有什么，值 v 是被取走的内容。
q 与 k 的点积是相似度，softmax 把相似度变成权重，输出就是各个值的加权平均。
A token (a piece of text) needs information from other tokens, but from which?
Its query q says what it looks for, the key k of each token says what that one
has, and the value v is what is taken from it. The dot product of q and k is
their similarity, softmax turns similarities into weights, and the output is
the average of the values with these weights.

自注意力里，三者都由同一个 X 得来：Q = X W_q，K = X W_k，V = X W_v。
这是第 4 章 4.5 节。矩阵是由行组成的嵌套列表，一行一个 token。
In self-attention all three come from one X: Q = X W_q, K = X W_k, V = X W_v.
This is section 4.5 of chapter 4. A matrix is a nested list of rows, one row
per token.

    Q               n_q × d         查询 | queries
    K               n_k × d         键 | keys
    V               n_k × d_v       值 | values
    X               n × d_model     输入 | the input
    S = Q Kᵀ / √d   n_q × n_k       分数 | scores
    W                               投影矩阵，训练得来 | projections, learned
    h, h_kv                         查询头数，键和值的头数
                                    heads of queries, heads of keys and values
"""

import math

from softmax_ref import (
    numbers_row, read_command, show, softmax_backward, softmax_stable
)


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
    if len(A) > 0 and not hasattr(A[0], "__len__"):
        raise TypeError(f"shape needs a list of rows [[...]], got {A[0]}")
    lengths = sorted({len(row) for row in A})
    if len(lengths) != 1 or lengths == [0]:
        raise ValueError(
            f"shape needs rows of equal length, got {lengths[:2]}")

    return len(A), lengths[0]


def dot(a: list[float], b: list[float]) -> float:
    """点积：对应的数相乘再相加，用来衡量相似度。
    The dot product: multiply in pairs and add up; a measure of similarity.

        a · b = Σ_i a_i b_i

    方向一致时为正，垂直时为 0，相反时为负：
    It is positive for vectors that point the same way, 0 at right angles,
    negative for opposite ones:

    >>> q = [1.0, 2.0]
    >>> dot(q, [1.0, 2.0]), dot(q, [2.0, -1.0]), dot(q, [-1.0, -2.0])
    (5.0, 0.0, -5.0)

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
            f"dot needs lists of equal length, got {len(a)} and {len(b)}")

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

    A 的列数必须等于 B 的行数；乘积必须有限，0 乘 nan 还是 nan：
    A must have as many columns as B has rows; the product must be finite, and
    0 times nan is still nan:

    >>> matmul([[1.0, 2.0, 3.0]], [[1.0, 0.0]])
    Traceback (most recent call last):
    ValueError: matmul needs inner sizes that agree, got 1x3 and 1x2
    >>> matmul([[0.0, 1.0]], [[math.nan], [1.0]])
    Traceback (most recent call last):
    ValueError: matmul needs a finite product, got nan

    - 等价 Same as: numpy.matmul(A, B)
    - 需要 Needs: math, shape, dot, transpose
    """
    (n, k), (rows, d) = shape(A), shape(B)
    if k != rows:
        raise ValueError(
            f"matmul needs inner sizes that agree, got {n}x{k} and {rows}x{d}")

    columns = transpose(B)
    # Python 3.12 起有更快更准的 sumprod | from 3.12 on: faster, more exact
    product = getattr(math, "sumprod", dot)
    C = [[product(row, column) for column in columns] for row in A]
    bad = [c for row in C for c in row if not math.isfinite(c)]
    if bad:
        raise ValueError(f"matmul needs a finite product, got {bad[0]}")
    return C


# 4.5 缩放点积注意力 | Scaled dot-product attention --------------------------

def attention_scores(
    Q: list[list[float]], K: list[list[float]], scale: float | None = None
) -> list[list[float]]:
    """注意力分数：每个查询与每个键的点积，也就是相似度，再除以 √d。
    Attention scores: each query dot each key, which is their similarity, then
    divided by √d.

        S_ij = (Q_i · K_j) scale,    n_q × n_k,    scale = 1/√d

    >>> Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> attention_scores(Q, K, scale=1.0)
    [[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    >>> attention_scores(Q, K)
    [[1.0, 0.0, 0.5], [0.0, 0.5, 0.5]]

    为什么除以 √d？点积是 d 项之和，d 越大，分数越散，softmax 就饱和，
    而饱和的 softmax 几乎没有梯度（见 `softmax_jacobian`）。各分量相互独立、
    均值为 0、方差为 1 时，每项的方差是 1，d 项之和的方差就是 d，标准差是 √d；
    除以 √d，标准差就回到 1：
    Why √d? A dot product is a sum of d terms, so with larger d the scores
    spread out and softmax saturates, and almost no gradient remains (see
    `softmax_jacobian`). For independent components of mean 0 and variance 1
    each term has variance 1, the sum of d terms variance d and standard
    deviation √d; dividing by √d brings the standard deviation back to 1:

    >>> import random
    >>> g = random.Random(0).gauss
    >>> Q = [[g(0.0, 1.0) for _ in range(64)] for _ in range(50)]
    >>> K = [[g(0.0, 1.0) for _ in range(64)] for _ in range(40)]
    >>> for scale in [1.0, None]:
    ...     S = [s for row in attention_scores(Q, K, scale) for s in row]
    ...     print(round(math.sqrt(sum(s * s for s in S) / len(S)), 1))
    7.9
    1.0

    d 是一个键的维度，不是键的个数，也不是 d_model。
    d is the dimension of one key, not the number of keys, nor d_model.

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1) and footnote 4
    - 等价 Same as: Q @ K.T / math.sqrt(Q.shape[-1])
    - 需要 Needs: math, shape, dot
    """
    (_, d), (_, d_k) = shape(Q), shape(K)
    if d != d_k:
        raise ValueError(
            f"attention_scores needs Q and K of equal d, got {d} and {d_k}")

    if scale is None:
        scale = 1.0 / math.sqrt(d)
    product = getattr(math, "sumprod", dot)
    return [[product(q, k) * scale for k in K] for q in Q]


def softmax_masked(x: list[float], keep: list[bool]) -> list[float]:
    """带掩码的 softmax：概率只分给保留的分数，其余恰好是 0。
    Masked softmax: probability for the kept scores only, exactly 0 elsewhere.

        p_i = exp(x_i) / Σ_kept exp(x_j) if keep_i, else 0;    none kept: all 0

    先把不保留的分数换成 -inf，再做 softmax，因为 exp(-inf) = 0：
    First -inf takes the place of each score left out, then comes softmax, for
    exp(-inf) = 0:

    >>> keep = [True, True, False]
    >>> [round(p_i, 4) for p_i in softmax_masked([2.0, 1.0, 3.0], keep)]
    [0.7311, 0.2689, 0.0]

    分数乘 0 并没有屏蔽它，因为 exp(0) = 1，那个位置照样分到概率：
    Multiplying a score by 0 does not mask it, for exp(0) = 1, and so that
    position still gets a share:

    >>> [round(p_i, 4) for p_i in softmax_stable([2.0, 1.0, 3.0 * 0])]
    [0.6652, 0.2447, 0.09]

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
        raise ValueError("softmax_masked needs lists of equal length, "
                         f"got {len(x)} and {len(keep)}")
    for k in keep:  # 浮点数多半是加到分数上的掩码 | floats would be additive
        boolean = isinstance(k, int) or "float" not in str(
            getattr(k, "dtype", "float"))
        if not boolean or k not in (True, False):
            raise ValueError(f"softmax_masked needs True or False, got {k}")

    if len(x) > 0 and not any(keep):
        return [0.0] * len(x)
    return softmax_stable([x_i if k else -math.inf for x_i, k in zip(x, keep)])


def attention_shapes(
    Q: list[list[float]],
    K: list[list[float]],
    V: list[list[float]],
    mask: list[list[bool]] | None = None,
) -> tuple[int, int, int]:
    """检查 Q、K、V 和掩码的形状是否相配；返回 n_q、n_k、d_v。
    Check that the shapes of Q, K, V and a mask fit; returns n_q, n_k, d_v.

        Q: n_q × d    K: n_k × d    V: n_k × d_v    mask: n_q × n_k

    查询与键要比较，所以 d 相同；每个键要有一个值，所以 n_k 相同：
    Queries are compared with keys, hence the same d; each key has a value,
    hence the same n_k:

    >>> Q, K = [[1.0, 0.0]], [[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]]
    >>> V = [[5.0], [6.0], [7.0]]
    >>> attention_shapes(Q, K, V)
    (1, 3, 1)
    >>> attention_shapes(Q, K, V[:2])
    Traceback (most recent call last):
    ValueError: attention_shapes needs V as long as K, got 2 and 3

    掩码里只能是 True 和 False：
    A mask holds nothing but True and False:

    >>> attention_shapes(Q, K, V, [[1.0, 1.0, 0.0]])
    Traceback (most recent call last):
    ValueError: attention_shapes needs True or False, got 1.0

    - 需要 Needs: shape
    """
    (n_q, d), (n_k, d_k), (n_v, d_v) = shape(Q), shape(K), shape(V)
    if d != d_k:
        raise ValueError(
            f"attention_shapes needs Q and K of equal d, got {d} and {d_k}")
    if n_v != n_k:
        raise ValueError(
            f"attention_shapes needs V as long as K, got {n_v} and {n_k}")
    if mask is not None:
        rows, columns = shape(mask)
        if (rows, columns) != (n_q, n_k):
            raise ValueError(f"attention_shapes needs a mask of {n_q}x{n_k}, "
                             f"got {rows}x{columns}")
        for k in [k for row in mask for k in row]:  # as in softmax_masked
            boolean = isinstance(k, int) or "float" not in str(
                getattr(k, "dtype", "float"))
            if not boolean or k not in (True, False):
                raise ValueError(
                    f"attention_shapes needs True or False, got {k}")
    return n_q, n_k, d_v


def hide(A: list[list[float]], mask: list[list[bool]]) -> list[list[float]]:
    """把没有一个查询会看的行（键或值）换成 0。
    Put 0 in place of the rows (keys or values) that no query looks at.

        A_j stays if mask_ij is True for any i, else 0

    权重 0 挡不住 nan，因为 0 乘 nan 还是 nan：
    A weight of 0 does not keep a nan out, as 0 times nan is still nan:

    >>> nan = float("nan")
    >>> 0.0 * nan
    nan
    >>> mask = [[True, False, False], [True, True, False]]
    >>> hide([[5.0], [6.0], [nan]], mask)
    [[5.0], [6.0], [0.0]]

    - 需要 Needs: 无 nothing
    """
    seen = [any(column) for column in zip(*mask)]
    if len(seen) != len(A):
        raise ValueError(f"hide needs {len(A)} columns, got {len(seen)}")

    return [row if s else [0.0] * len(row) for row, s in zip(A, seen)]


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

    softmax 把相似度变成权重；每个查询的权重（一行）都不小于 0，和为 1，
    只差舍入误差；除以 √d，是为了让它不饱和：
    Softmax turns similarities into weights; those of one query (a row) are
    not below 0 and sum to 1, up to rounding; the division by √d keeps it
    from saturating:

    >>> Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    >>> K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    >>> V = [[10.0], [20.0], [30.0]]
    >>> output, weights = attention_with_softmax(Q, K, V)
    >>> [[round(w, 4) for w in row] for row in weights]
    [[0.5065, 0.1863, 0.3072], [0.2327, 0.3837, 0.3837]]

    所以输出总在看得到的最小值与最大值之间，这里是 10 与 30 之间：
    So the output lies between the smallest and the largest value that can be
    seen, here between 10 and 30:

    >>> [[round(v, 4) for v in row] for row in output]
    [[18.0072], [21.5096]]

    mask 里 True 表示可以关注。预测下一个 token 时不能偷看后面，用因果掩码：
    In mask, True means attend. To predict the next token one must not see what
    comes later, so a causal mask is used:

    >>> X = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> mask = [[True, False, False], [True, True, False], [True, True, True]]
    >>> for row in attention_with_softmax(X, X, X, mask)[1]:
    ...     print([round(w, 4) for w in row])
    [1.0, 0.0, 0.0]
    [0.3302, 0.6698, 0.0]
    [0.2483, 0.2483, 0.5035]

    屏蔽的值是 nan 也无妨，一个键也不能看的查询得 0；能看到的 nan 会报错：
    A hidden value may be nan, and a query that may attend to no key gets 0; a
    nan that can be seen is an error:

    >>> mask = [[True, True, False], [False, False, False]]
    >>> attention_with_softmax(Q, K, [[5.0], [5.0], [math.nan]], mask)[0]
    [[5.0], [0.0]]
    >>> attention_with_softmax(Q, K, [[5.0], [5.0], [math.nan]])
    Traceback (most recent call last):
    ValueError: matmul needs a finite product, got nan

    - 来源 Source: Vaswani et al. 2017, §3.2.1, Eq. (1)
    - 等价 Same as: torch.nn.functional.scaled_dot_product_attention(Q, K, V)
    - 需要 Needs: math, softmax_stable, shape, dot, transpose, matmul,
      attention_scores, softmax_masked, attention_shapes, hide
    """
    n_q, n_k, _ = attention_shapes(Q, K, V, mask)
    if mask is None:
        mask = [[True] * n_k] * n_q

    scores = attention_scores(Q, K)
    weights = [softmax_masked(row, keep) for row, keep in zip(scores, mask)]
    output = matmul(weights, hide(V, mask))
    for row, keep in zip(scores, mask):
        if (-math.inf, True) in zip(row, keep):  # kept, yet out of range
            raise ValueError("attention_with_softmax needs finite S, got -inf")
    return output, weights


def heatmap(weights: list[list[float]]) -> str:
    """把注意力权重画成热图：一行一个查询，一列一个键；只有 0 是空白。
    Attention weights as a heat map: a row for each query, a column for each
    key; only 0 is blank.

        ░ up to 1/4    ▒ up to 1/2    ▓ up to 3/4    █ up to 1

    >>> print(heatmap([[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.1, 0.3, 0.6]]))
    |██    |
    |▓▓▒▒  |
    |░░▒▒▓▓|

    - 需要 Needs: math, shape
    """
    shape(weights)
    for w in [w for row in weights for w in row]:
        if not 0.0 <= w <= 1.0:
            raise ValueError(f"heatmap needs 0 <= w <= 1, got {w}")

    cells = [[" ░▒▓█"[math.ceil(w * 4)] * 2 for w in row] for row in weights]
    return "\n".join(f"|{''.join(row)}|" for row in cells)


# 掩码 | Masks ---------------------------------------------------------------

def causal_mask(n_queries: int, n_keys: int) -> list[list[bool]]:
    """因果掩码：每个位置只能关注自己和之前的位置，True 表示可以。
    Causal mask: each position may attend to itself and to those before it;
    True means that it may.

        keep_ij = j <= i + n_keys - n_queries

    训练时，整个序列一次算完，每个位置都要预测下一个 token；要是能看到后面，
    照抄答案就行，什么也学不到：
    In training the whole sequence is computed at once, and each position has
    to predict the next token; if it could see what follows, it would copy the
    answer and learn nothing:

    >>> for row in causal_mask(3, 3):
    ...     print(*map(int, row))
    1 0 0
    1 1 0
    1 1 1

    生成时，以前的键和值都已存好（KV 缓存），查询少于键；掩码与右下角对齐，
    最后一个查询可以关注全部的键：
    In generation the earlier keys and values are stored already (the KV
    cache), and queries are fewer than keys; the mask is aligned bottom-right,
    and the last query may attend to every key:

    >>> for row in causal_mask(2, 5):
    ...     print(*map(int, row))
    1 1 1 1 0
    1 1 1 1 1

    - 来源 Source: Vaswani et al. 2017, §3.2.3
    - 等价 Same as: torch.ones(n, n, dtype=torch.bool).tril()
    - 需要 Needs: 无 nothing
    """
    if n_queries < 1 or n_keys < 1:
        raise ValueError(
            f"causal_mask needs sizes >= 1, got {n_queries} and {n_keys}")

    offset = n_keys - n_queries
    return [[j <= i + offset for j in range(n_keys)] for i in range(n_queries)]


def padding_mask(
    n_queries: int, n_keys: int, length: int
) -> list[list[bool]]:
    """填充掩码：只有前 length 个键是实际的 token，后面都是填充。
    Padding mask: only the first length keys are real tokens, the rest padding.

        keep_ij = j < length

    一批序列长短不一，短的用填充补齐，而填充里没有内容可看。屏蔽的是键（列），
    不是查询（行）；屏蔽一个查询，它就没有键可以关注了：
    Sequences of a batch differ in length, the short ones are padded, and in
    padding there is nothing to attend to. It hides keys (columns), not queries
    (rows); a hidden query would have no key left to attend to:

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
            f"padding_mask needs sizes >= 1, got {n_queries} and {n_keys}")
    if not 0 <= length <= n_keys:
        raise ValueError(
            f"padding_mask needs 0 <= length <= {n_keys}, got {length}")

    row = [True] * length + [False] * (n_keys - length)
    return [list(row) for _ in range(n_queries)]


# 多头 | Many heads -----------------------------------------------------------

def split_heads(X: list[list[float]], heads: int) -> list[list[list[float]]]:
    """把列分给各个头，每个 token 留在自己那一行。
    Deal out the columns to the heads; each token stays on its own row.

        n × (h d) -> h × n × d

    为什么要多个头？一个头只给出一组权重，只能按一种方式看；几个头各看各的，
    有的看前一个词，有的看主语。用字母标出 token，用数字标出列，
    就看得清谁去了哪里：
    Why several heads? One head gives one set of weights and looks in one way;
    several look for different things, say the word before or the subject.
    With a letter for the token and a digit for the column, one can see who
    goes where:

    >>> split_heads([["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]], 2)
    [[['a0', 'a1'], ['b0', 'b1']], [['a2', 'a3'], ['b2', 'b3']]]

    头数必须整除列数：
    The number of heads must divide the number of columns:

    >>> split_heads([["a0", "a1", "a2"]], 2)
    Traceback (most recent call last):
    ValueError: split_heads needs heads >= 1 that divide 3, got 2

    - 来源 Source: Vaswani et al. 2017, §3.2.2
    - 等价 Same as: X.reshape(n, heads, d).swapaxes(0, 1)
    - 需要 Needs: shape
    """
    _, columns = shape(X)
    if heads < 1 or columns % heads:
        raise ValueError(
            f"split_heads needs heads >= 1 that divide {columns}, got {heads}")

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
    shapes = sorted({shape(outputs[i]) for i in range(len(outputs))})
    if len(shapes) != 1:
        raise ValueError(
            f"merge_heads needs heads of equal shape, got {shapes[:2]}")

    return [[v for row in rows for v in row] for rows in zip(*outputs)]


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
    """多头自注意力：投影，分头，各做注意力，拼回，再投影；返回输出和各头权重。
    Multi-head self-attention: project, split, attend in each head, merge,
    project; returns the output and the weights of each head.

        Q = X W_q    n × (h d)          output = merge(heads) W_o

        K = X W_k    n × (h_kv d)       head_i = attention(Q_i, K_j, V_j)

        V = X W_v    n × (h_kv d_v)     j = i // (h / h_kv)

        h = heads,    h_kv = kv_heads, by default h, and then j = i

    自注意力里，查询、键、值都出自同一个 X，投影（训练得来的矩阵）决定从 X 里各
    取什么，W_o 把各头混合起来。这里投影都是单位矩阵 I，
    所以两个头分别看 X 的左半和右半，看到的东西不同；√d 里的 d 是每个头的维度。
    第三个 token 的权重，一个头一行：
    In self-attention queries, keys and values all come from one X, and the
    projections, matrices found in training, choose what each takes from it.
    Here every projection is the identity I, so the two heads look at the left
    and the right half of X and see different things; the d in √d is that of
    one head, and W_o mixes the heads. The weights of the third token, a row
    for each head:

    >>> X = [[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]
    >>> I = [[float(i == j) for j in range(4)] for i in range(4)]
    >>> causal = [[True, False, False], [True, True, False], [True] * 3]
    >>> output, weights = multi_head_attention(X, I, I, I, I, 2, causal)
    >>> for head in weights:
    ...     print([round(w, 4) for w in head[2]])
    [0.2483, 0.2483, 0.5035]
    [0.576, 0.14, 0.284]

    生成时每个 token 的键和值都要存着（KV 缓存）。kv_heads 少于 heads 时，
    几个查询头共用键和值，缓存就小了，这是分组查询注意力（GQA）；
    kv_heads 为 1 就是多查询注意力（MQA）。4 个头，每个 token 要存几个数：
    In generation the keys and values of every token are kept (the KV cache).
    With kv_heads fewer than heads, some query heads share them, and the cache
    shrinks: grouped-query attention (GQA), or with kv_heads 1 multi-query
    attention (MQA). With 4 heads, how many numbers are kept for each token:

    >>> for kv_heads in [4, 2, 1]:
    ...     W = [row[:kv_heads] for row in I]
    ...     output, weights = multi_head_attention(
    ...         X, I, W, W, I, 4, causal, kv_heads)
    ...     print(kv_heads, len(W[0]) + len(W[0]))  # keys + values
    4 8
    2 4
    1 2

    - 来源 Source: Vaswani et al. 2017, §3.2.2; Ainslie et al. 2023, §2.2
    - 等价 Same as: torch.nn.MultiheadAttention (W transposed, no bias)
    - 需要 Needs: math, softmax_stable, shape, dot, transpose, matmul,
      attention_scores, softmax_masked, attention_shapes, hide,
      attention_with_softmax, split_heads, merge_heads
    """
    if kv_heads is None:
        kv_heads = heads
    elif kv_heads < 1 or heads % kv_heads:
        raise ValueError("multi_head_attention needs kv_heads >= 1 that "
                         f"divide {heads}, got {kv_heads}")

    Q = split_heads(matmul(X, W_q), heads)
    K = split_heads(matmul(X, W_k), kv_heads)
    V = split_heads(matmul(X, W_v), kv_heads)
    group = heads // kv_heads
    results = [
        attention_with_softmax(Q[i], K[i // group], V[i // group], mask)
        for i in range(heads)
    ]
    output = matmul(merge_heads([head for head, _ in results]), W_o)
    return output, [weights for _, weights in results]


# 在线计算 | One pass, block by block ----------------------------------------

def softmax_online(x: list[float]) -> list[float]:
    """在线 softmax：只遍历一次，就得到最大值和归一化分母。
    Online softmax: one pass finds both the maximum and the normaliser.

        m' = max(m, x_i),    s' = s exp(m - m') + exp(x_i - m')

    分数一个个到来，最大值还没定，怎么先减去它？先减当前最大值 m；
    s 是已到的各项 exp(x_i - m) 之和，m 变大时，乘 exp(m - m') 就补上了：
    Scores come one by one, so how can one subtract a maximum not yet known?
    Take the running maximum m; s is the sum of exp(x_i - m) so far, and when m
    grows, multiplying s by exp(m - m') makes up for it:

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

    两段分数的 (m, s) 也这样合并，所以可以分块算，也可以分到多台机器上算；
    这里是 [1.0] 和 [3.0, 2.0]：
    The (m, s) pairs of two parts merge in the same way, so the work can be
    split into blocks, or across machines; here into [1.0] and [3.0, 2.0]:

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
    if len(x) == 0:
        raise ValueError("softmax_online needs at least one score, got []")

    m, s = -math.inf, 0.0
    for x_i in map(float, x):
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

    n_q × n_k 的分数太多，存不下，所以一次只取 `block` 个键，分数用完就丢。
    与在线 softmax 相同，只是已有的输出 o 也要跟着缩放：
    The n_q × n_k scores are too many to store, so it takes `block` keys at a
    time and then discards their scores. As in online softmax, except that the
    output so far, o, is rescaled too:

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
    - 需要 Needs: math, shape, dot, attention_shapes
    """
    _, n_k, d_v = attention_shapes(Q, K, V, mask)
    if block < 1:
        raise ValueError(f"attention_online needs block >= 1, got {block}")

    scale = 1.0 / math.sqrt(len(Q[0]))
    product = getattr(math, "sumprod", dot)
    output = []
    for i, q in enumerate(Q):
        m, s, o = -math.inf, 0.0, [0.0] * d_v
        for start in range(0, n_k, block):
            part = [j for j in range(start, min(start + block, n_k))
                    if mask is None or mask[i][j]]
            if not part:
                continue
            S = [product(q, K[j]) * scale for j in part]
            m_old, m = m, max([m] + S)
            e = [math.exp(S_j - m) for S_j in S]
            old = s * math.exp(m_old - m)
            s = old + math.fsum(e)
            weights = [e_j / s for e_j in e]
            columns = zip(*[V[j] for j in part])
            o = [o_k * (old / s) + product(weights, list(column))
                 for o_k, column in zip(o, columns)]
            bad = [a for a in S + o if not math.isfinite(a)]
            if bad:
                raise ValueError("attention_online needs finite S and "
                                 f"output, got {bad[0]}")
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
    """注意力的反向传播：由损失对输出的梯度，得到对 Q、K、V 的梯度。
    Backward pass of attention: turns the gradient of the loss with respect to
    the output into those with respect to Q, K and V.

        grad_V = weightsᵀ grad_output

        grad_S = softmax_backward(weights, grad_output Vᵀ) / √d, row by row

        grad_Q = grad_S K,    grad_K = grad_Sᵀ Q

    mask 要与 attention_with_softmax 的相同，否则梯度是错的，而且不会报错。这里
    是因果掩码，损失是第一个输出：它只看第一个 token，所以第二个值的梯度是 0：
    mask must be the one given to attention_with_softmax; otherwise the
    gradient is wrong, and no error says so. Here it is causal, and the loss is
    the first output: that sees the first token only, so the gradient of the
    second value is 0:

    >>> Q, K = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [0.0, 1.0]]
    >>> V, causal = [[1.0], [4.0]], [[True, False], [True, True]]
    >>> attention_backward(Q, K, V, [[1.0], [0.0]], causal)[2]
    [[1.0], [0.0]]

    用差商检验，损失是第二个输出：
    A check by difference quotient, where the loss is the second output:

    >>> _, grad_K, _ = attention_backward(Q, K, V, [[0.0], [1.0]], causal)
    >>> step, losses = 1e-5, []
    >>> for value in [1.0 + step, 1.0 - step]:
    ...     output, _ = attention_with_softmax(
    ...         Q, [[1.0, 2.0], [0.0, value]], V, causal)
    ...     losses.append(output[1][0])
    >>> slope = (losses[0] - losses[1]) / (2 * step)
    >>> round(grad_K[1][1], 6), round(slope, 6)
    (0.469196, 0.469196)

    - 来源 Source: Dao et al. 2022, Appendix B.4
    - 等价 Same as: torch.autograd.grad(output, (Q, K, V), grad_output)
    - 需要 Needs: math, softmax_stable, softmax_backward, shape, dot,
      transpose, matmul, attention_scores, softmax_masked,
      attention_shapes, hide, attention_with_softmax
    """
    _, weights = attention_with_softmax(Q, K, V, mask)
    if mask is not None:
        # 什么都不看的查询也换成 0 | queries that see nothing become 0 too
        by_key = [list(column) for column in zip(*mask)]
        Q, K, V = hide(Q, by_key), hide(K, mask), hide(V, mask)

    grad_V = matmul(transpose(weights), grad_output)
    grad_weights = matmul(grad_output, transpose(V))
    scale = 1.0 / math.sqrt(len(Q[0]))
    grad_S = [
        [g * scale for g in softmax_backward(p, grad_p)]
        for p, grad_p in zip(weights, grad_weights)
    ]
    return matmul(grad_S, K), matmul(transpose(grad_S), Q), grad_V


def main(argv: list[str] | None = None) -> int:
    """走一遍 4.5 节：注意力，为什么除以 √d，因果掩码；可以给出自己的 d。
    Walk through section 4.5: attention, why √d, the causal mask; d can be
    given on the command line.
    """
    import random
    import sys

    usage = """\
python3 attention_ref.py                  本章的例子
python3 attention_ref.py                  the example of the chapter
python3 attention_ref.py d=100            为什么除以 √d：加上 d = 100
python3 attention_ref.py d=100            why sqrt(d): with a row for d = 100
python3 attention_ref.py causal_mask      复制函数；--short 说明从简
python3 attention_ref.py causal_mask      copy functions; --short: brief"""

    def integers(row: list[float]) -> str:
        return " ".join(f"{v:g}" for v in row)

    try:
        text, x, options = read_command(
            sys.argv[1:] if argv is None else argv, usage, d=64.0)
        if text:
            return show(text)
        if x or not 1 <= options["d"] <= 10000 or options["d"] % 1 != 0:
            raise ValueError("needs d=1 to d=10000, or names; -h for help")
    except ValueError as error:
        return show(f"attention_ref.py: {error}", 2)

    Q = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    K = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    V = [[10.0], [20.0], [30.0]]
    raw, scaled = attention_scores(Q, K, scale=1.0), attention_scores(Q, K)
    output, weights = attention_with_softmax(Q, K, V)
    lines = ["""
4.5  缩放点积注意力
4.5  Scaled dot-product attention ----------------------------------------
Q 说要找什么，K 说有什么，点积是相似度；softmax 变成权重，V 的各行按它平均
Q says what is sought, K what there is, dot products how similar they are;
softmax turns them into weights, with which the rows of V are averaged

         Q           K           V"""]
    lines += [f"row {i}    {integers(q):9}   {integers(k):9}   {integers(v)}"
              for i, (q, k, v) in enumerate(zip(Q + [[]], K, V))]
    lines += ["""
         Q K^T   / sqrt(4)     weights, by softmax       output"""]
    lines += [f"query {i}  {integers(raw[i])}   {scaled[i][0]:.1f} "
              f"{scaled[i][1]:.1f} {scaled[i][2]:.1f}   "
              f"{numbers_row(weights[i])}   {output[i][0]:.4f}"
              for i in range(2)]

    lines += ["""
4.5  为什么除以 √d
4.5  Why divide by the square root of d ----------------------------------
100 个随机查询，8 个键。d 大，分数的标准差 spread 就大，每个查询最大的权重平均
接近 1，最大的导数 p (1 - p) 平均接近 0，学不动；除以 √d，三者几乎不随 d 变
100 random queries, 8 keys. With a large d the scores' standard deviation
(spread) is large, a query's largest weight near 1 on average, its largest
p (1 - p) near 0: nothing is learned. Dividing by sqrt(d) keeps all three level
    d  spread   weight   p (1 - p)   / sqrt(d): spread   weight   p (1 - p)"""]
    for d in sorted({4, 16, 64, 256, 1024, int(options["d"])}):
        g = random.Random(d).gauss
        Q, K = ([[g(0.0, 1.0) for _ in range(d)] for _ in range(n)]
                for n in (100, 8))
        cells = []
        for scale in (1.0, 1.0 / math.sqrt(d)):
            S = attention_scores(Q, K, scale)
            spread = math.sqrt(sum(s * s for row in S for s in row) / 800)
            weights = [softmax_stable(row) for row in S]
            top = sum(map(max, weights)) / 100
            slope = sum(max(p * (1.0 - p) for p in w) for w in weights) / 100
            cells.append(f"{spread:8.2f} {top:8.2f} {slope:11.4f}")
        lines.append(f"{d:5}{cells[0]}             {cells[1]}")

    X = [[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 1.0, 0.0],
         [1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 0.0, 1.0]]
    _, free = attention_with_softmax(X, X, X)
    _, causal = attention_with_softmax(X, X, X, causal_mask(4, 4))
    lines += ["""
4.5  因果掩码
4.5  Causal mask ---------------------------------------------------------
自注意力，Q = K = V = X；有因果掩码时，每个 token 只看自己和之前的，
不看后面；剩下的权重重新归一化，每行的和仍是 1
Self-attention, Q = K = V = X; with a causal mask each token sees itself and
those before it; what is left is normalised again, and each row sums to 1

         X        no mask              causal mask          picture"""]
    pictures = heatmap(causal).split("\n")
    for i, picture in enumerate(pictures):
        numbers = [" ".join(f"{w:.2f}" if w else "  . " for w in row)
                   for row in (free[i], causal[i])]
        lines.append(f"token {i}  {integers(X[i])}  {numbers[0]}  "
                     f"{numbers[1]}  {picture}")
    lines += ["""
picture: ░░ up to 0.25   ▒▒ up to 0.5   ▓▓ up to 0.75   ██ up to 1"""]
    return show("\n".join(line.rstrip() for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
