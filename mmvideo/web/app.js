// The page: what is asked, what is shown, and the keys.
import { ask, clock, element, frameUrl, NAMES, query } from "./api.js";
import { openAdding, setUpAdding } from "./adding.js";
import { hitCard, mediaCard } from "./cards.js";
import { Player } from "./player.js";

const $ = (id) => document.getElementById(id);
const player = new Player();
const state = { media: new Map(), hits: [], asked: null, shown: 0, current: -1, upload: null, like: "", library: null };
let pending = null;
let timer = 0;

function say(text, bad = false) { $("status").textContent = text; $("status").classList.toggle("bad", bad); }

// A switch for each way to perceive that the library has; those of a library that is still empty are the usual two.
function showToggles(modalities) {
  const names = modalities.length ? modalities : ["visual", "speech"];
  if (toggles().map((one) => one.id).join() === names.join()) return;
  const off = toggles().filter((one) => !one.checked).map((one) => one.id);
  $("toggles").replaceChildren(...names.map((name) => element("label", { className: "toggle" },
    element("input", { type: "checkbox", id: name, checked: !off.includes(name), onchange: search }), element("span", {}, NAMES[name]?.[0] ?? name))));
}

function toggles() { return [...$("toggles").querySelectorAll("input")]; }

async function refresh() {
  const [library, media] = await Promise.all([ask("/api/library"), ask("/api/media")]);
  state.library = library;
  showToggles(library.modalities);
  state.media = new Map(media.map((one) => [one.id, one]));
  $("adder").hidden = $("remove").hidden = !library.writable;
  const chosen = $("media").value;
  $("media").replaceChildren(element("option", { value: "" }, "All recordings"), ...media.map((one) => element("option", { value: one.path }, one.name)));
  $("media").value = state.media.size && media.some((one) => one.path === chosen) ? chosen : "";
  if (!state.asked) showMedia();
}

function showMedia() {
  state.hits = [];
  state.asked = null;
  state.current = -1;
  const media = [...state.media.values()];
  $("heading").textContent = "Recordings";
  $("exports").hidden = $("unsure").hidden = true;
  $("cards").replaceChildren(...media.map((one) => mediaCard(one, () => player.open(one, one.start, null, []))));
  $("empty").hidden = media.length > 0;
  say(media.length ? `${media.length} recording${media.length > 1 ? "s" : ""}, ${clock(state.library.seconds)} to search in` : "");
  if (!media.length) explain();
}

function explain() {
  const how = state.library.writable
    ? [element("p", {}, "Add a folder of videos, podcasts or other recordings. They stay where they are; nothing leaves this computer."),
      element("button", { type: "button", className: "primary", onclick: openAdding }, "Add a folder")]
    : [element("p", {}, "This page can only read. Add recordings on the computer that it runs on:")];
  $("empty").replaceChildren(element("h2", {}, "Nothing to search yet"), ...how,
    element("p", {}, "Or in a terminal: ", element("code", {}, `mmvideo add -l ${state.library.folder} FOLDER`)));
}

