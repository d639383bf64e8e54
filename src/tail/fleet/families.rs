//! Which files have to be looked into together, where not all can be.
//!
//! To find out what a file is, those that may be its rotated versions are opened too. So
//! whole families are looked into: a path, and all whose names say that they come from it.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::tail::{
    discover::{FileId, Found, above, bases, displayed, id_of, siblings},
    lineage::Known,
};

/// What was left for another look.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) newcomers: Vec<Found>,
    pub(super) deserted: HashSet<PathBuf>,
    /// All families were tried: the next round begins.
    pub(super) is_next_round: bool,
}

/// The path that a file's name goes back to.
pub(super) fn root(path: &Path) -> PathBuf {
    let mut root = path.to_owned();
    while let Some(base) = bases(&root).into_iter().min_by_key(|base| base.as_os_str().len()) {
        root = base;
    }
    root
}

/// Files that belong together.
#[derive(Debug, Default)]
struct Family {
    /// Places in the list of all.
    newcomers: Vec<usize>,
    deserted: Vec<PathBuf>,
}

impl Family {
    fn len(&self) -> usize {
        self.newcomers.len() + self.deserted.len()
    }
}

/// Which family a file is of.
#[derive(Debug)]
struct Homes {
    /// What was rotated into another folder belongs to where it was, as its record says.
    was_at: HashMap<FileId, PathBuf>,
    all: HashSet<PathBuf>,
}

impl Homes {
    fn new(known: &Known) -> Self {
        let records = known.records.iter().map(|(_, record)| &record.details);
        let was_at: HashMap<FileId, PathBuf> =
            records.map(|details| (details.identity.file(), root(Path::new(&details.path)))).collect();
        let followed = known.followed.iter().map(|source| root(&source.path));
        let all = was_at.values().cloned().chain(followed).collect();
        Self { was_at, all }
    }

    fn of_path(&self, path: &Path) -> PathBuf {
        let base = root(path);
        above(&base).filter(|above| self.all.contains(above)).unwrap_or(base)
    }

    /// The name counts first: a new file can have the inode of one that is gone.
    fn of_file(&self, found: &Found) -> PathBuf {
        let home = self.of_path(&found.path);
        if self.all.contains(&home) { home } else { self.was_at.get(&id_of(found)).cloned().unwrap_or(home) }
    }
}

/// Leaves as many families as `room` files may be opened for, and one at least; those in
/// `tried` come last. Blocks: it lists folders.
pub(super) fn narrow(known: &mut Known, room: usize, tried: &HashSet<FileId>) -> LeftOut {
    let homes = Homes::new(known);
    let mut families: HashMap<PathBuf, Family> = HashMap::new();
    for (place, found) in known.newcomers.iter().enumerate() {
        families.entry(homes.of_file(found)).or_default().newcomers.push(place);
    }
    for path in std::mem::take(&mut known.deserted) {
        families.entry(homes.of_path(&path)).or_default().deserted.push(path);
    }
    let is_tried = |family: &Family| {
        let mut ids = family.newcomers.iter().map(|&place| id_of(&known.newcomers[place]));
        !family.newcomers.is_empty() && ids.all(|id| tried.contains(&id))
    };
    let mut order: Vec<_> =
        families.iter().map(|(root, family)| (is_tried(family), family.len(), root.as_os_str())).collect();
    order.sort_unstable();
    let is_next_round = order.iter().all(|(is_tried, ..)| *is_tried);
    let chosen = choose(&order, &families, known, room);

    let mut is_left = vec![true; known.newcomers.len()];
    let mut deserted = HashSet::new();
    for (root, family) in families {
        if chosen.contains(&root) {
            family.newcomers.into_iter().for_each(|place| is_left[place] = false);
            known.deserted.extend(family.deserted);
        } else {
            deserted.extend(family.deserted);
        }
    }
    let mut is_left = is_left.into_iter();
    let newcomers: Vec<Found> =
        known.newcomers.extract_if(.., |_| is_left.next().unwrap_or_default()).collect();
    // What belongs to those must not be taken for another's.
    let left_ids: HashSet<FileId> = newcomers.iter().map(id_of).collect();
    let left_paths: HashSet<Cow<'_, str>> = newcomers.iter().map(|found| recorded(&found.path)).collect();
    known.records.retain(|(_, record)| {
        let details = &record.details;
        let is_left = left_ids.contains(&details.identity.file()) || left_paths.contains(&*details.path);
        !is_left || chosen.contains(&homes.of_path(Path::new(&details.path)))
    });
    LeftOut { newcomers, deserted, is_next_round }
}

/// The first families of this order for which there is room, with what is beside them.
fn choose(
    order: &[(bool, usize, &OsStr)],
    families: &HashMap<PathBuf, Family>,
    known: &Known,
    room: usize,
) -> HashSet<PathBuf> {
    let followed: HashSet<FileId> = known.followed.iter().map(|source| source.id).collect();
    let (mut chosen, mut left, mut order) = (HashSet::new(), room, order);
    while !order.is_empty() {
        // Folders are listed for no more families than there may be room for.
        let mut own = 0;
        let fits = |(_, len, _): &&(bool, usize, &OsStr)| {
            own += len;
            own <= left
        };
        let (next, later) = order.split_at(order.iter().take_while(fits).count().max(1));
        order = later;
        let next: Vec<_> =
            next.iter().filter_map(|(.., root)| families.get_key_value(Path::new(root))).collect();
        let paths = |family: &Family| {
            let newcomers = family.newcomers.iter().map(|&place| known.newcomers[place].path.clone());
            newcomers.chain(family.deserted.iter().cloned()).collect::<Vec<_>>()
        };
        let roots = next.iter().flat_map(|(root, family)| paths(family).into_iter().chain([(*root).clone()]));
        let beside = siblings(&roots.collect());
        let before = chosen.len();
        for (root, family) in next {
            let own = family.newcomers.iter().map(|&place| id_of(&known.newcomers[place]));
            let others = paths(family).into_iter().chain([root.clone()]);
            let others = others.filter_map(|path| beside.get(&path)).flatten().map(id_of);
            let all: HashSet<FileId> = own.chain(others).collect();
            let size = all.difference(&followed).count();
            if size <= left || chosen.is_empty() {
                left = left.saturating_sub(size);
                chosen.insert(root.clone());
            }
        }
        if left == 0 || chosen.len() == before {
            break;
        }
    }
    chosen
}

/// A path as records have it.
fn recorded(path: &Path) -> Cow<'_, str> {
    path.to_str().map_or_else(|| displayed(path).into(), Cow::Borrowed)
}
