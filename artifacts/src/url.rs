//! Storage URLs.
//!
//! Every form that users may write is recognised here, so that the message for one that has no client yet says what
//! it is, and a typing error is not taken for a relative path.

use std::fmt;
use std::path::PathBuf;

/// Where artifacts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A directory. Relative paths stay relative.
    Local(PathBuf),
}

/// A storage URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("cannot open \"{url}\": object stores are not supported yet ({kind})")]
    ObjectStore { url: String, kind: &'static str },
    #[error("cannot open \"{url}\": unknown storage URL")]
    Unknown { url: String },
    #[error("cannot open \"{url}\": a file URL names no other host than this one")]
    RemoteFile { url: String },
    #[error("cannot open \"\": the storage URL is empty")]
    Empty,
}

impl UrlError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            UrlError::ObjectStore { .. } => "use a local directory: file:///path, file:/path or /path",
            UrlError::RemoteFile { .. } => "write file:///path with three slashes",
            UrlError::Unknown { .. } | UrlError::Empty => {
                "storage URLs are file:///path, file:/path, /path or a relative path; s3://, s3a://, s3::http(s)://, r2://, \
                 gs://, abfs(s):// and the https:// addresses of S3, R2, Google Cloud Storage and Azure are known but \
                 not supported yet"
            }
        }
    }
}

/// Schemes that belong to an object store.
const OBJECT_STORE_SCHEMES: &[(&str, &str)] = &[
    ("s3://", "Amazon S3"),
    ("s3a://", "Amazon S3"),
    ("s3::http://", "S3-compatible endpoint"),
    ("s3::https://", "S3-compatible endpoint"),
    ("r2://", "Cloudflare R2"),
    ("gs://", "Google Cloud Storage"),
    ("abfs://", "Azure Blob Storage"),
    ("abfss://", "Azure Blob Storage"),
];

/// Hosts of `https://` addresses that belong to an object store, by how they begin and end.
const OBJECT_STORE_HOSTS: &[(&str, &str, &str)] = &[
    ("s3.", ".amazonaws.com", "Amazon S3"),
    ("", ".amazonaws.com", "Amazon S3"),
    ("", ".r2.cloudflarestorage.com", "Cloudflare R2"),
    ("", "storage.googleapis.com", "Google Cloud Storage"),
    ("", ".blob.core.windows.net", "Azure Blob Storage"),
    ("", ".dfs.core.windows.net", "Azure Blob Storage"),
];

impl StorageUrl {
    /// # Errors
    /// When it is no storage URL, or one of a store that has no client yet.
    pub fn parse(url: &str) -> Result<StorageUrl, UrlError> {
        let owned = || url.to_owned();
        if url.is_empty() {
            return Err(UrlError::Empty);
        }
        if let Some(rest) = url.strip_prefix("file:") {
            return match rest.strip_prefix("//") {
                Some(path) if path.starts_with('/') => Ok(StorageUrl::Local(path.into())),
                Some(rest) => match rest.strip_prefix("localhost/") {
                    Some(path) => Ok(StorageUrl::Local(format!("/{path}").into())),
                    None => Err(UrlError::RemoteFile { url: owned() }),
                },
                None if rest.starts_with('/') => Ok(StorageUrl::Local(rest.into())),
                None => Err(UrlError::Unknown { url: owned() }),
            };
        }
        if let Some((_, kind)) = OBJECT_STORE_SCHEMES.iter().find(|(scheme, _)| url.starts_with(scheme)) {
            return Err(UrlError::ObjectStore { url: owned(), kind });
        }
        if let Some(rest) = url.strip_prefix("https://") {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            return Err(match OBJECT_STORE_HOSTS.iter().find(|(a, z, _)| host.starts_with(a) && host.ends_with(z)) {
                Some((_, _, kind)) => UrlError::ObjectStore { url: owned(), kind },
                None => UrlError::Unknown { url: owned() },
            });
        }
        if url.contains("://") {
            return Err(UrlError::Unknown { url: owned() });
        }
        Ok(StorageUrl::Local(url.into()))
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageUrl::Local(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            StorageUrl::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_forms_are_paths() {
        for (url, path) in [
            ("file:///a/b", "/a/b"),
            ("file:/a/b", "/a/b"),
            ("file://localhost/a", "/a"),
            ("/a/b", "/a/b"),
            ("a/b", "a/b"),
            ("./x", "./x"),
        ] {
            assert_eq!(StorageUrl::parse(url), Ok(StorageUrl::Local(path.into())), "{url}");
        }
    }

    #[test]
    fn object_stores_are_recognised_in_every_form() {
        for url in [
            "s3://bucket/key",
            "s3a://bucket/key",
            "https://s3.us-east-1.amazonaws.com/bucket/key",
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            "s3::http://localhost:9000/bucket/key",
            "s3::https://minio.example.com/bucket",
            "r2://account@bucket/key",
            "https://account.eu.r2.cloudflarestorage.com/bucket",
            "gs://bucket/key",
            "https://storage.googleapis.com/bucket",
            "https://bucket.storage.googleapis.com",
            "abfs://container@account.dfs.core.windows.net/key",
            "abfss://container@account.dfs.core.windows.net/key",
            "https://account.blob.core.windows.net/container",
            "https://account.dfs.core.windows.net/container",
        ] {
            assert!(matches!(StorageUrl::parse(url), Err(UrlError::ObjectStore { .. })), "{url}");
        }
    }

    #[test]
    fn anything_else_is_unknown_and_not_a_path() {
        for url in ["https://example.com/x", "ftp://host/x", "s4://bucket", "file:relative", "http://localhost/x"] {
            assert!(matches!(StorageUrl::parse(url), Err(UrlError::Unknown { .. })), "{url}");
        }
        assert!(matches!(StorageUrl::parse("file://host/x"), Err(UrlError::RemoteFile { .. })));
        assert_eq!(StorageUrl::parse(""), Err(UrlError::Empty));
    }
}
