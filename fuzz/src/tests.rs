//! That the checks themselves hold: on their seeds, on bytes near those, and on none.

use super::TARGETS;

#[test]
fn seeds_and_their_neighbours_pass() {
    let mut random = fastrand::Rng::with_seed(7);
    for (name, check, seeds) in TARGETS {
        check(b"");
        for seed in seeds() {
            check(&seed);
            for _ in 0..20 {
                let mut bytes = seed.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..=bytes.len());
                    match random.u8(..3) {
                        0 => bytes.truncate(at),
                        1 => bytes.insert(at, random.u8(..)),
                        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
                    }
                }
                println!("{name}: {bytes:?}");
                check(&bytes);
            }
        }
    }
}
