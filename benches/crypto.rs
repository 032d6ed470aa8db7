//! How fast keys and ciphers are: GB/s by cipher and size of the piece, and nanoseconds per data key.
//!
//! `cargo bench -p crypto --bench crypto`
//!
//! "unwrapped" is what a data key costs when it must be opened: SSE-S3 by the key encryption key in memory, and the
//! check of a commitment. What a KMS takes for its part is its network. "cached" is the digest by which a data key that
//! was opened before is found again; the look-up itself is one in a hash table.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails loudly and has no callers")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use crypto::{Attributes, CHUNK_NONCE_LEN, DataKey, Decryption, History, Kek, Layout, WrappedKey, name, open_chunk};
use ctr::cipher::{KeyIvInit, StreamCipher};

const SIZES: [usize; 6] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
const APART: usize = 1 << 10;
const LONG_ENOUGH: Duration = Duration::from_millis(250);
const KEK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// A data key as the gateway stores it, sealed under `KEK`, with its commitment.
const S3_KEY: &str = r#"{"algorithm":"AES256","keyId":"sse-s3-key-1","nonce":"BwcHBwcHBwcHBwcH","iv":"AwMDAwMDAwMDAwMDAwMDAw==",
    "encryptedDEK":"P1uUb1s64cP+pHLi4zWR/ZFtv0C8wrcuxoIfuEead13fraiwc0tPei+Ee3Hw3K94",
    "keyCommitment":"6eJu3mJUyTElvwB1KG8turXreOa/+uDUECODOEmUUbw="}"#;

fn main() {
    println!("GB/s on one core, by the size of the piece\n");
    print!("{:<38}", "");
    for size in SIZES {
        print!("{:>9}", if size < 1 << 20 { format!("{} KiB", size >> 10) } else { format!("{} MiB", size >> 20) });
    }
    println!();
    row("memcpy", |size| {
        // Not alike within their pages: that is the worst case of a copy, and none of these.
        let (src, mut dst) = (vec![7; size], vec![0; size + APART]);
        Box::new(move || dst[APART..].copy_from_slice(black_box(&src)))
    });
    row("AES-256-CTR in place", |size| {
        let mut bytes = vec![7; size];
        let mut stream = decryption().keystream(0);
        Box::new(move || stream.apply(black_box(&mut bytes)))
    });
    row("AES-256-CTR in place, new stream", |size| {
        let (mut bytes, decryption) = (vec![7; size], decryption());
        Box::new(move || decryption.keystream(12_345).apply(black_box(&mut bytes)))
    });
    row("AES-256-CTR in the copy", |size| {
        let (src, mut dst) = (vec![7; size], vec![0; size]);
        let mut stream = decryption().keystream(0);
        Box::new(move || stream.apply_to(black_box(&src), &mut dst))
    });
    row("AES-256-CTR in the copy, new stream", |size| {
        let (src, mut dst, decryption) = (vec![7; size], vec![0; size], decryption());
        Box::new(move || decryption.keystream(12_345).apply_to(black_box(&src), &mut dst))
    });
    row("the same by aws-lc, in place", |size| {
        let mut bytes = vec![7; size];
        let key = DecryptingKey::ctr(UnboundCipherKey::new(&AES_256, &[7; 32]).unwrap()).unwrap();
        Box::new(move || {
            let counter = DecryptionContext::Iv128([3; 16].into());
            key.decrypt(black_box(&mut bytes), counter).unwrap();
        })
    });
    row("the same by aes and ctr, in place", |size| {
        let mut bytes = vec![7; size];
        let mut stream = ctr::Ctr128BE::<aes::Aes256>::new(&[7; 32].into(), &[3; 16].into());
        Box::new(move || stream.apply_keystream(black_box(&mut bytes)))
    });
    row("the same by aes and ctr, in the copy", |size| {
        let (src, mut dst) = (vec![7; size], vec![0; size]);
        let mut stream = ctr::Ctr128BE::<aes::Aes256>::new(&[7; 32].into(), &[3; 16].into());
        Box::new(move || stream.apply_keystream_b2b(black_box(&src), &mut dst))
    });
    // It is opened in place, so each turn needs the sealed bytes anew: what copying them takes is taken off.
    let sealed = |size: usize| {
        let cipher = Aes256Gcm::new(&[7; 32].into());
        let mut sealed = vec![5; CHUNK_NONCE_LEN];
        sealed.extend(cipher.encrypt(&[5; CHUNK_NONCE_LEN].into(), &vec![7; size][..]).unwrap());
        (vec![0; sealed.len() + APART], sealed)
    };
    row_less(
        "AES-256-GCM chunk, opened",
        sealed,
        |(bytes, sealed)| {
            bytes[APART..].copy_from_slice(black_box(sealed));
            open_chunk(black_box(&[7; 32]), &mut bytes[APART..]).unwrap();
        },
        |(bytes, sealed)| bytes[APART..].copy_from_slice(black_box(sealed)),
    );
    row("the same by aes-gcm, into a new buffer", |size| {
        let (_, sealed) = sealed(size);
        let cipher = Aes256Gcm::new(&[7; 32].into());
        Box::new(move || {
            let (nonce, sealed) = sealed.split_at(CHUNK_NONCE_LEN);
            black_box(cipher.decrypt(nonce.try_into().unwrap(), black_box(sealed)).unwrap());
        })
    });

    let kek = Kek::from_hex(KEK).unwrap();
    let wrapped = wrapped();
    let WrappedKey::S3(stored) = &wrapped else { panic!("the key above is one of SSE-S3") };
    println!("\nns per data key\n");
    println!(
        "{:<38}{:>9.0}",
        "unwrapped (SSE-S3) and verified",
        nanoseconds(|| {
            let opened = kek.open(black_box(stored)).unwrap();
            wrapped.verify(&opened).unwrap();
        })
    );
    println!("{:<38}{:>9.0}", "cached: found by its digest", nanoseconds(|| _ = black_box(wrapped.id())));
}

