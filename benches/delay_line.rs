//! A TCP relay that stands for distance: every byte, in both directions, is handed on a fixed time after it came, in
//! order and as many at once as come. Nothing else is limited: what is on the way takes memory, not bandwidth.
//!
//! `delay_line LISTEN=TARGET...` relays each address to its target. It reads its delay from standard input, one number
//! of milliseconds a line, answers `ok` to each, and ends with its input. The delay counts for bytes that come after it.
//!
//! `delay_line --measure` prints what it can carry, in GB/s over loopback, at 0 and at 20 ms.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails loudly and has no callers")]

use std::{
    io::{BufRead, Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

/// Bytes asked of the kernel at once. Buffers of this size come from the heap; larger ones would be mapped and unmapped
/// for each read, which costs more than the copy.
const READ: usize = 64 << 10;
/// What is left of a buffer is read into again while it is at least this.
const WORTHWHILE: usize = 16 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_none_or(|first| first == "--measure") {
        return measure();
    }
    let delay = Arc::new(AtomicU64::new(0));
    for pair in arguments {
        let (listen, target) = pair.split_once('=').expect("LISTEN=TARGET");
        relay(listen.parse().unwrap(), target.parse().unwrap(), Arc::clone(&delay));
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        set(&delay, line.unwrap().trim().parse().expect("a number of milliseconds"));
        println!("ok");
    }
}

fn set(delay: &AtomicU64, milliseconds: f64) {
    delay.store((milliseconds * 1e3) as u64, Ordering::Relaxed);
}

/// Listens, on a thread of its own. `delay` is in microseconds. Answers the address that it listens on.
fn relay(listen: SocketAddr, target: SocketAddr, delay: Arc<AtomicU64>) -> SocketAddr {
    let listener = std::net::TcpListener::bind(listen).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let delay = Arc::clone(&delay);
                tokio::spawn(async move {
                    // A target that refuses is a client's connection that closes.
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    hold(from_client, to_server, Arc::clone(&delay));
                    hold(from_server, to_client, delay);
                });
            }
        });
    });
    address
}

/// One direction of one connection. An end, and a failure, arrive late as well.
fn hold(mut source: OwnedReadHalf, mut sink: OwnedWriteHalf, delay: Arc<AtomicU64>) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Bytes)>();
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        loop {
            if buffer.capacity() < WORTHWHILE {
                buffer = BytesMut::with_capacity(READ);
            }
            let read = source.read_buf(&mut buffer).await.unwrap_or(0);
            let due = Instant::now() + Duration::from_micros(delay.load(Ordering::Relaxed));
            if read == 0 || sender.send((due, buffer.split().freeze())).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, piece)) = pieces.recv().await {
            wait_until(due).await;
            if sink.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
}

/// Timers of the runtime are exact to a millisecond only, rounded up.
async fn wait_until(due: Instant) {
    if due > Instant::now() {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Four connections at once, each with a thread that sends zeros at one end and one that reads at the other.
fn measure() {
    const CONNECTIONS: u64 = 4;
    const EACH: u64 = 1 << 30;
    let source = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let delay = Arc::new(AtomicU64::new(0));
    let through = relay("127.0.0.1:0".parse().unwrap(), source.local_addr().unwrap(), Arc::clone(&delay));
    std::thread::spawn(move || {
        for client in source.incoming() {
            std::thread::spawn(move || {
                let mut client = client.unwrap();
                client.read_exact(&mut [0]).unwrap();
                let zeros = vec![0; 1 << 20];
                for _ in 0..EACH / zeros.len() as u64 {
                    client.write_all(&zeros).unwrap();
                }
            });
        }
    });
    for milliseconds in [0.0, 20.0] {
        set(&delay, milliseconds);
        let begin = Instant::now();
        let readers: Vec<_> = (0..CONNECTIONS).map(|_| std::thread::spawn(move || read_all(through))).collect();
        let bytes: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(bytes, CONNECTIONS * EACH);
        let rate = bytes as f64 / begin.elapsed().as_secs_f64() / 1e9;
        println!("delay line alone, {milliseconds:.0} ms each way: {rate:.2} GB/s");
    }
}

/// Asks with one byte and reads to the end.
fn read_all(address: SocketAddr) -> u64 {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(&[1]).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return bytes,
            read => bytes += read as u64,
        }
    }
}
