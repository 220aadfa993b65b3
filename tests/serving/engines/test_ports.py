"""Free ports."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from serving.engines.ports import free_port, free_ports


def test_a_free_port_can_be_bound():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", free_port()))


def test_several_free_ports_are_different_and_can_be_bound():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
