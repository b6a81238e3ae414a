#!/usr/bin/env bash
# Linux 6.3 or newer (for IP_LOCAL_PORT_RANGE, which makes it certain), python3 3.9 or newer.
#
# What one would guess: while a connection is open, its local port is its own. So a program that connects to several servers can
#   tell its connections apart by their local ports, as a log or a table of names does.
# What happens: connect(2) gives out a local port again while another connection of the same process has it, if the two go to
#   different servers: only both ends together are unique. On a busy machine that happens by chance; here each socket may choose
#   from one port only. Where bind(2) with port 0 chooses before connecting, the port isn't shared, and the second bind fails.
# Source: ip(7), IP_BIND_ADDRESS_NO_PORT (a port chosen at connect time may be shared as long as the four-tuple is unique) and
#   IP_LOCAL_PORT_RANGE; tcp(7) and connect(2) say nothing of it.
# Seen with it (Linux 6.18.44, python3 3.11.7):
#   two servers, no bind: both connected, local ports are the same
#   one server, no bind: the second gets EADDRNOTAVAIL
#   two servers, bind before connect: the second gets EADDRINUSE
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/shows.py" <<'PYTHON'
import errno
import socket
import struct

IP_LOCAL_PORT_RANGE = 51  # linux/in.h; python's socket module has no name for it


def listener():
    listens = socket.socket()
    listens.bind(("127.0.0.1", 0))
    listens.listen()
    return listens


def free_port():
    with listener() as listens:
        return listens.getsockname()[1]


def connect(server, port, binds):
    """A connection whose local port can only be this one; or the name of the error."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port | port << 16))
    try:
        if binds:
            client.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
    except OSError as error:
        return errno.errorcode[error.errno]
    return client


def both(servers, binds):
    port = free_port()
    first, second = (connect(server, port, binds) for server in servers)
    if isinstance(second, str):
        return f"the second gets {second}"
    ports = {client.getsockname()[1] for client in (first, second)}
    return f"both connected, local ports are {'the same' if len(ports) == 1 else 'different'}"


one, other = listener(), listener()
print("two servers, no bind:", both((one, other), False))
print("one server, no bind:", both((one, one), False))
print("two servers, bind before connect:", both((one, other), True))
PYTHON
seen=$(python3 "$folder/shows.py")
expected='two servers, no bind: both connected, local ports are the same
one server, no bind: the second gets EADDRNOTAVAIL
two servers, bind before connect: the second gets EADDRINUSE'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    echo "this has changed: it used to be" >&2
    printf '%s\n' "$expected" >&2
    exit 1
fi