/// Of an SSE-C object under 32 sevens.
fn decryption() -> Decryption {
    let key_md5 = b"y4HAEFCYWuvAXWFTtA1Qpg==";
    let entry = [(name::CUSTOMER_KEY_MD5, &key_md5[..]), (name::CUSTOMER_IV, &[3; 16][..])];
    let layout = Layout::read(&Attributes::new(entry), &History::default(), &[], 5).unwrap();
    let key = layout.keys[0].accept(Arc::new(DataKey::from_slice(&[7; 32]).unwrap())).ok().unwrap();
    layout.decryption(layout.inline.unwrap(), &key).ok().unwrap()
}

fn wrapped() -> WrappedKey {
    let entry = [("X-Amz-Server-Side-Encryption", &b"AES256"[..]), ("x-seaweedfs-sse-s3-key", S3_KEY.as_bytes())];
    Layout::read(&Attributes::new(entry), &History::default(), &[], 5).unwrap().keys.remove(0)
}

fn row(name: &str, make: impl Fn(usize) -> Box<dyn FnMut()>) {
    print!("{name:<38}");
    for size in SIZES {
        print!("{:>9.2}", size as f64 / nanoseconds(make(size)));
    }
    println!();
}

/// Like [`row`], of what `turn` takes longer than `other`.
fn row_less<T>(name: &str, make: impl Fn(usize) -> T, turn: impl Fn(&mut T), other: impl Fn(&mut T)) {
    print!("{name:<38}");
    for size in SIZES {
        let mut made = make(size);
        let both = nanoseconds(|| turn(&mut made));
        let one = nanoseconds(|| other(&mut made));
        print!("{:>9.2}", size as f64 / (both - one));
    }
    println!();
}

/// Nanoseconds for one turn: the best of three runs.
fn nanoseconds(mut turn: impl FnMut()) -> f64 {
    let mut run = || {
        let (begun, mut turns) = (Instant::now(), 0_u32);
        while begun.elapsed() < LONG_ENOUGH / 3 {
            for _ in 0..8 {
                turn();
            }
            turns += 8;
        }
        begun.elapsed().as_nanos() as f64 / f64::from(turns)
    };
    run().min(run()).min(run())
}