function question() {
  const chosen = toggles().filter((one) => one.checked).map((one) => one.id);
  const glob = $("media").value.replace(/[*?[]/g, "[$&]");
  return { q: $("q").value.trim(), in: chosen.length === toggles().length ? "" : chosen.join(","), media: glob, min_score: +$("least").value || "", like: state.like };
}

async function search() {
  clearTimeout(timer);
  pending?.abort();
  const asked = question();
  if (!asked.q && !state.upload && !asked.like) { showMedia(); return; }
  if (!toggles().some((one) => one.checked)) { say("Switch on one of the ways to look.", true); return; }
  pending = new AbortController();
  const { signal } = pending;
  const started = performance.now();
  const slow = setTimeout(() => say("Searching … the first search loads the models"), 1200);
  try {
    const answer = state.upload ? await withUpload(asked, signal) : await ask(`/api/search?${query({ ...asked, limit: 30 })}`, { signal });
    state.asked = asked;
    showHits(answer.hits);
    say(summary(((performance.now() - started) / 1000).toFixed(2)));
    remember();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    clearTimeout(slow);
  }
}

function withUpload(asked, signal) {
  const body = new FormData();
  body.append("file", state.upload);
  for (const name of ["q", "in", "media", "min_score"]) if (asked[name]) body.append(name, asked[name]);
  body.append("limit", "30");
  return ask("/api/search", { method: "POST", body, signal });
}

function summary(seconds) {
  const sure = state.hits.filter((hit) => hit.sure).length;
  const count = (many) => `${many} moment${many === 1 ? "" : "s"}`;
  if (!state.hits.length) return "Nothing fits. Try other words, or a lower score.";
  if (!sure) return `Nothing fits well; the nearest ${count(state.hits.length)} in ${seconds} s`;
  return `${count(sure)} in ${seconds} s`;
}

// What is likelier wrong than right is shown on demand only, unless there is nothing else.
function showHits(hits) {
  state.hits = hits;
  state.current = -1;
  $("empty").hidden = true;
  $("heading").textContent = hits.length ? "Moments" : "No moments";
  $("cards").replaceChildren();
  state.shown = 0;
  const sure = hits.filter((hit) => hit.sure).length;
  show(sure || hits.length);
  $("left").scrollTop = 0;
  if (player.media) player.answer(state.upload ? null : state.asked, hits.slice(0, state.shown));
}

function show(many) {
  const fresh = state.hits.slice(state.shown, many);
  $("cards").append(...fresh.map((hit, i) => { const rank = state.shown + i; return hitCard(hit, rank, state.media.get(hit.media_id), () => play(rank)); }));
  state.shown = many;
  const rest = state.hits.length - many;
  $("unsure").hidden = !rest;
  $("unsure").textContent = `${rest} less sure`;
  $("exports").hidden = !many || Boolean(state.upload);
  $("srt").hidden = new Set(state.hits.slice(0, many).map((hit) => hit.media_id)).size !== 1;
  for (const format of ["csv", "srt", "edl", "otio"]) $(format).href = `/api/export?${query({ ...state.asked, limit: many || 1, format })}`;
}

function play(rank) {
  const hit = state.hits[rank];
  if (!hit) return;
  state.current = rank;
  [...$("cards").children].forEach((card, i) => {
    card.classList.toggle("current", i === rank);
    card.firstChild.toggleAttribute("aria-current", i === rank);
  });
  $("cards").children[rank].scrollIntoView({ block: "nearest" });
  // What is said begins with its word. What is seen begins with the hit, but its edge may lie up to half a sampling
  // step before its first picture.
  const from = hit.matches[0]?.modality === "speech" ? hit.time : Math.min(hit.time, hit.start + 0.6);
  player.open(state.media.get(hit.media_id), from, state.upload ? null : state.asked, state.hits.slice(0, state.shown));
  const suffix = { start: hit.start.toFixed(2), end: hit.end.toFixed(2), exact: true };
  $("clip").href = `/api/media/${hit.media_id}/clip?${query(suffix)}`;
  remember();
}

function walk(step) {
  if (!state.shown) return;
  play(state.current < 0 ? 0 : (state.current + step + state.shown) % state.shown);
}

// The address holds the question and the moment, so that a link brings them back.

function address(time) {
  const { q = "", in: where = "", like = "" } = state.asked || {};
  return `#${query({ q, in: where, like, m: player.media?.id, t: time == null ? "" : time.toFixed(1) })}`;
}

function remember() { history.replaceState(null, "", address(player.media ? state.hits[state.current]?.time : null)); }

async function restore() {
  const held = new URLSearchParams(location.hash.slice(1));
  $("q").value = held.get("q") || "";
  const where = held.get("in")?.split(",") ?? [];
  for (const one of toggles()) one.checked = !where.length || where.includes(one.id);
  state.like = "";
  if (held.get("like")) setLike(held.get("like"));
  const media = state.media.get(Number(held.get("m")));
  const time = Number(held.get("t"));
  if ($("q").value || state.like) await search();
  if (media) player.open(media, Number.isFinite(time) ? time : media.start, state.asked, state.hits.slice(0, state.shown), false);
}

// A picture, a sound or a clip as the question

const KINDS = { audio: ["sound", "♪"], video: ["visual", "▶"] };

function setUpload(file) {
  state.upload = file;
  state.like = "";
  const [modality, sign] = KINDS[file?.type.split("/")[0]] ?? ["visual", ""];
  chip(file && !sign ? URL.createObjectURL(file) : "", file && sign ? `${sign} ${file.name}` : "");
  if (!file) return;
  switchOn(modality);
  search();
}

function setLike(like) {
  state.upload = null;
  state.like = like;
  const [id, time] = like.split("@");
  chip(like ? frameUrl(Number(id), Number(time), 120) : "", "");
}

function chip(picture, name) {
  const image = $("sent").querySelector("img");
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  if (picture) image.src = picture; else image.removeAttribute("src");
  image.hidden = !picture;
  $("sentname").textContent = name;
  $("sent").hidden = !picture && !name;
}

function switchOn(modality) {
  const one = toggles().find((toggle) => toggle.id === modality);
  if (one) one.checked = true;
}

function moreLikeThis() {
  if (!player.media?.video) return;
  $("q").value = "";
  setLike(`${player.media.id}@${player.time.toFixed(2)}`);
  switchOn("visual");
  search();
}

function unsend() { setUpload(null); search(); $("q").focus(); }

async function copyLink() {
  if (!player.media) return;
  const link = new URL(address(player.time), location.href).href;
  history.replaceState(null, "", link);
  try { await navigator.clipboard.writeText(link); say("Link copied"); } catch { say(`The link is in the address bar: ${link}`); }
}

async function removeMedia() {
  if (!player.media || !confirm(`Remove ${player.media.name} from the library? The file stays.`)) return;
  try {
    await ask(`/api/media/${player.media.id}`, { method: "DELETE" });
    player.video.pause();
    player.media = null;
    $("right").hidden = true;
    document.querySelector("main").classList.remove("playing");
    await refresh();
    await search();
  } catch (error) { say(error.message, true); }
}

const KEYS = {
  "/": () => { $("q").focus(); $("q").select(); },
  n: () => walk(1), p: () => walk(-1), m: moreLikeThis, c: copyLink, "?": () => $("keys").showModal(),
  " ": () => (player.video.paused ? player.video.play() : player.video.pause()),
  ArrowLeft: () => player.media && player.seek(player.time - 5), ArrowRight: () => player.media && player.seek(player.time + 5),
};

document.addEventListener("keydown", (event) => {
  const on = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (on.matches("input:not([type=checkbox]), select, textarea")) { if (event.key === "Escape") on.blur(); return; }
  if (event.key === " " && on.matches("button, a, input, video")) return;
  if (event.key.startsWith("Arrow") && on.matches("video, #lines")) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

$("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const same = state.asked && JSON.stringify(question()) === JSON.stringify(state.asked);
  if (!same) await search();
  if (state.hits.length) play(0);
});
$("q").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 300); });
for (const id of ["media", "least"]) $(id).addEventListener("change", search);
$("file").addEventListener("change", () => { if ($("file").files[0]) setUpload($("file").files[0]); $("file").value = ""; });
$("unsend").addEventListener("click", unsend);
$("unsure").addEventListener("click", () => {
  const first = state.shown;
  show(state.hits.length);
  $("cards").children[first].firstChild.focus();
  if (player.media) player.hits(state.hits);
});
$("next").addEventListener("click", () => walk(1));
$("previous").addEventListener("click", () => walk(-1));
$("like").addEventListener("click", moreLikeThis);
$("copy").addEventListener("click", copyLink);
$("remove").addEventListener("click", removeMedia);
$("help").addEventListener("click", () => $("keys").showModal());

const carries = (event) => [...(event.dataTransfer?.items || [])].some((one) => one.kind === "file");
addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); $("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
addEventListener("drop", (event) => {
  $("drop").hidden = true;
  const file = event.dataTransfer?.files[0];
  if (file) { event.preventDefault(); setUpload(file); }
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files || [])][0];
  if (file) { event.preventDefault(); setUpload(file); }
});
addEventListener("hashchange", restore);
setUpAdding(refresh);
refresh().then(restore).catch((error) => say(error.message, true));
