//! The copy of the repository in which we are called, and the folder in which cargo puts what it compiles there.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Beside the profiles' folders: the path of the copy of the repository whose programs they hold.
const OWNER: &str = ".waiting-game";

/// Where we are called.
pub struct Place {
    /// The repository's folder.
    pub root: PathBuf,
    /// The folder of all profiles.
    profiles: PathBuf,
    /// Where another copy of the repository has its programs in the usual folder: another one.
    pub of_our_own: Option<PathBuf>,
}

impl Place {
    /// As cargo tells it when it runs us, and not as it was when we were compiled: two copies may share a folder for
    /// what is compiled, or one may have been moved.
    pub fn find() -> Option<Self> {
        let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
        let root = fs::canonicalize(package.ancestors().nth(2)?).ok()?;
        // `target/start/start`
        let us = fs::canonicalize(env::current_exe().ok()?).ok()?;
        let profiles = us.ancestors().nth(2)?.to_owned();
        let of_our_own = of_our_own(&root, &profiles);
        Some(Self { root, profiles: of_our_own.clone().unwrap_or(profiles), of_our_own })
    }

    /// Whether a tool lies where cargo will put it.
    pub fn has(&self, program: &str) -> bool {
        self.profiles.join("debug").join(program).exists()
    }
}

/// Cargo tells packages apart by their paths below the workspace, and takes what was compiled for new if it's younger than
/// the sources. So with one folder for two copies of the repository (`CARGO_TARGET_DIR`), it gives the one the other's
/// program. Whoever comes second has a folder of its own in there.
fn of_our_own(root: &Path, profiles: &Path) -> Option<PathBuf> {
    if profiles.starts_with(root) {
        return None;
    }
    let owner = profiles.join(OWNER);
    match fs::read_to_string(&owner).map(PathBuf::from) {
        Ok(path) if path == root => None,
        Ok(path) if path.is_dir() => {
            let mut hasher = DefaultHasher::new();
            root.hash(&mut hasher);
            Some(profiles.join(format!("waiting-game-{:016x}", hasher.finish())))
        }
        // It's the first one here, or the other one is gone. If that can't be written down, so be it.
        _ => {
            let _ = fs::write(&owner, root.as_os_str().as_encoded_bytes());
            None
        }
    }
}
