#!/usr/bin/env bash
# Linux 6.18, Python 3.11 for its sockets.
#
# What one would guess: a socket gives out what has come in the order in which it came. Two datagrams that were there
#   first are received first, and then the news that a datagram sent later was refused.
# What happens: on a connected UDP socket the refusal (ICMP "port unreachable") is kept apart, in one place, and given out
#   by the next call whatever that is: before all datagrams that wait, however old they are. A program that takes an error
#   from recv for the end of what has come loses two datagrams that are there. The same call, made again, gives them.
# Source: udp(7), "Error handling" (errors are reported on the next call, which may be any); socket(7), SO_ERROR. Neither
#   says that the queue is overtaken.
# Seen with it:
#   Connection refused
#   b'first'
#   b'second'
#   Resource temporarily unavailable
set -euo pipefail

seen=$(python3 - <<'PYTHON'
import os
import select
import socket

ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for one in ours, theirs:
    one.bind(("127.0.0.1", 0))
ours.connect(theirs.getsockname())
theirs.connect(ours.getsockname())
theirs.send(b"first")
theirs.send(b"second")
# Both are here by now: on loopback, send returns when they are.
assert select.select([ours], [], [], 5)[0]
theirs.close()
ours.send(b"nobody listens any more")
for _ in range(4):
    try:
        print(ours.recv(100, socket.MSG_DONTWAIT))
    except OSError as error:
        print(os.strerror(error.errno))
PYTHON
)
expected="Connection refused
b'first'
b'second'
Resource temporarily unavailable"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    printf 'changed; expected:\n%s\n' "$expected" >&2
    exit 1
fi
