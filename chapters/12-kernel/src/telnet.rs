//! Telnet, without a socket in sight: what is text among the bytes, and what is to be answered
//! to the rest (RFC 854, RFC 855).
//!
//! Most of Telnet is the art of agreeing without end: read [`Agreement`] first.

// The commands (RFC 854; those up to ABORT: RFC 1184).
const END_OF_FILE: u8 = 236;
const ABORT: u8 = 238;
const SE: u8 = 240;
const NO_OPERATION: u8 = 241;
const BREAK: u8 = 243;
const INTERRUPT_PROCESS: u8 = 244;
const ARE_YOU_THERE: u8 = 246;
const ERASE_CHARACTER: u8 = 247;
const ERASE_LINE: u8 = 248;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

/// All eight bits of each byte are meant (RFC 856).
pub const BINARY: u8 = 0;
/// Whoever says WILL ECHO shows what the other has typed (RFC 857).
pub const ECHO: u8 = 1;
/// Nobody says "go ahead" any more (RFC 858).
pub const SUPPRESS_GO_AHEAD: u8 = 3;
/// The window's size is told (RFC 1073).
pub const WINDOW_SIZE: u8 = 31;

/// What Ctrl-C is as a byte, and what "interrupt process" and "break" become.
pub const ETX: u8 = 3;
/// What Ctrl-D is as a byte, and what "end of file" becomes.
pub const EOT: u8 = 4;
/// What Ctrl-U is as a byte, and what "erase line" becomes.
pub const NAK: u8 = 21;
/// What the backspace key is as a byte, and what "erase character" becomes.
pub const DEL: u8 = 127;

/// The answer to "are you there?" has to be one that people can read.
const YES: &[u8] = b"[yes]\r\n";
/// The longest subnegotiation that is kept, in bytes, its option included: a window's size.
/// One that never ends must not fill our memory.
const LONGEST_KEPT: usize = 5;
/// How many requests of one connection are answered. Nobody has so much to agree about: one
/// who still asks has a loop, and we won't be the other half of it.
const MOST_ANSWERS: u16 = 1000;

// ANCHOR: agreement
/// How far two sides have agreed about one option of one of them. With
/// fewer than these six states they can ask each other for ever
/// (RFC 1143).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agreement {
    #[default]
    Off,
    On,
    /// We have asked, and wait for the answer.
    AskedForOn,
    AskedForOff,
    /// The same, and have changed our mind meanwhile: that is said when
    /// the answer is there, and not before.
    AskedForOnThenOff,
    AskedForOffThenOn,
}

impl Agreement {
    /// We wish it on, or off. What has to be said for it, if anything.
    fn wish(&mut self, on: bool) -> Option<bool> {
        use Agreement::*;
        let (next, say) = match (*self, on) {
            (Off, true) => (AskedForOn, Some(true)),
            (On, false) => (AskedForOff, Some(false)),
            (AskedForOn, false) => (AskedForOnThenOff, None),
            (AskedForOff, true) => (AskedForOffThenOn, None),
            (AskedForOnThenOff, true) => (AskedForOn, None),
            (AskedForOffThenOn, false) => (AskedForOff, None),
            (as_wished, _) => (as_wished, None),
        };
        *self = next;
        say
    }

    /// The other side has said on, or off. `agrees`: whether it may
    /// have it on. What has to be said to that, if anything: an answer
    /// isn't answered.
    fn hear(&mut self, on: bool, agrees: bool) -> Option<bool> {
        use Agreement::*;
        let (next, say) = match (*self, on) {
            (Off, true) if agrees => (On, Some(true)),
            (Off, true) => (Off, Some(false)),
            (On, false) => (Off, Some(false)),
            (AskedForOn, _) => (if on { On } else { Off }, None),
            // On: it mustn't refuse to switch off, and counts as off.
            (AskedForOff, _) => (Off, None),
            (AskedForOnThenOff, true) => (AskedForOff, Some(false)),
            (AskedForOnThenOff, false) => (Off, None),
            // The same; but on is what we want by now.
            (AskedForOffThenOn, true) => (On, None),
            (AskedForOffThenOn, false) => (AskedForOn, Some(true)),
            (as_said, _) => (as_said, None),
        };
        *self = next;
        say
    }
}
// ANCHOR_END: agreement

