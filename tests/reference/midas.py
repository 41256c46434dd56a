# SPDX-License-Identifier: Apache-2.0
"""MIDAS-F written down edge by edge, as Bhatia et al. define it; slow.

With ``exact`` every tick is walked one by one, quiet ones too, and numbers are
fractions: that is the paper's algorithm without any rounding. Otherwise a cell's quiet
ticks are one step of their closed form, in floating point.
"""

import hashlib
import hmac
from fractions import Fraction

WORD = 2**64


class Cell:
    """Counts of one cell of a count-min sketch."""

    def __init__(self, number):
        self.before, self.count, self.total, self.score = (number(0) for _ in range(4))
        self.tick = 1

    def current(self):
        return self.before + self.count


def scores(edges, *, tick_s, rows, columns, threshold, decay, seed, exact=False):
    """Return [edge, source, destination] scores of (time_ns, source, destination)."""
    number = Fraction if exact else float
    decay, threshold = number(str(decay)), number(str(threshold))
    keys = row_keys(seed, rows)
    cells = {}
    begin = now = None
    found = []
    for time_ns, source, destination in edges:
        absolute = time_ns // (tick_s * 10**9)
        begin = absolute if begin is None else begin
        now = max(now or 1, absolute - begin + 1)
        row_of_scores = []
        for part in range(3):
            met = [
                cells.setdefault(
                    (part, row, column(part, keys[row], source, destination, columns)),
                    Cell(number),
                )
                for row in range(rows)
            ]
            for cell in met:
                catch_up(cell, now, threshold, decay, number, exact=exact)
                cell.count += 1
            a = min(cell.current() for cell in met)
            s = min(cell.total for cell in met)
            t = number(now)
            gap = a + s - a * t  # squared by hand: a library's pow may round
            score = gap * gap / (s * (t - 1)) if s > 0 else number(0)
            for cell in met:
                cell.score = score
            row_of_scores.append(score)
        found.append(row_of_scores)
    return found


def catch_up(cell, now, threshold, decay, number, *, exact):
    """Close the ticks [cell.tick, now): merge on condition, then fade."""
    while cell.tick < now:
        steps = 1 if exact else now - cell.tick
        faded = power(decay, steps)
        if cell.score < threshold:
            cell.total += cell.current() * ((1 - faded) / (1 - decay))
        elif cell.tick > 1:
            # as if its mean so far, total / (tick - 1), had come in each of them
            cell.total *= number(cell.tick + steps - 1) / number(cell.tick - 1)
        cell.before, cell.count = cell.current() * faded, number(0)
        cell.tick += steps


def power(base, exponent):
    """Return base ** exponent, multiplied from the exponent's lowest bit up."""
    found = base**0
    while exponent:
        if exponent % 2:
            found = found * base
        base, exponent = base * base, exponent // 2
    return found


def row_keys(seed, rows):
    """Return seven 64-bit numbers per row: RFC 5869 over SHA-256 without a salt."""
    label = b"fedxdr/prefilter/v1\x00"
    secret = hmac.digest(bytes(32), seed.to_bytes(32, "big"), hashlib.sha256)
    stream = last = b""
    while len(stream) < rows * 56:
        turn = bytes([len(stream) // 32 + 1])
        last = hmac.digest(secret, last + label + turn, hashlib.sha256)
        stream += last
    words = [
        int.from_bytes(stream[at : at + 8], "big") for at in range(0, rows * 56, 8)
    ]
    return [words[row * 7 : row * 7 + 7] for row in range(rows)]


def column(part, key, source, destination, columns):
    """Return where an edge (part 0), a source (1) or a destination (2) is counted."""
    *added, a, b, c, d = key
    mixed = added[part]
    if part != 2:
        mixed += a * (source % 2**32) + b * (source % WORD >> 32)
    if part != 1:
        mixed += c * (destination % 2**32) + d * (destination % WORD >> 32)
    return (mixed % WORD >> 32) * columns >> 32
