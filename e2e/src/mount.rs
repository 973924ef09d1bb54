//! The kubelet's part in a mounted ConfigMap or Secret: there is no kubelet here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;

/// Replaces what a mounted volume shows, as the kubelet does: a new folder, and a symlink `..data`
/// that is renamed onto it. `version` names the folder, and has to be another each time.
pub fn mount(folder: &Path, version: &str, files: &[(&str, impl AsRef<[u8]>)]) -> Result<()> {
    let data = folder.join(format!("..{version}"));
    fs::create_dir_all(&data)?;
    for (name, text) in files {
        fs::write(data.join(name), text)?;
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_ok_and(|meta| !meta.is_symlink()) {
            fs::remove_file(&link)?;
        }
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), &link)?;
        }
    }
    symlink(format!("..{version}"), folder.join("..data_tmp"))?;
    Ok(fs::rename(folder.join("..data_tmp"), folder.join("..data"))?)
}
