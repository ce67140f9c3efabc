"""Checks that teach: `check.map_5(my_map)` prints `right`, or what is wrong with the function.

Each check names what the function takes and gives, and holds a table of typical mistakes: a wrong
line, and the sentence about it (see diagnosis.py). Names are those of the lessons; y is the
article's y*. The parameters W1, B1, W2, B2 are those of the learner's notebook.
"""

from types import SimpleNamespace

import cases
from cases import SUMS
from diagnosis import Check, in_a_partition, in_a_tuple, one_by_one

from nn_math import Parameters

# Mistakes that several functions share.


def in_an_activation(a: str, z: str) -> dict[str, str]:
    """In a = sigmoid(z)."""
    return {
        f"{a} = sigmoid(-{z})": f"it falls where {z} grows; the minus in exp(-{z}) is missing",
        f"{a} = sigmoid_prime({z})": "this is the slope of sigmoid; write sigmoid",
        f"{a} = np.tanh({z})": "this is tanh, which goes from -1 to 1; write sigmoid",
        f"{a} = np.maximum({z}, 0)": "this is relu; write sigmoid",
        f"{a} = np.rint(sigmoid({z}))": "it is rounded; keep the numbers between 0 and 1",
    }


def in_weighted_sums(out: str, a: str, W: str, B: str) -> dict[str, str]:
    """In out = a @ W + B."""
    return {
        f"{out} = {a} @ {W}": f"+ {B} is missing",
        f"{out} = {a} @ {W} @ {B}": f"write + before {B}, not @",
        f"{out} = {a} @ {W} - {B}": f"{B} is subtracted; add it",
        f"{out} = sigmoid({a} @ {W} + {B})": "remove sigmoid: it is the next map",
        f"{out} = ({a} @ {W} + {B}).T": f"this is a column; {a} @ {W} + {B} is a row",
        f"{out} = {a} * {W}": "`*` multiplies element by element; `@` is the matrix product",
        f"{out} = {a} @ {W}.T": f"{W} is transposed; write {a} @ {W}",
        f"{out} = {W} @ {a}": f"the factors are in the wrong order; write {a} @ {W}",
    }


def in_an_outer_product(out: str, a: str, delta: str) -> dict[str, str]:
    """In out = a.T @ delta."""
    right = f"write {a}.T @ {delta}"
    return {
        f"{out} = {delta}.T @ {a}": f"the product is the other way round; {right}",
        f"{out} = {a} @ {delta}.T": f"the wrong factor is transposed; {right}",
        f"{out} = {a} @ {delta}": f"{a} is not transposed; {right}",
        f"{out} = {a} * {delta}": f"`*` multiplies element by element; {right}",
    }


def in_sums_over_rows(out: str, rows: str) -> dict[str, str]:
    """In out = rows.sum(axis=0, keepdims=True)."""
    return {
        f"{out} = {rows}": "it has a row for each image; .sum(axis=0, keepdims=True) adds them",
        f"{out} = {rows}.sum(axis=0)": "it is not a row any more; write keepdims=True too",
        f"{out} = {rows}.sum()": "it is one number; .sum(axis=0, keepdims=True) adds the rows only",
        f"{out} = {rows}.mean(axis=0, keepdims=True)": "it is the mean; the reduce needs sums",
    }


def in_the_step() -> dict[str, str]:
    """In each line of the step, W1 - rate * dW1 / n."""
    found: dict[str, str] = {}
    for place, P in enumerate(Parameters._fields):
        old, change = f"parameters[{place}]", f"rate * d{P} / n"
        found |= {
            f"{P} = {old}": "it is unchanged; return the new array",
            f"{P} = {old} + {change}": "`+` goes uphill, to a larger error; the step is `-`",
            f"{P} = {old} - rate * d{P}": "/ n is missing: the step takes the mean",
            f"{P} = {old} - d{P} / n": "the rate is missing",
            f"{P} = {old} - rate * d{P} / Acc": "it divides by Acc; n is the number of images",
            f"{P} = {change}": f"this is the change alone; write {P} - {change}",
        }
    return found


# The checks, one lesson after another.

