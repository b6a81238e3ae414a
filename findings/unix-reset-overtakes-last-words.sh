#!/usr/bin/env bash
# Linux 6.18; python3 3.8 or newer.
#
# What one would guess: two processes speak over a pair of Unix sockets, one says its last words and ends. The other reads them, and
#   then the end; if it sends something meanwhile, it gets EPIPE. That's how it is, if the one that ended had read all.
# What happens: if there was something that it hadn't read, the other end is told so by ECONNRESET, once. On a socket of the kind
#   SOCK_STREAM the last words are read first, and ECONNRESET comes behind them. With SOCK_SEQPACKET it's the other way round:
#   the first recv fails with ECONNRESET, and whoever takes that for the end never reads the last words, which the next recv gives. send
#   there fails with ECONNRESET once, and with EPIPE from then on; on a SOCK_STREAM socket with EPIPE at once. So after ECONNRESET
#   one has to receive again.
# Source: unix_release_sock() in the kernel's net/unix/af_unix.c sets the error on the other end where its own queue isn't empty; packets are
#   received by __skb_try_recv_datagram() (net/core/datagram.c), which looks for an error before it looks into the queue. unix(7) has
#   ECONNREFUSED and EPIPE, and says nothing of this one.
# Seen with it (Linux 6.18.44): the lines below.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/shows.py" <<'PYTHON'
import errno
import socket


def outcome(call):
    try:
        return call().decode() or "the end"
    except OSError as error:
        return errno.errorcode[error.errno]


def pair(kind, leaves_something):
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    if leaves_something:
        here.send(b"a question")
    return here, there


def sent(socket):
    socket.send(b"more")
    return b"sent"


for name, kind in [("stream", socket.SOCK_STREAM), ("seqpacket", socket.SOCK_SEQPACKET)]:
    for leaves_something in [False, True]:
        here, there = pair(kind, leaves_something)
        there.send(b"last words")
        there.close()
        heard = [outcome(lambda: here.recv(100)) for _ in range(3)]
        here, there = pair(kind, leaves_something)
        there.close()
        said = [outcome(lambda: sent(here)) for _ in range(2)]
        read = "something unread" if leaves_something else "all read"
        print(f"{name}, {read}: recv gives {', '.join(heard)}; send {', '.join(said)}")
PYTHON
seen=$(python3 "$folder/shows.py" </dev/null)
expected='stream, all read: recv gives last words, the end, the end; send EPIPE, EPIPE
stream, something unread: recv gives last words, ECONNRESET, the end; send EPIPE, EPIPE
seqpacket, all read: recv gives last words, the end, the end; send EPIPE, EPIPE
seqpacket, something unread: recv gives ECONNRESET, last words, the end; send ECONNRESET, EPIPE'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    echo "this has changed: it used to be" >&2
    printf '%s\n' "$expected" >&2
    exit 1
fi
