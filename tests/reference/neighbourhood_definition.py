# SPDX-License-Identifier: Apache-2.0
"""Neighbourhoods in time written down as they are defined, event by event; slow."""


def earlier(node, query, other=None):
    """Return the events before ``query`` that touch its node, the newest first."""
    wanted = node[query]
    return [
        event
        for event in range(query - 1, -1, -1)
        if node[event] == wanted or (other is not None and other[event] == wanted)
    ]


def at_rank(past, rank):
    """Return the event at that rank, -1 if there are fewer."""
    return past[rank - 1] if len(past) >= rank else -1


def alike(past, attribute, own, window):
    """Return the part of a whole window that has the query's own attribute."""
    return sum(attribute[event] == own for event in past[:window]) / window


def diversity(past, attribute, window):
    """Return how many different attributes the window shows."""
    return len({attribute[event] for event in past[:window]})


def mean(past, values, window):
    """Return the mean of the window, 0 if it is empty."""
    chosen = [values[event] for event in past[:window]]
    return sum(chosen) / len(chosen) if chosen else 0.0


def within(past, seconds, query, window_s):
    """Return how many of them happened at most that many seconds before the query."""
    return sum(seconds[query] - seconds[event] <= window_s for event in past)
