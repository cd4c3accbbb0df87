//! Which files a path means.
//!
//! A file means itself; a directory all files below it; a path with `*` or `?` in it what matches, component by
//! component, and directories among that all files below them. Hidden files and those that begin with `_` (markers
//! and parts that are being written) are passed over unless the path names them. Files come in the order of their
//! paths, so that every task, and every run, sees the same list.

use std::fs;
use std::path::{Component, Path, PathBuf};

use arrow::array::StringArray;
use worker_lib::TaskError;

use crate::io_error;

/// A file to read, and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Deepest directory below the path that is looked into, against loops of links.
const DEPTH: usize = 64;

/// # Errors
/// When there is no such file, when a directory cannot be read, or when nothing is left of what there is.
pub(crate) fn list(path: &str, pattern: Option<&str>) -> Result<Vec<Found>, TaskError> {
    let (found, all) = list_any(path, pattern)?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match pattern {
        Some(pattern) if all > 0 => {
            TaskError::user(format!("none of the {all} files in \"{path}\" matches '{pattern}'"))
        }
        _ => TaskError::user(format!("there are no files in \"{path}\"")),
    })
}

/// The same, but there may be none. Gives their number before the pattern, too.
pub(crate) fn list_any(path: &str, pattern: Option<&str>) -> Result<(Vec<Found>, usize), TaskError> {
    let root = Path::new(path);
    let mut found = Vec::new();
    let mut base = root.to_path_buf();
    if !root.exists() && path.contains(['*', '?']) {
        base = expand(root, &mut found)?;
    } else {
        collect(root, 0, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let all = found.len();
    if let Some(pattern) = pattern {
        found = matching(found, &base, pattern)?;
    }
    Ok((found, all))
}

fn collect(path: &Path, depth: usize, found: &mut Vec<Found>) -> Result<(), TaskError> {
    let metadata = fs::metadata(path).map_err(|error| io_error("open", path, &error))?;
    if !metadata.is_dir() {
        found.push(Found { path: path.to_path_buf(), bytes: metadata.len() });
        return Ok(());
    }
    if depth > DEPTH {
        return Err(TaskError::user(format!("\"{}\" lies more than {DEPTH} directories deep", path.display())));
    }
    for entry in fs::read_dir(path).map_err(|error| io_error("read directory", path, &error))? {
        let entry = entry.map_err(|error| io_error("read directory", path, &error))?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(['.', '_']) {
            collect(&entry.path(), depth + 1, found)?;
        }
    }
    Ok(())
}

/// Finds what a path with wildcards means. Gives its part before them.
fn expand(path: &Path, found: &mut Vec<Found>) -> Result<PathBuf, TaskError> {
    let wild = |component: &Component<'_>| component.as_os_str().to_string_lossy().contains(['*', '?']);
    let components: Vec<Component<'_>> = path.components().collect();
    let first = components.iter().position(wild).unwrap_or(components.len());
    let base: PathBuf = components[..first].iter().collect();
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    let mut level = vec![base.clone()];
    for component in &components[first..] {
        let pattern = component.as_os_str().to_string_lossy();
        let mut next = Vec::new();
        for directory in level {
            if !wild(component) {
                next.extend(Some(directory.join(component)).filter(|path| path.exists()));
                continue;
            }
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries {
                let entry = entry.map_err(|error| io_error("read directory", &directory, &error))?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !name.starts_with(['.', '_']) && matches(pattern.as_bytes(), name.as_bytes()) {
                    next.push(entry.path());
                }
            }
        }
        level = next;
    }
    for path in level {
        collect(&path, 0, found)?;
    }
    Ok(base)
}

/// Whether `name` is what `pattern` means: `*` is any run of bytes, `?` any one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // The last star takes one byte more.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Keeps the files whose path below `base` (or name, when the path is the file) the regular expression finds.
fn matching(found: Vec<Found>, base: &Path, pattern: &str) -> Result<Vec<Found>, TaskError> {
    let below = |file: &Found| {
        let below = file.path.strip_prefix(base).unwrap_or(&file.path);
        let below = if below.as_os_str().is_empty() { file.path.file_name().map(Path::new) } else { Some(below) };
        below.unwrap_or(&file.path).to_string_lossy().into_owned()
    };
    let paths = StringArray::from_iter_values(found.iter().map(below));
    let hits = arrow::compute::regexp_is_match_scalar(&paths, pattern, None)
        .map_err(|error| TaskError::user(format!("'{pattern}' is not a regular expression: {error}")))?;
    Ok(found.into_iter().zip(hits.iter()).filter(|(_, hit)| *hit == Some(true)).map(|(file, _)| file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, pattern: Option<&str>, root: &Path) -> Vec<String> {
        let found = list(&root.join(path).to_string_lossy(), pattern).unwrap();
        found.iter().map(|file| file.path.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn files_come_in_order_and_hidden_ones_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["b/2.json", "b/1.json", "a.json", "c.csv", ".hidden", "_SUCCESS", "b/.1.json.tmp"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
        assert_eq!(names("", None, root), ["a.json", "b/1.json", "b/2.json", "c.csv"]);
        assert_eq!(names("", Some("\\.json$"), root), ["a.json", "b/1.json", "b/2.json"]);
        assert_eq!(names("", Some("^b/"), root), ["b/1.json", "b/2.json"]);
        assert_eq!(names("?.json", None, root), ["a.json"]);
        assert_eq!(names("*/1.*", None, root), ["b/1.json"]);
        assert_eq!(names("a.json", Some("^a"), root), ["a.json"]);
        assert_eq!(names("_SUCCESS", None, root), ["_SUCCESS"]);
        let none = list(&root.to_string_lossy(), Some("nothing")).unwrap_err();
        assert!(none.message.contains("none of the 4 files"), "{none}");
        let missing = list("/no/such/file.json", None).unwrap_err();
        assert_eq!(missing.message, "cannot open \"/no/such/file.json\": no such file or directory");
    }

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b", "ac", false),
            ("??", "ab", true),
            ("??", "abc", false),
            ("*.json", "x.json.gz", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
