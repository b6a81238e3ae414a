# Lists the recipes.
default:
    @just --list --unsorted

# Build the book, and open it.
read:
    cargo book --open

# Play the visitors against a chapter's server: just visit 2
visit CHAPTER *WHO:
    cargo visit {{CHAPTER}} {{WHO}}

# Grade your exercises, all or those of a chapter: just grade 2
grade *CHAPTER:
    cargo grade {{CHAPTER}}

# Grade a chapter again at each save.
watch CHAPTER:
    cargo grade {{CHAPTER}} --watch

# Run all tests.
test:
    cargo test

# Look for faults in the book: dead links, missing listings, lost pages.
check:
    cargo book check

# Run again every command whose output the book shows, and write down what it says now.
transcripts:
    cargo book transcripts

# Write every exercise's starter anew from its worked answer.
starters:
    cargo grade starters
