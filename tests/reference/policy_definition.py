# SPDX-License-Identifier: Apache-2.0
"""C2SP tlog-policy's quorum, by its definition: recursion from the quorum down."""


def stands(name, groups, cosigned):
    """Whether a witness or group stands for a checkpoint.

    groups: name -> (threshold, members); names that are no groups are witnesses.
    """
    if name == "none":
        return True
    if name not in groups:
        return name in cosigned
    threshold, members = groups[name]
    return [stands(m, groups, cosigned) for m in members].count(True) >= threshold


def smallest_quorum(n):
    """The smallest q with q > (n + f)/2 and f = floor((n - 1)/3), by trying."""
    faults = max(f for f in range(n) if 3 * f + 1 <= n)
    return min(q for q in range(1, n + 1) if 2 * q > n + faults)
