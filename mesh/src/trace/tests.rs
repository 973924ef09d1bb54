use proptest::prelude::*;

use super::{
    Carried, Extracted, Formats, Sampling, SpanId, TraceContext, TraceId, Written, extract,
};

const LONG: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SHORT: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const PARENT: &str = "05e3ac9a4f6e3b90";

fn single(text: &str) -> Extracted {
    extract(&Carried { b3: Some(text.as_bytes()), ..Carried::default() })
}

fn w3c(text: &str) -> Extracted {
    extract(&Carried { traceparent: Some(text.as_bytes()), ..Carried::default() })
}

/// Trace, span, parent, and what was decided, as text.
fn told(extracted: &Extracted) -> Option<(String, String, Option<String>, Sampling)> {
    let context = extracted.context?;
    let parent = context.parent.map(|parent| parent.to_string());
    Some((context.trace.to_string(), context.span.to_string(), parent, context.sampling))
}

fn known(
    trace: &str,
    parent: Option<&str>,
    sampling: Sampling,
) -> (String, String, Option<String>, Sampling) {
    (trace.to_owned(), SPAN.to_owned(), parent.map(str::to_owned), sampling)
}

#[test]
fn b3_in_one_header() {
    for (text, expected) in [
        (format!("{LONG}-{SPAN}"), Some(known(LONG, None, Sampling::Undecided))),
        (format!("{LONG}-{SPAN}-1"), Some(known(LONG, None, Sampling::Yes))),
        (format!("{SHORT}-{SPAN}-0"), Some(known(SHORT, None, Sampling::No))),
        (format!("{SHORT}-{SPAN}-d-{PARENT}"), Some(known(SHORT, Some(PARENT), Sampling::Debug))),
        (format!("{}-{SPAN}-1", LONG.to_uppercase()), Some(known(LONG, None, Sampling::Yes))),
        // Broken in some way each.
        (format!("{LONG}-{SPAN}-2"), None),
        (format!("{LONG}-{SPAN}-1-{PARENT}-x"), None),
        (format!("{LONG}-{SPAN}-1-{}", &PARENT[1..]), None),
        (format!("{LONG}-{SPAN}-"), None),
        (format!("{LONG}0-{SPAN}-1"), None),
        (format!("{}-{SPAN}-1", "0".repeat(32)), None),
        (format!("{LONG}-{}-1", "0".repeat(16)), None),
        (format!("{}-{SPAN}-1", LONG.replace('8', "g")), None),
        (LONG.to_owned(), None),
        (String::new(), None),
        ("-".to_owned(), None),
    ] {
        assert_eq!(told(&single(&text)), expected, "{text}");
    }
    for (text, sampling) in [
        ("0", Sampling::No),
        ("1", Sampling::Yes),
        ("d", Sampling::Debug),
        ("x", Sampling::Undecided),
    ] {
        assert_eq!(single(text).sampling, sampling, "{text}");
        assert_eq!(single(text).context, None);
    }
}

#[test]
fn b3_in_many_headers() {
    let full = Carried {
        trace_id: Some(LONG.as_bytes()),
        span_id: Some(SPAN.as_bytes()),
        ..Carried::default()
    };
    let with = |sampled: Option<&'static str>, flags: Option<&'static str>| Carried {
        sampled: sampled.map(str::as_bytes),
        flags: flags.map(str::as_bytes),
        ..full
    };
    for (carried, sampling) in [
        (full, Sampling::Undecided),
        (with(Some("1"), None), Sampling::Yes),
        (with(Some("true"), None), Sampling::Yes),
        (with(Some("0"), None), Sampling::No),
        (with(Some("maybe"), None), Sampling::Undecided),
        (with(Some("1"), Some("0")), Sampling::Yes),
        (with(None, Some("1")), Sampling::Debug),
        (with(Some("0"), Some("1")), Sampling::Debug),
    ] {
        assert_eq!(told(&extract(&carried)), Some(known(LONG, None, sampling)), "{carried:?}");
    }
    let parent = Carried { parent_span_id: Some(PARENT.as_bytes()), ..full };
    assert_eq!(told(&extract(&parent)), Some(known(LONG, Some(PARENT), Sampling::Undecided)));
    // Ids count only together.
    for broken in [
        Carried { span_id: None, ..full },
        Carried { trace_id: None, ..full },
        Carried { trace_id: Some(b""), ..full },
        Carried { span_id: Some(b"xyz"), ..full },
        Carried { parent_span_id: Some(b"xyz"), ..full },
    ] {
        let extracted = extract(&broken);
        assert_eq!(
            (extracted.context, extracted.sampling),
            (None, Sampling::Undecided),
            "{broken:?}"
        );
        assert!(extracted.formats.b3_multi && !extracted.consistent, "{broken:?}");
    }
    let alone = extract(&Carried { sampled: Some(b"0"), ..Carried::default() });
    assert_eq!((alone.context, alone.sampling), (None, Sampling::No));
}

