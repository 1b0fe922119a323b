//! The name that was probably meant.

/// Names further away than this (1 is equal, by Jaro and Winkler, who forgive a wrong end) are no suggestion but noise.
const CLOSE_ENOUGH: f64 = 0.8;

/// Names with fewer slips of the fingers than one in so many letters are close as well: `wbe` is `web`.
const LETTERS_A_SLIP: usize = 3;

/// Names listed in one message; more are counted.
const LISTED: usize = 10;

/// The nearest of `names` to `wanted`, if one is near: a few typing mistakes away, or a longer form of it.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .filter_map(|name| closeness(wanted, name).map(|closeness| (closeness, name)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn closeness(wanted: &str, name: &str) -> Option<f64> {
    let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
    let (wanted, name) = (wanted.as_str(), name.as_str());
    let alike = strsim::jaro_winkler(wanted, name);
    let slips = strsim::damerau_levenshtein(wanted, name);
    let letters = wanted.chars().count();
    let close = alike >= CLOSE_ENOUGH || (slips * LETTERS_A_SLIP <= letters && slips < name.chars().count());
    close.then(|| alike.max(strsim::normalized_damerau_levenshtein(wanted, name)))
}

/// `did you mean 'b'? there are a, b and c`, as help for a name that is not there.
pub fn suggestion<'a>(wanted: &str, plural: &str, names: &[&'a str]) -> String {
    let mut names: Vec<&'a str> = names.to_vec();
    names.sort_unstable();
    let near = nearest(wanted, names.iter().copied())
        .map(|near| format!("did you mean '{near}'? "))
        .unwrap_or_default();
    let there = match names.len() {
        0 => format!("there are no {plural}"),
        n if n > LISTED => format!("{plural}: {} and {} more", names[..LISTED].join(", "), n - LISTED),
        _ => format!("{plural}: {}", names.join(", ")),
    };
    near + &there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        assert_eq!(nearest("wbe", ["web", "db"]), Some("web"));
        assert_eq!(nearest("wbe", ["api", "web"]), Some("web"));
        assert_eq!(nearest("API", ["web", "api"]), Some("api"));
        assert_eq!(nearest("zzz", ["web", "db"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("api", ["api-gateway", "web"]), Some("api-gateway"));
        assert_eq!(nearest("kind-dve", ["kind-dev", "prod"]), Some("kind-dev"));
        assert_eq!(suggestion("wbe", "services", &["web", "db"]), "did you mean 'web'? services: db, web");
        assert_eq!(suggestion("x", "services", &[]), "there are no services");
        let many: Vec<String> = (10..30).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(suggestion("x", "pods", &many).ends_with("19 and 10 more"));
    }

    #[test]
    fn slips_and_strangers() {
        let known = ["context", "cluster", "user", "port", "svc"];
        for (word, expected) in [
            ("contxt", Some("context")),
            ("clutser", Some("cluster")),
            ("ports", Some("port")),
            ("scv", Some("svc")),
            ("balance", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
