# SPDX-License-Identifier: Apache-2.0
"""Lines of OpenSSH; those without a source are of the loghub collection's forms."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.sshd import read

A = "173.234.31.186"


def auth(state: State, user: str, port: int = -1, source: str = A) -> Edge:
    return edge(Kind.AUTH, state, port, source, user)


def edge(
    kind: Kind, state: State, port: int = -1, source: str = A, user: str = ""
) -> Edge:
    return Edge(
        kind=kind,
        source=source,
        destination="h",
        source_port=port,
        protocol=6,
        service=Service.SSH,
        state=state,
        user=user,
    )


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # As auth_log of OpenSSH, auth.c, writes
        (
            f"Failed password for root from {A} port 38926 ssh2",
            auth(State.REJECTED, "root", 38926),
        ),
        (
            f"Failed password for invalid user web master from {A} port 1 ssh2",
            auth(State.REJECTED, "web master", 1),
        ),
        (
            f"Failed password for invalid user  from {A} port 1 ssh2",
            auth(State.REJECTED, "", 1),
        ),
        (
            (
                "Accepted publickey for alice from 2001:db8::5 port 50022 ssh2: "
                "ED25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
            ),
            auth(State.COMPLETED, "alice", 50022, "2001:db8::5"),
        ),
        (
            f"message repeated 5 times: [ Failed password for r from {A} port 7 ssh2]",
            auth(State.REJECTED, "r", 7),
        ),
        # As getpwnamallow and allowed_user of auth.c write
        (f"Invalid user webmaster from {A}", auth(State.REJECTED, "webmaster")),
        (f"Invalid user  from {A} port 5", auth(State.REJECTED, "", 5)),
        (
            f"User root from {A} not allowed because not listed in AllowUsers",
            auth(State.REJECTED, "root"),
        ),
        # As sshpkt_vfatal and ssh_packet_read_poll2_mux of packet.c write
        (
            f"Connection closed by {A} [preauth]",
            edge(Kind.SSH, State.ABANDONED),
        ),
        (
            f"Connection closed by invalid user a b {A} port 9 [preauth]",
            edge(Kind.SSH, State.ABANDONED, 9),
        ),
        (
            f"Connection reset by authenticating user root {A} port 9 [preauth]",
            edge(Kind.SSH, State.RESET_BY_SOURCE, 9),
        ),
        (
            f"Received disconnect from {A}: 11: Bye Bye [preauth]",
            edge(Kind.SSH, State.COMPLETED),
        ),
        (
            f"error: Received disconnect from {A} port 52:3: Auth fail [preauth]",
            edge(Kind.SSH, State.COMPLETED, 52),
        ),
        # sshd.c
        (
            f"Did not receive identification string from {A}",
            edge(Kind.SSH, State.ABANDONED),
        ),
        (
            f"Connection from {A} port 4 on 10.0.0.1 port 22",
            edge(Kind.SSH, State.ESTABLISHED, 4),
        ),
        (
            f"Bad protocol version identification 'from 9.9.9.9' from {A} port 4",
            edge(Kind.SSH, State.REJECTED, 4),
        ),
    ],
)
def test_lines(text: str, want: Edge) -> None:
    assert read(text, "h") == want


def test_a_name_cannot_pass_for_an_address() -> None:
    """The account is called like the rest of a line, to blame 9.9.9.9."""
    name = "root from 9.9.9.9 port 1 ssh2"
    for text in (
        f"Failed password for invalid user {name} from {A} port 2 ssh2",
        f"Invalid user {name} from {A} port 2",
        f"Connection closed by invalid user {name} {A} port 2 [preauth]",
    ):
        found = read(text, "h")
        assert isinstance(found, Edge)
        assert (found.source, found.source_port) == (A, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Server listening on 0.0.0.0 port 22.",
        "input_userauth_request: invalid user webmaster [preauth]",
        (
            f"reverse mapping checking getaddrinfo for x [{A}] failed - "
            "POSSIBLE BREAK-IN ATTEMPT!"
        ),
        f"Disconnected from {A} port 1",
        f"Failed none for invalid user 0 from {A} port 1 ssh2",
        f"Postponed publickey for a from {A} port 1 ssh2",
        "Failed",
        "Invalid user ",
    ],
)
def test_lines_that_are_no_edge(text: str) -> None:
    assert isinstance(read(text, "h"), str)


def test_a_port_that_is_none() -> None:
    with pytest.raises(InvalidTelemetry, match="port is not a number"):
        read(f"Failed password for root from {A} port 65536 ssh2", "h")