/// The window of somebody's terminal. 0: they don't say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub columns: u16,
    pub rows: u16,
}

// ANCHOR: telnet
/// One connection's Telnet. Nothing is said to a client that doesn't
/// speak it: that one would have to read it on its screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telnet {
    pub reading: Reading,
    /// The subnegotiation that is coming in, and no more of it than is
    /// of any use.
    pub subnegotiation: Vec<u8>,
    /// Whether the other side has shown that it speaks Telnet.
    pub is_spoken: bool,
    /// Whether we wish that what is typed isn't shown.
    pub hides: bool,
    /// Ours: we would show what the other side types. We never do: it's
    /// how one asks it not to.
    pub echo: Agreement,
    /// Theirs, like those that follow. Without it, clients look for Ctrl-C
    /// and Ctrl-\ in seven bits of each byte: the 9C in 本 is one.
    pub sends_binary: Agreement,
    pub suppresses_go_ahead: Agreement,
    pub tells_window: Agreement,
    /// The other side's window, as far as it's known.
    pub window: Option<Window>,
    /// How many of its requests were answered.
    pub answers: u16,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    #[default]
    Text,
    /// Text behind a CR, which may have been half of a line's end.
    Cr,
    /// A command: behind IAC.
    Command,
    /// The option that the verb is about.
    Option(Verb),
    Subnegotiation,
    /// Behind IAC in a subnegotiation.
    CommandInSubnegotiation,
}
// ANCHOR_END: telnet

/// WILL, WONT, DO or DONT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb {
    pub whose: Side,
    pub on: bool,
}

/// Whose option it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

impl Telnet {
    /// Whether the other side has agreed not to show what is typed.
    pub fn is_hidden(&self) -> bool {
        self.echo == Agreement::On
    }

    /// From now on, what is typed there isn't to be shown, or is again. Who speaks Telnet is
    /// asked for it, now or as soon as that's known.
    pub fn hide(&mut self, hides: bool, reply: &mut Vec<u8>) {
        self.hides = hides;
        if self.is_spoken {
            self.wish(Side::Ours, ECHO, hides, reply);
        }
    }

    /// Takes bytes, wherever they were cut. What is text goes to `text`: its lines end with LF,
    /// and behind a Ctrl-C or Ctrl-D the line ends, too, so that it's heard of at once. What has
    /// to be sent back goes to `reply`.
    pub fn receive(&mut self, bytes: &[u8], text: &mut Vec<u8>, reply: &mut Vec<u8>) {
        for &byte in bytes {
            self.byte(byte, text, reply);
        }
    }

    // ANCHOR: byte
    fn byte(&mut self, byte: u8, text: &mut Vec<u8>, reply: &mut Vec<u8>) {
        let reading = std::mem::take(&mut self.reading);
        match (reading, byte) {
            // The line has ended at its CR: it doesn't end twice.
            (Reading::Cr, b'\n' | 0) => self.show_spoken(reply),
            (Reading::Text | Reading::Cr, IAC) => self.reading = Reading::Command,
            (Reading::Text | Reading::Cr, b'\r') => {
                text.push(b'\n');
                self.reading = Reading::Cr;
            }
            (Reading::Text | Reading::Cr, _) => put(byte, text),
            (Reading::Command, IAC) => text.push(IAC),
            (Reading::Command, SB) => {
                self.subnegotiation.clear();
                self.reading = Reading::Subnegotiation;
            }
            (Reading::Command, _) => match Verb::of(byte) {
                Some(verb) => self.reading = Reading::Option(verb),
                None => self.command(byte, text, reply),
            },
            (Reading::Option(verb), option) => {
                self.show_spoken(reply);
                self.hear(verb, option, reply);
            }
            (Reading::Subnegotiation, IAC) => self.reading = Reading::CommandInSubnegotiation,
            (Reading::CommandInSubnegotiation, SE) => self.end_subnegotiation(reply),
            (Reading::Subnegotiation, _) | (Reading::CommandInSubnegotiation, IAC) => {
                // One too many tells that it's too long.
                if self.subnegotiation.len() <= LONGEST_KEPT {
                    self.subnegotiation.push(byte);
                }
                self.reading = Reading::Subnegotiation;
            }
            // It wasn't ended. Waiting for that, we'd be deaf for ever.
            (Reading::CommandInSubnegotiation, _) => {
                self.reading = Reading::Command;
                self.byte(byte, text, reply);
            }
        }
    }
    // ANCHOR_END: byte

