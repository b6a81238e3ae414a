#!/usr/bin/env bash
# Linux 6.18, ext4 and tmpfs; python3 3.8 or newer. The folder of the file may be given, to try another file system.
#
# What one would guess: what sendfile(2) has taken is sent as it was at that moment, as with write(2): the call returned, so the
#   bytes are the kernel's, and what is done to the file afterwards is done to the file.
# What happens: sendfile puts references to the pages of the page cache into the socket's buffer. Whoever writes into the file in
#   place (dd conv=notrunc, rsync --inplace, mmap) changes bytes that were sent and haven't been read yet; over the loopback
#   device that goes for the receive buffer, too. Whoever cuts the file in the middle of a page has the rest of that page filled
#   with NULs, which arrive instead of what was sent. How long that rest is depends on the file system: tmpfs has pages of 4 KiB
#   here, ext4 much larger ones. Where the file is cut to nothing and written anew (cp, a shell's >), its old pages are left to
#   the socket, and arrive as they were; so they do if the name is given to another file (mv) or removed.
# Source: sendfile(2) ("copying within the kernel") says nothing of it. open(2) with O_TRUNC, rename(2).
# Seen with it (Linux 6.18.44, ext4):
#   written into in place: what was sent arrives as what was written later
#   cut in the middle of a page: NULs arrive
#   cut to nothing, and written anew: what was sent arrives as it was
#   another file renamed to its name: what was sent arrives as it was
#   removed: what was sent arrives as it was
set -euo pipefail

folder=$(mktemp -d ${1:+-p "$1"})
trap 'rm -rf "$folder"' EXIT
cat >"$folder/shows.py" <<'PYTHON'
import os
import socket
import sys

SIZE = 4 << 20
SENT = 200_000
path = os.path.join(sys.argv[1], "file")


def write(path, mode, letter):
    with open(path, mode) as file:
        file.write(letter * SIZE)


def arrives(change):
    """What a visitor reads to whom a file of the letter o was sent before the change."""
    write(path, "wb", b"o")
    with socket.socket() as listens, open(path, "rb") as file:
        listens.bind(("127.0.0.1", 0))
        listens.listen()
        with socket.create_connection(listens.getsockname()) as visitor:
            server, _ = listens.accept()
            with server:
                sent = os.sendfile(server.fileno(), file.fileno(), 0, SENT)
                change()
                came = b""
                while len(came) < sent:
                    came += visitor.recv(SENT)
    letters = set(came)
    if letters == set(b"o"):
        return "what was sent arrives as it was"
    if letters == set(b"n"):
        return "what was sent arrives as what was written later"
    return "NULs arrive" if letters == set(b"o\0") else f"{letters} arrive"


def rename():
    write(path + ".new", "wb", b"n")
    os.rename(path + ".new", path)


print("written into in place:", arrives(lambda: write(path, "r+b", b"n")))
print("cut in the middle of a page:", arrives(lambda: os.truncate(path, 50_001)))
print("cut to nothing, and written anew:", arrives(lambda: write(path, "wb", b"n")))
print("another file renamed to its name:", arrives(rename))
print("removed:", arrives(lambda: os.unlink(path)))
PYTHON
seen=$(python3 "$folder/shows.py" "$folder")
expected='written into in place: what was sent arrives as what was written later
cut in the middle of a page: NULs arrive
cut to nothing, and written anew: what was sent arrives as it was
another file renamed to its name: what was sent arrives as it was
removed: what was sent arrives as it was'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    echo "this has changed: it used to be" >&2
    printf '%s\n' "$expected" >&2
    exit 1
fi
