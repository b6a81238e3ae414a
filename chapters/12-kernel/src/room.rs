//! A chat room, without a socket in sight: lines in, and out comes what is to be sent to whom.

use std::collections::{BTreeMap, VecDeque};

use ch07_callbacks::Token;
use textwrap::WordSplitter;

use crate::telnet::{self, DEL, EOT, ETX, NAK, Telnet, Window};

/// The longest line, in bytes, without its end. A terminal gives no more than 4,095 at a time
/// (termios(3)); a quarter of that is a lot to say.
pub const LONGEST_LINE: usize = 1000;
/// The longest name, in bytes.
const LONGEST_NAME: usize = 32;
/// How many names and keys somebody may try.
const TRIES: u8 = 5;
/// The narrowest window that we wrap lines for, in columns: in one of a single column each
/// character would cost us a line.
const NARROWEST: usize = 20;
/// What the program itself is called when it says something.
const CONSOLE: &str = "console";

const ASK_NAME: &str = "What is your name? ";
const ASK_KEY: &str = "And the key to this room? ";
const BAD_NAME: &str = "A name is made of letters and digits, with . _ - between them; 32 bytes \
                        at the most.";
const NOT_UTF8: &str = "-- That wasn't UTF-8, and wasn't said.";
const INTERRUPTED: &str = "\n-- That line is forgotten. Ctrl-C once more leaves.";
const HELP: &str = "\
-- Each of your lines is said to all who are here. Those that begin with / are for me:
--   /who          who is here
--   /me LAUGHS    say what you do
--   /name NAME    take another name
--   /quit         leave";

// ANCHOR: room
/// The room, and all who are in it or at its door. Plain data.
#[derive(Clone, Debug, Default)]
pub struct Room {
    key: Option<String>,
    generation: Option<u64>,
    members: BTreeMap<Token, Member>,
    effects: VecDeque<Effect>,
}

/// Somebody who is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it's called in the log.
    pub number: u64,
    pub telnet: Telnet,
    pub stage: Stage,
    pub knows_key: bool,
    /// How many names and keys it has tried in vain.
    pub tries: u8,
    /// The last thing that came was a Ctrl-C.
    pub interrupted: bool,
}

/// How far in somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// At the door, where we wait for a name.
    Name,
    /// There, with a name; we wait for the key.
    Key { name: String },
    /// In the room.
    Here { name: String },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Send { to: Token, bytes: Vec<u8> },
    Log { number: u64, event: String },
}
// ANCHOR_END: room

impl Room {
    /// An empty room. With a key, nobody gets in without it.
    pub fn new(key: Option<String>) -> Self {
        Self { key, ..Self::default() }
    }

    /// The same room. Whoever comes is told which generation this is.
    #[must_use]
    pub fn of_generation(self, generation: Option<u64>) -> Self {
        Self { generation, ..self }
    }

    /// What is to be done next for all that has happened. None: that was all.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How far in somebody is. None: it isn't connected, or is to be hung up on.
    pub fn stage(&self, token: Token) -> Option<&Stage> {
        self.members.get(&token).map(|member| &member.stage)
    }

    /// All that there is to know of somebody. None: as with [`stage`](Self::stage).
    pub fn member(&self, token: Token) -> Option<&Member> {
        self.members.get(&token)
    }

    /// Goes on with somebody who has been in this room already, when it was another process's.
    /// Nobody is told.
    pub fn adopt(&mut self, who: Token, member: Member) {
        self.members.insert(who, member);
    }

    /// How many are connected.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Somebody is at the door.
    pub fn arrives(&mut self, who: Token, number: u64) {
        let member = Member {
            number,
            telnet: Telnet::default(),
            stage: Stage::Name,
            knows_key: self.key.is_none(),
            tries: 0,
            interrupted: false,
        };
        self.members.insert(who, member);
        self.tell(who, "Welcome. In this room each line that you type is said to all others.");
        if let Some(generation) = self.generation {
            self.tell(who, &format!("-- This is generation {generation}."));
        }
        self.ask(who, ASK_NAME);
    }

