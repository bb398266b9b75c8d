//! The last lines of the feed, by number.

use super::Viewer;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use store::change::Audience;

/// Lines that are kept.
const KEPT: usize = 20_000;
/// Lines of one read.
const MOST: usize = 1_000;

/// One change, ready to be sent.
#[derive(Debug)]
pub struct Line {
    pub audience: Audience,
    /// The event's data, as JSON.
    pub text: String,
}

/// A number within the history of one process; written `3f9a1c-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    epoch: u32,
    number: u64,
}

impl Place {
    /// A place that no history has.
    pub fn nowhere() -> Place {
        Place { epoch: 0, number: u64::MAX }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.number)
    }
}

impl FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Place, ()> {
        let (epoch, number) = text.split_once('-').ok_or(())?;
        let epoch = u32::from_str_radix(epoch, 16).map_err(drop)?;
        Ok(Place { epoch, number: number.parse().map_err(drop)? })
    }
}

/// What there was to read.
#[derive(Debug)]
pub enum Read {
    /// Lines and the place after each.
    Lines(Vec<(Place, Arc<Line>)>),
    /// Some are gone. It goes on from here.
    Lost(Place),
}

impl Read {
    /// Those that somebody may see, as events; and the place to go on from, if there was anything.
    pub fn text(&self, viewer: &Viewer) -> (String, Option<Place>) {
        match self {
            Read::Lost(place) => (format!("event: lost\nid: {place}\ndata: {{}}\n\n"), Some(*place)),
            Read::Lines(lines) => {
                let seen = lines.iter().filter(|(_, line)| viewer.sees(&line.audience));
                let text =
                    seen.map(|(p, l)| format!("event: change\nid: {p}\ndata: {}\n\n", l.text)).collect();
                (text, lines.last().map(|(place, _)| *place))
            }
        }
    }
}

#[derive(Debug)]
pub struct Ring {
    epoch: u32,
    /// The number of the last line.
    last: u64,
    lines: VecDeque<Arc<Line>>,
}

impl Ring {
    pub fn new() -> Ring {
        Ring { epoch: rand::random(), last: 0, lines: VecDeque::new() }
    }

    /// Another history: places of the one before are lost.
    pub fn begin_anew(&mut self) {
        *self = Ring { epoch: self.epoch.wrapping_add(1), ..Ring::new() };
    }

    pub fn place(&self) -> Place {
        Place { epoch: self.epoch, number: self.last }
    }

    pub fn add(&mut self, lines: Vec<Line>) {
        for line in lines {
            self.last += 1;
            self.lines.push_back(Arc::new(line));
        }
        while self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }

    pub fn read(&self, from: Place) -> Read {
        let behind = self.last.checked_sub(from.number).and_then(|n| usize::try_from(n).ok());
        match behind {
            Some(behind) if from.epoch == self.epoch && behind <= self.lines.len() => {
                let first = self.lines.len() - behind;
                let numbered = (from.number + 1..).zip(self.lines.iter().skip(first)).take(MOST);
                let place = |number| Place { epoch: self.epoch, number };
                Read::Lines(numbered.map(|(n, line)| (place(n), line.clone())).collect())
            }
            _ => Read::Lost(self.place()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(n: usize) -> Vec<Line> {
        (0..n).map(|i| Line { audience: Audience::Everybody, text: i.to_string() }).collect()
    }

    fn count(ring: &Ring, from: Place) -> Option<usize> {
        match ring.read(from) {
            Read::Lines(lines) => Some(lines.len()),
            Read::Lost(_) => None,
        }
    }

    #[test]
    fn goes_on_from_a_place_and_says_when_it_cannot() {
        let mut ring = Ring::new();
        let start = ring.place();
        assert_eq!(count(&ring, start), Some(0));
        ring.add(lines(3));
        let Read::Lines(all) = ring.read(start) else { panic!("lost") };
        assert_eq!(all.iter().map(|(_, l)| l.text.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
        assert_eq!(count(&ring, all[0].0), Some(2));
        assert_eq!(count(&ring, ring.place()), Some(0));
        assert_eq!(all[1].0.to_string().parse(), Ok(all[1].0));
        ring.add(lines(KEPT - 1));
        assert_eq!(count(&ring, start), None, "older than what is kept");
        assert_eq!(count(&ring, all[1].0), Some(MOST), "a part at a time");
        let future = Place { number: 1 << 40, ..start };
        assert_eq!(count(&ring, future), None);
        ring.begin_anew();
        assert_eq!(count(&ring, all[1].0), None, "another history");
        for bad in ["", "-", "1", "x-1", "1-x"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