    // ANCHOR: command
    /// Commands become the bytes that the same keys make on a terminal: so
    /// they stay in their place in the text.
    fn command(&mut self, command: u8, text: &mut Vec<u8>, reply: &mut Vec<u8>) {
        match command {
            INTERRUPT_PROCESS | BREAK | ABORT => put(ETX, text),
            END_OF_FILE => put(EOT, text),
            ERASE_CHARACTER => put(DEL, text),
            ERASE_LINE => put(NAK, text),
            ARE_YOU_THERE => reply.extend_from_slice(YES),
            // "Abort output" finds nothing here that runs for long. The data mark (DM) stands
            // where a Synch's urgent data ends: there is nothing that we'd have to skip.
            NO_OPERATION.. => {}
            // No command at all: somebody's text in another code.
            _ => return,
        }
        self.show_spoken(reply);
    }
    // ANCHOR_END: command

    // ANCHOR: spoken
    /// The other side has said something that only Telnet's speakers say: a
    /// command, or a line that ends as Telnet's do. Only now we say
    /// something ourselves.
    fn show_spoken(&mut self, reply: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_spoken, true) {
            self.wish(Side::Theirs, BINARY, true, reply);
            self.wish(Side::Theirs, WINDOW_SIZE, true, reply);
            self.wish(Side::Ours, ECHO, self.hides, reply);
        }
    }
    // ANCHOR_END: spoken

    // ANCHOR: negotiate
    /// What we know about. Any other option is off, and stays so.
    fn agreement(&mut self, whose: Side, option: u8) -> Option<&mut Agreement> {
        match (whose, option) {
            (Side::Ours, ECHO) => Some(&mut self.echo),
            (Side::Theirs, BINARY) => Some(&mut self.sends_binary),
            (Side::Theirs, SUPPRESS_GO_AHEAD) => Some(&mut self.suppresses_go_ahead),
            (Side::Theirs, WINDOW_SIZE) => Some(&mut self.tells_window),
            _ => None,
        }
    }

    fn hear(&mut self, Verb { whose, on }: Verb, option: u8, reply: &mut Vec<u8>) {
        if self.answers >= MOST_ANSWERS {
            return;
        }
        // What they do is their business. We begin nothing because they ask: agreed to
        // suppress our go-ahead (as RFC 1123, section 3.2.2, wants it) or to echo, clients
        // send each key by itself, and their users can't correct a line any more.
        let agrees = whose == Side::Theirs;
        let say = match self.agreement(whose, option) {
            Some(agreement) => agreement.hear(on, agrees),
            // Also for the timing mark (RFC 860), for which clients wait when they have
            // interrupted: no is an answer, too.
            None => Agreement::Off.hear(on, false),
        };
        if let Some(on) = say {
            self.answers += 1;
            reply.extend([IAC, Verb { whose, on }.byte(), option]);
        }
    }

    fn wish(&mut self, whose: Side, option: u8, on: bool, reply: &mut Vec<u8>) {
        let say = self.agreement(whose, option).and_then(|agreement| agreement.wish(on));
        if let Some(on) = say {
            reply.extend([IAC, Verb { whose, on }.byte(), option]);
        }
    }
    // ANCHOR_END: negotiate

    fn end_subnegotiation(&mut self, reply: &mut Vec<u8>) {
        self.show_spoken(reply);
        if let [WINDOW_SIZE, a, b, c, d] = *self.subnegotiation
            && self.tells_window == Agreement::On
        {
            let (columns, rows) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            self.window = Some(Window { columns, rows });
        }
    }
}