#[test]
fn traceparent() {
    let id = format!("{LONG}-{SPAN}");
    for (text, sampling) in [
        (format!("00-{id}-01"), Some(Sampling::Yes)),
        (format!("00-{id}-00"), Some(Sampling::No)),
        (format!("00-{id}-03"), Some(Sampling::Yes)),
        // A version of the future may say more.
        (format!("cc-{id}-01"), Some(Sampling::Yes)),
        (format!("cc-{id}-01-what-the-future-will-be-like"), Some(Sampling::Yes)),
        (format!("cc-{id}-01.what-the-future-will-be-like"), None),
        (format!("00-{id}-01-more"), None),
        (format!("ff-{id}-01"), None),
        (format!("0-{id}-01"), None),
        (format!("00-{}-01", id.to_uppercase()), None),
        (format!("00-{id}-0X"), None),
        (format!("00_{id}-01"), None),
        (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
        (format!("00-{LONG}-{}-01", "0".repeat(16)), None),
        (format!("00-{SHORT}-{SPAN}-01"), None),
        (String::new(), None),
        ("é".repeat(40), None),
    ] {
        assert_eq!(w3c(&text).context.map(|context| context.sampling), sampling, "{text}");
        assert!(w3c(&text).formats.w3c);
        assert_eq!(w3c(&text).keeps_state, sampling.is_some(), "{text}");
    }
    assert!(w3c(&format!("00-{id}-02")).context.is_some_and(|context| context.random));
}

#[test]
fn the_first_format_counts() {
    let b3 = format!("{LONG}-{SPAN}-1");
    let same = format!("00-{LONG}-{SPAN}-01");
    let other = format!("00-{}-{SPAN}-01", LONG.replace('8', "9"));
    let undecided = format!("{LONG}-{SPAN}");
    let unsampled = format!("00-{LONG}-{SPAN}-00");
    for (b3, traceparent, taken, consistent, keeps_state) in [
        (&*b3, &*same, Sampling::Yes, true, true),
        (&b3, &other, Sampling::Yes, false, false),
        (&b3, &unsampled, Sampling::Yes, false, true),
        (&b3, "broken", Sampling::Yes, false, false),
        // Who has not decided leaves it to the other.
        (&undecided, &unsampled, Sampling::No, true, true),
        (&undecided, &same, Sampling::Yes, false, true),
        ("broken", &unsampled, Sampling::No, false, true),
        ("0", &same, Sampling::Yes, false, true),
    ] {
        let extracted = extract(&Carried {
            b3: Some(b3.as_bytes()),
            traceparent: Some(traceparent.as_bytes()),
            ..Carried::default()
        });
        assert_eq!(told(&extracted), Some(known(LONG, None, taken)), "{b3} {traceparent}");
        assert_eq!(extracted.consistent, consistent, "{b3} {traceparent}");
        assert_eq!(extracted.keeps_state, keeps_state, "{b3} {traceparent}");
        let both = Formats { b3_multi: false, b3_single: true, w3c: true };
        assert_eq!(extracted.formats, both);
    }
    assert_eq!(extract(&Carried::default()), Extracted::default());
}

#[test]
fn a_child_is_of_the_same_trace_and_another_span() {
    let parent = TraceContext::new([1, 2, 3], Sampling::Debug);
    for random in [0, 1, 2, 3, u64::MAX] {
        let child = parent.child(random);
        assert_ne!(child.span, parent.span, "{random}");
        assert_eq!((child.trace, child.parent), (parent.trace, Some(parent.span)));
        assert_eq!(child.sampling, Sampling::Debug);
    }
    let worst = TraceContext::new([0, 0, 0], Sampling::Yes);
    assert_ne!(worst.trace.to_bytes(), [0; 16]);
}

/// Reads back what was written.
fn read_back(written: &Written, context: &TraceContext, formats: Formats) -> Extracted {
    let part = |range: &std::ops::Range<usize>| &written.text[range.clone()];
    let multi = |range| formats.b3_multi.then(|| part(range));
    let (sampled, flags): (Option<&[u8]>, Option<&[u8]>) = match context.sampling {
        Sampling::Undecided => (None, None),
        Sampling::No => (Some(b"0"), None),
        Sampling::Yes => (Some(b"1"), None),
        Sampling::Debug => (None, Some(b"1")),
    };
    extract(&Carried {
        b3: written.b3.as_ref().map(part),
        trace_id: multi(&written.trace_id),
        span_id: multi(&written.span_id),
        parent_span_id: written.parent_span_id.as_ref().and_then(multi),
        sampled: sampled.filter(|_| formats.b3_multi),
        flags: flags.filter(|_| formats.b3_multi),
        traceparent: formats.w3c.then(|| part(&written.traceparent)),
    })
}

fn contexts() -> impl Strategy<Value = TraceContext> {
    let sampling = prop_oneof![
        Just(Sampling::Undecided),
        Just(Sampling::No),
        Just(Sampling::Yes),
        Just(Sampling::Debug)
    ];
    let ids = (prop_oneof![Just(0), any::<u64>()], 1..u64::MAX, 1..u64::MAX);
    (ids, proptest::option::of(1..u64::MAX), sampling, any::<bool>()).prop_map(
        |((high, low, span), parent, sampling, random)| TraceContext {
            trace: TraceId::new(high, low).expect("no zero"),
            span: SpanId::new(span).expect("no zero"),
            parent: parent.and_then(SpanId::new),
            sampling,
            random,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(context in contexts()) {
        for (b3_multi, b3_single, w3c) in [
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (true, false, true),
            (true, true, true),
        ] {
            let formats = Formats { b3_multi, b3_single, w3c };
            let written = Written::of(&context, formats);
            let extracted = read_back(&written, &context, formats);
            let read = extracted.context.expect("a span");
            prop_assert_eq!((read.trace, read.span), (context.trace, context.span));
            prop_assert_eq!(read.sampling.takes(), context.sampling.takes());
            prop_assert_eq!(extracted.formats, formats);
            prop_assert!(extracted.consistent, "{:?}", extracted);
            prop_assert_eq!(extracted.keeps_state, w3c);
            let only_w3c = !b3_multi && !b3_single;
            if !only_w3c {
                prop_assert_eq!(read.sampling == Sampling::Debug, context.sampling == Sampling::Debug);
            }
            if b3_multi && !b3_single {
                prop_assert_eq!(read.parent, context.parent);
            }
            if only_w3c {
                prop_assert_eq!(read.random, context.random);
            }
        }
    }

    #[test]
    fn whatever_comes_is_read_or_left(
        b3 in proptest::option::of("[0-9a-f-]{0,80}"),
        traceparent in proptest::option::of("[0-9a-fA-F-]{50,60}"),
        ids in proptest::collection::vec(any::<u8>(), 0..40),
        sampled in proptest::option::of("[01dt]{0,2}"),
    ) {
        let extracted = extract(&Carried {
            b3: b3.as_deref().map(str::as_bytes),
            trace_id: Some(&ids),
            span_id: Some(&ids),
            parent_span_id: Some(&ids),
            sampled: sampled.as_deref().map(str::as_bytes),
            flags: None,
            traceparent: traceparent.as_deref().map(str::as_bytes),
        });
        prop_assert!(extracted.formats.b3_multi);
        if let Some(context) = extracted.context {
            prop_assert_eq!(context.sampling, extracted.sampling);
        }
    }
}
