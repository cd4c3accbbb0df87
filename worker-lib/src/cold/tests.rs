//! Rows on disk, beside a map in memory. Sizes are so small that tables are written and merged all the time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::{Cold, KEY_BYTES_MOST, Key, Sizes, Snapshot, Space, Value, failed};
use crate::error::{ErrorClass, TaskError};

const TINY: Sizes = Sizes { gathered_bytes: 16 << 10, table_bytes: 16 << 10, few: 4, many: 12 };

/// A directory that nobody else has; [`Cold`] removes it. In memory if there is such a place: tables are synced when they
/// are written, and here there are thousands.
fn directory() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let memory = PathBuf::from("/dev/shm");
    let scratch = if memory.is_dir() { memory } else { std::env::temp_dir() };
    scratch.join(format!("streamwright-cold-{}-{number}", std::process::id()))
}

fn tiny() -> Cold {
    Cold::open_sized(&directory(), TINY).unwrap()
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn number(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// By numbers, with values that tell them apart.
fn rows(numbers: impl IntoIterator<Item = u32>) -> Rows {
    numbers.into_iter().map(|n| (number(n), format!("row {n}").into_bytes())).collect()
}

fn owned(entries: Vec<(Key, Value)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn all(space: &Space) -> Rows {
    owned(space.scan(&[], None, usize::MAX).unwrap()).into_iter().collect()
}

fn all_then(snapshot: &Snapshot) -> Rows {
    owned(snapshot.scan(&[], None, usize::MAX).unwrap()).into_iter().collect()
}

fn get(space: &Space, key: &[u8]) -> Option<Vec<u8>> {
    space.get(&[key]).unwrap().remove(0).map(|value| value.to_vec())
}

/// Of the directory's files.
fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    entries
        .map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

#[test]
fn what_was_put_last_is_read() {
    let cold = tiny();
    let mut space = cold.space("groups").unwrap();
    assert!(space.is_empty());
    space.put([("a", "1"), ("b", "2")].into_iter()).unwrap();
    space.put([("b", "3"), ("c", "4"), ("c", "5")].into_iter()).unwrap();
    let found = space.get(&["c", "nothing", "a", "b", ""]).unwrap();
    let found: Vec<_> = found.iter().map(|value| value.as_deref()).collect();
    assert_eq!(found, [Some(&b"5"[..]), None, Some(b"1"), Some(b"3"), None]);
    assert_eq!(space.len(), 3);

    space.remove(&["b", "nothing", "b"]).unwrap();
    assert_eq!(get(&space, b"b"), None);
    assert_eq!(space.len(), 2);
    space.put([("b", "6")].into_iter()).unwrap();
    assert_eq!(get(&space, b"b").as_deref(), Some(&b"6"[..]));
    assert_eq!(space.len(), 3);
}

#[test]
fn spaces_are_apart_and_keep_their_names() {
    let cold = tiny();
    let (mut left, mut right) = (cold.space("left").unwrap(), cold.space("right").unwrap());
    left.put(rows(0..100).iter()).unwrap();
    right.put(rows(50..60).iter()).unwrap();
    left.clear().unwrap();
    assert_eq!((left.len(), right.len()), (0, 10));
    assert_eq!(all(&cold.space("right").unwrap()), rows(50..60));
    left.put(rows(7..9).iter()).unwrap();
    assert_eq!(all(&cold.space("left").unwrap()), rows(7..9));
}

#[test]
fn many_rows_are_written_and_merged() {
    let cold = tiny();
    let mut space = cold.space("groups").unwrap();
    let mut expected = Rows::new();
    for batch in 0..20_u32 {
        // Every batch is all over the others, and takes the place of some of their rows.
        let rows = rows((0..500).map(|n| (n * 7919 + batch * 104_729) % 20_000));
        space.put(rows.iter()).unwrap();
        expected.extend(rows);
        let gone: Vec<_> = (0..100).map(|n| number((n * 6007 + batch * 31) % 20_000)).collect();
        space.remove(&gone).unwrap();
        gone.iter().for_each(|key| drop(expected.remove(key)));
        assert_eq!(space.len(), expected.len());
    }
    assert!(cold.disk_bytes() > 0);
    assert_eq!(all(&space), expected);
    let keys: Vec<_> = (0..20_000).map(number).collect();
    for (key, found) in keys.iter().zip(space.get(&keys).unwrap()) {
        assert_eq!(found.as_deref(), expected.get(key).map(Vec::as_slice));
    }
}

#[test]
fn a_scan_goes_on_behind_a_key() {
    let cold = tiny();
    let mut space = cold.space("rows").unwrap();
    let keys = [&[1, 2][..], &[1, 255], &[1, 255, 0], &[1, 255, 255], &[2], &[255], &[255, 255], &[255, 255, 3]];
    space.put(keys.iter().map(|key| (key, "v"))).unwrap();
    let scan = |prefix: &[u8], after: Option<&[u8]>, limit| {
        let found = space.scan(prefix, after, limit).unwrap();
        found.into_iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(scan(&[], None, 99), keys);
    assert_eq!(scan(&[], Some(&[1, 255, 0]), 2), keys[3..5]);
    assert_eq!(scan(&[1, 255], None, 99), keys[1..4]);
    assert_eq!(scan(&[1, 255], Some(&[1, 255]), 99), keys[2..4]);
    assert_eq!(scan(&[1, 255], Some(&[0]), 99), keys[1..4], "it is before all of them");
    assert_eq!(scan(&[1, 255], Some(&[2]), 99), keys[..0], "it is behind all of them");
    assert_eq!(scan(&[255], None, 99), keys[5..]);
    assert_eq!(scan(&[255, 255], None, 99), keys[6..]);
    assert_eq!(scan(&[255, 255, 255], None, 99), keys[..0]);
    assert_eq!(scan(&[], None, 0), keys[..0]);
    assert_eq!(scan(&[], Some(&[1; KEY_BYTES_MOST + 9]), 99), keys[..]);
    assert_eq!(scan(&[1; KEY_BYTES_MOST + 9], None, 99), keys[..0]);
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let cold = tiny();
    let mut space = cold.space("groups").unwrap();
    let nothing = space.snapshot();
    space.put(rows(0..3_000).iter()).unwrap();
    let before = space.snapshot();
    let again = space.snapshot();
    let reader = std::thread::spawn(move || {
        for _ in 0..20 {
            assert_eq!(all_then(&before), rows(0..3_000));
        }
        assert_eq!(owned(before.scan(&number(5), None, 9).unwrap()), owned_rows(5..6));
    });
    for batch in 0..30 {
        let changed: Rows = (batch * 100..batch * 100 + 100).map(|n| (number(n), b"other".to_vec())).collect();
        space.put(changed.iter()).unwrap();
        space.remove(&(batch * 50..batch * 50 + 50).map(number).collect::<Vec<_>>()).unwrap();
        space.put(rows(10_000 + batch * 100..10_100 + batch * 100).iter()).unwrap();
    }
    space.remove_prefix(&[0, 0]).unwrap();
    assert!(space.is_empty(), "all numbers are small");
    space.put(rows(5..6).iter()).unwrap();
    reader.join().unwrap();
    assert_eq!(all_then(&again), rows(0..3_000));
    assert_eq!(all_then(&nothing), Rows::new());
    assert_eq!(all(&space), rows(5..6));
}

fn owned_rows(numbers: std::ops::Range<u32>) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows(numbers).into_iter().collect()
}

#[test]
fn a_prefix_goes_alone() {
    let cold = tiny();
    let mut space = cold.space("windows").unwrap();
    let window = |window: u8, rows: std::ops::Range<u32>| {
        rows.map(move |n| ([&[window][..], &n.to_be_bytes()].concat(), vec![window; 20])).collect::<Rows>()
    };
    let mut expected = Rows::new();
    for step in 0..10 {
        for start in 0..4 {
            let rows = window(start, step * 200..step * 200 + 200);
            space.put(rows.iter()).unwrap();
            expected.extend(rows);
        }
    }
    // Rows whose removal is in a table that goes as a whole must not come back.
    let removed: Vec<_> = window(1, 0..2_000).into_keys().step_by(3).collect();
    space.remove(&removed).unwrap();
    removed.iter().for_each(|key| drop(expected.remove(key)));
    for start in [1, 7, 0, 3] {
        space.remove_prefix(&[start]).unwrap();
        expected.retain(|key, _| key[0] != start);
        assert_eq!(space.len(), expected.len());
        assert_eq!(all(&space), expected);
    }
    // Few of many, without looking for tables.
    space.remove_prefix(&[2, 0, 0, 0, 9]).unwrap();
    expected.remove(&[2, 0, 0, 0, 9][..]);
    assert_eq!(all(&space), expected);
    assert_eq!(space.len(), 1_999);
}

#[test]
fn nothing_stays_on_disk_of_what_is_cleared() {
    let path = directory();
    let cold = Cold::open_sized(&path, TINY).unwrap();
    let mut space = cold.space("groups").unwrap();
    space.put(rows(0..20_000).iter()).unwrap();
    assert!(cold.disk_bytes() > 100_000);
    let before = space.snapshot();
    space.clear().unwrap();
    assert_eq!((space.len(), cold.disk_bytes()), (0, 0));
    assert_eq!(all(&space), Rows::new());
    assert_eq!(all_then(&before), rows(0..20_000), "a snapshot still has its rows");
    drop(before);
    // The thread that merges may be at it for a moment longer.
    for _ in 0..1_000 {
        if bytes_below(&path) < 10_000 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(bytes_below(&path) < 10_000, "{} bytes stay", bytes_below(&path));
    space.put(rows(3..5).iter()).unwrap();
    assert_eq!(all(&space), rows(3..5));
}

#[test]
fn the_directory_is_emptied_and_removed() {
    let path = directory();
    std::fs::create_dir_all(path.join("0-0/tables")).unwrap();
    std::fs::write(path.join("0-0/tables/1"), "of a process that was killed").unwrap();
    let cold = Cold::open(&path).unwrap();
    let mut space = cold.space("groups").unwrap();
    assert!(space.is_empty());
    space.put(rows(0..10).iter()).unwrap();
    let snapshot = space.snapshot();
    drop(cold);
    assert_eq!(all(&space), rows(0..10), "a space needs its directory");
    drop(space);
    assert_eq!(all_then(&snapshot), rows(0..10), "so does a snapshot");
    drop(snapshot);
    assert!(!path.exists());
}

#[test]
fn dropping_does_not_wait_for_all_merges() {
    let path = directory();
    let cold = Cold::open_sized(&path, TINY).unwrap();
    let mut space = cold.space("groups").unwrap();
    for batch in 0..40 {
        space.put(rows((0..500).map(|n| (n * 7919 + batch * 31) % 50_000)).iter()).unwrap();
    }
    drop((space, cold));
    assert!(!path.exists());
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let cold = tiny();
    let mut space = cold.space("groups").unwrap();
    let longest = vec![7; KEY_BYTES_MOST];
    space.put([(&longest, "v")].into_iter()).unwrap();
    assert_eq!(get(&space, &longest).as_deref(), Some(&b"v"[..]));
    let longer = vec![7; KEY_BYTES_MOST + 1];
    assert_eq!(get(&space, &longer), None);
    space.remove(&[&longer]).unwrap();
    let error = space.put([(&longer, "v")].into_iter()).unwrap_err();
    assert_eq!(error.message, "cannot keep a key of 65536 bytes on disk");
    assert!(space.put([("", "v")].into_iter()).is_err());
    assert_eq!(space.len(), 1);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let path = directory();
    std::fs::write(&path, "a file").unwrap();
    let error = Cold::open(&path.join("below")).map(|_| ()).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.class, ErrorClass::Retryable);
    assert!(error.message.starts_with(&format!("cannot empty \"{}", path.display())), "{error}");
}

#[test]
fn what_fails_behind_the_back_is_told() {
    let path = directory();
    let cold = Cold::open_sized(&path, TINY).unwrap();
    let mut space = cold.space("groups").unwrap();
    space.put(rows(0..5).iter()).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let fill = |space: &mut Space| (0..1_000).try_for_each(|n| space.put(rows(n * 100..n * 100 + 100).iter()));
    let error: TaskError = fill(&mut space).unwrap_err();
    assert_eq!(error.class, ErrorClass::Retryable);
    assert!(error.message.contains(&path.display().to_string()), "{error}");
    assert!(error.hint.is_some());
    assert!(space.get(&[number(1)]).is_err(), "it is not forgotten");
}

#[test]
fn a_full_disk_has_a_hint() {
    let full = lsm_tree::Error::Io(io::Error::from(io::ErrorKind::StorageFull));
    let error = failed("merge rows in", Path::new("/scratch/0-0"), &full);
    assert_eq!(error.class, ErrorClass::Retryable);
    assert_eq!(error.message, "cannot merge rows in \"/scratch/0-0\": no storage space");
    assert_eq!(error.hint.as_deref(), Some("make room there, or keep state that outgrows memory in another directory"));
}

/// What may be done to a space.
#[derive(Clone, Debug)]
enum Change {
    Put(Vec<(Vec<u8>, Vec<u8>)>),
    Remove(Vec<Vec<u8>>),
    RemovePrefix(Vec<u8>),
    Clear,
    Snapshot,
    DropSnapshot,
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    // Few different bytes, the last one of all among them: prefixes and keys meet.
    prop::collection::vec(prop::sample::select(vec![0, 1, 254, 255]), 1..5)
}

fn changes() -> impl Strategy<Value = Change> {
    let entry = (keys(), prop::collection::vec(any::<u8>(), 0..200));
    prop_oneof![
        8 => prop::collection::vec(entry, 0..40).prop_map(Change::Put),
        4 => prop::collection::vec(keys(), 0..20).prop_map(Change::Remove),
        2 => prop::collection::vec(prop::sample::select(vec![0, 1, 254, 255]), 0..3).prop_map(Change::RemovePrefix),
        1 => Just(Change::Clear),
        2 => Just(Change::Snapshot),
        1 => Just(Change::DropSnapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_space_is_an_ordered_map(
        changes in prop::collection::vec(changes(), 1..60),
        prefix in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..3),
        after in prop::option::of(keys()),
        limit in 0_usize..30,
    ) {
        let cold = tiny();
        let mut space = cold.space("rows").unwrap();
        let mut expected = Rows::new();
        let mut snapshots: Vec<(Snapshot, Rows)> = vec![];
        for change in changes {
            match change {
                Change::Put(entries) => {
                    space.put(entries.iter().map(|(key, value)| (key, value))).unwrap();
                    expected.extend(entries);
                }
                Change::Remove(keys) => {
                    space.remove(&keys).unwrap();
                    keys.iter().for_each(|key| drop(expected.remove(key)));
                }
                Change::RemovePrefix(prefix) => {
                    space.remove_prefix(&prefix).unwrap();
                    expected.retain(|key, _| !key.starts_with(&prefix));
                }
                Change::Clear => {
                    space.clear().unwrap();
                    expected.clear();
                }
                Change::Snapshot => snapshots.push((space.snapshot(), expected.clone())),
                Change::DropSnapshot => drop(snapshots.pop()),
            }
            prop_assert_eq!(space.len(), expected.len());
            prop_assert_eq!(&all(&space), &expected);
        }
        let keys: Vec<_> = expected.keys().cloned().chain([vec![9], vec![0, 9, 9]]).collect();
        for (key, found) in keys.iter().zip(space.get(&keys).unwrap()) {
            prop_assert_eq!(found.as_deref(), expected.get(key).map(Vec::as_slice));
        }
        let behind = |key: &&Vec<u8>| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after);
        let page: Vec<_> = expected.keys().filter(behind).take(limit).map(|key| (key.clone(), expected[key].clone())).collect();
        prop_assert_eq!(owned(space.scan(&prefix, after.as_deref(), limit).unwrap()), page);
        for (snapshot, expected) in &snapshots {
            prop_assert_eq!(&all_then(snapshot), expected);
        }
    }
}