    /// Bytes have come. What is text of them remains.
    pub fn decode(&mut self, from: Token, bytes: &mut Vec<u8>) {
        let Some(member) = self.members.get_mut(&from) else { return };
        let (mut text, mut reply) = (Vec::new(), Vec::new());
        member.telnet.receive(bytes, &mut text, &mut reply);
        *bytes = text;
        self.send(from, reply);
    }

    // ANCHOR: line
    /// A line has come.
    pub fn line(&mut self, from: Token, line: &[u8]) {
        let Some(member) = self.members.get_mut(&from) else { return };
        let was_interrupted = std::mem::take(&mut member.interrupted);
        match (typed(line), member.stage.clone()) {
            (Typed::Interrupt, stage) if !was_interrupted => self.interrupt(from, &stage),
            (Typed::Interrupt | Typed::End, _) => self.goodbye(from, "\nGoodbye."),
            (Typed::NotUtf8, Stage::Here { .. }) => self.tell(from, NOT_UTF8),
            (Typed::NotUtf8, Stage::Name) => self.not_that_name(from, BAD_NAME),
            (Typed::NotUtf8, Stage::Key { .. }) => self.try_key(from, None),
            (Typed::Text(text), Stage::Name) => self.try_name(from, &text),
            (Typed::Text(text), Stage::Key { .. }) => self.try_key(from, Some(text)),
            (Typed::Text(text), Stage::Here { name }) => self.hear(from, &name, &text),
        }
    }

    fn interrupt(&mut self, from: Token, stage: &Stage) {
        if let Some(member) = self.members.get_mut(&from) {
            member.interrupted = true;
        }
        self.tell(from, INTERRUPTED);
        match stage {
            Stage::Name => self.ask(from, ASK_NAME),
            Stage::Key { .. } => self.ask(from, ASK_KEY),
            Stage::Here { .. } => {}
        }
    }

    fn hear(&mut self, from: Token, name: &str, text: &str) {
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        match command {
            _ if text.trim().is_empty() => {}
            "/who" => self.tell_who_is_here(from),
            "/me" if !rest.is_empty() => self.tell_others(from, &format!("* {name} {rest}")),
            "/name" if !rest.is_empty() => self.rename(from, name, rest),
            "/quit" => self.goodbye(from, "Goodbye."),
            "/help" | "/me" | "/name" => self.tell(from, HELP),
            _ if command.starts_with('/') => {
                self.tell(from, &format!("-- There is no {command} here; /help tells what is."));
            }
            _ => self.tell_others(from, &format!("{name}: {text}")),
        }
    }
    // ANCHOR_END: line

    /// A line was too long, and thrown away.
    pub fn too_long(&mut self, from: Token) {
        match self.stage(from) {
            Some(Stage::Name) => self.not_that_name(from, BAD_NAME),
            Some(Stage::Key { .. }) => self.try_key(from, None),
            Some(Stage::Here { .. }) => {
                let most = LONGEST_LINE;
                self.tell(from, &format!("-- Longer than {most} bytes, that wasn't said."));
            }
            None => {}
        }
    }

    /// Somebody has taken too long at the door.
    pub fn late(&mut self, who: Token) {
        self.goodbye(who, "\nThat took too long. Come back whenever you like.");
    }

    /// The room is being closed.
    pub fn closes(&mut self, who: Token) {
        self.tell(who, "\n-- The room is closed. Goodbye.");
        // The others are told the same, and not one by one who has left.
        self.members.remove(&who);
    }

    /// Somebody is gone, or is to be.
    pub fn leaves(&mut self, who: Token) {
        if let Some(name) = self.remove(who) {
            self.tell_others(who, &format!("-- {name} has left."));
        }
    }

    /// Somebody didn't read what was sent to it.
    pub fn shut_out(&mut self, who: Token) {
        let Some(member) = self.members.get(&who) else { return };
        let number = member.number;
        self.log(number, "dropped: it doesn't read".to_owned());
        if let Some(name) = self.remove(who) {
            self.tell_others(who, &format!("-- {name} didn't listen, and is out."));
        }
    }

    /// Says something to all, in the program's own name.
    pub fn announce(&mut self, text: &str) {
        let text: String = text.chars().filter_map(harmless).collect();
        let all: Vec<Token> = self.here().map(|(token, _)| token).collect();
        for token in all {
            self.tell(token, &format!("{CONSOLE}: {text}"));
        }
    }