check = SimpleNamespace()
# fmt: off

# 1 Images as an RDD
check.to_pair = Check("pixels label", "x y", cases.raw_images, in_a_tuple, {
    "x = pixels.reshape(1, 784)": "the pixels are not divided by 255",
    "x = pixels / 255": "it is not a row yet; write reshape(1, 784) too",
    "x = pixels.reshape(1, 784) // 255": "`//` leaves whole numbers only; use `/`",
    "y = label": "it is an integer; a one-hot row belongs here, [[1, 0]] for the digit 0",
    "y = np.eye(2)[label]": "it is not a row yet; np.eye(2)[[label]] is one",
    "y = np.eye(2)[[1 - label]]": "the 1 is in the wrong place; [[1, 0]] stands for the digit 0",
})
check.is_zero = Check("x y", "answer", cases.zero_or_not, in_a_tuple, {
    "answer = y[0, 1] == 1": "it is true for a one; y[0, 0] is 1 where the digit is 0",
    "answer = y == 1": "it gives two answers; a filter needs one: ask for y[0, 0]",
    "answer = y[0] == 1": "it gives two answers; a filter needs one: ask for y[0, 0]",
    "answer = y == [[1, 0]]": "it gives two answers; a filter needs one: ask for y[0, 0]",
    "answer = bool(y == 1)": "a comparison with an array has many answers; ask for y[0, 0]",
    "answer = False": "it is never true; y[0, 0] is 1 where the digit is 0",
    "answer = True": "it is always true; y[0, 0] is 1 where the digit is 0",
})

# 2 Forward
check.sigmoid = Check("z", "a", cases.numbers, one_by_one, {
    "a = 1 / 1 + np.exp(-z)": "put brackets around the divisor: 1 / (1 + np.exp(-z))",
    "a = math.exp(z)": "math.exp takes one number; np.exp takes an array",
    **in_an_activation("a", "z"),
})
check.map_1 = Check("x y", "x H_hat y", cases.images, in_a_tuple, {
    "H_hat = x @ W2": "W2 leads out of the hidden layer; write W1",
    **in_weighted_sums("H_hat", "x", "W1", "B1"),
})
check.map_2 = Check("x H_hat y", "x H_hat H y", cases.images, in_a_tuple, {
    **in_an_activation("H", "H_hat"),
})
check.map_3 = Check("x H_hat H y", "x H_hat H Y_hat y", cases.images, in_a_tuple, {
    "Y_hat = H_hat @ W2 + B2": "it takes H_hat; the output layer sees H",
    "Y_hat = H @ W1": "W1 leads into the hidden layer; write W2",
    "Y_hat = x @ W2": "the output layer sees H, not x",
    **in_weighted_sums("Y_hat", "H", "W2", "B2"),
})
check.map_4 = Check("x H_hat H Y_hat y", "x H_hat H Y_hat Y y", cases.images, in_a_tuple, {
    "Y = sigmoid(H)": "it takes H; take Y_hat",
    "Y = np.exp(Y_hat) / np.exp(Y_hat).sum()": "this is softmax; write sigmoid",
    **in_an_activation("Y", "Y_hat"),
})

