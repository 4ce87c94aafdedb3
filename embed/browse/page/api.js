// Requests to the server. Every answer is JSON; what is wrong comes back as {error}.

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
    if (!answer.ok) throw new Error(said.error);
    return said;
  } finally {
    waiting -= quiet ? 0 : 1;
    if (waiting) document.body.dataset.busy = waiting;
    else delete document.body.dataset.busy;
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
