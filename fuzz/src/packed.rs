//! Compressed files: at every position there is what the plain content has there, in one
//! member or many; what is cut off or damaged ends the content, and is the same in every
//! order in which it is read.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use logrelay::tail::fuzzing::Unpacked;

/// Bytes that are a way to go, a place, a byte of damage, a number of positions, two bytes for
/// each, and the content or the file as it is.
pub fn check(data: &[u8]) {
    let [way, place, damage, positions, rest @ ..] = data else { return };
    let Some((positions, rest)) = rest.split_at_checked(2 * usize::from(*positions % 8)) else { return };
    let positions: Vec<_> =
        positions.chunks_exact(2).map(|two| u64::from(u16::from_le_bytes([two[0], two[1]]))).collect();
    let is_zstd = way & 1 == 1;
    if way & 2 == 2 {
        read_in_any_order(rest, is_zstd, &positions);
        return;
    }
    let content = rest.repeat(1 + usize::from(way >> 4));
    let members: Vec<_> = content.chunks(1 + content.len() / (1 + usize::from(*place % 5))).collect();
    let mut file: Vec<u8> = members.iter().flat_map(|member| pack(member, is_zstd)).collect();
    assert_eq!(read_in_any_order(&file, is_zstd, &positions), (content.clone(), !file.is_empty()));
    if file.is_empty() {
        return;
    }

    let at = usize::from(*place) * file.len() / 256;
    let (unpacked, _) = read_in_any_order(&file[..at], is_zstd, &positions);
    assert!(content.starts_with(&unpacked), "cut off at {at} it has another content");
    file[at] ^= damage;
    read_in_any_order(&file, is_zstd, &positions);
}

/// The content, and whether it has come to its end; that it is the same at every position.
fn read_in_any_order(bytes: &[u8], is_zstd: bool, positions: &[u64]) -> (Vec<u8>, bool) {
    let open = || {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("it can be written");
        file.rewind().expect("it can be read");
        unpacked(file, is_zstd)
    };
    let whole = open();
    let mut content = Vec::new();
    let mut block = [0; 777];
    while let read @ 1.. = read_at(&whole, &mut block, content.len() as u64) {
        content.extend_from_slice(&block[..read]);
        if content.len() > 1 << 20 {
            // Far more than it was packed from: what comes behind is not looked at.
            return (content, false);
        }
    }
    let (len, is_whole) = whole.extent().expect("it can be read");
    assert_eq!(len, content.len() as u64);
    let anew = open();
    for &position in positions {
        let behind = content.get(usize::try_from(position).unwrap_or(usize::MAX)..).unwrap_or_default();
        for reader in [&whole, &anew] {
            let read = read_at(reader, &mut block, position);
            assert!(behind.starts_with(&block[..read]), "at {position}");
            assert_eq!(read == 0, behind.is_empty(), "at {position}");
        }
    }
    assert_eq!(anew.extent().expect("it can be read"), (len, is_whole));
    (content, is_whole)
}

fn unpacked(file: File, is_zstd: bool) -> Unpacked {
    let name = Path::new(if is_zstd { "app.log.1.zst" } else { "app.log.1.gz" });
    Unpacked::new(file, name).expect("it has a size")
}

fn read_at(file: &Unpacked, bytes: &mut [u8], position: u64) -> usize {
    file.read_at(bytes, position).expect("the disk is good")
}

fn pack(content: &[u8], is_zstd: bool) -> Vec<u8> {
    let packed = if is_zstd {
        zstd::bulk::compress(content, 1)
    } else {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).and_then(|()| encoder.finish())
    };
    packed.expect("memory is no disk")
}

/// Content in members of several sizes, and files with something wrong in them.
pub fn seeds() -> Vec<Vec<u8>> {
    let positions = [0, 0, 5, 0, 200, 0, 7, 1, 255, 255];
    let content: Vec<u8> = (0..300_u16).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    let mut seeds = Vec::new();
    for way in [0, 1, 0x30, 0x31] {
        for (place, damage) in [(0, 1), (1, 0x80), (30, 0xff), (200, 4)] {
            seeds.push([&[way, place, damage, 5], positions.as_slice(), &content[..1500]].concat());
        }
    }
    for is_zstd in [false, true] {
        let packed = pack(&content, is_zstd);
        let way = 2 + u8::from(is_zstd);
        for file in [&packed, &packed[..packed.len() / 2], &[&packed, b"behind".as_slice()].concat()] {
            seeds.push([&[way, 0, 0, 5], positions.as_slice(), file].concat());
        }
    }
    seeds
}
