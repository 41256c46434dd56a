# SPDX-License-Identifier: Apache-2.0
"""Lines of PAM, sudo, su and old remote services."""

from __future__ import annotations

import pytest

from fedxdr.telemetry import authlog
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import Edge


def auth(
    state: State,
    user: str,
    source: str = "h",
    text: str = "",
    service: Service = Service.UNKNOWN,
) -> Edge:
    return Edge(
        kind=Kind.AUTH,
        source=source,
        destination="h",
        service=service,
        state=state,
        user=user,
        text=text,
    )


FAILED = "authentication failure; logname= uid=0 euid=0 tty=x ruser= rhost="


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # Linux-PAM, pam_unix support.c
        (
            f"pam_unix(vsftpd:auth): {FAILED}192.0.2.7  user=root",
            auth(State.REJECTED, "root", "192.0.2.7"),
        ),
        (f"pam_unix(login:auth): {FAILED}", auth(State.REJECTED, "")),
        (
            f"pam_unix(x:auth): {FAILED}192.0.2.7  user=a rhost=9.9.9.9",
            auth(State.REJECTED, "a rhost=9.9.9.9", "192.0.2.7"),
        ),
        # pam_unix_sess.c, with and without the number of the account
        (
            "pam_unix(su:session): session opened for user root(uid=0) by alice(uid=1)",
            auth(State.COMPLETED, "root"),
        ),
        (
            "pam_unix(cron:session): session opened for user news by (uid=0)",
            auth(State.COMPLETED, "news"),
        ),
        (f"pam_unix(sshd:auth): {FAILED}192.0.2.7  user=root", authlog.TOLD),
        ("pam_unix(sudo:session): session opened for user root", authlog.TOLD),
        ("pam_unix(su:session): session closed for user root", authlog.NO_SESSION),
        ("pam_unix(x:auth): check pass; user unknown", authlog.NO_SESSION),
        ("pam_unix", authlog.NO_SESSION),
    ],
)
def test_pam(text: str, want: Edge | str) -> None:
    assert authlog.pam(text, "h") == want


def test_pam_of_the_old_form_tells_of_ssh() -> None:
    """As in the loghub collection, Linux."""
    text = f"{FAILED}220-135-151-1.hinet-ip.hinet.net  user=root"
    assert authlog.old_pam("sshd", text, "h") == auth(
        State.REJECTED, "root", "220-135-151-1.hinet-ip.hinet.net", service=Service.SSH
    )
    for other in (FAILED, "session opened for user test by (uid=509)"):
        assert authlog.old_pam("sshd", other, "h") == "PAM: names no address"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # As sudoers(5) says under LOG FORMAT
        (
            "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/ls /",
            auth(State.COMPLETED, "alice", text="/bin/ls /"),
        ),
        (
            (
                "alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=b ; "
                "COMMAND=/bin/sh"
            ),
            auth(State.REJECTED, "alice", text="/bin/sh"),
        ),
        (
            "bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=r ; COMMAND=/bin/sh",
            auth(State.REJECTED, "bob", text="/bin/sh"),
        ),
        (
            "bob : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/echo not allowed",
            auth(State.COMPLETED, "bob", text="/bin/echo not allowed"),
        ),
        ("unable to resolve host h", "sudo: no command"),
        ("alice : problem with defaults entries ; TTY=pts/0", "sudo: no command"),
    ],
)
def test_sudo(text: str, want: Edge | str) -> None:
    assert authlog.sudo(text, "h") == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # As log_syslog of util-linux, su-common.c, writes
        ("(to root) alice on pts/0", auth(State.COMPLETED, "root")),
        ("FAILED SU (to root) alice on pts/0", auth(State.REJECTED, "root")),
        # shadow, su.c
        ("Successful su for root by alice", auth(State.COMPLETED, "root")),
        ("FAILED su for root by alice", auth(State.REJECTED, "root")),
        ("+ pts/0 alice:root", "su: no attempt"),
    ],
)
def test_su(text: str, want: Edge | str) -> None:
    assert authlog.su(text, "h") == want


def test_old_remote_services() -> None:
    """As in the loghub collection, Linux."""
    found = authlog.ftpd("connection from 24.54.76.216 (x.net) at Fri Jun 17", "h")
    assert isinstance(found, Edge)
    assert (found.kind, found.source, found.user) == (Kind.FTP, "24.54.76.216", "")
    found = authlog.ftpd("ANONYMOUS FTP LOGIN FROM 84.102.20.2,  (anonymous)", "h")
    assert isinstance(found, Edge)
    assert (found.kind, found.source, found.user) == (
        Kind.AUTH,
        "84.102.20.2",
        "anonymous",
    )
    assert isinstance(authlog.ftpd("getpeername (ftpd): not connected", "h"), str)
    found = authlog.klogind("Authentication failed from x.net (163.27.187.39): no", "h")
    assert isinstance(found, Edge)
    assert (found.source, found.state) == ("163.27.187.39", State.REJECTED)
    assert isinstance(authlog.klogind("Kerberos authentication failed", "h"), str)
