// Puts each second what the server tells into the page. All of it is escaped there.
"use strict";

(() => {
  const of = (id) => document.getElementById(id);
  const live = of("live");
  const pause = of("pause");
  const shown = new Map();
  let source = null;
  let paused = false;
  let verdict = of("verdict").textContent;

  const say = (text, stale) => {
    if (live.textContent !== text) live.textContent = text;
    document.body.classList.toggle("stale", stale);
  };

  const show = (news) => {
    for (const [id, html] of Object.entries(news.parts)) {
      if (shown.get(id) === html) continue;
      shown.set(id, html);
      of(id).innerHTML = html;
    }
    document.title = news.title;
    // Numbers change all the time; who listens is told only when the verdict does.
    if (news.verdict !== verdict) {
      verdict = news.verdict;
      of("announce").textContent = verdict;
    }
    say("Live,", false);
  };

  const open = () => {
    if (source || paused || document.hidden) return;
    source = new EventSource("/status/events");
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => {
      say("No connection; this was at", true);
      // A refusal ends it: there are too many who watch, or the daemon has gone.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, 5000);
      }
    };
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) {
      close();
      say("Paused at", false);
    } else {
      open();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
})();
