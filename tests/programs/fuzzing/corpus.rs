//! A fuzzer's corpus without the fuzzer: its files, and each of them changed at random.

use fastrand::Rng;

/// The files of a fuzzer's corpus, in a folder of the checkout.
///
/// # Panics
/// If somebody has mended their line ends.
pub fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = visitors::chapters::root().join(folder);
    let entries = std::fs::read_dir(folder).expect("there is a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it's there").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> =
        files.iter().map(|file| std::fs::read(file).expect("it's there")).collect();
    assert!(corpus.len() >= 12);
    for bytes in &corpus {
        assert!(bytes.windows(2).any(|two| two == b"\r\n"), "somebody has mended its line ends");
    }
    corpus
}

/// One of them, changed in a few places.
pub fn changed(random: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..4) {
        change(random, &mut bytes, corpus);
    }
    bytes
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.usize(..=bytes.len());
    let other = &corpus[random.usize(..corpus.len())];
    let from = random.usize(..=other.len());
    let to = other.len().min(from + random.usize(..20));
    match random.u8(..6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 => bytes.insert(at, *b"\r\n\0 \t:;,0+#*"[..].get(random.usize(..12)).unwrap()),
        3 => drop(bytes.splice(at..at, other[from..to].iter().copied())),
        4 => bytes.truncate(at),
        _ => bytes.extend_from_slice(&other[from..]),
    }
}
