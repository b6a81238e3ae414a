// Plays the timelines. Each stands in a figure, as a picture and as the run that it shows (JSON
// Lines; the page about the lens describes them). Without this file the picture stays as it is.
'use strict';

(function timelines() {
    // How the picture is drawn, in its own units: tests/lens/src/picture.rs.
    const LEFT = 5;
    const RIGHT = 355;
    const TOP = 24;
    const LANE = 42;
    const LEGEND = 44; // or more, but less than a lane more

    // Changes closer to each other than this share of the time can't be told apart in the picture:
    // a step for each of them would be a step that shows nothing.
    const CLOSE = 1 / 500;
    // What a program says takes no time. It's told for so many times as long, to be seen.
    const SAID = 10;
    // A run lasts half a second, which nobody can follow: how many times as long its play takes.
    const SLOWNESS = [[2, '1/2'], [10, '1/10'], [40, '1/40']];
    const USUAL_SLOWNESS = 10;
    // A moment of one lasts a few milliseconds.
    const MOMENT = 50_000;
    const SLOWNESS_OF_A_MOMENT = [[100, '1/100'], [500, '1/500'], [2000, '1/2000']];
    const USUAL_SLOWNESS_OF_A_MOMENT = 500;
    // Who has asked for less motion sees one step after the other, for so many milliseconds each.
    const STEP_LASTS = 1000;
    // The range input's. In microseconds an arrow key would move it by nothing that can be seen.
    const NOTCHES = 1000;

    const HINT = 'Point at a wait, tap it, or go to it with Tab and ↓: here it says what is waited for.';
    const VERBS = {
        connecting: 'connects',
        sending: 'sends',
        waiting: 'waits',
        silent: 'says nothing',
        receiving: 'receives',
    };

    // ---- The run: no function from here to the next such line knows of the page.

    // A lane says what it does in spans of time, of which a later one counts more than an earlier
    // one, and at which moments that changes. All times are in microseconds.
    function laneOfThread({ thread, began_us, ended_us }, label, waits, marks, close) {
        const spans = [{ from: began_us, to: ended_us, words: `${label} works` }];
        const changes = [began_us, ended_us];
        for (const wait of waits.filter(wait => wait.thread === thread)) {
            const [from, to] = [wait.began_us, wait.began_us + wait.took_us];
            spans.push({ from, to, words: `${label} waits in ${nameOfWait(wait)}` });
            if (to - from >= close) {
                changes.push(from, to);
            }
        }
        for (const { at_us, says } of marks.filter(mark => mark.thread === thread)) {
            const to = Math.min(at_us + SAID * close, ended_us);
            spans.push({ from: at_us, to, words: `${label} says “${says}”` });
            changes.push(at_us);
        }
        return { spans, changes };
    }

    function nameOfWait({ call, descriptor, what }) {
        const name = descriptor === undefined ? call : `${call}(${descriptor})`;
        return what === undefined ? name : `${name} on ${what}`;
    }

    function laneOfVisitor({ name, track, ended_us, ending }) {
        const spans = track.map(([from, doing], index) => {
            const to = index + 1 < track.length ? track[index + 1][0] : ended_us;
            return { from, to, words: VERBS[doing] ? `${name} ${VERBS[doing]}` : `${name}: ${doing}` };
        });
        spans.push({ from: ended_us, to: Infinity, words: `${name}: ${ending}` });
        return { spans, changes: spans.map(span => span.from) };
    }

    // The lanes in the order of the picture, which has room for only so many. Throws if a line
    // isn't JSON, or is of a kind that we know and lacks what we need.
    function readLanes(text, from, to, room) {
        const lines = text.split('\n').filter(line => line.trim() !== '').map(line => JSON.parse(line));
        const ofKind = kind => lines.filter(line => line.kind === kind);
        const waits = ofKind('call').filter(call => call.waited);
        const threads = ofKind('thread').sort((one, other) => one.thread - other.thread);
        const areAlike = threads.every(({ name }) => name === threads[0].name);
        // Where one program has replaced another, each has a name.
        const programs = new Map(ofKind('program').map(({ pid, name }) => [pid, name]));
        const label = ({ thread, pid, name }) => {
            const program = programs.get(pid) ?? (areAlike ? undefined : name);
            return program === undefined ? `thread ${thread}` : `thread ${thread}, ${program}`;
        };
        const marks = ofKind('mark');
        const lanes = threads
            .filter(({ began_us, ended_us }) => began_us < to && ended_us > from)
            .map(thread => laneOfThread(thread, label(thread), waits, marks, (to - from) * CLOSE));
        const visitors = ofKind('visitor')
            .filter(({ track, ended_us }) => (track[0]?.[0] ?? ended_us) <= to && ended_us >= from);
        return [...lanes, ...visitors.map(laneOfVisitor)].slice(0, room);
    }

    // Nothing before a lane has begun and after it has ended.
    function whatItDoes(lane, moment) {
        const span = lane.spans.findLast(({ from, to }) => from <= moment && moment < to);
        return span ? span.words : '';
    }

    // The moments to step to: the ends, and where anything changes. Of those too close to each
    // other it's the last, by when all of them have happened.
    function stepsOf(lanes, from, to) {
        const changes = [...lanes.flatMap(lane => lane.changes), to]
            .filter(moment => from < moment && moment <= to)
            .sort((one, other) => one - other);
        const steps = [from];
        let first = -Infinity;
        for (const moment of changes) {
            if (moment - first < (to - from) * CLOSE) {
                steps[steps.length - 1] = moment;
            } else {
                steps.push(moment);
                first = moment;
            }
        }
        return steps;
    }

    // As the picture has it.
    function timeInWords(us) {
        if (us >= 2_000_000) {
            return `${(us / 1_000_000).toFixed(1)} s`;
        }
        const isShort = us > 0 && us < 10_000;
        return isShort ? `${(Math.round(us / 100) / 10).toFixed(1)} ms` : `${Math.round(us / 1000)} ms`;
    }

    // ---- The page.

    const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

    function html(name, properties, ...children) {
        const element = Object.assign(document.createElement(name), properties);
        element.append(...children);
        return element;
    }

    function shape(name, className, attributes) {
        const element = document.createElementNS('http://www.w3.org/2000/svg', name);
        element.setAttribute('class', className);
        set(element, attributes);
        return element;
    }

    function set(element, attributes) {
        for (const [name, value] of Object.entries(attributes)) {
            element.setAttribute(name, value);
        }
    }

    class Player {
        constructor(svg, lanes, from, to) {
            Object.assign(this, { svg, lanes, from, to });
            this.steps = stepsOf(lanes, from, to);
            this.waits = [...svg.querySelectorAll('.wait')];
            this.frame = null; // while it plays: the next one that was asked for
            this.makeControls();
            this.makeMarks(TOP + lanes.length * LANE);
            this.makeWaits();
            this.addKeys();
            document.addEventListener('visibilitychange', () => document.hidden && this.pause());
            this.show(null);
        }

        makeControls() {
            const button = (textContent, press) => {
                const made = html('button', { type: 'button', textContent });
                made.addEventListener('click', press);
                return made;
            };
            this.playButton = button('Play', () => this.toggle());
            this.scrubber = html('input', { type: 'range', min: 0, max: NOTCHES });
            this.scrubber.addEventListener('input', () => {
                this.goTo(this.from + this.scrubber.value / NOTCHES * (this.to - this.from), false);
            });
            const [speeds, usual] = this.to - this.from < MOMENT
                ? [SLOWNESS_OF_A_MOMENT, USUAL_SLOWNESS_OF_A_MOMENT]
                : [SLOWNESS, USUAL_SLOWNESS];
            this.slowness = html('select', {}, ...speeds.map(([value, text]) => new Option(text, value)));
            this.slowness.value = usual;

            this.words = html('p', { className: 'timeline-words', textContent: HINT });
            this.controls = html('div', { className: 'timeline-controls' },
                this.playButton,
                button('Step back', () => this.step(-1)),
                button('Step forward', () => this.step(1)),
                html('label', { className: 'timeline-speed' }, 'Speed', this.slowness),
                html('label', { className: 'timeline-time' }, 'Time', this.scrubber));
            this.controls.setAttribute('role', 'group');
            this.controls.setAttribute('aria-label', 'Play the timeline');
            this.heading = html('p', {});
            this.sayings = this.lanes.map(() => html('li', {}));
            this.moment = html('div', { className: 'timeline-moment' },
                this.heading, html('ul', {}, ...this.sayings));
            this.svg.after(this.words, this.controls, this.moment);
        }

        makeMarks(bottom) {
            const height = bottom - TOP;
            this.later = shape('rect', 'timeline-later', { y: TOP, height });
            this.playhead = shape('line', 'timeline-playhead', { y1: TOP, y2: bottom });
            this.focusMark = shape('rect', 'timeline-focus', { display: 'none' });
            this.svg.append(this.later, this.playhead, this.focusMark);
        }

        makeWaits() {
            // What is in an image, a screen reader doesn't see.
            this.svg.setAttribute('role', 'group');
            for (const wait of this.waits) {
                const words = `thread ${wait.dataset.thread}: ${wait.querySelector('title').textContent}`;
                set(wait, { role: 'img', 'aria-label': words, tabindex: -1 });
            }
            // The one that the Tab key reaches. With all of them the way past a picture would be long.
            this.waits[0]?.setAttribute('tabindex', 0);

            const pointedAt = event => event.target.closest('.wait');
            this.svg.addEventListener('pointerover', event => this.say(pointedAt(event)));
            this.svg.addEventListener('pointerout', () => this.say(null));
            // On the figure: Chromium would make an SVG that listens for the focus a Tab stop of its own.
            const figure = this.svg.parentElement;
            figure.addEventListener('focusin', event => this.markFocus(pointedAt(event)));
            figure.addEventListener('focusout', () => this.markFocus(null));
        }

        addKeys() {
            const onKey = event => {
                // With these it's the browser's, or a screen reader's.
                if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) {
                    return;
                }
                const action = this.actionOf(event.key, event.target);
                if (action) {
                    event.preventDefault(); // else the page scrolls, or the range input moves as well
                    action();
                }
            };
            this.svg.addEventListener('keydown', onKey);
            this.controls.addEventListener('keydown', onKey);
        }

        actionOf(key, target) {
            const isChoice = target === this.slowness;
            // A space presses a button and opens a list anyway: here it would do so twice.
            if (key === ' ' && (isChoice || target.localName === 'button')) {
                return undefined;
            }
            switch (key) {
            case ' ':
            case 'k': return () => this.toggle();
            case 'ArrowLeft': return () => this.step(-1);
            case 'ArrowRight': return () => this.step(1);
            case 'Home': return isChoice ? undefined : () => this.goTo(this.from, true);
            case 'End': return isChoice ? undefined : () => this.goTo(this.to, true);
            case 'Escape': return () => this.goTo(null, true);
            }
            const index = this.waits.indexOf(target);
            const next = { ArrowUp: index - 1, ArrowDown: index + 1 }[key];
            return index >= 0 && next !== undefined ? () => this.waits[next]?.focus() : undefined;
        }

        // Shows a moment, or the whole picture: null. A screen reader is told only if `isSpoken`:
        // during a play it would never stop.
        show(moment, isSpoken = false) {
            this.now = moment;
            const isWhole = moment === null;
            const time = isWhole ? 'the whole time' : timeInWords(moment - this.from);
            const share = isWhole ? 0 : (moment - this.from) / (this.to - this.from);
            this.scrubber.value = Math.round(share * NOTCHES);
            this.scrubber.setAttribute('aria-valuetext', time);

            const x = LEFT + share * (RIGHT - LEFT);
            set(this.playhead, { x1: x, x2: x, display: isWhole ? 'none' : 'inline' });
            set(this.later, { x, width: RIGHT - x, display: isWhole ? 'none' : 'inline' });

            this.moment.setAttribute('aria-live', isSpoken ? 'polite' : 'off');
            setText(this.heading, isWhole ? '' : `At ${time}:`);
            this.sayings.forEach((saying, index) => {
                setText(saying, isWhole ? '' : whatItDoes(this.lanes[index], moment));
            });
            this.moment.classList.toggle('timeline-whole', isWhole);
        }

        goTo(moment, isSpoken) {
            this.pause();
            this.show(moment, isSpoken);
        }

        // From the whole picture, the first step forward is from its beginning, the first back from its end.
        step(direction) {
            if (direction > 0) {
                const now = this.now ?? this.from;
                this.goTo(this.steps.find(step => step > now) ?? this.to, true);
            } else {
                const now = this.now ?? this.to;
                this.goTo(this.steps.findLast(step => step < now) ?? this.from, true);
            }
        }

        toggle() {
            if (this.frame === null) {
                this.play();
            } else {
                this.pause();
            }
        }

        play() {
            const isOver = this.now === null || this.now >= this.to;
            this.show(isOver ? this.from : this.now);
            this.playButton.textContent = 'Pause';
            this.shownAt = performance.now();
            this.frame = requestAnimationFrame(time => this.playOn(time));
        }

        playOn(time) {
            // A frame's time may lie before the press that asked for it.
            const passed = Math.max(0, time - this.shownAt);
            let next = this.now + passed * 1000 / this.slowness.value;
            if (calm.matches) {
                next = passed < STEP_LASTS ? this.now : this.steps.find(step => step > this.now) ?? Infinity;
            }
            if (next > this.to) {
                this.goTo(null, false);
                return;
            }
            if (next !== this.now) {
                this.show(next);
                this.shownAt = time;
            }
            this.frame = requestAnimationFrame(time => this.playOn(time));
        }

        pause() {
            cancelAnimationFrame(this.frame);
            this.frame = null;
            this.playButton.textContent = 'Play';
        }

        // The words of the wait that is pointed at, else of the one with the focus.
        say(wait) {
            const told = wait ?? this.focused;
            setText(this.words, told ? told.getAttribute('aria-label') : HINT);
        }

        // The mark lies above everything: a wait's own outline would be covered by its neighbors.
        markFocus(wait) {
            this.focused = wait;
            this.say(null);
            if (!wait) {
                this.focusMark.setAttribute('display', 'none');
                return;
            }
            this.waits.forEach(other => other.setAttribute('tabindex', other === wait ? 0 : -1));
            const { x, y, width, height } = wait.querySelector('rect').getBBox();
            set(this.focusMark, { x: x - 1, y: y - 1, width: width + 2, height: height + 2, display: 'inline' });
        }
    }

    // Setting a text that is there already would have it read out again.
    function setText(element, text) {
        if (element.textContent !== text) {
            element.textContent = text;
        }
    }

    function enhance(figure) {
        const svg = figure.querySelector('svg.timeline');
        const data = figure.querySelector('script[type="application/jsonl"]');
        const [from, to] = [Number(svg?.dataset.from), Number(svg?.dataset.to)];
        if (!data || !(from < to)) {
            return;
        }
        let lanes;
        try {
            const room = Math.floor((svg.viewBox.baseVal.height - TOP - LEGEND) / LANE);
            lanes = readLanes(data.textContent, from, to, room);
        } catch {
            return; // a picture without a run that can be read is still a picture
        }
        new Player(svg, lanes, from, to);
        figure.dataset.arrows = ''; // else they turn the page, see waiting.js
    }

    document.querySelectorAll('figure.timeline').forEach(enhance);
})();
