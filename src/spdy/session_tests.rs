use super::*;

/// A session with one pair, and the ids of its error and data stream.
fn opened() -> (SpdySession, PairId, u32, u32) {
    let mut session = SpdySession::new(CreditMode::On);
    let pair = session.open(80, &mut BytesMut::new()).unwrap();
    let data = session.data_stream(pair).unwrap();
    (session, pair, pair.error_stream(), data)
}

fn events(session: &mut SpdySession, bytes: BytesMut) -> Vec<SpdyEvent> {
    let mut bytes = bytes.freeze();
    std::iter::from_fn(|| session.receive(&mut bytes).unwrap()).collect()
}

/// What the server says of the pair, step by step: `E` and `D` take its streams, `e` and `d` reset them, `t` is a text,
/// `f` and `F` are the FINs of error and data.
fn end(story: &str) -> Option<PairEnd> {
    let (mut session, pair, error, data) = opened();
    let mut encoder = HeaderEncoder::default();
    let mut out = BytesMut::new();
    for step in story.chars() {
        match step {
            'E' => frame::put_syn_reply(&mut out, &mut encoder, error),
            'D' => frame::put_syn_reply(&mut out, &mut encoder, data),
            'e' => frame::put_reset(&mut out, error, 5),
            'd' => frame::put_reset(&mut out, data, 5),
            't' => {
                out.extend_from_slice(&frame::data_head(error, 3, false));
                out.extend_from_slice(b"why");
            }
            'f' => out.extend_from_slice(&frame::data_head(error, 0, true)),
            'F' => out.extend_from_slice(&frame::data_head(data, 0, true)),
            _ => panic!("{step}"),
        }
    }
    let ends = events(&mut session, out).into_iter().filter_map(|event| match event {
        SpdyEvent::Ended(ended, end) => {
            assert_eq!(ended, pair);
            Some(end)
        }
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.len() <= 1, "{story}: {ends:?}");
    ends.into_iter().next()
}

#[test]
fn how_pairs_end() {
    let failed = Some(PairEnd::Failed("why".to_owned()));
    for (story, expected) in [
        ("", None),
        ("ED", None),
        ("EDF", None),
        ("EDFf", Some(PairEnd::Clean)),
        ("EDf", Some(PairEnd::Clean)),
        // A refused port, a sandbox that is gone, an application's reset.
        ("EDFte", failed.clone()),
        ("EDtde", failed.clone()),
        ("EDtf", failed.clone()),
        // Refused before there was a pair: by either stream.
        ("e", Some(PairEnd::Rejected)),
        ("d", Some(PairEnd::Rejected)),
        ("Ed", Some(PairEnd::Rejected)),
        ("Dte", failed),
        // Cut off, as by a session that was idle for too long (PROTOCOL §2.9): no end of an answer looks so.
        ("EDe", Some(PairEnd::Reset)),
        ("EDde", Some(PairEnd::Reset)),
        ("EDFe", Some(PairEnd::Reset)),
    ] {
        assert_eq!(end(story), expected, "{story}");
    }
}

/// What PROTOCOL §3 says of a story, without a session: the first step that ends the pair, and what was said before it.
fn model(story: &str) -> Option<PairEnd> {
    let (at, last) = story.char_indices().find(|(at, step)| match step {
        'f' | 'e' => true,
        'd' => !story[..*at].contains('D'),
        _ => false,
    })?;
    let before = &story[..at];
    Some(match last {
        'd' => PairEnd::Rejected,
        _ if before.contains('t') => PairEnd::Failed("why".repeat(before.matches('t').count())),
        'f' => PairEnd::Clean,
        _ if before.contains('E') => PairEnd::Reset,
        _ => PairEnd::Rejected,
    })
}

/// The stories that have `length` steps.
fn stories(length: u32) -> impl Iterator<Item = String> {
    const STEPS: [char; 7] = ['E', 'D', 'e', 'd', 't', 'f', 'F'];
    (0..STEPS.len().pow(length)).map(move |number| {
        (0..length).map(|digit| STEPS[number / STEPS.len().pow(digit) % STEPS.len()]).collect()
    })
}

/// FIN, RST, text and replies in every order.
#[test]
fn pairs_end_as_the_model_says_whatever_the_order() {
    for story in (0..=5).flat_map(stories) {
        assert_eq!(end(&story), model(&story), "{story}");
    }
}

/// After a reset of ours the runtime goes on for up to a second at full speed (PROTOCOL §0.6).
#[test]
fn late_data_is_dropped_without_allocation() {
    const FRAMES: usize = 1000;
    let (mut session, pair, _, data) = opened();
    session.reset(pair, &mut BytesMut::new());
    let mut late = BytesMut::new();
    for _ in 0..FRAMES {
        late.extend_from_slice(&frame::data_head(data, 4096, false));
        late.extend_from_slice(&[0; 4096]);
    }
    let mut late = late.freeze();
    let mut event = None;
    let allocations = allocation_counter::measure(|| event = session.receive(&mut late).unwrap());
    assert_eq!((event, allocations.count_total), (None, 0));
    assert!(late.is_empty());
}

/// The end of what the peer writes is told once: a listener may be slow, and what it is told meanwhile is kept.
#[test]
fn a_second_end_is_not_told() {
    let (mut session, pair, _, data) = opened();
    let mut out = BytesMut::new();
    for _ in 0..3 {
        out.extend_from_slice(&frame::data_head(data, 1, true));
        out.extend_from_slice(b"x");
        out.extend_from_slice(&frame::data_head(data, 0, true));
    }
    let expected = [SpdyEvent::Data(pair, Bytes::from_static(b"x")), SpdyEvent::DataEnd(pair)];
    assert_eq!(events(&mut session, out), expected);
}
