// Mends what keeps mdBook's pages from being used with the keyboard alone. Without this file, and
// without JavaScript, the book can be read all the same.
'use strict';

// mdBook has no way past its menus: each page would begin with a walk through the whole table of
// contents.
(function skipLink() {
    const main = document.querySelector('main');
    const link = document.createElement('a');
    link.className = 'skip-link';
    link.href = '#mdbook-content';
    link.textContent = 'Skip to the text';
    main.tabIndex = -1; // else it can't be focused
    link.addEventListener('click', event => {
        event.preventDefault(); // the address stays as it is, and 404.html has another base
        main.focus();
    });
    document.body.prepend(link);
})();

// The button for the table of contents is a <label>, which no key reaches and which mustn't have the role of a button
// (ARIA in HTML, 4). So a button stands in its place.
(function sidebarToggle() {
    const label = document.getElementById('mdbook-sidebar-toggle');
    const checkbox = document.getElementById('mdbook-sidebar-toggle-anchor');
    const button = document.createElement('button');
    button.id = 'sidebar-button';
    button.type = 'button';
    button.className = label.className;
    button.title = label.title;
    button.setAttribute('aria-label', label.title);
    button.setAttribute('aria-controls', 'mdbook-sidebar');
    button.append(...label.childNodes);
    const tell = () => button.setAttribute('aria-expanded', String(checkbox.checked));
    button.addEventListener('click', () => checkbox.click());
    checkbox.addEventListener('change', tell);
    tell();
    label.hidden = true;
    label.after(button);
})();

// A listing or a table that scrolls sideways can be scrolled with the keyboard only if it can be
// focused, which not every browser sees to.
(function scrollingBoxes() {
    const boxes = document.querySelectorAll('main pre > code, main .table-wrapper');
    function update() {
        for (const box of boxes) {
            if (box.scrollWidth > box.clientWidth) {
                box.tabIndex = 0;
            } else {
                box.removeAttribute('tabindex');
            }
        }
    }
    update();
    window.addEventListener('resize', update);
})();

// The left and right arrows turn mdBook's pages, even while they are meant for something else.
(function arrowKeys() {
    const wanting = 'pre > code, .table-wrapper, audio, video, [contenteditable], [role="slider"], ' +
        '[role="spinbutton"], [role="tab"], [role="radio"], [role="option"], [role^="menuitem"], ' +
        '[role="treeitem"], [role="gridcell"], [data-arrows]';
    // On the body: after the element itself has had the key, before mdBook, which listens on the
    // document, has it.
    document.body.addEventListener('keydown', event => {
        const isArrow = event.key === 'ArrowLeft' || event.key === 'ArrowRight';
        if (isArrow && event.target.closest(wanting)) {
            event.stopPropagation();
        }
    });
})();