    // ANCHOR: door
    fn try_name(&mut self, from: Token, text: &str) {
        let name = text.trim();
        let Some(member) = self.members.get(&from) else { return };
        let knows_key = member.knows_key;
        match self.name_fault(name, from) {
            Some(fault) => self.not_that_name(from, fault),
            None if knows_key => self.let_in(from, name),
            None => self.ask_key(from, name),
        }
    }

    fn ask_key(&mut self, from: Token, name: &str) {
        self.enter(from, Stage::Key { name: name.to_owned() });
        self.ask(from, ASK_KEY);
    }

    /// None: what was typed can't be the key.
    fn try_key(&mut self, from: Token, key: Option<String>) {
        let Some(member) = self.members.get_mut(&from) else { return };
        let Stage::Key { name } = member.stage.clone() else { return };
        member.knows_key = key.is_some() && key == self.key;
        let (number, knows_key) = (member.number, member.knows_key);
        if member.telnet.is_hidden() {
            // It hasn't shown the end of the line either.
            self.ask(from, "\n");
        }
        if !knows_key {
            self.log(number, "gave a wrong key".to_owned());
            return self.try_again(from, "That isn't the key.", ASK_KEY);
        }
        // Somebody else may have taken it meanwhile: the name of one without the key is free.
        match self.name_fault(&name, from) {
            Some(fault) => {
                self.enter(from, Stage::Name);
                self.not_that_name(from, fault);
            }
            None => self.let_in(from, &name),
        }
    }

    fn let_in(&mut self, who: Token, name: &str) {
        self.enter(who, Stage::Here { name: name.to_owned() });
        self.log_name(who, name);
        self.tell(who, &format!("-- Hello, {name}. /help tells what else there is."));
        self.tell_who_is_here(who);
        self.tell_others(who, &format!("-- {name} is here."));
    }
    // ANCHOR_END: door

    /// From now on somebody is so far in.
    fn enter(&mut self, who: Token, stage: Stage) {
        let Some(member) = self.members.get_mut(&who) else { return };
        let mut reply = Vec::new();
        member.telnet.hide(matches!(stage, Stage::Key { .. }), &mut reply);
        member.stage = stage;
        self.send(who, reply);
    }

    fn not_that_name(&mut self, from: Token, fault: &str) {
        self.try_again(from, fault, ASK_NAME);
    }

    fn try_again(&mut self, from: Token, fault: &str, question: &str) {
        let Some(member) = self.members.get_mut(&from) else { return };
        member.tries = member.tries.saturating_add(1);
        if member.tries >= TRIES {
            return self.goodbye(from, &format!("{fault} Goodbye."));
        }
        self.tell(from, fault);
        self.ask(from, question);
    }

    fn rename(&mut self, who: Token, old: &str, new: &str) {
        if let Some(fault) = self.name_fault(new, who) {
            return self.tell(who, &format!("-- {fault}"));
        }
        self.enter(who, Stage::Here { name: new.to_owned() });
        self.log_name(who, new);
        self.tell(who, &format!("-- You are {new} now."));
        self.tell_others(who, &format!("-- {old} is {new} now."));
    }

