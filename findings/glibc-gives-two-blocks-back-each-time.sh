#!/usr/bin/env bash
# glibc 2.36, 64 bits; a C compiler.
#
# What one would guess: a program that takes some memory in each turn of a loop, and gives it back at the turn's end, gets it from the
#   kernel once. From then on malloc has it. It's the sum that counts: one block of 400,000 bytes, or two of 200,000.
# What happens: with one block it's as guessed, however large it is. With two, malloc takes their memory from the kernel in each turn, and
#   gives it back in each turn: two calls of brk, for ever. So it is with three, where their sum is above some 128 KiB.
# Source: mallopt(3). What is free at the end of the heap is given back where it's more than M_TRIM_THRESHOLD, 128 KiB. The first block
#   that malloc has got by mmap, and that is freed, raises M_MMAP_THRESHOLD to its size, and M_TRIM_THRESHOLD to twice that. One block stays
#   below that, with what malloc keeps besides (M_TOP_PAD). Two blocks of that size don't.
# What to do: keep what a loop needs in each turn, or set M_TRIM_THRESHOLD (also as MALLOC_TRIM_THRESHOLD_).
# Seen with it (Debian's 2.36-9): the lines below.
set -euo pipefail

command -v cc >/dev/null || { echo "there is no C compiler here" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/turns.c" <<'C'
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* turns COUNT SIZE: takes COUNT blocks in each of a hundred turns, and says how often the heap's end has moved. */
int main(int argc, char **argv) {
    int count = atoi(argv[argc - 2]), moved = 0;
    size_t size = strtoul(argv[argc - 1], NULL, 10);
    void *blocks[4];
    void *volatile end = sbrk(0);
    for (int turn = 0; turn < 100; turn++) {
        for (int block = 0; block < count; block++)
            blocks[block] = malloc(size);
        moved += sbrk(0) != end;
        end = sbrk(0);
        for (int block = 0; block < count; block++)
            free(blocks[block]);
        moved += sbrk(0) != end;
        end = sbrk(0);
    }
    char line[200];
    int length = snprintf(line, sizeof line, "%d of %zu bytes: %s\n", count, size,
                          moved <= 2 ? "the heap's end hardly moves" :
                          moved >= 190 ? "it moves twice in each turn" : "something else");
    return write(1, line, (size_t)length) != length;
}
C
cc -O0 -o "$folder/turns" "$folder/turns.c"
seen=$(for pair in "1 400000" "1 20000000" "2 50000" "2 100000" "2 200000" "3 130000"; do
    # Two words.
    # shellcheck disable=SC2086
    env -u MALLOC_TRIM_THRESHOLD_ -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TOP_PAD_ -u GLIBC_TUNABLES "$folder/turns" $pair
done
printf 'with a higher threshold, '
MALLOC_TRIM_THRESHOLD_=10000000 "$folder/turns" 2 100000)
expected="1 of 400000 bytes: the heap's end hardly moves
1 of 20000000 bytes: the heap's end hardly moves
2 of 50000 bytes: the heap's end hardly moves
2 of 100000 bytes: it moves twice in each turn
2 of 200000 bytes: it moves twice in each turn
3 of 130000 bytes: it moves twice in each turn
with a higher threshold, 2 of 100000 bytes: the heap's end hardly moves"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected was:" >&2; printf '%s\n' "$expected" >&2; exit 1; }
