use super::*;

fn parsed(text: &str) -> Arc<YamlNode> {
    read(text.as_bytes()).ok().unwrap().unwrap()
}

fn text_of(node: &YamlNode, name: &str) -> Option<String> {
    node.get(name).and_then(|node| node.text().unwrap())
}

#[test]
fn the_last_of_a_key_counts() {
    let node = parsed("a: 1\na: {b: 2}\na: 3\n");
    assert_eq!(text_of(&node, "a").as_deref(), Some("3"));
    assert_eq!(text_of(&parsed(r#"{"a": "x", "a": "y"}"#), "a").as_deref(), Some("y"));
}

#[test]
fn anchors_may_be_used_often_and_merged() {
    let uses = "- *x\n".repeat(10_000);
    let node = parsed(&format!("a: &x {{b: c, d: e}}\nlist:\n{uses}m: {{b: own, <<: *x}}\n"));
    assert_eq!(node.get("list").unwrap().list().unwrap().len(), 10_000);
    let merged = node.get("m").unwrap();
    assert_eq!((text_of(merged, "b").as_deref(), text_of(merged, "d").as_deref()), (Some("own"), Some("e")));
    assert!(read(b"a: &a [*a]").is_err());
}

#[test]
fn nothing_multiplies_without_end() {
    // A tree of 9^9 values, which is never built.
    let level = |level: u8| format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(9));
    let levels: Vec<String> = (1..10).map(level).collect();
    let node = parsed(&format!("a0: &a0 [x]\n{}", levels.concat()));
    assert_eq!(node.get("a9").unwrap().json(&mut 1000), None);
    let wide = (0..2000).map(|key| format!("k{key}: v")).collect::<Vec<_>>().join("\n  ");
    let merges = "- {<<: *w}\n".repeat(100);
    let error = read(format!("w: &w\n  {wide}\nl:\n{merges}").as_bytes()).err().unwrap();
    assert!(error.why.contains("100000"), "{error:?}");
}

#[test]
fn nulls_and_empty_texts_are_not_set() {
    let node = parsed("a: null\nb: ~\nc:\nd: ''\ne: 'null'\nf: \"\"\n");
    for name in ["a", "b", "c"] {
        assert!(node.get(name).is_none(), "{name}");
    }
    assert_eq!((text_of(&node, "d"), text_of(&node, "f")), (None, None));
    assert_eq!(text_of(&node, "e").as_deref(), Some("null"));
}

#[test]
fn kinds_are_judged_when_asked_for() {
    let node = parsed("a: [1]\nb: {c: d}\ne: 'true'\nf: yes\n{x: y}: z\n");
    let unfit = node.get("a").unwrap().text().err().unwrap();
    assert_eq!(unfit.to_string(), "is a list where a text belongs (line 1)");
    assert!(node.get("b").unwrap().list().is_err() && node.get("a").unwrap().map().is_err());
    assert!(node.get("e").unwrap().boolean().is_err());
    assert_eq!(node.get("f").unwrap().boolean(), Ok(true));
}

#[test]
fn binary_and_base64() {
    assert_eq!(text_of(&parsed("a: !!binary |\n  aGVs\n  bG8=\n"), "a").as_deref(), Some("hello"));
    assert_eq!(text_of(&parsed("a: !!str null\n"), "a").as_deref(), Some("null"));
    assert_eq!(base64(" aGVs\r\nbG8=\n").as_deref(), Some(&b"hello"[..]));
    // The bits behind the last byte.
    assert_eq!(base64("aGVsbG9=").as_deref(), Some(&b"hello"[..]));
    assert_eq!(base64("%%%"), None);
}

#[test]
fn encodings() {
    let text = "a: é\n";
    let utf16 = |mark: u16, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(mark).chain(text.encode_utf16()).flat_map(unit).collect()
    };
    for mut bytes in [utf16(0xfeff, u16::to_le_bytes), utf16(0xfeff, u16::to_be_bytes)] {
        assert_eq!(text_of(&read(&bytes).ok().unwrap().unwrap(), "a").as_deref(), Some("é"));
        bytes.push(0);
        assert!(read(&bytes).err().unwrap().why.contains("UTF-16"));
    }
    assert!(read(b"\xff\xfe\x00\xd8").is_err());
    let marked = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    assert_eq!(text_of(&read(&marked).ok().unwrap().unwrap(), "a").as_deref(), Some("é"));
    assert!(read(b"a: \xe9").err().unwrap().why.contains("UTF-8"));
}

#[test]
fn only_the_first_document_is_read() {
    assert_eq!(text_of(&parsed("---\na: 1\n---\na: ]\n"), "a").as_deref(), Some("1"));
    assert!(read(b"# nothing\n").ok().unwrap().is_none());
    assert!(read(b"").ok().unwrap().is_none());
}

#[test]
fn what_is_broken_is_told_without_a_word_of_it() {
    for text in ["a: {token: s3cret\nb: ]\n", "token: *s3cret\n", "token: @s3cret\n", "token: \"s3cret\n"] {
        let broken = read(text.as_bytes()).err().unwrap();
        assert!(!broken.why.contains("s3cret") && broken.place.is_some(), "{broken:?}");
    }
    assert!(read(b"a:\n\t- b: c\n").err().unwrap().tab);
}
