//! Lists of addresses to listen on.

use crate::{
    error::Fatal,
    model::ports::{Address, ip_covers},
};

/// Reads lists of addresses: all of them together, each once, and localhost where there is none.
pub fn addresses(lists: &[String]) -> Result<Vec<Address>, Fatal> {
    let mut all: Vec<Address> = Vec::new();
    for text in lists.iter().flat_map(|list| list.split(',')).map(str::trim) {
        let address = Address::parse(text).map_err(|error| {
            Fatal::new("fwd::usage::bad_address", error.to_string())
                .help("an address is an IP or localhost; several are separated by commas: localhost,10.0.0.5")
        })?;
        if !all.contains(&address) {
            all.push(address);
        }
    }
    if all.is_empty() {
        all.push(Address::Localhost);
    }
    // What another address of the list listens on as well would be a conflict with ourselves.
    let covered = |one: &Address| all.iter().any(|other| other != one && covers(*other, *one));
    Ok(all.iter().copied().filter(|address| !covered(address)).collect())
}

fn covers(wide: Address, narrow: Address) -> bool {
    let wide = wide.ips();
    narrow.ips().into_iter().all(|narrow| wide.iter().any(|wide| ip_covers(*wide, narrow)))
}
