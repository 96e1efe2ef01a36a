// What the server is asked. Every failure has one shape: {error: {kind, message}}.

export async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer.json();
  let message = `the server answered ${answer.status}`;
  try { message = (await answer.json()).error.message; } catch { /* not JSON: the status has to do */ }
  throw Object.assign(new Error(message), { status: answer.status });
}

export const query = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null)).toString();

/** What a modality is called: on its switch, and on a hit. */
export const NAMES = {
  visual: ["Seen", "seen"], speech: ["Said", "said"], screen: ["Shown", "shown"], sound: ["Heard", "heard"], caption: ["Captions", "caption"],
};

export const frameUrl = (id, time, width) => `/api/media/${id}/frame?${query({ t: time.toFixed(2), width })}`;

export function clock(seconds, tenths = false) {
  const whole = Math.max(0, tenths ? Math.floor(seconds * 10 + 1e-6) / 10 : Math.floor(seconds + 1e-6));
  const part = (value) => String(Math.floor(value)).padStart(2, "0");
  const hours = whole >= 3600 ? `${Math.floor(whole / 3600)}:` : "";
  return `${hours}${part((whole % 3600) / 60)}:${part(whole % 60)}${tenths ? `.${Math.floor(whole * 10 + 1e-6) % 10}` : ""}`;
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children); // strings become text, never markup
  return made;
}

/** Text with the words of a query in <mark>. */
export function marked(text, asked) {
  const words = (asked.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []).filter((word) => word.length > 2);
  if (!words.length) return [text];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${words.join("|")})`, "giu");
  return text.split(pattern).map((part, i) => (i % 2 ? element("mark", {}, part) : part));
}

const LITTLE = new Set("a an and are as at by for from in is it of on or the to was were with".split(" "));

/** The text of a hit with what the server found in it in <mark>: [first, after last] in characters, not in UTF-16. */
export function pointed(text, marks) {
  const letters = Array.from(text);
  const word = ([from, to]) => letters.slice(from, to).join("");
  const telling = marks.filter((mark) => !LITTLE.has(word(mark).toLowerCase()));
  const parts = [];
  let done = 0;
  for (const [from, to] of telling.length ? telling : marks) {
    parts.push(letters.slice(done, from).join(""), element("mark", {}, word([from, to])));
    done = to;
  }
  return [...parts, letters.slice(done).join("")];
}
