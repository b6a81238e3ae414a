//! A server that takes its time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

/// It answers each visitor after `pause`, all of them at once. Where it is.
pub fn slow_server(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let mut visitor = visitor.unwrap();
            thread::spawn(move || {
                if let Ok(1..) = visitor.read(&mut [0; 1024]) {
                    thread::sleep(pause);
                    let _ = visitor.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    address
}
