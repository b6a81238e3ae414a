//! What chapter 12's DNS server and its datagrams must do: without sockets, with a clock that is
//! turned by hand; and through sockets, with an upstream that lies, is silent, or is gone.

#[path = "dns/datagrams.rs"]
mod datagrams;
#[path = "dns/house.rs"]
mod house;
#[path = "dns/properties.rs"]
mod properties;
#[path = "dns/responder.rs"]
mod responder;
#[path = "dns/strange.rs"]
mod strange;
#[path = "dns/streams.rs"]
mod streams;
#[path = "dns/upstream.rs"]
mod upstream;
