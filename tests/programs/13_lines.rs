//! Chapter 13's mail and chat, handed from one loop to another: at any byte, and again and again.

#[path = "moving/chat.rs"]
mod chat;
#[path = "moving/house.rs"]
mod house;
#[path = "moving/mail.rs"]
mod mail;
