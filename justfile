# Lists the recipes.
default:
    @{{just_executable()}} --list --unsorted

# Serve the book, and open it.
read:
    cargo book --open

# Build the book into book/build, to be read without a server.
build:
    cargo book build

# Play the visitors against a chapter's server: just visit 2
visit CHAPTER *WHO:
    cargo visit {{CHAPTER}} {{WHO}}

# Run a chapter's program, or any, and see where it waits: just lens 2, just lens -- curl localhost
lens *ARGS:
    cargo lens {{ARGS}}

# Play a server with manners, for programs that are visitors: just host slow
host *WHO:
    cargo host {{WHO}}

# Grade your exercises, all or those of a chapter: just grade 2
grade *CHAPTER:
    cargo grade {{CHAPTER}}

# Grade a chapter again at each save.
watch CHAPTER:
    cargo grade {{CHAPTER}} --watch

# One more hint for an exercise: just hint 02-pieces
hint EXERCISE:
    cargo grade hint {{EXERCISE}}

# Begin an exercise anew; what you wrote is kept.
reset EXERCISE:
    cargo grade reset {{EXERCISE}}

# Check the setup: each chapter's program, each worked answer, each tool.
test:
    cargo test

# Run all other tests too, or a part: just proof strace
proof *NAMES:
    cargo proof {{NAMES}}

# Look for faults in the book: dead links, missing listings, lost pages.
check:
    cargo book check

# Run again every command whose output the book shows, and write down what it says now.
transcripts:
    cargo book transcripts

# Measure what each way of waiting costs: just race, just race 5 8 --crowd 0,1000
race *ARGS:
    cargo race {{ARGS}}

# Run each chapter's program under the lens, and draw its timeline anew (Linux).
pictures *CHAPTERS:
    cargo book pictures {{CHAPTERS}}

# Write every exercise's starter anew from its worked answer.
starters:
    cargo grade starters

# Have the compiler refuse the first attempts of chapters 4 and 7 again, and write down what it says.
borrow:
    cargo check --quiet --package ch04-select --bin ch04-attempt --features shows-an-error 2> book/figures/04-borrow.txt || true
    cargo check --quiet --package ch07-callbacks --bin ch07-attempt --features shows-an-error 2> book/figures/07-borrow.txt || true

# Measure anew what a turn costs: select's and poll's loop, and chapter 7's on poll and on epoll. Draw it too.
turns: && curves
    cargo run --quiet --release --package ch05-poll --example turns > book/figures/05-turns.txt
    cargo run --quiet --release --package ch08-epoll --example turns08 > book/figures/08-turns.txt

# Draw the figures that are drawn as curves, tables and races, all or one: just curves 08-turns
curves *NAMES:
    cargo book curves {{NAMES}}

# Measure anew what chapter 9's timers cost, and write it down.
timers:
    cargo run --quiet --release --package ch09-timers --example timers > book/figures/09-timers.txt

# Measure anew what chapter 10's parser costs, and write it down.
heads:
    cargo run --quiet --release --package ch10-http --example heads > book/figures/10-heads.txt

# Measure anew what a request costs, here and in nginx, and what the calls cost that it's made of; write it down.
beside:
    cargo run --quiet --release --package ch11-http-server --example beside > book/figures/11-beside.txt
    cargo run --quiet --release --package ch11-http-server --example calls > book/figures/11-calls.txt
    cargo run --quiet --release --package ch11-http-server --example workers > book/figures/11-workers.txt
    cargo run --quiet --release --package ch11-http-server --example buffers > book/figures/11-buffers.txt

# Measure anew how much slower the lens makes a server, and write it down (Linux; needs strace).
cost:
    cargo build --package lens
    cargo run --quiet --package lens --example cost

# Measure anew what an answer costs chapter 12's name server, and nsd's if that is here; write it down.
names:
    cargo run --quiet --release --package ch12-kernel --example names > book/figures/12-dns.txt

# Measure anew who is disturbed when one of chapter 12's protocols is in trouble; write it down.
disturbed:
    WAITING_GAME_TABLE="$PWD/book/figures/12-disturbed.txt" cargo test --quiet --release --package ch12-kernel --test disturbed12 the_table

# How long nobody is served while chapter 13's server is replaced.
handover:
    cargo build --quiet --release --package ch13-upgrade
    cargo run --quiet --release --package ch13-upgrade --example handover target/release/ch13-upgrade > book/figures/13-handover.txt

# What visitors notice while chapter 13's server is replaced, and nginx and HAProxy, if they are here; write it down.
noticed:
    cargo build --quiet --release --package ch13-upgrade
    cargo run --quiet --release --package ch13-upgrade --example noticed target/release/ch13-upgrade > book/figures/13-noticed.txt

# Have the race run for the book, longer than usual, write it down, and draw it anew. Ten minutes; close what else runs.
race-for-the-book: && (curves)
    cargo race --window 1000 --rush 300 --json book/figures/race.json > book/figures/race.txt
    cargo race 2 --rounds 1 --crowd 0 --window 6000 --rush 0 --rate 100 --silent --json book/figures/race-open.json
    cargo race 2 --rounds 1 --crowd 0 --window 6000 --rush 0 --rate 100 --silent --closed --json book/figures/race-closed.json

# Run three races as everybody does, and write down whether they agree (ten minutes; leave the machine alone).
race-agreement:
    cargo race --json target/first.json > /dev/null
    cargo race --json target/second.json > /dev/null
    cargo race --json target/third.json > /dev/null
    cd target && cargo race --from first.json second.json third.json > agreement.txt && mv agreement.txt ../book/figures/race-agreement.txt
