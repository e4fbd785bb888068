"""Many vectors, kept small, so that a million are gone through in milliseconds.

Each number is rounded to four bits. The first bit, the sign, of all of them is kept together, the other three with each
vector. A search goes in three steps. All are compared by how many signs differ from the query's, a matter of counting
bits: where two have the same signs, they point the same way. Of the best share, the query's own numbers are added up by
the signs; and of the best of these, all four bits tell how near they are, so well that whoever asks need look at a
hundred to find the ten nearest. Nothing is learnt from the vectors but their mean, which is subtracted, so that signs
are as often plus as minus: it costs little to make, and vectors can come in any order, and queries can be of another
kind than what they look for. Knows nothing of files, databases or texts.
"""

from __future__ import annotations

from typing import Any

BLOCK = 1 << 14  # so many vectors are gone through at a time: what is made on the way stays in the processor's cache
WORD = 64
SHARE = 50  # one in so many is looked at in the second step …
LEAST = 8_000  # … but not fewer than these
LAST = 3_000  # so many are looked at in the third
GRAIN = 8  # every so many-th vector tells how near those must be
SPARSE = 8  # when not even one in so many counts, only those are looked at
BITS = 4
WIDE = 2.7 * 1.2533  # these hold numbers up to so many times the mean of all, which leaves out very few
ROUGHLY, CLOSELY = 3, 5  # bits to which a query's numbers are rounded in the second and third step
AT_ONCE = 1 << 12
FAR = 0xFFFF


