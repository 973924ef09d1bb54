//! Status codes, each with a place of its own as far as they are registered and seen in practice;
//! of the others, one place for each class. So no server makes us count in a thousand places.

use hyper::StatusCode;

/// Those with a place of their own.
const LISTED: [u16; 46] = [
    101, 200, 201, 202, 203, 204, 205, 206, 207, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402,
    403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428,
    429, 431, 500, 501, 502, 503, 504, 508,
];

/// Places; the last ones are for the rest of 1xx to 5xx, and for what is beyond.
pub(crate) const PLACES: usize = LISTED.len() + REST.len();
const REST: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What is beyond 599 has the place of 600.
const BEYOND: usize = 600;

/// The place of every code.
const TABLE: [u8; BEYOND + 1] = table();

#[expect(clippy::cast_possible_truncation, reason = "places are few")]
const fn table() -> [u8; BEYOND + 1] {
    let mut table = [0; BEYOND + 1];
    let mut code = 0;
    while code <= BEYOND {
        let class = if code < 100 { 6 } else { code / 100 };
        table[code] = (LISTED.len() + class - 1) as u8;
        code += 1;
    }
    let mut at = 0;
    while at < LISTED.len() {
        table[LISTED[at] as usize] = at as u8;
        at += 1;
    }
    table
}

/// Where a status is counted.
pub(crate) fn place(status: StatusCode) -> usize {
    usize::from(TABLE[usize::from(status.as_u16()).min(BEYOND)])
}

/// What is counted at a place: the code, or the class where it is one of many; and the class.
pub(crate) fn labels(place: usize) -> (String, &'static str) {
    if let Some(code) = LISTED.get(place) {
        return (code.to_string(), REST[usize::from(code / 100) - 1]);
    }
    let class = REST[(place - LISTED.len()).min(REST.len() - 1)];
    (class.to_owned(), class)
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::{PLACES, labels, place};

    #[test]
    fn every_code_has_a_place() {
        for (code, label, class) in [
            (200, "200", "2xx"),
            (299, "2xx", "2xx"),
            (404, "404", "4xx"),
            (499, "4xx", "4xx"),
            (508, "508", "5xx"),
            (599, "5xx", "5xx"),
            (600, "other", "other"),
            (999, "other", "other"),
        ] {
            let place = place(StatusCode::from_u16(code).unwrap());
            assert_eq!(labels(place), (label.to_owned(), class), "{code}");
        }
        assert!((100..1000).all(|code| place(StatusCode::from_u16(code).unwrap()) < PLACES));
    }
}
