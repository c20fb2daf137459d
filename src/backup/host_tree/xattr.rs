//! Extended attributes, by whatever calls reach the object.

use rustix::io::Errno;

use crate::backup::tree::Xattrs;

/// Room for what most attributes are; the kernel's own limit for values and lists.
const USUAL: usize = 1024;
const LIMIT: usize = 65536;

/// All attributes that a list names; one that is gone or may not be read is left out.
pub(super) fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Errno> {
    let mut found = Xattrs::new();
    let names = match read_all(&list) {
        Ok(names) if names.is_empty() => return Ok(found),
        Err(Errno::OPNOTSUPP) => return Ok(found),
        names => names?,
    };
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        match read_all(&|buffer: &mut [u8]| get(name, buffer)) {
            Ok(value) => found.push((name.to_vec(), value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Calls `read` with a buffer that is surely large enough, if a usual one is not.
fn read_all(read: &dyn Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL];
    match read(&mut usual) {
        Ok(length) => Ok(usual.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; LIMIT];
            let length = read(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(error) => Err(error),
    }
}
