//! Chapter 12's chat over Telnet: the bytes without a socket, and the room with many.

#[path = "chatting/house.rs"]
mod house;
#[path = "chatting/room.rs"]
mod room;
#[path = "chatting/telnet.rs"]
mod telnet;