impl Verb {
    fn of(byte: u8) -> Option<Self> {
        let (whose, on) = match byte {
            WILL => (Side::Theirs, true),
            WONT => (Side::Theirs, false),
            DO => (Side::Ours, true),
            DONT => (Side::Ours, false),
            _ => return None,
        };
        Some(Self { whose, on })
    }

    /// As it's said by us.
    fn byte(self) -> u8 {
        match (self.whose, self.on) {
            (Side::Ours, true) => WILL,
            (Side::Ours, false) => WONT,
            (Side::Theirs, true) => DO,
            (Side::Theirs, false) => DONT,
        }
    }
}

fn put(byte: u8, text: &mut Vec<u8>) {
    text.push(byte);
    if matches!(byte, ETX | EOT) {
        text.push(b'\n');
    }
}

/// Text as Telnet sends it: its lines end with CR LF, a bare CR is CR NUL, and a byte 255 is two
/// (UTF-8 has none).
pub fn encode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for &byte in text {
        match byte {
            b'\n' => bytes.extend(b"\r\n"),
            b'\r' => bytes.extend(b"\r\0"),
            IAC => bytes.extend([IAC, IAC]),
            _ => bytes.push(byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use Agreement::*;
    use rstest::rstest;

    use super::*;

    // RFC 1143, section 7, row by row.
    #[rstest]
    #[case::off_and_it_may(Off, true, true, On, Some(true))]
    #[case::off_and_it_may_not(Off, true, false, Off, Some(false))]
    #[case::on_already(On, true, true, On, None)]
    #[case::a_no_answered_by_yes(AskedForOff, true, true, Off, None)]
    #[case::what_we_want_by_now(AskedForOffThenOn, true, true, On, None)]
    #[case::yes(AskedForOn, true, false, On, None)]
    #[case::yes_but_not_any_more(AskedForOnThenOff, true, false, AskedForOff, Some(false))]
    #[case::off_already(Off, false, true, Off, None)]
    #[case::no_longer(On, false, true, Off, Some(false))]
    #[case::no_as_asked_for(AskedForOff, false, true, Off, None)]
    #[case::no_and_now_yes(AskedForOffThenOn, false, true, AskedForOn, Some(true))]
    #[case::no(AskedForOn, false, true, Off, None)]
    #[case::no_and_that_is_right(AskedForOnThenOff, false, true, Off, None)]
    fn what_is_heard(
        #[case] mut before: Agreement,
        #[case] on: bool,
        #[case] agrees: bool,
        #[case] after: Agreement,
        #[case] say: Option<bool>,
    ) {
        assert_eq!((before.hear(on, agrees), before), (say, after));
    }

    #[rstest]
    #[case::on(Off, true, AskedForOn, Some(true))]
    #[case::is_on(On, true, On, None)]
    #[case::on_after_all(AskedForOff, true, AskedForOffThenOn, None)]
    #[case::on_twice(AskedForOffThenOn, true, AskedForOffThenOn, None)]
    #[case::asked_already(AskedForOn, true, AskedForOn, None)]
    #[case::back_to_on(AskedForOnThenOff, true, AskedForOn, None)]
    #[case::is_off(Off, false, Off, None)]
    #[case::off(On, false, AskedForOff, Some(false))]
    #[case::asked_for_off_already(AskedForOff, false, AskedForOff, None)]
    #[case::back_to_off(AskedForOffThenOn, false, AskedForOff, None)]
    #[case::off_after_all(AskedForOn, false, AskedForOnThenOff, None)]
    #[case::off_twice(AskedForOnThenOff, false, AskedForOnThenOff, None)]
    fn what_is_wished(
        #[case] mut before: Agreement,
        #[case] on: bool,
        #[case] after: Agreement,
        #[case] say: Option<bool>,
    ) {
        assert_eq!((before.wish(on), before), (say, after));
    }
}