# 3 Backward
check.slope = Check("E_of W i j h", "slope", cases.curves, one_by_one, {
    "slope = (E_of(W + bump) - E_of(W)) / h": "it looks to one side only; take up and down",
    "slope = (E_of(W) - E_of(W - bump)) / h": "it looks to one side only; take up and down",
    "slope = (E_of(W + bump) - E_of(W - bump)) / h": "up and down are 2 * h apart; divide by that",
    "slope = (E_of(W + bump) - E_of(W - bump)) / 2 * h": "put brackets: / (2 * h)",
    "slope = E_of(W + bump) - E_of(W - bump)": "it is not divided by 2 * h",
    "slope = (E_of(W - bump) - E_of(W + bump)) / (2 * h)": "the sign is wrong: E of up comes first",
    "slope = 0": "it is 0; make two copies, one for up and one for down, with W.copy()",
    "slope = (E_of(W + h) - E_of(W - h)) / (2 * h)": "all of W is moved; move W[i, j] only",
})
check.sigmoid_prime = Check("z", "slope", cases.numbers, one_by_one, {
    "slope = z * (1 - z)": "it takes z itself; write s = sigmoid(z), then s * (1 - s)",
    "slope = a": "this is sigmoid; its slope is s * (1 - s)",
    "slope = 1 - a": "the factor s is missing; write s * (1 - s)",
    "slope = a * (1 + a)": "the sign is wrong; write s * (1 - s)",
    "slope = a * (a - 1)": "the sign is wrong; write s * (1 - s)",
    "slope = sigmoid_prime(a)": "it takes sigmoid twice; write s = sigmoid(z), then s * (1 - s)",
})
check.map_5 = Check("x H_hat H Y_hat Y y", "x H_hat H E dB2 Acc", cases.both_answers, in_a_tuple, {
    "E = ((Y - y) ** 2).sum()": "the factor 1/2 is missing",
    "E = 0.5 * (Y - y) ** 2": "the sum over the outputs is missing",
    "E = 0.5 * ((Y - y) ** 2).mean()": "it is half of E: write 0.5 * ((Y - y) ** 2).sum()",
    "E = 0.5 * ((Y_hat - y) ** 2).sum()": "it takes Y_hat; take Y",
    "E = 0.5 * np.abs(Y - y).sum()": "the square is missing",
    "dB2 = Y - y * sigmoid_prime(Y_hat)": "put brackets around Y - y",
    "dB2 = Y - y": "the factor sigmoid_prime(Y_hat) is missing",
    "dB2 = (Y - y) * sigmoid_prime(Y)": "it takes sigmoid_prime of Y; take Y_hat",
    "dB2 = (Y - y) * Y": "it takes sigmoid of Y_hat; take sigmoid_prime of Y_hat",
    "dB2 = (y - Y) * sigmoid_prime(Y_hat)": "the sign is wrong; it is Y - y",
    "dB2 = sigmoid_prime(Y_hat)": "the factor Y - y is missing",
    "dB2 = (Y - y) @ Y": "`@` is the matrix product; `*` multiplies element by element",
    "Acc = Y.argmax() == y.argmax()": "NumPy adds True and True to True; write int(...) around it",
    "Acc = 1 - Acc": "it is 1 where the answer is wrong; it should be 1 where it is right",
    "Acc = Y.argmax()": "this is the answer itself; compare it with y.argmax()",
    "Acc = y.argmax()": "this is the right answer; compare it with Y.argmax()",
    "Acc = 1": "it is always 1; it should be 0 where the answer is wrong",
    "Acc = Y.argmax() == y": "it compares a number with a row; write y.argmax()",
})
check.map_6 = Check("x H_hat H E dB2 Acc", "x H_hat E dB2 dW2 Acc", cases.images, in_a_tuple, {
    "dW2 = H_hat.T @ dB2": "it takes H_hat; the factor of W2 is H",
    "dW2 = x.T @ dB2": "it takes x; the factor of W2 is H",
    **in_an_outer_product("dW2", "H", "dB2"),
})
check.map_7 = Check("x H_hat E dB2 dW2 Acc", "x E dB2 dW2 dB1 Acc", cases.images, in_a_tuple, {
    "dB1 = dB2 @ W2.T": "the factor sigmoid_prime(H_hat) is missing",
    "dB1 = dB2 @ W2.T * sigmoid_prime(H)": "it takes sigmoid_prime of H; take H_hat",
    "dB1 = dB2 @ W2.T * H": "it takes sigmoid of H_hat; take sigmoid_prime of H_hat",
    "dB1 = dB2 @ dW2.T * sigmoid_prime(H_hat)": "it takes dW2; take W2",
    "dB1 = dB2 @ W2": "W2 is not transposed; write dB2 @ W2.T",
    "dB1 = W2 @ dB2": "the factors are in the wrong order; write dB2 @ W2.T",
    "dB1 = (W2 @ dB2.T) * sigmoid_prime(H_hat)": "W2 @ dB2.T is a column; write dB2 @ W2.T",
})
check.map_8 = Check("x E dB2 dW2 dB1 Acc", "E dB2 dW2 dB1 dW1 Acc n", cases.images, in_a_tuple, {
    "dW1 = x.T @ dB2": "it takes dB2; W1 leads into the hidden layer: take dB1",
    **in_an_outer_product("dW1", "x", "dB1"),
    "n = x.size": "it counts pixels; this is 1 image",
    "n = 0": "this is 1 image",
})

