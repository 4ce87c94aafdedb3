// Requests to the server. Every answer is JSON; what is wrong comes back as {error, kind}.

let waiting = 0;

// A quiet request shows nothing while it waits.
export async function ask(name, body = {}, quiet = false) {
  waiting += quiet ? 0 : 1;
  if (waiting) document.body.dataset.busy = waiting; // the pointer shows it
  try {
    const answer = await fetch(`/api/${name}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!answer.headers.get("content-type")?.startsWith("application/json")) throw new Error(await answer.text());
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(said.error), { kind: said.kind });
    return said;
  } finally {
    waiting -= quiet ? 0 : 1;
    if (waiting) document.body.dataset.busy = waiting;
    else delete document.body.dataset.busy;
  }
}

// Pictures are fetched a few at a time, the latest first. A browser opens six connections to a server: a slow disk must not
// hold all of them while somebody clicks, and planes that were scrolled past can wait.
const AT_ONCE = 4;
const WAITING = 60;
const wanted = [];
let loading = 0;

export function load(image, source) {
  wanted.push([image, source]);
  if (wanted.length > WAITING) wanted.shift()[0].dispatchEvent(new Event("error")); // nobody looks at it any more
  loadNext();
  return image;
}

function loadNext() {
  while (loading < AT_ONCE && wanted.length) {
    const [image, source] = wanted.pop();
    loading += 1;
    const done = () => { loading -= 1; loadNext(); };
    for (const end of ["load", "error"]) image.addEventListener(end, done, { once: true });
    image.src = source;
  }
}

export function address(name, parts) {
  return `/${name}?${new URLSearchParams(parts)}`;
}

export const $ = (id) => document.getElementById(id);

// Text goes into the page as text, never as markup: names may be anything.
export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
