// On a page that comes from the book's own server (`cargo book`): loads it anew when the book was
// built anew, and shows, where the page has a place for it, what the server is doing. On a page that
// comes from anywhere else this does nothing at all, and asks nobody.
'use strict';

(function live() {
    // The server has said so in the very answer that was the page.
    const [navigation] = performance.getEntriesByType('navigation');
    const mark = navigation?.serverTiming?.find(({ name }) => name === 'live');
    if (!mark) {
        return;
    }

    const places = document.querySelectorAll('#live [data-live]');
    for (const panel of document.querySelectorAll('#live')) {
        panel.hidden = false;
    }

    // A number that isn't known is a dash: an old one would look like one that stands still.
    function show(numbers) {
        for (const place of places) {
            const number = numbers[place.dataset.live];
            place.textContent = number === undefined ? '–' : number.toLocaleString('en');
        }
    }

    // The reader stays where they were. A browser does that by itself, most of the time: when it's
    // busy, it may try before the page is long enough.
    const PLACE = 'live-place';

    function loadAnew() {
        try {
            sessionStorage.setItem(PLACE, JSON.stringify([location.pathname, scrollY]));
            history.scrollRestoration = 'manual';
        } catch {
            // Without a memory it's the browser's affair.
        }
        location.reload();
    }

    function goBackToPlace() {
        try {
            const [path, top] = JSON.parse(sessionStorage.getItem(PLACE)) ?? [];
            sessionStorage.removeItem(PLACE);
            if (path === location.pathname) {
                scrollTo({ top, behavior: 'instant' });
            }
            history.scrollRestoration = 'auto';
        } catch {
            // As above.
        }
    }

    // While nobody listened, the book may have been built, or the server started again.
    async function lookWhetherItChanged() {
        const answer = await fetch(location.href, { method: 'HEAD', cache: 'no-store' });
        const timing = answer.headers.get('Server-Timing') ?? '';
        const built = /\blive;desc=(\w+)/.exec(timing);
        if (built && built[1] !== mark.description) {
            loadAnew();
        }
    }

    let source = null;

    function listen() {
        if (source || document.hidden) {
            return;
        }
        source = new EventSource('/live');
        source.addEventListener('open', () => lookWhetherItChanged().catch(() => {}));
        source.addEventListener('numbers', event => show(JSON.parse(event.data)));
        source.addEventListener('reload', loadAnew);
        source.addEventListener('error', () => show({})); // it tries again by itself
    }

    function leave() {
        source?.close();
        source = null;
    }

    // A browser has six connections for a server. Would each page keep one while nobody looks at
    // it, the seventh tab would wait for ever.
    document.addEventListener('visibilitychange', () => document.hidden ? leave() : listen());
    window.addEventListener('pagehide', leave);
    window.addEventListener('pageshow', listen);
    if (document.readyState === 'complete') {
        goBackToPlace();
    } else {
        window.addEventListener('load', goBackToPlace, { once: true });
    }
    listen();
})();
