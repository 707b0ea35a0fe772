// The page needs all of its files. If one of them does not come, such as while a proxy is exchanged, the
// page says so, and loads itself anew once all can be had. It runs before any other file is asked for.
{
  const LONGEST_WAIT = 30; // seconds between attempts, at most
  const STYLES = 'link[rel="stylesheet"]';
  const FILES = `script[src], ${STYLES}, link[rel="modulepreload"]`;
  let begun = false;

  /** Whether a file of the page can be had; a proxy may answer with a page of its own. */
  const isServed = async (url) => {
    const response = await fetch(url).catch(() => null);
    return response?.ok && /javascript|css/.test(response.headers.get("Content-Type"));
  };

  const begin = async () => {
    begun = true;
    const state = document.getElementById("state");
    state.textContent = "Reconnecting: a file of this page could not be loaded";
    state.dataset.state = "reconnecting";
    for (let bound = 2; ; bound = Math.min(LONGEST_WAIT, 2 * bound)) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (1 + Math.random() * bound)));
      const files = [...document.querySelectorAll(FILES)].map((one) => one.src || one.href);
      if ((await Promise.all(files.map(isServed))).every(Boolean)) return location.reload();
    }
  };

  // Such errors do not bubble. That of a module is also told if a file that it imports is missing.
  const onError = ({ target }) => {
    const isNeeded = target instanceof HTMLScriptElement || (target instanceof Element && target.matches(STYLES));
    if (!isNeeded || begun) return;
    if (document.getElementById("state")) begin();
    else addEventListener("DOMContentLoaded", () => begun || begin());
  };
  addEventListener("error", onError, true);
}