# 4 The reduce and the step
check.add = Check("a b", SUMS, cases.two_sums, one_by_one, {
    "return a + b": "`+` puts one tuple after the other; add element by element",
    "return a": "it returns a; b is not added",
    "return b": "it returns b; a is not added",
    "E = (a[0] + b[0]) / 2": "it is the mean; the reduce needs sums",
    "dB2 = (a[1] + b[1]) / 2": "it is the mean; the reduce needs sums",
    "n = a[6] + 1": "b may be a sum of many images already; add its n, not 1",
    "n = a[6]": "this is n of a alone; add n of b",
    "n = 2": "a and b may be sums of many images already; add their n",
})
OTHER_ORDER = "the sums begin with the last layer: E, dB2, dW2, dB1, dW1, Acc, n"
check.step = Check("parameters sums rate", "W1 B1 W2 B2", cases.a_step, one_by_one, {
    "return W1 - dB2": OTHER_ORDER,
    "return W1 - dW2": OTHER_ORDER,
    **in_the_step(),
})

# 5 What Spark does with it
check.partition_sums = Check("pairs", SUMS, cases.partitions, in_a_partition, {
    "return list(sums)": "`return` gives Spark seven elements; `yield` gives one, the tuple",
    **in_sums_over_rows("dB2", "D2"),
    **in_sums_over_rows("dB1", "D1"),
    "dW1 = dW1 / n": "it is the mean; the reduce needs sums",
    "dW2 = dW2 / n": "it is the mean; the reduce needs sums",
    "E = E / n": "it is the mean; the reduce needs sums",
    "Acc = Y.argmax() == y.argmax()": "it looks at all rows at once; write argmax(axis=1)",
    "Acc = Acc / n": "it is the mean; the reduce needs sums",
    "n = 1": "a block has many images; write len(X)",
    "n = x.size": "it counts pixels; n counts images, len(X)",
})
NEW_W2 = "D1 was computed with the new W2; compute it before you change W2"
check.learn = Check("parameters X y rate", "W1 B1 W2 B2", cases.a_step, one_by_one, {
    "W1 = parameters[0] - rate * X.T @ D1_of_new_W2 / n": NEW_W2,
    "B1 = parameters[1] - rate * D1_of_new_W2.sum(axis=0, keepdims=True) / n": NEW_W2,
    "B1 = parameters[1] - rate * D1 / n": "D1 has a row for each image; add the rows first",
    "B2 = parameters[3] - rate * D2 / n": "D2 has a row for each image; add the rows first",
    **in_the_step(),
})

