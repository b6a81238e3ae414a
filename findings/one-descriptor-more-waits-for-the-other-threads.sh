#!/usr/bin/env bash
# Linux 6.18; python3 3.8 or newer.
#
# What one would guess: a new descriptor costs a microsecond or less. It's a number, and an entry in a table.
# What happens: the table has places for a power of two, 64 at least. Whoever needs one more gets a larger table, into which the old
#   one is copied. If the process has other threads, even if they sleep, they might be reading the old table, and so the one who
#   needs the descriptor waits inside its call (accept4, socket, dup, open, epoll_create …) until each processor has been seen
#   doing something else: milliseconds, about ten thousand times as long as any other descriptor takes. In a process with one
#   thread nothing of it is felt. A server of several threads has it in the middle of serving, at its 64th, 128th, 256th …
#   descriptor. A way around it: ask for one high descriptor (fcntl(2), F_DUPFD) before there are threads.
# Source: expand_fdtable() in the kernel's fs/file.c, which calls synchronize_rcu() where the table is shared. No manual page
#   says so.
# Seen with it (Linux 6.18.44, two processors): with one thread numbers 256, 512 and 1,024 took 3 to 5 µs each; with another one,
#   which sleeps, 6,700 to 17,400 µs; asked for beforehand, 0.6 µs at the most. All others 0.5 µs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/shows.py" <<'PYTHON'
import os
import resource
import sys
import threading
import time

LARGER = {256, 512, 1024}
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2048), most))
if sys.argv[1] == "beforehand":
    import fcntl

    os.close(fcntl.fcntl(0, fcntl.F_DUPFD, 1500))
if sys.argv[1] != "alone":
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
took = {}
while True:
    began = time.perf_counter_ns()
    number = os.dup(0)
    took[number] = (time.perf_counter_ns() - began) / 1000
    if number == 1100:
        break
others = sorted(time for number, time in took.items() if number not in LARGER)
middle = others[len(others) // 2]
# This machine does other things, too: one of three may be fast or slow by chance.
slow = sum(took[number] > 300 * middle for number in LARGER)
print(f"{sys.argv[1]}: {'waits where the table is enlarged' if slow >= 2 else 'never waits'}")
print("  " + ", ".join(f"{number}: {took[number]:.1f} µs" for number in sorted(LARGER)), f"others: {middle:.1f} µs", file=sys.stderr)
PYTHON
seen=$(for how in alone threaded beforehand; do python3 "$folder/shows.py" "$how" </dev/null; done)
expected='alone: never waits
threaded: waits where the table is enlarged
beforehand: never waits'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
    echo "this has changed: it used to be" >&2
    printf '%s\n' "$expected" >&2
    exit 1
fi
