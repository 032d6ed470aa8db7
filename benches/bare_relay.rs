//! The least that a program between a client and a server can do: a TCP relay of two threads for each connection, one for
//! each direction, which does nothing but `recv` and `send` of up to 256 KiB. What it costs, the sockets cost.
//!
//! `bare_relay LISTEN=TARGET` relays until it is ended.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails loudly and has no callers")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

const BLOCK: usize = 256 << 10;

fn main() {
    let pair = std::env::args().nth(1).filter(|argument| argument.contains('=')).expect("LISTEN=TARGET");
    let (listen, target) = pair.split_once('=').unwrap();
    for client in TcpListener::bind(listen).unwrap().incoming() {
        let client = client.unwrap();
        // A target that refuses is a client's connection that closes.
        let Ok(server) = TcpStream::connect(target) else { continue };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pass(from_client, to_server));
        thread::spawn(move || pass(server, client));
    }
}

/// One direction of one connection. A failure is handed on as an end.
fn pass(mut source: TcpStream, mut sink: TcpStream) {
    let mut block = vec![0; BLOCK];
    while let Ok(read @ 1..) = source.read(&mut block) {
        if sink.write_all(&block[..read]).is_err() {
            break;
        }
    }
    let _ = source.shutdown(Shutdown::Read);
    let _ = sink.shutdown(Shutdown::Write);
}