# 6 Networks of layers
check.dense_backward = Check("a W delta", "dW dB before", cases.layers, one_by_one, {
    **in_an_outer_product("dW", "a", "delta"),
    "dW = dW / len(a)": "it is the mean; the reduce needs sums",
    **in_sums_over_rows("dB", "delta"),
    "before = delta @ W": "W is not transposed; write delta @ W.T",
    "before = W @ delta.T": "it has a column for each image; write delta @ W.T",
    "before = delta @ dW.T": "it takes dW; take W",
    "before = delta @ W.T * sigmoid_prime(a)": "a dense layer has no activation, so no slope of it",
})
check.relu = Check("H_hat", "H", cases.layers, one_by_one, {
    "H = np.abs(H_hat)": "this is the absolute value; numbers below 0 become 0",
    "H = np.minimum(H_hat, 0)": "it keeps the numbers below 0; keep those above",
    "H = H_hat > 0": "it is only 0 or 1; keep the numbers above 0 as they are",
    "H = np.max(H_hat, 0)": "np.max looks for the largest of a column; write np.maximum",
    "H = max(H_hat, 0)": "max compares single numbers; write np.maximum",
    "H = sigmoid(H_hat)": "this is sigmoid; relu is np.maximum(H_hat, 0)",
})
check.relu_backward = Check("H_hat delta", "after", cases.layers, one_by_one, {
    "after = H_hat > 0": "this is the slope of relu alone; multiply delta by it",
    "after = delta * H": "it multiplies by relu itself; multiply by its slope, H_hat > 0",
    "after = delta * (delta > 0)": "it asks where delta > 0; ask where H_hat > 0",
    "after = delta * (H_hat < 0)": "it keeps the other half; relu has a slope where H_hat > 0",
    "after = delta * sigmoid_prime(H_hat)": "this is sigmoid's slope; that of relu is H_hat > 0",
})
PLACES = "the check's picture has 9 pixels in a row, its window 3, so there are 7 places"
check.convolve = Check("picture window b", "seen", cases.layers, one_by_one, {
    "seen = 0 * seen": "it is all 0; set each seen[i, j]",
    "seen = seen - b": "+ b is missing",
    "seen = seen.T": "rows and columns are exchanged; seen[i, j] comes from picture[i, j]",
    "seen = seen[:-1, :-1]": f"the last windows are missing; {PLACES}",
    "seen = np.pad(seen, ((0, 2), (0, 2)))": f"the window goes beyond the edge; {PLACES}",
    "seen = turned": "the window is turned round; multiply what lies in the same place",
    "seen = (seen - b) / window.size + b": "it is the mean of the products; take their sum",
})

# 7 Score it, and your own handwriting
check.outcomes = Check("Y y", "counts", cases.answers, in_a_tuple, {
    "counts = by_largest": "it takes the largest output; ask which outputs round to 1",
    "counts = counts[:, [0, 2, 1, 3]]": "FP and FN are exchanged; FP: predicted, but another digit",
    "counts = counts[:, [2, 3, 0, 1]]": "predicted and not predicted are exchanged",
    "counts = counts.T": "return a row for each digit, with TP, FP, FN, TN in it",
    "counts = counts[:, :3]": "TN is missing: not predicted, and another digit",
    "counts = counts[0]": "it counts for the digit 0 only; return a row for each digit",
})
check.scores = Check("TP FP FN TN", "precision recall", cases.counts, one_by_one, {
    "precision = (TP + TN) / (TP + FP + FN + TN)": "this is accuracy; precision is TP / (TP + FP)",
    "precision = TP / FP": "divide by all images predicted as this digit, TP + FP",
    "precision = TP // (TP + FP)": "`//` leaves whole numbers only; use `/`",
    "precision = TP / TP + FP": "put brackets: TP / (TP + FP)",
    "recall = TN / (TN + FP)": "this is specificity; recall is TP / (TP + FN)",
    "recall = TP / TP + FN": "put brackets: TP / (TP + FN)",
    "recall = TP / FN": "divide by all images of this digit, TP + FN",
})
check.to_row = Check("paper", "x", cases.drawings, one_by_one, {
    "x = paper.reshape(1, 784) / 255": "ink is near 1 in MNIST, and near 0 here; turn it round",
    "x = 255 - paper.reshape(1, 784)": "it is not divided by 255",
    "x = 1 - paper / 255": "it is not a row yet; write reshape(1, 784) too",
    "x = (1 - paper / 255).reshape(784)": "it is not a row yet; write reshape(1, 784)",
    "x = (1 - paper).reshape(1, 784) / 255": "white is 255 here, not 1; write 255 - paper",
})
check.leaning = Check("x y", "E dB dW n", cases.leaning, in_a_tuple, {
    "E = ((Y - y) ** 2).sum()": "the factor 1/2 is missing",
    "dB = (Y - y) * sigmoid_prime(Y)": "there is no sigmoid here, so there is no slope of it",
    "dB = sigmoid(Y) - y": "there is no sigmoid here; Y is x @ W + B",
    "dB = y - Y": "the sign is wrong; it is Y - y",
    "dW = x * dB": "it is a row; x.T @ dB is a column, as W is",
    "dW = x @ dB": "x is not transposed; write x.T @ dB",
    "n = x.size": "it counts pixels; this is 1 image",
})