class Signs:
    """The vectors, in the order in which they came. `rows` are their numbers, and `items` what they belong to.

    `codes` are their signs: for each block, the first 64 signs of all its vectors, then the next 64, and so on; `scale`
    makes of the signs' product with a query an estimate of the vector's. `fine` are the other bits of the rounded
    numbers, and `step` is what one of those counts.
    """

    def __init__(self, mean: Any, codes: Any, scale: Any, step: Any, rows: Any, items: Any, fine: Any) -> None:
        self.mean = mean
        self.codes = codes
        self.scale = scale
        self.step = step
        self.rows = rows
        self.items = items
        self.fine = fine
        self._order: Any = None

    @classmethod
    def shapes(cls, dimension: int, room: int) -> dict[str, tuple[str, tuple[int, ...]]]:
        """What `room` vectors take: the type and shape of each of the arrays, by name."""
        words, blocks = -(-dimension // WORD), -(-room // BLOCK)
        return {
            "mean": ("<f4", (dimension,)),
            "codes": ("<u8", (blocks, words, BLOCK)),
            "scale": ("<f4", (room,)),
            "step": ("<f4", (room,)),
            "rows": ("<i8", (room,)),
            "items": ("<i8", (room,)),
            "fine": ("<u8", (room, BITS - 1, words)),
        }

    @classmethod
    def made(cls, mean: Any, room: int) -> Signs:
        """Room for so many vectors, in memory."""
        import numpy as np

        arrays = {name: np.zeros(shape, kind) for name, (kind, shape) in cls.shapes(len(mean), room).items()}
        arrays["mean"][:] = mean
        return cls(**arrays)

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, start: int, rows: Any, items: Any, vectors: Any) -> None:
        """Keep vectors from a place on."""
        import numpy as np

        end, places = start + len(rows), np.arange(start, start + len(rows))
        apart = vectors - self.mean
        total = np.maximum(np.abs(apart).sum(axis=1), 1e-9)
        half = 1 << (BITS - 1)
        step = total * (WIDE / half / len(self.mean))
        rounded = np.clip(np.floor(apart / step[:, None]) + half, 0, 2 * half - 1).astype("u1")
        self.codes[places // BLOCK, :, places % BLOCK] = self._words(rounded >= half)
        for bit in range(BITS - 1):
            self.fine[start:end, bit] = self._words((rounded >> (BITS - 2 - bit)) & 1)
        self.scale[start:end] = np.einsum("ij,ij->i", apart, apart) / total
        self.step[start:end], self.rows[start:end], self.items[start:end] = step, rows, items

    def put_all(self, others: Signs) -> None:
        """Keep what others with the same mean have, from the first place on."""
        self.codes[: len(others.codes)] = others.codes
        for name in ("scale", "step", "rows", "items", "fine"):
            getattr(self, name)[: len(others)] = getattr(others, name)

    def shortened(self, size: int) -> Signs:
        """Only the first of them."""
        arrays = (self.scale, self.step, self.rows, self.items, self.fine)
        return Signs(self.mean, self.codes[: -(-size // BLOCK)], *(array[:size] for array in arrays))

    def same(self, places: Any, others: Signs, at: Any) -> bool:
        """Whether what stands at some places is what others have at theirs."""
        return bool(
            (self._signs_at(places) == others._signs_at(at)).all()
            and (self.fine[places] == others.fine[at]).all()
            and (self.items[places] == others.items[at]).all()
        )

    def _words(self, bits: Any) -> Any:
        """Rows of bits as whole words."""
        import numpy as np

        packed = np.packbits(bits, axis=1, bitorder="little")
        whole = np.zeros((len(packed), 8 * self.codes.shape[1]), "u1")
        whole[:, : packed.shape[1]] = packed
        return whole.view("<u8")

    def _signs_at(self, places: Any) -> Any:
        """The signs of the vectors at some places, as columns of whole words."""
        import numpy as np

        words = self.codes.shape[1]
        first = (places // BLOCK) * (words * BLOCK) + places % BLOCK
        return np.take(self.codes.reshape(-1), first + BLOCK * np.arange(words)[:, None])

    def places_of(self, items: Any) -> Any:
        """Where some items stand, which are given in ascending order; not all need be here."""
        import numpy as np

        if self._order is None:
            ascending = bool((self.items[1:] > self.items[:-1]).all())
            self._order = np.arange(0) if ascending else np.argsort(self.items, kind="stable")
        ordered = self.items[self._order] if len(self._order) else self.items
        at = np.searchsorted(ordered, items)
        at = at[at < len(ordered)] if len(ordered) else at[:0]
        there = at[ordered[at] == items[: len(at)]]
        return self._order[there] if len(self._order) else there

    def nearest(self, query: Any, count: int, among: Any = None) -> tuple[Any, Any]:
        """The rows that are likely nearest, in no order, and about how near each is; `among` are the places that
        count.
        """
        places = among
        if among is None or SPARSE * len(among) > len(self):
            places = self._first(self._differences(query), max(LEAST, len(self) // SHARE), among)
        if len(places) > (some := max(LAST, 4 * count)):
            places = places[largest(self._about(query, places, 1, ROUGHLY, 2 * self.scale[places]), some)]
        about = self._about(query, places, BITS, CLOSELY, self.step[places])
        best = largest(about, count)
        return self.rows[places[best]], about[best]

    def _differences(self, query: Any) -> Any:
        """How many signs of each differ from the query's."""
        import numpy as np

        wanted = self._words((query >= self.mean)[None])[0][:, None]
        found = np.empty(len(self.codes) * BLOCK, "u2")
        step = min(3, len(wanted))  # 3 * 64 is still less than 256
        different, counts, part = np.empty((step, BLOCK), "u8"), np.empty((step, BLOCK), "u1"), np.empty(BLOCK, "u1")
        for number, codes in enumerate(self.codes):
            total = found[number * BLOCK : (number + 1) * BLOCK]
            total[:] = 0
            for first in range(0, len(wanted), step):
                some = min(step, len(wanted) - first)
                np.bitwise_xor(codes[first : first + some], wanted[first : first + some], out=different[:some])
                np.bitwise_count(different[:some], out=counts[:some])
                np.add.reduce(counts[:some], axis=0, dtype="u1", out=part)
                np.add(total, part, out=total)
        return found[: len(self)]

    def _first(self, differences: Any, count: int, among: Any) -> Any:
        """The places where the fewest signs differ: about so many."""
        import numpy as np

        if among is not None:
            left = np.full(len(differences), FAR, "u2")
            left[among] = differences[among]
            differences = left
        grain = GRAIN if len(differences) > GRAIN * count else 1
        upto = np.cumsum(np.bincount(differences[::grain])) * grain
        return np.flatnonzero(differences <= min(int(np.searchsorted(upto, count)), FAR - 1))

    def _about(self, query: Any, places: Any, bits: int, levels: int, weight: Any) -> Any:
        """About how near the vectors at some places are, by the first so many bits of their numbers.

        The query's numbers are rounded too, so that bits can be counted again: the product of two numbers is that of
        each bit of one with each of the other, and all those of the same worth are counted at once.
        """
        import numpy as np

        low, high = float(query.min()), float(query.max())
        step = (high - low) / (2**levels - 1) or 1.0
        rounded = np.rint((query - low) / step).astype("u1")
        asked = self._words([(rounded >> level) & 1 for level in range(levels)])[:, :, None]
        worth = (2.0 ** np.arange(bits)[::-1])[:, None]
        about = np.empty(len(places), "f4")
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            kept = np.empty((bits, self.codes.shape[1], len(some)), "u8")
            kept[0] = self._signs_at(some)
            if bits > 1:
                kept[1:] = self.fine[some].transpose(1, 2, 0)
            sums = low * _counted(kept)
            for level in range(levels):
                sums += step * 2**level * _counted(kept & asked[level])
            about[start : start + AT_ONCE] = (worth * sums).sum(axis=0)  # `@` would wait for the other cores
        least = (2**bits - 1) / 2 * float(query.sum())
        return weight * (about - least) + float(query @ self.mean)


def _counted(kept: Any) -> Any:
    """How many bits are set in all the words of each."""
    import numpy as np

    return np.add.reduce(np.bitwise_count(kept), axis=1, dtype="u2")


def largest(values: Any, count: int) -> Any:
    """Where the largest values stand, in no order."""
    import numpy as np

    return np.argpartition(-values, count - 1)[:count] if len(values) > count else np.arange(len(values))
