//! Chapter 12's mail server: what it says, in a loop, and with a disk that isn't what it should be.

#[path = "mail/conversation.rs"]
mod conversation;
#[path = "mail/disk.rs"]
mod disk;
#[path = "mail/house.rs"]
mod house;
#[path = "mail/serving.rs"]
mod serving;
#[path = "mail/turns.rs"]
mod turns;