    /// Why `who` can't have this name, if so.
    fn name_fault(&self, name: &str, who: Token) -> Option<&'static str> {
        let folded = name.to_lowercase();
        let mut others = self.here().filter(|(token, _)| *token != who);
        if !is_name(name) {
            Some(BAD_NAME)
        } else if folded == CONSOLE || others.any(|(_, other)| other.to_lowercase() == folded) {
            Some("That name is taken.")
        } else {
            None
        }
    }

    fn goodbye(&mut self, who: Token, word: &str) {
        self.tell(who, word);
        self.leaves(who);
    }

    /// The name of one who was in the room.
    fn remove(&mut self, who: Token) -> Option<String> {
        match self.members.remove(&who)?.stage {
            Stage::Here { name } => Some(name),
            Stage::Name | Stage::Key { .. } => None,
        }
    }

    /// All who are in the room, with their names.
    fn here(&self) -> impl Iterator<Item = (Token, &str)> {
        self.members.iter().filter_map(|(token, member)| match &member.stage {
            Stage::Here { name } => Some((*token, name.as_str())),
            Stage::Name | Stage::Key { .. } => None,
        })
    }

    fn tell_who_is_here(&mut self, to: Token) {
        let names: Vec<&str> = self.here().map(|(_, name)| name).collect();
        let text = format!("-- Here now: {}.", names.join(", "));
        self.tell(to, &text);
    }

    fn tell_others(&mut self, me: Token, text: &str) {
        let others: Vec<Token> =
            self.here().map(|(token, _)| token).filter(|token| *token != me).collect();
        for token in others {
            self.tell(token, text);
        }
    }

    /// Lines, for somebody's window.
    fn tell(&mut self, to: Token, text: &str) {
        let window = self.members.get(&to).and_then(|member| member.telnet.window);
        let mut text = wrapped(text, window);
        text.push('\n');
        self.send(to, telnet::encode(text.as_bytes()));
    }

    /// Something that is answered on the same line.
    fn ask(&mut self, to: Token, text: &str) {
        self.send(to, telnet::encode(text.as_bytes()));
    }

    fn send(&mut self, to: Token, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.effects.push_back(Effect::Send { to, bytes });
        }
    }

    fn log_name(&mut self, who: Token, name: &str) {
        if let Some(member) = self.members.get(&who) {
            self.log(member.number, format!("is {name} now"));
        }
    }

    fn log(&mut self, number: u64, event: String) {
        self.effects.push_back(Effect::Log { number, event });
    }
}

/// What a line amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Typed {
    Text(String),
    /// Ctrl-C. What stood before it is forgotten.
    Interrupt,
    /// Ctrl-D with nothing before it. (With something, it hands that over: as on a terminal.)
    End,
    NotUtf8,
}

// ANCHOR: typed
/// Does what keys were meant to do, for those whose terminal didn't.
/// Nothing that a terminal would obey is left.
fn typed(line: &[u8]) -> Typed {
    if line.ends_with(&[ETX]) {
        return Typed::Interrupt;
    }
    let (line, at_end) = match line.strip_suffix(&[EOT]) {
        Some(line) => (line, true),
        None => (line, false),
    };
    let Ok(line) = std::str::from_utf8(line) else { return Typed::NotUtf8 };
    let mut text = String::new();
    for character in line.chars() {
        match u8::try_from(character) {
            Ok(DEL | 8) => drop(text.pop()),
            Ok(NAK) => text.clear(),
            _ => text.extend(harmless(character)),
        }
    }
    if at_end && text.is_empty() { Typed::End } else { Typed::Text(text) }
}

/// What may be shown on others' terminals. Control characters move their cursor, color their
/// text and type on their keyboard: those below 32 and those from 128 to 159 (ECMA-48).
fn harmless(character: char) -> Option<char> {
    match character {
        '\t' => Some(' '),
        _ if character.is_control() => None,
        _ => Some(character),
    }
}
// ANCHOR_END: typed

/// Without blanks: in `Ada: hello` nobody can mistake where the name ends.
fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= LONGEST_NAME
        && characters.next().is_some_and(char::is_alphanumeric)
        && characters.all(|character| character.is_alphanumeric() || "._-".contains(character))
}

// ANCHOR: wrapped
/// Cut between words, so that no line is wider than the window. What
/// goes on is indented: at a line's beginning it would look like
/// somebody else's.
fn wrapped(text: &str, window: Option<Window>) -> String {
    let columns = window.map_or(0, |window| usize::from(window.columns));
    if columns == 0 {
        return text.to_owned();
    }
    // One less than there are: on some terminals a full line is followed by an empty one.
    let width = columns.max(NARROWEST) - 1;
    let options = textwrap::Options::new(width)
        .subsequent_indent("   ")
        .word_splitter(WordSplitter::NoHyphenation);
    // One by one: taken together, all but the first would be indented.
    let lines: Vec<String> = text.lines().map(|line| textwrap::fill(line, &options)).collect();
    lines.join("\n")
}
// ANCHOR_END: wrapped
