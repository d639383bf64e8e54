//! What happens in a run, in which order and for how long: drawn from a seed. What is kept from happening at the same
//! time, and why, is said in `run` and `programs`.

use std::time::Duration;

use fastrand::Rng;

/// How many Redis there are, and who says which of them is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    Single,
    Sentinel,
    Cluster,
}

impl Topology {
    pub(crate) const ALL: &[Self] = &[Self::Single, Self::Sentinel, Self::Cluster];
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    TailerKilled,
    TailerStopped,
    RelayKilled,
    RelayDrained,
    ReaderKilled,
    ReadersCut,
    ReadersSilent,
    ReadersSlow,
    WayCut,
    WayShut,
    WaySlow,
    WaySilent,
    WayDead,
    AnswersLost,
    RedisKilled,
    RedisEmptied,
    RedisRolledBack,
    RedisFrozen,
    RedisPaused,
    RedisFull,
    RedisDemoted,
    /// With both alive.
    FailedOver,
    /// The replica did not get what was written last, and the master is killed.
    FailedOverWithLoss,
    SlotMoved,
    ScriptsFlushed,
    ClientsKilled,
}

impl Kind {
    /// What happens to tailers, relays and readers.
    const OF_PARTIES: &[Self] = &[
        Self::TailerKilled,
        Self::TailerKilled,
        Self::TailerStopped,
        Self::RelayKilled,
        Self::RelayKilled,
        Self::RelayDrained,
        Self::ReaderKilled,
        Self::ReaderKilled,
        Self::ReadersCut,
        Self::ReadersSilent,
        Self::ReadersSlow,
    ];

    /// What happens to any Redis, and on the way there.
    const OF_ANY_REDIS: &[Self] = &[
        Self::WayCut,
        Self::WayShut,
        Self::WaySlow,
        Self::WaySilent,
        Self::WayDead,
        Self::AnswersLost,
        Self::RedisKilled,
        Self::RedisEmptied,
        Self::RedisFrozen,
        Self::RedisPaused,
        Self::RedisFull,
        Self::ScriptsFlushed,
        Self::ClientsKilled,
    ];

    const OF_SINGLE: &[Self] = &[Self::RedisRolledBack, Self::RedisDemoted];
    const OF_SENTINEL: &[Self] = &[Self::FailedOver, Self::FailedOverWithLoss];
    const OF_CLUSTER: &[Self] = &[Self::FailedOver, Self::FailedOverWithLoss, Self::SlotMoved];
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// How long nothing happens before it.
    pub(crate) calm: Duration,
    /// How long it lasts.
    pub(crate) hold: Duration,
    /// To whom, modulo how many there are.
    pub(crate) whom: usize,
}

/// What two hands do at the same time.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) to_parties: Vec<Step>,
    pub(crate) to_redis: Vec<Step>,
}

impl Plan {
    /// Everything that can happen, so many times, in an order of chance.
    pub(crate) fn draw(topology: Topology, seed: u64, rounds: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let own = match topology {
            Topology::Single => Kind::OF_SINGLE,
            Topology::Sentinel => Kind::OF_SENTINEL,
            Topology::Cluster => Kind::OF_CLUSTER,
        };
        let of_redis = [Kind::OF_ANY_REDIS, own].concat();
        let mut plan = Self { to_parties: Vec::new(), to_redis: Vec::new() };
        for _ in 0..rounds {
            plan.to_parties.extend(steps(&mut rng, Kind::OF_PARTIES));
            plan.to_redis.extend(steps(&mut rng, &of_redis));
        }
        plan
    }
}

fn steps(rng: &mut Rng, kinds: &[Kind]) -> Vec<Step> {
    let mut kinds = kinds.to_vec();
    rng.shuffle(&mut kinds);
    if let Ok(only) = std::env::var("LOGRELAY_CHAOS_ONLY") {
        kinds.retain(|kind| only.split(',').any(|name| name == format!("{kind:?}")));
    }
    let step = |kind| Step {
        kind,
        calm: Duration::from_millis(rng.u64(0..800)),
        hold: Duration::from_millis(rng.u64(20..1500)),
        whom: rng.usize(..60),
    };
    kinds.into_iter().map(step).collect()
}

#[test]
fn a_seed_draws_the_same_plan_again_and_every_fault_is_in_it() {
    let plan = |seed| format!("{:?}", Plan::draw(Topology::Cluster, seed, 1));
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
    for kind in [Kind::OF_PARTIES, Kind::OF_ANY_REDIS, Kind::OF_CLUSTER].concat() {
        assert!(plan(7).contains(&format!("{kind:?}")), "{kind:?}");
    }
}
